"""Helpers across modules, and imports of all kinds."""

from entrepot_test_pairs import Pairs

_HELPERS = """
    RATE = 2
    UNUSED = 7

    def clean(x):
        return scale(x) * RATE

    def scale(x):
        return x + 10

    def unused(x):
        return x
"""
_TOOLS = {"tools": "def run(x): return x * 2\ndef other(x): return x * 5"}
across = Pairs("across modules")
_FLOW = "from helpers import clean\n\ndef work(x):\n    return clean(x) + 1\n"
across.differ("a helper", _FLOW, "* RATE", "+ RATE", helpers=_HELPERS)
across.differ("a helper's helper", _FLOW, "x + 10", "x + 11", helpers=_HELPERS)
across.differ("a helper's global", _FLOW, "RATE = 2", "RATE = 3", helpers=_HELPERS)
across.differ(
    "a global that a helper imports",
    _FLOW,
    "RATE = 2",
    "RATE = 3",
    helpers="from conf import RATE\ndef clean(x): return x * RATE",
    conf="RATE = 2",
)
across.differ(
    "an attribute of a module",
    "import conf\ndef work(x): return x < conf.LIMIT",
    "LIMIT = 1",
    "LIMIT = 5",
    conf="LIMIT = 1",
)
across.differ("a function of a module", "import tools\ndef work(x): return tools.run(x)", "x * 2", "x * 3", **_TOOLS)
across.differ(
    "which function of a module",
    "import tools\ndef work(x): return tools.run(x)",
    "tools.run",
    "tools.other",
    **_TOOLS,
)
across.differ(
    "a module inside a module",
    "import outer\ndef work(x): return outer.inner.run(x)",
    "x * 2",
    "x * 3",
    outer="import inner",
    inner="def run(x): return x * 2",
)
across.differ(
    "a module taken whole",
    "import conf\ndef work(x): return getattr(conf, 'B')",
    "B = 2",
    "B = 3",
    conf="A = 1\nB = 2",
)
across.differ(
    "a version of a module that is read whole",
    "import conf\ndef work(x): return getattr(conf, '__version__')",
    "'1'",
    "'2'",
    conf="__version__ = '1'",
)
across.differ("an import inside", "def work(x):\n import tools\n return tools.run(x)", "x * 2", "x * 3", **_TOOLS)
across.differ(
    "a name imported inside",
    "def work(x):\n from tools import run\n return run(x)",
    "x * 2",
    "x * 3",
    **_TOOLS,
)
across.differ(
    "an import inside, under another name",
    "def work(x):\n import tools as t\n return [t.run(y) for y in [x]]",
    "x * 2",
    "x * 3",
    **_TOOLS,
)
across.differ(
    "a helper's import inside",
    "def help(x):\n from tools import run\n return run(x)\ndef work(x): return help(x)",
    "x * 2",
    "x * 3",
    **_TOOLS,
)
across.differ(
    "an import in a method",
    """
    class A:
     def go(self, x):
      from tools import run
      return run(x)
    def work(x): return A().go(x)
    """,
    "x * 2",
    "x * 3",
    **_TOOLS,
)
across.differ(
    "which module is imported",
    "from one import f\ndef work(x): return f(x)",
    "from one",
    "from two",
    one="def f(x): return x + 1",
    two="def f(x): return x + 2",
)
across.differ(
    "a module that re-exports",
    "from api import run\ndef work(x): return run(x)",
    "x * 2",
    "x * 3",
    api="from tools import run",
    **_TOOLS,
)
across.differ(
    "a chain of five modules",
    "from m1 import f\ndef work(x): return f(x)",
    "x * 2",
    "x * 3",
    m1="from m2 import f",
    m2="import m3\ndef f(x): return m3.f(x)",
    m3="from m4 import g as f",
    m4="import m5\ndef g(x): return m5.h(x)",
    m5="def h(x): return x * 2",
)
across.differ(
    "modules that import each other",
    "import a\ndef work(x): return a.f(x)",
    "+ 1",
    "+ 2",
    a="import b\ndef f(x): return b.g(x)\ndef h(x): return x + 1",
    b="import a\ndef g(x): return a.h(x)",
)
across.differ(
    "a package",
    "import pkg\ndef work(x): return pkg.run(x)",
    "x * 2",
    "x * 3",
    **{"pkg/__init__": "def run(x): return x * 2"},
)
across.differ(
    "a module of a package",
    "from pkg.b import run\ndef work(x): return run(x)",
    "x * 2",
    "x * 3",
    **{"pkg/__init__": "", "pkg/b": "def run(x): return x * 2"},
)
across.differ(
    "a package imported inside",
    "def work(x):\n import pkg.b\n return pkg.b.run(x)",
    "x * 2",
    "x * 3",
    **{"pkg/__init__": "", "pkg/b": "def run(x): return x * 2"},
)
across.differ(
    "a neighbour's name imported inside",
    "from pkg.a import work",
    "x * 2",
    "x * 3",
    **{
        "pkg/__init__": "",
        "pkg/a": "def work(x):\n from .b import run\n return run(x)",
        "pkg/b": "def run(x): return x * 2",
    },
)
across.differ(
    "a neighbour imported inside",
    "from pkg.a import work",
    "x * 2",
    "x * 3",
    **{
        "pkg/__init__": "",
        "pkg/a": "def work(x):\n from . import b\n return b.run(x)",
        "pkg/b": "def run(x): return x * 2",
    },
)
across.differ(
    "a package without an __init__",
    "from space.b import run\ndef work(x): return run(x)",
    "x * 2",
    "x * 3",
    **{"space/b": "def run(x): return x * 2"},
)
across.differ(
    "a class of another module",
    "from shapes import Box\ndef work(x): return Box().size(x)",
    "x * 2",
    "x * 3",
    shapes="class Box:\n def size(self, x): return x * 2",
)
across.differ(
    "a base of another module",
    "from shapes import Box\nclass Big(Box): pass\ndef work(x): return Big().size(x)",
    "x * 2",
    "x * 3",
    shapes="class Box:\n def size(self, x): return x * 2",
)
across.differ(
    "a constant of another module's class",
    "from shapes import Box\ndef work(x): return Box.side",
    "side = 1",
    "side = 2",
    shapes="class Box:\n side = 1",
)
across.differ(
    "an object of another module",
    "from shapes import BOX\ndef work(x): return BOX",
    "[1]",
    "[2]",
    shapes="BOX = [1]",
)
across.differ(
    "a module of one of Python's names, imported inside",
    "def work(x):\n import profile\n return profile.scale(x)",
    "x * 3",
    "x * 4",
    profile="def scale(x): return x * 3",
)
across.differ(
    "a function of a module, replaced at import",
    "import tools, patch\ndef work(x): return tools.run(x)",
    "x - 1",
    "x - 2",
    patch="import tools\ntools.run = lambda x: x - 1",
    **_TOOLS,
)
across.agree("an unused function of another module", _FLOW, "return x\n", "return -x\n", helpers=_HELPERS)
across.agree("an unused global of another module", _FLOW, "UNUSED = 7", "UNUSED = 8", helpers=_HELPERS)
across.agree("a comment in another module", _FLOW, "RATE = 2", "# per kg\nRATE = 2", helpers=_HELPERS)
across.agree(
    "a docstring in another module",
    _FLOW,
    "return scale",
    '"""Clean."""\n    return scale',
    helpers=_HELPERS,
)
across.agree(
    "the order of functions in another module",
    _FLOW,
    "RATE = 2\nUNUSED = 7",
    "UNUSED = 7\nRATE = 2",
    helpers=_HELPERS,
)
across.agree(
    "another function of a module",
    "import tools\ndef work(x): return tools.run(x)",
    "x * 5",
    "x * 6",
    **_TOOLS,
)
across.agree(
    "another attribute of a module",
    "import conf\ndef work(x): return conf.A",
    "B = 2",
    "B = 3",
    conf="A = 1\nB = 2",
)
across.agree("an import that is not used", "import math\ndef work(x): return x", "import math", "import cmath")
across.agree("an import added", "def work(x): return x", "def work", "import os\ndef work")
across.agree(
    "the order of imports",
    "import math\nimport json\ndef work(x): return math.floor(x), json.dumps(x)",
    "import math\nimport json",
    "import json\nimport math",
)
across.agree("a module that is not used", _FLOW, "UNUSED = 1", "UNUSED = 2", helpers=_HELPERS, spare="UNUSED = 1")
across.agree(
    "a line of print in an unused function",
    _FLOW,
    "def unused(x):",
    "def unused(x):\n    print(x)",
    helpers=_HELPERS,
)
across.agree(
    "a helper moved down in its module",
    _FLOW,
    "def scale",
    "\n\n# the scale\n\ndef scale",
    helpers=_HELPERS,
)
