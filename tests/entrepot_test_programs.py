"""Small projects in two versions: pairs whose code must differ, and pairs whose code must agree.

Each has a file `flow.py` with a function `work`, and perhaps `INPUTS`, the arguments that it is called with. Run as a
script with a folder, it prints the cache key of every project in that folder as JSON.
"""

import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from entrepot.results.keys import INPUTS, TASK_SOURCE, KeyContext


@dataclass(frozen=True)
class Change:
    """A project before and after: files by name."""

    name: str
    before: dict[str, str]
    after: dict[str, str]


def change(name: str, source: str, old: str, new: str, **others: str) -> Change:
    """Return a change that replaces `old` by `new`, wherever in the project it stands."""
    files = {"flow.py": dedent(source)} | {f"{module}.py": dedent(text) for module, text in others.items()}
    assert any(old in text for text in files.values()), name
    return Change(name, files, {file: text.replace(old, new) for file, text in files.items()})


HELPER = """
    from helpers import clean

    def work(x):
        return clean(x) + 1
"""
HELPERS = """
    RATE = 2
    UNUSED = 7

    def clean(x):
        return scale(x) * RATE

    def scale(x):
        return x + 10

    def unused(x):
        return x
"""
CLASSES = """
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

        @staticmethod
        def rounded(x):
            return round(x, 2)

        @classmethod
        def usual(cls):
            return cls(tare=5)

        @functools.cached_property
        def table(self):
            return {1: FACTOR}

    def work(x):
        return Scale.usual().weigh(x)
"""
MODELS = """
    import dataclasses
    import enum
    import typing
    from collections import namedtuple
    from pydantic import BaseModel, Field, field_validator

    def small():
        return [1]

    @dataclasses.dataclass
    class Row:
        a: int = 1
        b: list = dataclasses.field(default_factory=small)

        def total(self):
            return self.a + 1

    class Color(enum.Enum):
        RED = "red"

        def shown(self):
            return self.value + "!"

    class Pair(typing.NamedTuple):
        left: int = 3

        def both(self):
            return (self.left, 4)

    Old = namedtuple("Old", "one two", defaults=[5])

    class Config(BaseModel):
        size: int = Field(6, gt=0)

        @field_validator("size")
        @classmethod
        def check(cls, value):
            return value + 7

    def work(x):
        return Row(x), Color.RED.shown(), Pair(), Old(1), Config()
"""
DECORATED = """
    import contextlib
    import functools

    def times(n):
        def decorate(fn):
            @functools.wraps(fn)
            def wrapper(*args):
                return fn(*args) * n
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

    def work(x):
        with opened(x) as y:
            return tripled(x) + cached(y), shown(x)
"""
INPUT_CLASS = """
    from dataclasses import dataclass
    from helpers import grow

    @dataclass
    class Crop:
        size: int

        def next(self):
            return grow(self.size) + 1

    def work(crop):
        return crop.next()

    INPUTS = {"crop": Crop(3)}
"""
GROW = """
    def grow(size):
        return size * 2
"""

BLOCK = """
    from entrepot.blocks import Block
    from pydantic import PrivateAttr, SecretStr

    class Login(Block):
        user: str = "me"
        password: SecretStr = SecretStr("hunter2")
        _tries: int = PrivateAttr(1)

        def hello(self):
            return "hi " + self.user

    def work(x):
        return Login(user=x).hello()
"""

DIFFERENT = [
    change("the function itself", "def work(x): return x + 1", "x + 1", "x + 2"),
    change("an operator", "def work(x): return x + 1", "x + 1", "x - 1"),
    change("the type of a constant", "def work(x): return x + 1", "x + 1", "x + 1.0"),
    change("a constant and its equal", "def work(x): return (x, 1)", "1", "True"),
    change("the sign of zero", "def work(x): return 0.0", "0.0", "-0.0"),
    change("a text", "def work(x): return 'a'", "'a'", "'b'"),
    change("a name of a parameter", "def work(x, y=1): return 1", "y=1", "z=1"),
    change("the order of parameters", "def work(x, y): return x - y", "(x, y)", "(y, x)"),
    change("a default", "def work(x, y=1): return x + y", "y=1", "y=2"),
    change("a default that is a list", "def work(x, y=[1]): return x + y[0]", "[1]", "[2]"),
    change("a default of a keyword", "def work(x, *, y=1): return x + y", "y=1", "y=2"),
    change("a parameter that became a keyword", "def work(x, y=1): return x + y", "(x, y", "(x, *, y"),
    change("async", "def work(x): return x", "def work", "async def work"),
    change("a generator", "def work(x): return x", "return x", "yield x"),
    change("a global", "LIMIT = 1\ndef work(x): return x < LIMIT", "LIMIT = 1", "LIMIT = 2"),
    change("the type of a global", "LIMIT = 1\ndef work(x): return x < LIMIT", "LIMIT = 1", "LIMIT = True"),
    change("a global list", "NAMES = ['a']\ndef work(x): return x in NAMES", "['a']", "['b']"),
    change("a global dict", "T = {1: 'a'}\ndef work(x): return T[x]", "{1: 'a'}", "{'1': 'a'}"),
    change("a global in a comprehension", "N = 1\ndef work(x): return [N for _ in x]", "N = 1", "N = 2"),
    change("a global in a lambda", "N = 1\ndef work(x): return map(lambda y: y + N, x)", "N = 1", "N = 2"),
    change("a lambda inside", "def work(x): return map(lambda y: y + 1, x)", "y + 1", "y + 2"),
    change("a function inside", "def work(x):\n def g(): return 1\n return g()", "return 1", "return 2"),
    change("a class inside", "def work(x):\n class A:\n  b = 1\n return A.b", "b = 1", "b = 2"),
    change("what a name means", "A = 1\nB = 2\ndef work(x): return A", "return A", "return B"),
    change("a shadowed built-in", "def work(x): return len(x)", "def work", "len = str\ndef work"),
    change("two lambdas on one line", "a, b = (lambda x: 1), (lambda x: 2)\nwork = a", "work = a", "work = b"),
    change(
        "a closure's variable",
        "def make(n):\n def work(x): return x + n\n return work\nwork = make(1)",
        "make(1)",
        "make(2)",
    ),
    change(
        "a function in a closure",
        "def make(f):\n def work(x): return f(x)\n return work\nwork = make(lambda x: x + 1)",
        "x + 1)",
        "x + 2)",
    ),
    change(
        "a closure inside a closure",
        "def a(n):\n def b():\n  def work(x): return n\n  return work\n return b()\nwork = a(1)",
        "a(1)",
        "a(2)",
    ),
    change("which closure", "def m(n): return lambda x: n\na, b = m(1), m(2)\nwork = a", "work = a", "work = b"),
    change(
        "closures swapped",
        "def m(n): return lambda x: n\na, b = m(1), m(2)\ndef work(x): return a(x) - b(x)",
        "a, b = m(1), m(2)",
        "a, b = m(2), m(1)",
    ),
    change("a partial", "import functools\nwork = functools.partial(pow, 2)", "pow, 2", "pow, 3"),
    change("the function of a partial", "import functools\nwork = functools.partial(pow, 2)", "pow", "max"),
    change("a helper", HELPER, "* RATE", "+ RATE", helpers=HELPERS),
    change("a helper's helper", HELPER, "x + 10", "x + 11", helpers=HELPERS),
    change("a helper's global", HELPER, "RATE = 2", "RATE = 3", helpers=HELPERS),
    change(
        "an attribute of a module",
        "import config\ndef work(x): return x < config.LIMIT",
        "LIMIT = 1",
        "LIMIT = 2",
        config="LIMIT = 1",
    ),
    change(
        "a function of a module",
        "import tools\ndef work(x): return tools.run(x)",
        "x * 2",
        "x * 3",
        tools="def run(x): return x * 2",
    ),
    change(
        "a module inside a module",
        "import outer\ndef work(x): return outer.inner.run(x)",
        "x * 2",
        "x * 3",
        outer="import inner",
        inner="def run(x): return x * 2",
    ),
    change(
        "a module taken whole",
        "import config\ndef work(x): return getattr(config, x)",
        "B = 2",
        "B = 3",
        config="A = 1\nB = 2",
    ),
    change(
        "an import inside",
        "def work(x):\n import tools\n return tools.run(x)",
        "x * 2",
        "x * 3",
        tools="def run(x): return x * 2",
    ),
    change(
        "a name imported inside",
        "def work(x):\n from tools import run\n return run(x)",
        "x * 2",
        "x * 3",
        tools="def run(x): return x * 2",
    ),
    change(
        "an import inside, under another name",
        "def work(x):\n import tools as t\n return [t.run(y) for y in x]",
        "x * 2",
        "x * 3",
        tools="def run(x): return x * 2",
    ),
    change(
        "an import of a neighbour inside",
        "from pkg.a import work",
        "x * 2",
        "x * 3",
        **{
            "pkg/__init__": "",
            "pkg/a": "def work(x):\n from .b import run\n return run(x)",
            "pkg/b": "def run(x): return x * 2",
        },
    ),
    change(
        "a neighbour imported inside",
        "from pkg.a import work",
        "x * 2",
        "x * 3",
        **{
            "pkg/__init__": "",
            "pkg/a": "def work(x):\n from . import b\n return b.run(x)",
            "pkg/b": "def run(x): return x * 2",
        },
    ),
    change(
        "a package imported inside",
        "def work(x):\n import pkg.b\n return pkg.b.run(x)",
        "x * 2",
        "x * 3",
        **{"pkg/__init__": "", "pkg/b": "def run(x): return x * 2"},
    ),
    change(
        "a default of a decorated method",
        """
        def twice(f):
            def wrapper(*args, k=0):
                return f(*args) * 2
            return wrapper

        class A:
            @twice
            def run(self, k=1):
                return k

        def work(x):
            return A().run()
        """,
        "k=1",
        "k=2",
    ),
    change(
        "a default of a getter that has a setter",
        """
        class A:
            @property
            def size(self, k=1):
                return k

            @size.setter
            def size(self, value, k=3):
                pass

        def work(x):
            return A().size
        """,
        "k=1",
        "k=2",
    ),
    change(
        "an import around",
        "def make():\n import tools\n def work(x): return tools.run(x)\n return work\nwork = make()",
        "x * 2",
        "x * 3",
        tools="def run(x): return x * 2",
    ),
    change("recursion", "def work(x): return x and work(x - 1)", "x - 1", "x - 2"),
    change("mutual recursion", "def work(x): return b(x)\ndef b(x): return x and work(x - 1)", "x - 1", "x - 2"),
    change(
        "a table of functions", "def f(): return 1\nT = {'f': f}\ndef work(x): return T[x]()", "return 1", "return 2"
    ),
    change(
        "a table of lambdas, swapped",
        "a = lambda: 1\nb = lambda: 2\nT = {'a': a, 'b': b}\ndef work(x): return T[x]()",
        "{'a': a, 'b': b}",
        "{'a': b, 'b': a}",
    ),
    change("a method", CLASSES, "x * 3", "x * 4"),
    change("a class's attribute", CLASSES, "limit = 100", "limit = 200"),
    change("a class's list", CLASSES, '["a", "b"]', '["a", "c"]'),
    change("an attribute of a base", CLASSES, '"kg"', '"lb"'),
    change("a property", CLASSES, "0.5", "0.6"),
    change("a static method", CLASSES, "round(x, 2)", "round(x, 3)"),
    change("a class method", CLASSES, "tare=5", "tare=6"),
    change("a default of a method", CLASSES, "tare=0", "tare=1"),
    change("a global of a kept property", CLASSES, "FACTOR = 2", "FACTOR = 3"),
    change("a base", CLASSES, "class Scale(Base)", "class Scale(Base, dict)"),
    change("an attribute read from a class", "class C:\n limit = 1\ndef work(x): return C.limit", "= 1", "= 2"),
    change("a default of a dataclass", MODELS, "a: int = 1", "a: int = 2"),
    change("a default factory", MODELS, "return [1]", "return [2]"),
    change("a method of a dataclass", MODELS, "self.a + 1", "self.a + 2"),
    change("options of a dataclass", MODELS, "@dataclasses.dataclass", "@dataclasses.dataclass(frozen=True)"),
    change("a member of an enumeration", MODELS, '"red"', '"rot"'),
    change("a method of an enumeration", MODELS, '"!"', '"?"'),
    change("a default of a named tuple", MODELS, "left: int = 3", "left: int = 4"),
    change("a method of a named tuple", MODELS, "(self.left, 4)", "(self.left, 5)"),
    change("a default of an old named tuple", MODELS, "defaults=[5]", "defaults=[6]"),
    change("a field of a model", MODELS, "Field(6", "Field(7"),
    change("a constraint of a model", MODELS, "gt=0", "gt=1"),
    change("a validator of a model", MODELS, "value + 7", "value + 8"),
    change("when a validator runs", MODELS, '@field_validator("size")', '@field_validator("size", mode="before")'),
    change("an argument of a decorator", DECORATED, "@times(3)", "@times(4)"),
    change("a decorated function", DECORATED, "x + 20", "x + 21"),
    change("a cached function", DECORATED, "x + 30", "x + 31"),
    change("a context manager", DECORATED, "x + 40", "x + 41"),
    change("a dispatched function", DECORATED, 'return "int"', 'return "whole"'),
    change("the wrapper of a decorator", DECORATED, "* n", "** n"),
    change("a decorator of the task", "def d(f): return lambda x: f(x) + 1\n@d\ndef work(x): return x", "+ 1", "+ 2"),
    change("a method of an input's class", INPUT_CLASS, "+ 1", "+ 2", helpers=GROW),
    change("a helper of an input's class", INPUT_CLASS, "size * 2", "size * 3", helpers=GROW),
    change("an input", INPUT_CLASS, "Crop(3)", "Crop(4)", helpers=GROW),
    change("a function as an input", "def work(f): return f()\nINPUTS = {'f': lambda: 1}", "lambda: 1", "lambda: 2"),
    change("a pattern", "import re\nP = re.compile('a')\ndef work(x): return P.match(x)", "'a'", "'b'"),
    change("a global array", "import numpy as np\nA = np.array([1])\ndef work(x): return A", "[1]", "[2]"),
    change(
        "a mark",
        "A = object()\nB = object()\ndef work(x): return x is A",
        "is A",
        "is B",
    ),
    change(
        "a mark by default",
        "A = object()\nB = object()\ndef work(x=A): return x is A",
        "x=A",
        "x=B",
    ),
    change("a method of a block", BLOCK, "hi ", "hello "),
    change("a default of a block's secret", BLOCK, '"hunter2"', '"hunter3"'),
    change("a private attribute of a model", BLOCK, "PrivateAttr(1)", "PrivateAttr(2)"),
    change(
        "the function of a task",
        "from entrepot import task\n@task\ndef part(x): return x + 1\ndef work(x): return part(x)",
        "x + 1",
        "x + 2",
    ),
    change(
        "the version of a task",
        "from entrepot import task\n@task(version='1')\ndef part(x): return x\ndef work(x): return part(x)",
        "version='1'",
        "version='2'",
    ),
    change("an exception that is caught", "def work(x):\n try: return x()\n except KeyError: pass", "Key", "Value"),
    change("what a try covers", "def work(x):\n try: x()\n finally: x.a()", " try: x()\n finally: ", " x(); "),
    change("an assertion", "def work(x):\n assert x > 1\n return x", "x > 1", "x > 2"),
    change("a matched pattern", "def work(x):\n match x:\n  case [1, *_]: return 1", "[1, *_]", "[2, *_]"),
    change("an f-string's format", "def work(x): return f'{x:.1f}'", ".1f", ".2f"),
    change("a conversion in an f-string", "def work(x): return f'{x!r}'", "!r", "!s"),
    change("the order of a dict", "T = {'a': 1, 'b': 2}\ndef work(x): return T", "'a': 1, 'b': 2", "'b': 2, 'a': 1"),
    change(
        "the order of a dict of functions",
        "def a(x): return x + 1\ndef b(x): return x * 10\nSTEPS = {'a': a, 'b': b}\n"
        "def work(x):\n for f in STEPS.values(): x = f(x)\n return x",
        "'a': a, 'b': b",
        "'b': b, 'a': a",
    ),
    change("the order of a default", "def work(x, t={1: 2, 3: 4}): return [*t]", "1: 2, 3: 4", "3: 4, 1: 2"),
    change(
        "the order of a class",
        "class C:\n a = 1; b = 2\ndef work(x): return [*vars(C)]",
        "a = 1; b = 2",
        "b = 2; a = 1",
    ),
    change(
        "the order of the attributes of an object",
        "from types import SimpleNamespace as S\nT = S(a=1, b=2)\ndef work(x): return [*vars(T)]",
        "a=1, b=2",
        "b=2, a=1",
    ),
    change(
        "a wrapper around a generated method",
        """
        import dataclasses
        import functools

        def scaled(cls):
            init = cls.__init__

            @functools.wraps(init)
            def new(self, *args):
                init(self, *args)
                self.x *= 2

            cls.__init__ = new
            return cls

        @scaled
        @dataclasses.dataclass
        class Point:
            x: int

        def work(x):
            return Point(x).x
        """,
        "*= 2",
        "*= 3",
    ),
    change(
        "a function that calls itself namedtuple",
        "def namedtuple(c):\n c.run = lambda self, x: x + 1\n return c\n@namedtuple\nclass C: pass\n"
        "def work(x): return C().run(x)",
        "x + 1",
        "x + 2",
    ),
    change(
        "an attribute of a function",
        "def rate(): pass\nrate.weight = 2\ndef total(all): return sum(f.weight for f in all)\n"
        "def work(x): return total([rate])",
        "= 2",
        "= 3",
    ),
    change(
        "an attribute of a library's wrapper",
        "import contextlib\n@contextlib.contextmanager\ndef rate(): yield\nrate.weight = 2\n"
        "def total(all): return sum(f.weight for f in all)\ndef work(x): return total([rate])",
        "= 2",
        "= 3",
    ),
    *[
        change(
            f"the type of a field of {what}",
            f"import attrs, dataclasses, typing\n{start}:\n x: int\n"
            "def build(c, x): return c(typing.get_type_hints(c)['x'](x))\ndef work(x): return build(C, x)",
            "x: int",
            "x: float",
        )
        for what, start in {
            "a dataclass": "@dataclasses.dataclass\nclass C",
            "an attrs class": "@attrs.define\nclass C",
            "a named tuple": "class C(typing.NamedTuple)",
            "a class": "class C",
        }.items()
    ],
    change(
        "the type of a field in text",
        "from __future__ import annotations\nimport dataclasses, typing\nUnit = int\n"
        "@dataclasses.dataclass\nclass C:\n x: Unit\n"
        "def build(c, x): return c(typing.get_type_hints(c)['x'](x))\ndef work(x): return build(C, x)",
        "Unit = int",
        "Unit = float",
    ),
    change("a docstring that is read", "def ask(): 'hello'\ndef work(x): return ask.__doc__", "hello", "bye"),
    change(
        "annotations that are read",
        "def ask(x: int): pass\ndef work(x): return ask.__annotations__['x'](x)",
        "x: int",
        "x: float",
    ),
    change(
        "a library's function that was replaced",
        "import colorsys\ndef mine(*a): return 1\ncolorsys.rgb_to_yiq = mine\n"
        "def work(x): return colorsys.rgb_to_yiq(x)",
        "return 1",
        "return 2",
    ),
    change(
        "a library's function that was replaced, imported inside",
        "import colorsys\ndef mine(*a): return 1\ncolorsys.rgb_to_hls = mine\n"
        "def work(x):\n import colorsys as c\n return c.rgb_to_hls(x)",
        "return 1",
        "return 2",
    ),
    change(
        "a library's constant that was replaced",
        "import colorsys\ncolorsys.ONE_THIRD = 1\ndef work(x): return colorsys.ONE_THIRD",
        "= 1",
        "= 2",
    ),
    change(
        "a built-in that was replaced",
        "import builtins\ndef mine(*a): return 1\nbuiltins.ascii = mine\ndef work(x): return ascii(x)",
        "return 1",
        "return 2",
    ),
    change(
        "a version of a module that is read whole",
        "import conf\ndef work(x): return getattr(conf, '__version__')",
        "'1'",
        "'2'",
        conf="__version__ = '1'",
    ),
    change(
        "a module of one of Python's names, imported inside",
        "def work(x):\n import profile\n return profile.scale(x)",
        "x * 3",
        "x * 4",
        profile="def scale(x): return x * 3",
    ),
]

SAME = [
    change("a comment", "def work(x):\n    # one\n    return x", "# one", "# two"),
    change("a docstring", 'def work(x):\n    """One."""\n    return x', "One.", "Two."),
    change("a docstring that was added", "def work(x):\n    return x", "    return", '    """Does it."""\n    return'),
    change("a docstring of a helper", HELPER, "return scale", '"""Clean."""\n    return scale', helpers=HELPERS),
    change("a docstring of a class", CLASSES, "limit = 100", '"""A scale."""\n    limit = 100'),
    change("a docstring of a class inside", "def work(x):\n class A:\n  b = 1\n return A", "  b", "  'doc'\n  b"),
    change("blank lines", "def work(x):\n    y = x\n    return y", "    return", "\n\n    return"),
    change("moved down", "def work(x): return x", "def work", "\n\n\n\ndef work"),
    change("spaces", "def work(x): return x+1", "x+1", "x  +  1"),
    change("brackets", "def work(x): return x+1", "x+1", "(x\n   + 1)"),
    change("a line that was split", "def work(x):\n    return [x, x]", "[x, x]", "[\n        x,\n        x,\n    ]"),
    change("kinds of quotes", "def work(x): return 'a'", "'a'", '"a"'),
    change("how a number is written", "def work(x): return 1000", "1000", "1_000"),
    change("annotations", "def work(x): return x", "(x)", "(x: int) -> int"),
    change("an unused function", HELPER, "return x\n", "return -x\n", helpers=HELPERS),
    change("an unused global", HELPER, "UNUSED = 7", "UNUSED = 8", helpers=HELPERS),
    change("another function of the file", "def work(x): return x\ndef other(): return 1", "return 1", "return 2"),
    change("another lambda of the line", "a, b = (lambda x: 1), (lambda x: 2)\nwork = a", "x: 2", "x: 3"),
    change("a global that is not read", "A = 1\ndef work(A): return A", "A = 1", "A = 2"),
    change("another attribute of a module", "import c\ndef work(x): return c.A", "B = 2", "B = 3", c="A = 1\nB = 2"),
    change("another attribute of a class", "class C:\n a = 1\n b = 2\ndef work(x): return C.a", "b = 2", "b = 3"),
    change("the order of globals", "A = 1; B = 2\ndef work(x): return A + B", "A = 1; B = 2", "B = 2; A = 1"),
    change("the order of a set", "T = {'a', 'b', 'c'}\ndef work(x): return T", "'a', 'b', 'c'", "'c', 'b', 'a'"),
    change("the order of a set inside", "def work(x): return x in {'a', 'b', 'c'}", "'a', 'b', 'c'", "'c', 'b', 'a'"),
    change("the order of functions", HELPER, "RATE = 2\nUNUSED = 7", "UNUSED = 7\nRATE = 2", helpers=HELPERS),
    change("comments in a class", CLASSES, "limit = 100", "limit = 100  # kg"),
    change("blank lines among models", MODELS, "class Color", "\n\nclass Color"),
    change("a description of a field", MODELS, "gt=0", "gt=0, description='how many'"),
    change("comments around decorators", DECORATED, "@times(3)", "# three times\n@times(3)"),
    change(
        "the level of a logger",
        "import logging\nlog = logging.getLogger('a')\nlog.setLevel(10)\ndef work(x): log.info(x)",
        "10",
        "20",
    ),
    change("an import that is not used", "import math\ndef work(x): return x", "import math", "import cmath"),
    change(
        "options of a task that do not count",
        "from entrepot import task\n@task(retries=1)\ndef part(x): return x\ndef work(x): return part(x)",
        "retries=1",
        "retries=2",
    ),
    change(
        "the code of a task with a version",
        "from entrepot import task\n@task(version='1')\ndef part(x): return x + 1\ndef work(x): return part(x)",
        "x + 1",
        "x + 2",
    ),
]


def write(folder: Path, files: dict[str, str]) -> None:
    """Write a project."""
    folder.mkdir(parents=True)
    for name, source in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(source)


def key_of(folder: Path) -> str:
    """Return the cache key of the project's function and its inputs; the project is forgotten again."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        flow = importlib.import_module("flow")
        context = KeyContext("flow.work", flow.work, getattr(flow, "INPUTS", {}))
        first = (INPUTS + TASK_SOURCE).compute(context)
        again = (INPUTS + TASK_SOURCE).compute(context)
        assert first is not None
        assert again == first, f"{folder.name}: two computations of one key differ"
        return first.key
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(folder) in str(sys.modules[name].__file__):
                del sys.modules[name]
        importlib.invalidate_caches()


def main(root: str) -> None:
    sys.dont_write_bytecode = True
    json.dump({folder.name: key_of(folder) for folder in sorted(Path(root).iterdir())}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
