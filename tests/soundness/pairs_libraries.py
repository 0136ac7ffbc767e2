"""Code of installed distributions, and code without a file."""

from entrepot_test_pairs import Pairs

_TOOLS = {"tools": "def run(x): return x * 2"}

libraries = Pairs("installed distributions")
_SITE = {
    "site-packages/shelf/__init__": "def run(x): return x * 2",
    "site-packages/shelf-1.0.dist-info/METADATA": "Name: shelf\nVersion: 1.0",
}
libraries.differ(
    "another version",
    "import shelf\ndef work(x): return shelf.run(x)",
    "shelf-1.0",
    "shelf-2.0",
    shows=False,
    **_SITE,
)
libraries.differ(
    "another version, imported inside",
    "def work(x):\n import shelf\n return shelf.run(x)",
    "shelf-1.0",
    "shelf-2.0",
    shows=False,
    **_SITE,
)
libraries.differ(
    "another version, used by a helper",
    "from tools import go\ndef work(x): return go(x)",
    "shelf-1.0",
    "shelf-2.0",
    shows=False,
    tools="from shelf import run\ndef go(x): return run(x)",
    **_SITE,
)
libraries.differ(
    "another version, of a base class",
    "from shelf import Base\nclass A(Base): pass\ndef work(x): return A().run(x)",
    "shelf-1.0",
    "shelf-2.0",
    shows=False,
    **_SITE | {"site-packages/shelf/__init__": "class Base:\n def run(self, x): return x"},
)
libraries.differ(
    "another version, of a decorator",
    "from shelf import twice\n@twice\ndef work(x): return x",
    "shelf-1.0",
    "shelf-2.0",
    shows=False,
    **_SITE | {"site-packages/shelf/__init__": "def twice(f): return lambda x: f(f(x))"},
)
libraries.differ(
    "code copied into site-packages, without a version",
    "import shelf\ndef work(x): return shelf.run(x)",
    "x * 2",
    "x * 3",
    **{"site-packages/shelf/__init__": "def run(x): return x * 2"},
)
libraries.differ("which function of a library", "import math\ndef work(x): return math.floor(2.5)", "floor", "ceil")
libraries.differ("which constant of a library", "import math\ndef work(x): return math.pi", "math.pi", "math.tau")
libraries.differ("which library", "from math import sqrt\ndef work(x): return sqrt(x)", "from math", "from cmath")
libraries.differ(
    "a library's function under one name",
    "from math import floor as f\ndef work(x): return f(2.5)",
    "floor",
    "ceil",
)
libraries.differ(
    "an argument of a library's decorator",
    """
    import functools
    def base(x, n): return x * n
    f = functools.partial(base, n=2)
    def work(x): return f(x)
    """,
    "n=2)",
    "n=3)",
)
libraries.differ(
    "a library's function that was replaced",
    """
    import colorsys
    def mine(*a): return 1
    colorsys.rgb_to_yiq = mine
    def work(x): return colorsys.rgb_to_yiq(x)
    """,
    "return 1",
    "return 2",
)
libraries.differ(
    "a library's function that was replaced, imported inside",
    """
    import colorsys
    def mine(*a): return 1
    colorsys.rgb_to_hls = mine
    def work(x):
     import colorsys as c
     return c.rgb_to_hls(x)
    """,
    "return 1",
    "return 2",
)
libraries.differ(
    "a library's constant that was replaced",
    "import colorsys\ncolorsys.ONE_THIRD = 1\ndef work(x): return colorsys.ONE_THIRD",
    "= 1",
    "= 2",
)
libraries.differ(
    "a built-in that was replaced",
    """
    import builtins
    def mine(*a): return 1
    builtins.ascii = mine
    def work(x): return ascii(x)
    """,
    "return 1",
    "return 2",
)
_RETRY = {
    "site-packages/shelf/__init__": """
        import functools

        def times(n):
            def decorate(fn):
                @functools.wraps(fn)
                def wrapper(x):
                    return fn(x) * n
                return wrapper
            return decorate
    """,
    "site-packages/shelf-1.0.dist-info/METADATA": "Name: shelf\nVersion: 1.0",
}
_RETRIED = "from shelf import times\n@times(2)\ndef work(x): return x + 1"
libraries.differ("an argument of a library's decorator around the function", _RETRIED, "times(2)", "times(3)", **_RETRY)
libraries.differ("the function under a library's decorator", _RETRIED, "x + 1", "x + 2", **_RETRY)
libraries.differ(
    "an argument of a library's decorator around a helper",
    "from shelf import times\n@times(2)\ndef help(x): return x + 1\ndef work(x): return help(x)",
    "times(2)",
    "times(3)",
    **_RETRY,
)
libraries.agree("a docstring under a library's decorator", _RETRIED, "return x", "'Add.'; return x", **_RETRY)
libraries.agree(
    "the same version, reinstalled with other comments",
    "import shelf\ndef work(x): return shelf.run(x)",
    "x * 2",
    "x * 2  # twice",
    **_SITE,
)
libraries.agree(
    "another version of what is not used",
    "import json\ndef work(x): return x",
    "shelf-1.0",
    "shelf-2.0",
    **_SITE,
)
libraries.agree(
    "the level of a logger",
    """
    import logging
    log = logging.getLogger('a')
    log.setLevel(40)
    def work(x): log.info(x)
    """,
    "40",
    "50",
)
sessions = Pairs("code without a file")
_CELL = 'RUNS_AS = "session"\n'
sessions.differ("a cell edited", _CELL + "def work(x): return x + 1", "x + 1", "x + 2")
sessions.differ("a variable of an earlier cell", _CELL + "N = 1\n# ---\ndef work(x): return x + N", "N = 1", "N = 2")
sessions.differ(
    "a helper of an earlier cell",
    _CELL + "def f(x): return x + 1\n# ---\ndef work(x): return f(x)",
    "x + 1",
    "x + 2",
)
sessions.differ(
    "a helper defined anew in a later cell",
    _CELL + "def f(x): return x\n# ---\ndef work(x): return f(x)\n# ---\nspare = 1",
    "spare = 1",
    "def f(x): return -x",
)
sessions.differ("a lambda", _CELL + "work = lambda x: x + 1", "x + 1", "x + 2")
sessions.differ("a closure", _CELL + "def m(n): return lambda x: n\nwork = m(1)", "m(1)", "m(2)")
sessions.differ("a class", _CELL + "class A:\n n = 1\n# ---\ndef work(x): return A.n", "n = 1", "n = 2")
sessions.differ(
    "a name deleted",
    _CELL + "len = str\n# ---\ndef work(x): return len('abc')\n# ---\nspare = 1",
    "spare = 1",
    "del len",
)
sessions.differ(
    "an import inside",
    _CELL + "def work(x):\n import tools\n return tools.run(x)",
    "x * 2",
    "x * 3",
    **_TOOLS,
)
sessions.differ("code made by exec", "exec('def work(x): return x + 1')", "x + 1", "x + 2")
sessions.differ(
    "a helper made by exec",
    """
    names = {}
    exec('def f(x): return x + 1', names)
    f = names['f']
    def work(x): return f(x)
    """,
    "x + 1",
    "x + 2",
)
sessions.differ("a lambda made by eval", "work = eval('lambda x: x + 1')", "x + 1", "x + 2")
sessions.agree("a cell run again", _CELL + "def work(x): return x + 1", "def work", "# again\ndef work")
sessions.agree(
    "a cell moved",
    _CELL + "N = 1\n# ---\ndef work(x): return x + N",
    "N = 1\n# ---\n",
    "spare = 0\n# ---\nN = 1\n# ---\n",
)
sessions.agree("a cell split", _CELL + "N = 1\ndef work(x): return x + N", "N = 1\n", "N = 1\n# ---\n")
sessions.agree("an unused variable", _CELL + "N = 1\n# ---\ndef work(x): return x", "N = 1", "N = 2")
sessions.agree("an unused cell", _CELL + "def f(): return 1\n# ---\ndef work(x): return x", "return 1", "return 2")
sessions.agree(
    "code made by exec, with a comment",
    "exec('def work(x): return x + 1')",
    "return x + 1'",
    "return x + 1  # one more'",
)
sessions.agree(
    "a helper defined twice, the same",
    _CELL + "def f(x): return x\n# ---\ndef work(x): return f(x)\n# ---\nspare = 1",
    "spare = 1",
    "def f(x): return x",
)
