"""Decorators, their arguments, and what they leave behind."""

from entrepot_test_pairs import Pairs

_DECORATED = """
    import contextlib
    import functools

    def times(n):
        def decorate(fn):
            @functools.wraps(fn)
            def wrapper(*args):
                return fn(*args) * n
            return wrapper
        return decorate

    def plus(n):
        def decorate(fn):
            @functools.wraps(fn)
            def wrapper(*args):
                return fn(*args) + n
            return wrapper
        return decorate

    @times(3)
    def tripled(x):
        return x + 20

    @functools.lru_cache(maxsize=8)
    def cached(x):
        return x + 30

    @contextlib.contextmanager
    def opened(x):
        yield x + 40

    @functools.singledispatch
    def shown(x):
        return "any"

    @shown.register
    def _(x: int):
        return "int"

    @plus(100)
    @times(5)
    def stacked(x):
        return x

    def work(x):
        with opened(x) as y:
            return tripled(x) + cached(y), shown(x), shown("a"), stacked(x), cached.cache_parameters()
"""
decorators = Pairs("decorators")
decorators.differ("an argument", _DECORATED, "@times(3)", "@times(4)")
decorators.differ("the decorated function", _DECORATED, "x + 20", "x + 21")
decorators.differ("the wrapper", _DECORATED, "fn(*args) * n", "fn(*args) ** n")
decorators.differ("the order of two", _DECORATED, "@plus(100)\n@times(5)", "@times(5)\n@plus(100)")
decorators.differ("one that was removed", _DECORATED, "@plus(100)\n", "\n")
decorators.differ("a cached function", _DECORATED, "x + 30", "x + 31")
decorators.differ("how much is cached", _DECORATED, "maxsize=8", "maxsize=9")
decorators.differ("a context manager", _DECORATED, "x + 40", "x + 41")
decorators.differ("a dispatched function", _DECORATED, 'return "int"', 'return "whole"')
decorators.differ("the fallback of a dispatched function", _DECORATED, 'return "any"', 'return "some"')
decorators.differ("the type that is dispatched on", _DECORATED, "x: int", "x: float")
decorators.differ(
    "one around the function itself",
    "def d(f): return lambda x: f(x) + 1\n@d\ndef work(x): return x",
    "+ 1",
    "+ 2",
)
decorators.differ(
    "the function under one",
    "def d(f): return lambda x: f(x) + 1\n@d\ndef work(x): return x",
    "return x",
    "return -x",
)
decorators.differ(
    "an argument around the function itself",
    """
    import functools
    def d(n):
     def w(f):
      @functools.wraps(f)
      def g(x): return f(x) + n
      return g
     return w
    @d(1)
    def work(x): return x
    """,
    "@d(1)",
    "@d(2)",
)
decorators.differ(
    "an argument by name",
    """
    import functools
    N = 1
    def d(n):
     def w(f):
      @functools.wraps(f)
      def g(x): return f(x) + n
      return g
     return w
    @d(N)
    def work(x): return x
    """,
    "N = 1",
    "N = 2",
)
decorators.differ(
    "one that is a class",
    """
    class D:
     def __init__(self, f): self.f = f
     def __call__(self, x): return self.f(x) + 1
     def __entrepot_key__(self): return self.f
    @D
    def help(x): return x
    def work(x): return help(x)
    """,
    "+ 1",
    "+ 2",
)
decorators.differ(
    "a function under one that is a class",
    """
    class D:
     def __init__(self, f): self.f = f
     def __call__(self, x): return self.f(x) + 1
     def __entrepot_key__(self): return self.f
    @D
    def help(x): return x
    def work(x): return help(x)
    """,
    "return x\n",
    "return -x\n",
)
decorators.differ(
    "one that registers",
    """
    STEPS = []
    def step(f):
     STEPS.append(f)
     return f
    @step
    def one(x): return x + 1
    @step
    def two(x): return x * 10
    def work(x):
     for f in STEPS: x = f(x)
     return x
    """,
    "@step\ndef two",
    "def two",
)
decorators.differ(
    "one that leaves a mark",
    """
    def mark(n):
     def d(f):
      f.n = n
      return f
     return d
    @mark(1)
    def help(): pass
    def work(x): return help.n
    """,
    "mark(1)",
    "mark(2)",
)
decorators.differ(
    "a default of a decorated method",
    """
    def twice(f):
     def wrapper(*args, k=0): return f(*args) * 2
     return wrapper
    class A:
     @twice
     def run(self, k=1): return k
    def work(x): return A().run()
    """,
    "k=1",
    "k=2",
)
decorators.differ(
    "a default of a getter that has a setter",
    """
    class A:
     @property
     def size(self, k=1): return k
     @size.setter
     def size(self, value, k=3): pass
    def work(x): return A().size
    """,
    "k=1",
    "k=2",
)
decorators.differ(
    "an attribute of a library's wrapper",
    """
    import contextlib
    @contextlib.contextmanager
    def rate(): yield
    rate.weight = 2
    def total(all): return sum(f.weight for f in all)
    def work(x): return total([rate])
    """,
    "= 2",
    "= 3",
)
decorators.differ(
    "a function that calls itself namedtuple",
    """
    def namedtuple(c):
     c.run = lambda self, x: x + 1
     return c
    @namedtuple
    class C: pass
    def work(x): return C().run(x)
    """,
    "x + 1",
    "x + 2",
)
decorators.differ(
    "a partial method",
    """
    import functools
    class A:
     def f(self, n): return n
     g = functools.partialmethod(f, 1)
    def work(x): return A().g()
    """,
    "f, 1",
    "f, 2",
)
decorators.differ(
    "a dispatched method",
    """
    import functools
    class A:
     @functools.singledispatchmethod
     def f(self, x): return 0
     @f.register
     def _(self, x: int): return 1
    def work(x): return A().f(x)
    """,
    "return 1",
    "return 2",
)
decorators.differ(
    "an order made total",
    """
    import functools
    @functools.total_ordering
    class A:
     def __init__(self, n): self.n = n
     def __eq__(self, o): return self.n == o.n
     def __lt__(self, o): return self.n < o.n
    def work(x): return A(1) >= A(2)
    """,
    "self.n < o.n",
    "self.n > o.n",
)
decorators.differ(
    "a cached function that lives in a class",
    """
    import functools
    class A:
     @functools.lru_cache
     def f(self): return 1
    def work(x): return A().f()
    """,
    "return 1",
    "return 2",
)
decorators.differ(
    "how much a cached function under wraps returns",
    """
    import functools
    def d(f):
     @functools.wraps(f)
     def g(x): return f(x)
     return g
    @d
    @functools.cache
    def help(x): return 1
    def work(x): return help(x)
    """,
    "return 1",
    "return 2",
)
decorators.agree("a comment before one", _DECORATED, "@times(3)", "# three times\n@times(3)")
decorators.agree("an argument, computed", _DECORATED, "@times(3)", "@times(1 + 2)")
decorators.agree("an argument by keyword", _DECORATED, "@times(3)", "@times(n=3)")
decorators.agree(
    "one applied by a call",
    "def d(f): return lambda x: f(x) + 1\n@d\ndef work(x): return x",
    "@d\ndef work(x): return x\n",
    "def work(x): return x\nwork = d(work)\n",
)
decorators.agree(
    "one that returns the function",
    "def same(f): return f\n@same\ndef work(x): return x",
    "@same\n",
    "",
)
decorators.agree("a docstring under one", _DECORATED, "return x + 20", '"""Add."""\n    return x + 20')
decorators.agree(
    "another decorated function",
    """
    def d(n): return lambda f: lambda x: f(x) + n
    @d(1)
    def work(x): return x
    @d(2)
    def other(x): return x
    """,
    "@d(2)",
    "@d(3)",
)
