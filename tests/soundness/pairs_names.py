"""What a function reads from its module."""

from entrepot_test_pairs import Pairs

module = Pairs("what the module holds")
module.differ("a global", "LIMIT = 1\ndef work(x): return x < LIMIT", "LIMIT = 1", "LIMIT = 5")
module.differ("the type of a global", "LIMIT = 1\ndef work(x): return x * LIMIT", "LIMIT = 1", "LIMIT = 1.0")
module.differ("a global list", "NAMES = ['a']\ndef work(x): return 'a' in NAMES", "['a']\n", "['b']\n")
module.differ("the keys of a global dict", "T = {3: 'a'}\ndef work(x): return T.get(x)", "{3: 'a'}", "{'3': 'a'}")
module.differ(
    "the order of a global dict",
    "T = {'a': 1, 'b': 2}\ndef work(x): return [*T]",
    "'a': 1, 'b': 2",
    "'b': 2, 'a': 1",
)
module.differ("a global in a comprehension", "N = 1\ndef work(x): return [N for _ in range(x)]", "N = 1", "N = 2")
module.differ("a global in a lambda", "N = 1\ndef work(x): return (lambda y: y + N)(x)", "N = 1", "N = 2")
module.differ(
    "a global in a default of a function inside",
    "N = 1\ndef work(x):\n def f(y=N): return y\n return f()",
    "N = 1",
    "N = 2",
)
module.differ("a global in an f-string", "N = 1\ndef work(x): return f'{N}'", "N = 1", "N = 2")
module.differ(
    "a global in a pattern",
    """
    import enum
    class C(enum.Enum):
     A = 1
     B = 3
    def work(x):
     match C(x):
      case C.A: return 1
      case C.B: return 2
    """,
    "B: return 2",
    "B: return 4",
)
module.differ(
    "a global in a decorator inside",
    """
    N = 1
    def d(n): return lambda f: lambda: f() + n
    def work(x):
     @d(N)
     def f(): return 1
     return f()
    """,
    "N = 1",
    "N = 2",
)
module.differ("a global in a class inside", "N = 1\ndef work(x):\n class A:\n  b = N\n return A.b", "N = 1", "N = 2")
module.differ("what a name means", "A = 1\nB = 2\ndef work(x): return A", "return A", "return B")
module.differ("two globals swapped", "A = 1\nB = 2\ndef work(x): return A - B", "A = 1\nB = 2", "B = 1\nA = 2")
module.differ("a shadowed built-in", "def work(x): return len('abc')", "def work", "len = str\ndef work")
module.differ("a global that is a class", "T = int\ndef work(x): return T(x)", "T = int", "T = float")
module.differ(
    "a table of functions",
    "def f(): return 1\nT = {'f': f}\ndef work(x): return T['f']()",
    "return 1",
    "return 2",
)
module.differ(
    "a table of lambdas, swapped",
    "a = lambda: 1\nb = lambda: 2\nT = {'a': a, 'b': b}\ndef work(x): return T['a']()",
    "{'a': a, 'b': b}",
    "{'a': b, 'b': a}",
)
module.differ(
    "the order of a table of functions",
    """
    def a(x): return x + 1
    def b(x): return x * 10
    STEPS = {'a': a, 'b': b}
    def work(x):
     for f in STEPS.values(): x = f(x)
     return x
    """,
    "'a': a, 'b': b",
    "'b': b, 'a': a",
)
module.differ(
    "a list of functions",
    """
    def a(x): return x + 1
    def b(x): return x * 10
    STEPS = [a, b]
    def work(x):
     for f in STEPS: x = f(x)
     return x
    """,
    "[a, b]",
    "[b, a]",
)
module.differ("a helper", "def help(x): return x * 2\ndef work(x): return help(x)", "* 2", "* 3")
module.differ(
    "a helper's helper",
    "def a(x): return x * 2\ndef b(x): return a(x)\ndef work(x): return b(x)",
    "* 2",
    "* 3",
)
module.differ(
    "a helper seven calls away",
    "def h0(x): return x * 2\n"
    + "".join(f"def h{n}(x): return h{n - 1}(x)\n" for n in range(1, 8))
    + "def work(x): return h7(x)",
    "* 2",
    "* 3",
)
module.differ(
    "a helper's global",
    "RATE = 2\ndef help(x): return x * RATE\ndef work(x): return help(x)",
    "RATE = 2",
    "RATE = 3",
)
module.differ("mutual recursion", "def work(x): return b(x)\ndef b(x): return x and 1 + work(x - 1)", "1 +", "2 +")
module.differ(
    "a helper passed on",
    """
    def help(x): return x * 2
    def call(f, x): return f(x)
    def work(x): return call(help, x)
    """,
    "* 2",
    "* 3",
)
module.differ(
    "a helper by another name",
    "def help(x): return x * 2\nalias = help\ndef work(x): return alias(x)",
    "* 2",
    "* 3",
)
module.differ(
    "a helper's type of a constant",
    "def help(x): return x * 2\ndef work(x): return help(x)",
    "* 2",
    "* 2.0",
)
module.differ(
    "a helper that became a generator",
    "def help(x): return [x]\ndef work(x): return type(help(x)).__name__",
    "return [x]",
    "yield x",
)
module.differ("a lambda as a helper", "help = lambda x: x * 2\ndef work(x): return help(x)", "* 2", "* 3")
module.differ("a pattern", "import re\nP = re.compile('3')\ndef work(x): return bool(P.match(str(x)))", "'3'", "'4'")
module.differ("a mark", "A = object()\nB = object()\nC = A\ndef work(x): return C is A", "is A", "is B")
module.differ("a mark by default", "A = object()\nB = object()\ndef work(x, y=A): return y is A", "y=A", "y=B")
module.differ(
    "an attribute of an object",
    """
    from types import SimpleNamespace as S
    CONF = S(limit=1)
    def work(x): return CONF.limit
    """,
    "limit=1",
    "limit=2",
)
module.differ(
    "the order of an object's attributes",
    """
    from types import SimpleNamespace as S
    T = S(a=1, b=2)
    def work(x): return [*vars(T)]
    """,
    "a=1, b=2",
    "b=2, a=1",
)
module.differ(
    "an object of a class of its own",
    """
    class Conf:
     def __init__(self, limit): self.limit = limit
    CONF = Conf(1)
    def work(x): return CONF.limit
    """,
    "Conf(1)",
    "Conf(2)",
)
module.differ(
    "an attribute of a function",
    """
    def rate(): pass
    rate.weight = 2
    def total(all): return sum(f.weight for f in all)
    def work(x): return total([rate])
    """,
    "= 2",
    "= 3",
)
module.differ("a global array", "import numpy as np\nA = np.array([1])\ndef work(x): return A.sum()", "[1]", "[2]")
module.differ(
    "a global frame",
    """
    import pandas as pd
    T = pd.DataFrame({'a': [1]})
    def work(x): return T['a'].sum()
    """,
    "[1]",
    "[2]",
)
module.differ(
    "a global dataclass object",
    """
    from dataclasses import dataclass
    @dataclass
    class C:
     x: int
    ONE = C(1)
    def work(x): return ONE.x
    """,
    "C(1)",
    "C(2)",
)
module.differ(
    "a global that is appended to",
    "NAMES = []\nNAMES.append(1)\ndef work(x): return NAMES",
    "append(1)",
    "append(2)",
)
module.differ(
    "a global made in a loop",
    "T = {}\nfor n in range(3): T[n] = n + 1\ndef work(x): return T",
    "n + 1",
    "n + 2",
)
module.differ(
    "a condition of the module",
    """
    DEBUG = False
    if DEBUG:
     def f(): return 1
    else:
     def f(): return 2
    def work(x): return f()
    """,
    "= False",
    "= True",
)
module.differ("a docstring that is read", "def ask(): 'hello'\ndef work(x): return ask.__doc__", "hello", "bye")
module.differ(
    "annotations that are read",
    "def ask(x: int): pass\ndef work(x): return ask.__annotations__['x'](x)",
    "x: int",
    "x: float",
)
module.differ(
    "a frozen set of functions' results",
    "def f(): return 1\nS = frozenset({f()})\ndef work(x): return S",
    "return 1",
    "return 2",
)
module.differ(
    "a global by a star import",
    "from conf import *\ndef work(x): return LIMIT",
    "LIMIT = 1",
    "LIMIT = 2",
    conf="LIMIT = 1",
)
module.differ(
    "a global deleted, so that a built-in shows",
    "len = str\ndef work(x): return len('abc')",
    "len = str\n",
    "len = str\ndel len\n",
)
