"""Tasks that use tasks, versions in place of code, blocks."""

from entrepot_test_pairs import Pairs

engine = Pairs("tasks and versions of this library")
_TASK = "from entrepot import task\n@task(OPTIONS)\ndef part(x): return x + 1\ndef work(x): return part(x)"
engine.differ("the function of a task", _TASK.replace("OPTIONS", ""), "x + 1", "x + 2")
engine.differ(
    "the version of a task",
    _TASK.replace("OPTIONS", "version='1'"),
    "version='1'",
    "version='2'",
    shows=False,
)
engine.differ("a version that is taken away", _TASK.replace("OPTIONS", "version='1'"), "version='1'", "", shows=False)
engine.differ(
    "the version of the task itself",
    "from entrepot import task\n@task(version='1')\ndef work(x): return x",
    "'1'",
    "'2'",
    shows=False,
)
engine.differ(
    "the name of a task with a version",
    """
    from entrepot import task
    @task(version='1')
    def work(x): return x
    @task(version='1')
    def other(x): return -x
    both = work, other
    work = both[0]
    """,
    "both[0]",
    "both[1]",
)
engine.differ(
    "a method of a block",
    """
    from entrepot.blocks import Block
    class Login(Block):
     user: str = 'me'
     def hello(self): return 'hi ' + self.user
    def work(x): return Login().hello()
    """,
    "hi ",
    "hello ",
)
engine.differ(
    "a default of a block's secret",
    """
    from entrepot.blocks import Block
    from pydantic import SecretStr
    class Login(Block):
     word: SecretStr = SecretStr('hunter2')
    def work(x): return len(Login().word)
    """,
    "hunter2",
    "hunter33",
)
engine.differ(
    "a private attribute of a model",
    """
    from entrepot.blocks import Block
    from pydantic import PrivateAttr
    class Login(Block):
     _tries: int = PrivateAttr(1)
    def work(x): return Login()._tries
    """,
    "PrivateAttr(1)",
    "PrivateAttr(2)",
)
engine.agree(
    "the code of a task with a version",
    "from entrepot import task\n@task(version='1')\ndef work(x): return x + 1",
    "return x + 1",
    "return 1 + x",
)
engine.agree(
    "a helper of a task with a version",
    """
    from entrepot import task
    N = 1
    @task(version='1')
    def work(x): return x + N - N
    """,
    "N = 1",
    "N = 2",
)
engine.agree(
    "the code of a used task with a version",
    _TASK.replace("OPTIONS", "version='1'"),
    "return x + 1",
    "return 1 + x",
)
engine.agree(
    "options that do not count",
    _TASK.replace("OPTIONS", "retries=1"),
    "retries=1",
    "retries=2, name='other', tags={'a'}",
)
engine.agree(
    "options of the task itself",
    "from entrepot import task\n@task(retries=1)\ndef work(x): return x",
    "retries=1",
    "retries=2, tags={'a'}",
)
