"""What was changed of functions, classes and members after they were written."""

from entrepot_test_pairs import Pairs

put_on = Pairs("what was put on code afterwards")
_ROW = """
    import dataclasses
    @dataclasses.dataclass
    class Row:
     n: int = 1
     m: list = dataclasses.field(default_factory=list)
     k: int = dataclasses.field(default=5, kw_only=True)
    class Below(Row): pass
    defaults = Row.__init__.__defaults__
    Row.__init__.__defaults__ = (200, *defaults[1:])
    Row.__init__.__kwdefaults__["k"] = 300
    def work(x):
     try: return Row(), Below(), Row(m=[])
     except TypeError: return None
"""
put_on.differ("a default of what a dataclass generated", _ROW, "(200,", "(201,")
put_on.differ("a default of a keyword of what a dataclass generated", _ROW, "= 300", "= 301")
put_on.differ("a default that was taken away", _ROW, "(200, *defaults[1:])", "defaults[1:]")
put_on.differ("a default in the place of a factory", _ROW, "*defaults[1:]", "()")
put_on.differ("a default that was put back", _ROW, "(200, *defaults[1:])", "defaults")
put_on.differ(
    "a default that is filled where it is",
    """
    import dataclasses
    @dataclasses.dataclass
    class Row:
     n: object = None
    Row.__init__.__defaults__ = ([1],)
    def work(x): return Row()
    """,
    "[1]",
    "[2]",
)
put_on.differ(
    "a default of what attrs generated",
    """
    import attrs
    @attrs.define
    class Row:
     _n: int = 1
     m: list = attrs.Factory(list)
    Row.__init__.__defaults__ = (200, *Row.__init__.__defaults__[1:])
    def work(x): return Row()
    """,
    "(200,",
    "(201,",
)
put_on.agree("a default of what a dataclass generated, computed", _ROW, "(200,", "(100 + 100,")
put_on.agree("the defaults that were there", _ROW, "(200, *defaults[1:])", "(200,) + defaults[1:]")

_MEMBER = """
    import enum
    from functools import cached_property
    class Color(enum.Enum):
     RED = 3
     BLUE = 4
     def __init__(self, value): self.twice = value * 2
     @cached_property
     def half(self): return self.value / 2
    Color.RED.label = ["a"]
    def work(x): return Color.RED.label, Color(x).label, Color.RED.value, Color.BLUE.twice
"""
put_on.differ("an attribute of a member", _MEMBER, '["a"]', '["b"]')
put_on.differ("an attribute of a member that was added", _MEMBER, "def work", 'Color.RED.label += ["b"]\ndef work')
put_on.differ("an attribute that was replaced", _MEMBER, "def work", "Color.BLUE.twice = 1\ndef work")
put_on.differ("a value in the place of a member's", _MEMBER, "def work", "Color.RED._value_ = 1\ndef work")
put_on.differ(
    "an attribute of a member among the arguments",
    "import enum\nclass C(enum.Enum):\n A = 1\nC.A.label = 'a'\nINPUTS = {'x': C.A}\ndef work(x): return x.label",
    "'a'",
    "'b'",
)
put_on.agree("an attribute of a member, computed", _MEMBER, '["a"]', '[*"a"]')
put_on.agree("what a member keeps of what it computed", _MEMBER, "def work", "Color.RED.half\ndef work")
put_on.agree(
    "an attribute of a member without an identity",
    "import enum\nclass C(enum.Enum):\n A = 1\nC.A.lock = object()\ndef work(x): return C.A",
    "object()",
    "object( )",
)

_NAMED = """
    import functools
    def help(x): return x
    def other(x): return x
    class Tool: pass
    help.__name__ = "a"
    help.__qualname__ = "b"
    help.__module__ = "c"
    Tool.__name__ = "d"
    def work(x): return [(f.__name__, f.__qualname__, f.__module__) for f in (help, other)], Tool.__name__
"""
put_on.differ("a name", _NAMED, '"a"', '"e"')
put_on.differ("a qualified name", _NAMED, '"b"', '"e"')
put_on.differ("a module's name", _NAMED, '"c"', '"e"')
put_on.differ("a class's name", _NAMED, '"d"', '"e"')
put_on.differ(
    "a name that a computed attribute reads",
    "def help(x): return x\nhelp.__name__ = 'a'\ndef work(x): return getattr(help, '__name__')",
    "'a'",
    "'b'",
)
put_on.differ(
    "the name of a function itself",
    "def work(x): return work.__name__\nwork.__name__ = 'a'",
    "'a'",
    "'b'",
)
put_on.differ(
    "the name of a function among the arguments",
    "def help(): return 1\nhelp.__name__ = 'a'\nINPUTS = {'x': help}\ndef work(x): return x.__name__",
    "'a'",
    "'b'",
)
put_on.differ(
    "the name of a function that a registry keeps",
    """
    known = {}
    def register(fn):
     known[fn] = fn.__name__
     return fn
    def help(x): return x
    help.__name__ = "a"
    register(help)
    def work(x): return [fn.__name__ for fn in known]
    """,
    '"a"',
    '"b"',
)
put_on.agree(
    "a name that nobody reads", "def help(): return 1\nhelp.__name__ = 'a'\ndef work(x): return help()", "'a'", "'b'"
)
put_on.agree(
    "the name that a function has anyway",
    "def help(): return 1\ndef work(x): return help.__name__",
    "def work",
    "help.__name__ = 'help'\ndef work",
)
