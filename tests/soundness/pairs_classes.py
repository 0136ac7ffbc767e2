"""Classes that a function uses."""

from entrepot_test_pairs import Pairs

_CLASSES = """
    import functools

    FACTOR = 2

    class Base:
        unit = "kg"

        def weigh(self, x):
            return x * 3

    class Scale(Base):
        limit = 100
        names = ["a", "b"]

        def __init__(self, tare=0):
            super().__init__()
            self.tare = tare

        @property
        def share(self):
            return 0.5

        @share.setter
        def share(self, value):
            self.tare = value + 1

        @staticmethod
        def rounded(x):
            return round(x, 2)

        @classmethod
        def usual(cls):
            return cls(tare=5)

        @functools.cached_property
        def table(self):
            return {1: FACTOR}

        def __len__(self):
            return 7

        def __call__(self, x):
            return x + 8

        def __getattr__(self, name):
            return name + "?"

    def work(x):
        one = Scale.usual()
        seen = (one.weigh(x), one.unit, one.limit, one.names, one.share, one.rounded(1.2345), one.tare, one.table)
        one.share = 1
        return seen, Scale().tare, len(one), one(1), one.odd, one.tare, isinstance(one, dict)
"""
classes = Pairs("classes")
classes.differ("a method", _CLASSES, "x * 3", "x * 4")
classes.differ("an attribute", _CLASSES, "limit = 100", "limit = 200")
classes.differ("a list", _CLASSES, '["a", "b"]', '["a", "c"]')
classes.differ("an attribute of a base", _CLASSES, '"kg"', '"lb"')
classes.differ("a property", _CLASSES, "0.5", "0.6")
classes.differ("a setter", _CLASSES, "value + 1", "value + 2")
classes.differ("a static method", _CLASSES, "round(x, 2)", "round(x, 3)")
classes.differ("a class method", _CLASSES, "tare=5", "tare=6")
classes.differ("a default of a method", _CLASSES, "tare=0", "tare=1")
classes.differ("a global of a kept property", _CLASSES, "FACTOR = 2", "FACTOR = 3")
classes.differ("a special method", _CLASSES, "return 7", "return 8")
classes.differ("what calling an object does", _CLASSES, "x + 8", "x + 9")
classes.differ("what a missing attribute gives", _CLASSES, '"?"', '"!"')
classes.differ("a base", _CLASSES, "class Scale(Base)", "class Scale(Base, dict)")
classes.differ(
    "a method that was added",
    "class A:\n def f(self): return 1\nclass B(A):\n n = 1\ndef work(x): return B().f()",
    " n = 1\n",
    " n = 1\n def f(self): return 2\n",
)
classes.differ(
    "a method that a base loses",
    """
    class A:
     def f(self): return 1
    class B(A):
     def f(self): return 2
    def work(x): return B().f()
    """,
    "(A):\n def f",
    "(A):\n def g",
)
classes.differ(
    "the order of bases",
    "class A:\n n = 1\nclass B:\n n = 2\nclass C(A, B): pass\ndef work(x): return C.n",
    "(A, B)",
    "(B, A)",
)
classes.differ("an attribute read from a class", "class C:\n limit = 1\ndef work(x): return C.limit", "= 1", "= 2")
classes.differ(
    "an attribute set from outside",
    "class C: pass\nC.limit = 1\ndef work(x): return C.limit",
    "= 1",
    "= 2",
)
classes.differ(
    "a method set from outside",
    "class C: pass\nC.run = lambda self: 1\ndef work(x): return C().run()",
    "self: 1",
    "self: 2",
)
classes.differ(
    "the order of a class's names",
    "class C:\n a = 1; b = 2\ndef work(x): return [n for n in vars(C) if n[0] != '_']",
    "a = 1; b = 2",
    "b = 2; a = 1",
)
classes.differ(
    "a metaclass",
    """
    class M(type):
     def __call__(cls): return 1
    class C(metaclass=M): pass
    def work(x): return C()
    """,
    "return 1",
    "return 2",
)
classes.differ(
    "a descriptor",
    """
    class D:
     def __init__(self, n): self.n = n
     def __get__(self, o, t): return self.n
     def __entrepot_key__(self): return self.n
    class C:
     d = D(1)
    def work(x): return C().d
    """,
    "D(1)",
    "D(2)",
)
classes.differ("slots", "class C:\n __slots__ = ('a',)\ndef work(x): return C.__slots__", "('a',)", "('b',)")
classes.differ(
    "what a subclass hook does",
    """
    class A:
     def __init_subclass__(cls): cls.n = 1
    class B(A): pass
    def work(x): return B.n
    """,
    "= 1",
    "= 2",
)
classes.differ("a class in a class", "class A:\n class B:\n  n = 1\ndef work(x): return A.B.n", "n = 1", "n = 2")
classes.differ("a class made by type()", "C = type('C', (), {'n': 1})\ndef work(x): return C.n", "'n': 1", "'n': 2")
classes.differ(
    "an abstract method's body",
    """
    import abc
    class A(abc.ABC):
     @abc.abstractmethod
     def f(self): return 1
    class B(A):
     def f(self): return super().f()
    def work(x): return B().f()
    """,
    "return 1",
    "return 2",
)
classes.differ(
    "a bound method as the function",
    """
    class A:
     def __init__(self, n): self.n = n
     def run(self, x): return x * self.n
     def __entrepot_key__(self): return self.n
    work = A(2).run
    """,
    "A(2)",
    "A(5)",
)
classes.differ(
    "a static method as the function",
    "class A:\n @staticmethod\n def run(x): return x * 2\nwork = A.run",
    "* 2",
    "* 3",
)
classes.differ(
    "a class method as the function",
    "class A:\n n = 2\n @classmethod\n def run(cls, x): return x * cls.n\nwork = A.run",
    "n = 2",
    "n = 3",
)
classes.differ(
    "a method of an input's class",
    """
    from dataclasses import dataclass
    @dataclass
    class Crop:
     n: int
     def next(self): return self.n + 1
    def work(x): return x.next()
    """,
    "+ 1",
    "+ 2",
    inputs="{'x': Crop(3)}",
)
classes.differ(
    "a helper of an input's class",
    """
    from dataclasses import dataclass
    from helpers import grow
    @dataclass
    class Crop:
     n: int
     def next(self): return grow(self.n)
    def work(x): return x.next()
    """,
    "* 2",
    "* 3",
    inputs="{'x': Crop(3)}",
    helpers="def grow(n): return n * 2",
)
classes.differ(
    "a method of a class of an input's part",
    """
    from dataclasses import dataclass
    @dataclass
    class Crop:
     n: int
     def next(self): return self.n + 1
    def work(x): return x['a'][0].next()
    """,
    "+ 1",
    "+ 2",
    inputs="{'x': {'a': [Crop(3)]}}",
)
classes.differ(
    "a function as an input",
    "def work(x): return x()",
    "lambda: 1",
    "lambda: 2",
    inputs="{'x': lambda: 1}",
)
classes.differ(
    "a helper of a function as an input",
    "def f(): return 1\ndef work(x): return x()",
    "return 1",
    "return 2",
    inputs="{'x': f}",
)
classes.agree("a docstring", _CLASSES, "limit = 100", '"""A scale."""\n    limit = 100')
classes.agree("a docstring of a method", _CLASSES, "return x * 3", '"""Weigh."""\n        return x * 3')
classes.agree("a comment", _CLASSES, "limit = 100", "limit = 100  # kg")
classes.agree("a class moved down", _CLASSES, "class Base", "\n\nclass Base")
classes.agree("an attribute, computed", _CLASSES, "limit = 100", "limit = 10 * 10")
classes.agree("another attribute of a class", "class C:\n a = 1\n b = 2\ndef work(x): return C.a", "b = 2", "b = 3")
classes.agree("another class", "class C:\n a = 1\nclass D:\n b = 2\ndef work(x): return C.a", "b = 2", "b = 3")
classes.agree("annotations of a method", _CLASSES, "def weigh(self, x)", "def weigh(self, x: int) -> int")
classes.agree(
    "a docstring of a class inside",
    "def work(x):\n class A:\n  b = 1\n return A.b",
    "  b = 1",
    "  'doc'\n  b = 1",
)
classes.agree("brackets after a class's name", _CLASSES, "class Base:", "class Base():")
classes.agree("object as a base", _CLASSES, "class Base:", "class Base(object):")
