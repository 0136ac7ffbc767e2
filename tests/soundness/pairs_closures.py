"""What a function closes over, and its defaults."""

from entrepot_test_pairs import Pairs

around = Pairs("closures and defaults")
_MAKE = "def make(n):\n def work(x): return x, n\n return work\nwork = make(1)"
around.differ("a default", "def work(x, y=1): return x + y", "y=1", "y=2")
around.differ("the type of a default", "def work(x, y=1): return x + y", "y=1", "y=1.0")
around.differ("a default that is a list", "def work(x, y=[1]): return x + y[0]", "[1]", "[2]")
around.differ("a default of a keyword", "def work(x, *, y=1): return x + y", "y=1", "y=2")
around.differ("a default by name", "N = 1\ndef work(x, y=N): return x + y", "N = 1", "N = 2")
around.differ("the order of a default", "def work(x, t={1: 2, 3: 4}): return [*t]", "1: 2, 3: 4", "3: 4, 1: 2")
around.differ("a function as a default", "def work(x, f=lambda y: y + 1): return f(x)", "y + 1", "y + 2")
around.differ("a closure's variable", _MAKE, "make(1)", "make(2)")
around.differ("the type of a closure's variable", _MAKE, "make(1)", "make(True)")
around.differ("a list in a closure", _MAKE, "make(1)", "make([1, 2])")
around.differ("a dict in a closure", _MAKE, "make(1)", "make({1: 'a'})")
around.differ("the keys of a dict in a closure", _MAKE.replace("make(1)", "make({1: 'a'})"), "{1: 'a'}", "{'1': 'a'}")
around.differ(
    "the order of a dict in a closure",
    _MAKE.replace("make(1)", "make({1: 2, 3: 4})"),
    "{1: 2, 3: 4}",
    "{3: 4, 1: 2}",
)
around.differ(
    "a function in a closure",
    """
    def make(f):
     def work(x): return f(x)
     return work
    work = make(lambda x: x + 1)
    """,
    "x + 1)",
    "x + 2)",
)
around.differ(
    "a closure inside a closure",
    """
    def a(n):
     def b():
      def work(x): return n
      return work
     return b()
    work = a(1)
    """,
    "a(1)",
    "a(2)",
)
around.differ("which closure", "def m(n): return lambda x: n\na, b = m(1), m(2)\nwork = a", "work = a", "work = b")
around.differ(
    "closures swapped",
    "def m(n): return lambda x: n\na, b = m(1), m(2)\ndef work(x): return a(x) - b(x)",
    "a, b = m(1), m(2)",
    "a, b = m(2), m(1)",
)
around.differ("which lambda of a line", "a, b = (lambda x: 1), (lambda x: 2)\nwork = a", "work = a", "work = b")
around.differ("a loop's late variable", "fs = [lambda x, n=n: n for n in range(3)]\nwork = fs[1]", "fs[1]", "fs[2]")
around.differ(
    "an import in the function around",
    """
    def make():
     import tools
     def work(x): return tools.run(x)
     return work
    work = make()
    """,
    "x * 2",
    "x * 3",
    tools="def run(x): return x * 2",
)
around.differ(
    "a variable that closes over later",
    "def make():\n def work(x): return n\n n = 1\n return work\nwork = make()",
    "n = 1",
    "n = 2",
)
around.differ(
    "a partial",
    "import functools\ndef p(a, x): return a - x\nwork = functools.partial(p, 2)",
    "p, 2",
    "p, 3",
)
around.differ(
    "a keyword of a partial",
    "import functools\ndef p(x, a=1): return x - a\nwork = functools.partial(p, a=2)",
    "a=2)",
    "a=3)",
)
around.differ(
    "the function of a partial",
    """
    import functools
    def p(a, x): return a - x
    def q(a, x): return a + x
    work = functools.partial(p, 2)
    """,
    "partial(p",
    "partial(q",
)
around.differ(
    "a partial as a global",
    "import functools\nf = functools.partial(pow, 2)\ndef work(x): return f(x)",
    "pow, 2",
    "pow, 4",
)
around.differ(
    "a helper's closure",
    "def m(n): return lambda x: x + n\nadd = m(1)\ndef work(x): return add(x)",
    "m(1)",
    "m(2)",
)
around.differ("a helper's default", "def add(x, y=1): return x + y\ndef work(x): return add(x)", "y=1", "y=2")
around.differ(
    "a helper's default of a keyword",
    "def add(x, *, y=1): return x + y\ndef work(x): return add(x)",
    "y=1",
    "y=2",
)
around.agree("a closure's variable, computed", _MAKE, "make(1)", "make(3 - 2)")
around.agree("a default, computed", "def work(x, y=4): return x + y", "y=4", "y=2 + 2")
around.agree(
    "a set in a closure, in another order",
    _MAKE.replace("make(1)", "make({'a', 'b', 'c'})"),
    "{'a', 'b', 'c'}",
    "{'c', 'b', 'a'}",
)
around.agree(
    "another closure of the same maker",
    "def m(n): return lambda x: n\na, b = m(1), m(2)\nwork = a",
    "m(2)",
    "m(3)",
)
around.agree("another lambda of the line", "a, b = (lambda x: 1), (lambda x: 2)\nwork = a", "x: 2", "x: 3")
around.agree(
    "a variable around that it does not use",
    "def make(n, unused):\n def work(x): return n\n return work\nwork = make(1, 2)",
    "make(1, 2)",
    "make(1, 3)",
)
around.agree(
    "a variable around under another name of the caller",
    "n = 1\ndef make(m):\n def work(x): return m\n return work\nwork = make(n)",
    "n = 1\n",
    "k = n = 1\n",
)
