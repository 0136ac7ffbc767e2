"""What is made from classes: dataclasses, enumerations, named tuples, models."""

from entrepot_test_pairs import Pairs

_MODELS = """
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

        def __post_init__(self):
            self.c = 8

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

    def refused():
        try:
            return Config(size=1)
        except ValueError:
            return None

    def work(x):
        row = Row()
        try:
            row.a = 9
        except dataclasses.FrozenInstanceError:
            pass
        return row, row.total(), row.c, Color.RED, Color.RED.shown(), Pair(), Pair().both(), Old(1), Config(), refused()
"""
models = Pairs("dataclasses, enumerations, models")
models.differ(
    "a default of a dataclass",
    """
    import dataclasses
    @dataclasses.dataclass
    class A:
     n: int = 1
    def work(x): return A()
    """,
    "= 1",
    "= 2",
)
models.differ("a default factory", _MODELS, "return [1]", "return [2]")
models.differ("a method of a dataclass", _MODELS, "self.a + 1", "self.a + 2")
models.differ("what is done after the fields are set", _MODELS, "self.c = 8", "self.c = 9")
models.differ(
    "options of a dataclass",
    """
    import dataclasses
    @dataclasses.dataclass(order=True)
    class A:
     n: int
    def work(x):
     try: return A(1) < A(2)
     except TypeError: return None
    """,
    "order=True",
    "order=False",
)
models.differ(
    "a field that is left out of the text",
    """
    import dataclasses
    @dataclasses.dataclass
    class A:
     n: int = dataclasses.field(default=1, repr=True)
    def work(x): return A()
    """,
    "repr=True",
    "repr=False",
)
models.differ(
    "the order of fields",
    """
    import dataclasses
    @dataclasses.dataclass
    class A:
     a: int
     b: int
    def work(x): return A(1, 2)
    """,
    " a: int\n b: int\n",
    " b: int\n a: int\n",
)
models.differ("a member of an enumeration", _MODELS, 'RED = "red"', 'RED = "rot"')
models.differ("a method of an enumeration", _MODELS, '"!"', '"?"')
models.differ(
    "a member that was added",
    "import enum\nclass C(enum.Enum):\n A = 1\ndef work(x): return list(C)",
    " A = 1\n",
    " A = 1\n B = 2\n",
)
models.differ(
    "the order of members",
    "import enum\nclass C(enum.Enum):\n A = 1\n B = 2\ndef work(x): return list(C)",
    " A = 1\n B = 2\n",
    " B = 2\n A = 1\n",
)
models.differ(
    "the kind of an enumeration",
    "import enum\nclass C(enum.Enum):\n A = 1\ndef work(x): return C.A == 1",
    "enum.Enum",
    "enum.IntEnum",
)
models.differ("a default of a named tuple", _MODELS, "left: int = 3", "left: int = 4")
models.differ("a method of a named tuple", _MODELS, "(self.left, 4)", "(self.left, 5)")
models.differ("a default of an old named tuple", _MODELS, "defaults=[5]", "defaults=[6]")
models.differ("a field of a model", _MODELS, "Field(6", "Field(5")
models.differ("a constraint of a model", _MODELS, "gt=0", "gt=1")
models.differ("a validator of a model", _MODELS, "value + 7", "value + 8")
models.differ(
    "when a validator runs",
    """
    from pydantic import BaseModel, field_validator
    class A(BaseModel):
     n: int = 0
     @field_validator('n')
     @classmethod
     def check(cls, v): return type(v).__name__ == 'str'
    def work(x): return A(n='3')
    """,
    "field_validator('n')",
    "field_validator('n', mode='before')",
)
models.differ(
    "the type of a field of a model",
    """
    from pydantic import BaseModel
    class A(BaseModel):
     n: int
    def work(x): return A(n=3)
    """,
    "n: int",
    "n: float",
)
models.differ(
    "a setting of a model",
    """
    from pydantic import BaseModel
    class A(BaseModel, extra='allow'): pass
    def work(x): return A(a=1)
    """,
    "allow",
    "ignore",
)
models.differ(
    "a computed field",
    """
    from pydantic import BaseModel, computed_field
    class A(BaseModel):
     @computed_field
     @property
     def n(self) -> int: return 1
    def work(x): return A().model_dump()
    """,
    "return 1",
    "return 2",
)
models.differ(
    "a factory and a wrapped converter of an attrs class",
    """
    import attrs
    def made(): return ["a"]
    @attrs.define
    class A:
     n: list = attrs.field(factory=made, converter=attrs.Converter(lambda v: v + ["b"]))
    def work(x): return A()
    """,
    '["a"]',
    '["c"]',
)
models.differ(
    "a converter of an attrs class",
    """
    import attrs
    @attrs.define
    class A:
     n: int = attrs.field(converter=lambda v: v + 1)
    def work(x): return A(x)
    """,
    "v + 1",
    "v + 2",
)
models.differ(
    "a validator of an attrs class",
    """
    import attrs
    @attrs.define
    class A:
     n: int = attrs.field(validator=attrs.validators.lt(5))
    def work(x):
     try: return A(x)
     except ValueError: return None
    """,
    "lt(5)",
    "lt(2)",
)
_TYPED = """
    import attrs, dataclasses, typing
    START:
        n: int
    def build(c, x): return typing.get_type_hints(c)['n'](x)
    def work(x): return build(C, x)
"""
for _what, _start in {
    "a dataclass": "@dataclasses.dataclass\n    class C",
    "an attrs class": "@attrs.define\n    class C",
    "a named tuple": "class C(typing.NamedTuple)",
    "a class": "class C",
}.items():
    models.differ(f"the type of a field of {_what}", _TYPED.replace("START", _start), "n: int", "n: float")
models.differ(
    "the type of a field, as text",
    """
    from __future__ import annotations
    import dataclasses, typing
    Unit = int
    @dataclasses.dataclass
    class C:
     n: Unit
    def build(c, x): return typing.get_type_hints(c)['n'](x)
    def work(x): return build(C, x)
    """,
    "Unit = int",
    "Unit = float",
)
models.differ(
    "a wrapper around a generated method",
    """
    import dataclasses, functools
    def scaled(cls):
     init = cls.__init__
     @functools.wraps(init)
     def new(self, *args):
      init(self, *args)
      self.n *= 2
     cls.__init__ = new
     return cls
    @scaled
    @dataclasses.dataclass
    class C:
     n: int
    def work(x): return C(x).n
    """,
    "*= 2",
    "*= 3",
)
models.differ(
    "a TypedDict that is read",
    """
    import typing
    class T(typing.TypedDict):
     a: int
    def work(x): return list(T.__annotations__)
    """,
    " a: int",
    " b: int",
)
models.agree("blank lines", _MODELS, "class Color", "\n\nclass Color")
models.agree("a description of a field", _MODELS, "gt=0", "gt=0, description='how many'")
models.agree("a docstring of a dataclass", _MODELS, "a: int = 1", '"""A row."""\n    a: int = 1')
models.agree("a docstring of an enumeration", _MODELS, 'RED = "red"', '"""Colors."""\n    RED = "red"')
models.agree("a comment in a model", _MODELS, "size: int", "# in cm\n    size: int")
models.agree(
    "how a dataclass is imported",
    """
    import dataclasses
    @dataclasses.dataclass
    class A:
     n: int = 1
    def work(x): return A()
    """,
    "import dataclasses\n@dataclasses.dataclass",
    "from dataclasses import dataclass\n@dataclass",
)
models.agree(
    "a dataclass decorated with brackets",
    """
    from dataclasses import dataclass
    @dataclass
    class A:
     n: int = 1
    def work(x): return A()
    """,
    "@dataclass\n",
    "@dataclass()\n",
)
models.agree(
    "the fields of a named tuple, as a list",
    """
    from collections import namedtuple
    P = namedtuple('P', 'a b')
    def work(x): return P(1, 2)
    """,
    "'a b'",
    "['a', 'b']",
)
