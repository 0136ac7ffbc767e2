"""Values of classes: the project's own, and those of NumPy and pandas."""

from entrepot_test_pairs import Pairs

_CLASSES = """
    import copy
    import enum
    import functools
    import json
    import math
    import operator
    import pickle
    import typing
    from collections import namedtuple
    from dataclasses import dataclass, field, replace

    import attrs
    from pydantic import BaseModel

    class Color(enum.Enum):
        RED = 1
        BLUE = 2
        CRIMSON = 1

    class Shade(enum.Enum):
        RED = 1

    class Level(enum.IntEnum):
        LOW = 1

    class Word(enum.StrEnum):
        ONE = "one"

    class Access(enum.Flag):
        READ = 1
        WRITE = 2

    @dataclass
    class Point:
        x: float
        y: float = 2.0

    @dataclass
    class Vector:
        x: float
        y: float = 2.0

    @dataclass(frozen=True, slots=True)
    class Slotted:
        x: float

    @dataclass
    class Part(Point):
        z: float = 3.0

    @dataclass
    class Scaled:
        x: float
        scale: "typing.Any" = field(default=1, compare=False)

    @dataclass
    class Node:
        name: str
        next: "typing.Any" = None

        @functools.cached_property
        def length(self):
            return 1 + (self.next.length if self.next else 0)

    def asked(node):
        node.length
        return node

    def ring(*names):
        nodes = [Node(name) for name in names]
        for here, after in zip(nodes, nodes[1:] + nodes[:1]):
            here.next = after
        return nodes[0]

    def noted(value, **attributes):
        vars(value).update(attributes)
        return value

    @attrs.define
    class Attrs:
        x: float
        y: float = 2.0

    class Model(BaseModel):
        x: float = 1.0
        y: float = 2.0

    class Other(BaseModel):
        x: float = 1.0
        y: float = 2.0

    class Pair(typing.NamedTuple):
        x: float
        y: float

    Old = namedtuple("Old", "x y")

    class Text(str):
        pass

    class Row(list):
        pass

    def add_one(x):
        return x + 1

    def add_two(x):
        return x + 2

    def adder(n):
        return lambda x: x + n
"""

objects = Pairs("objects of the project's classes")
objects.values(
    things=_CLASSES,
    differ=[
        ("Color.RED", "Color.BLUE"),
        ("Color.RED", "Shade.RED"),
        ("Color.RED", "1"),
        ("Level.LOW", "1"),
        ("Word.ONE", "'one'"),
        ("Access.READ", "Access.READ | Access.WRITE"),
        ("{Color.RED: 1}", "{Color.BLUE: 1}"),
        ("Point(1.0)", "Point(2.0)"),
        ("Point(1.0)", "Point(1)"),
        ("Point(1.0)", "Vector(1.0)"),
        ("Point(1.0)", "{'x': 1.0, 'y': 2.0}"),
        ("Point(1.0)", "Part(1.0)"),
        ("Point(1.0)", "noted(Point(1.0), label='a')"),
        ("Point(1.0, 2.0)", "Point(2.0, 1.0)"),
        ("Slotted(1.0)", "Slotted(2.0)"),
        ("Scaled(1.0, 1)", "Scaled(1.0, 2)"),
        ("Node('a', Node('b'))", "Node('a', Node('c'))"),
        ("ring('a')", "ring('a', 'a')"),
        ("ring('a', 'b')", "ring('b', 'a')"),
        ("Attrs(1.0)", "Attrs(1.5)"),
        ("Attrs(1.0)", "Point(1.0)"),
        ("Model(x=1.0)", "Model(x=1.5)"),
        ("Model(x=1.0)", "Other(x=1.0)"),
        ("Model(x=1.0)", "{'x': 1.0, 'y': 2.0}"),
        ("Model()", "Model(x=1.0)"),
        ("Pair(1, 2)", "(1, 2)"),
        ("Pair(1, 2)", "Old(1, 2)"),
        ("Old(1, 2)", "Old(2, 1)"),
        ("Text('a')", "'a'"),
        ("Row([1])", "[1]"),
        ("noted(Row([1]), unit='kg')", "noted(Row([1]), unit='lb')"),
        ("[Point(1.0)]", "[Point(1)]"),
        ("{'p': Point(1.0)}", "{'p': Vector(1.0)}"),
    ],
    agree=[
        ("Color.RED", "Color(1)"),
        ("Color.RED", "Color['RED']"),
        ("Color.RED", "Color.CRIMSON"),
        ("Access.READ | Access.WRITE", "Access.WRITE | Access.READ"),
        ("Level.LOW", "pickle.loads(pickle.dumps(Level.LOW))"),
        ("Point(1.0)", "Point(y=2.0, x=1.0)"),
        ("Point(1.0)", "copy.deepcopy(Point(1.0))"),
        ("Point(1.0)", "replace(Point(5.0), x=1.0)"),
        ("Slotted(1.0)", "pickle.loads(pickle.dumps(Slotted(1.0)))"),
        ("(lambda p: [p, p])(Point(1.0))", "[Point(1.0), Point(1.0)]"),
        ("Node('a', Node('b'))", "asked(Node('a', Node('b')))"),
        ("ring('a', 'b', 'c')", "ring('a', 'b', 'c')"),
        ("Attrs(1.0)", "Attrs(x=1.0, y=2.0)"),
        ("Model(x=1, y=2)", "Model(y=2.0, x=1.0)"),
        ("Model(x=1)", "Model.model_validate({'x': '1'})"),
        ("Pair(1, 2)", "Pair._make([1, 2])"),
        ("Old(1, 2)", "Old(y=2, x=1)"),
        ("{Color.RED: 1, Color.BLUE: 2}", "{Color.BLUE: 2, Color.RED: 1}"),
        ("{Color.RED, Color.BLUE}", "{Color.BLUE, Color.RED}"),
        ("{Slotted(1.0), Slotted(2.0)}", "{Slotted(2.0), Slotted(1.0)}"),
        ("Text('a')", "Text(Text('a'))"),
        ("noted(Point(1.0), a=1, b=2)", "noted(Point(1.0), b=2, a=1)"),
    ],
)

callables = Pairs("functions and classes as values")
callables.values(
    things=_CLASSES,
    differ=[
        ("add_one", "add_two"),
        ("lambda x: x + 1", "lambda x: x + 2"),
        ("adder(1)", "adder(2)"),
        ("functools.partial(add_one, 1)", "functools.partial(add_one, 2)"),
        ("functools.partial(add_one, 1)", "functools.partial(add_two, 1)"),
        ("functools.partial(add_one, x=1)", "functools.partial(add_one, 1)"),
        ("[add_one, add_two]", "[add_two, add_one]"),
        ("{'f': lambda: 1}", "{'f': lambda: 2}"),
        ("operator.itemgetter(1)", "operator.itemgetter(2)"),
        ("operator.attrgetter('a')", "operator.itemgetter('a')"),
        ("operator.methodcaller('a')", "operator.methodcaller('a', b=1)"),
        ("'a'.upper", "'b'.upper"),
        ("Node('a').__init__", "Node('b').__init__"),
        ("len", "sum"),
        ("int", "str"),
        ("Point", "Vector"),
        ("json", "math"),
        ("list[int]", "list[str]"),
        ("int | None", "str | None"),
    ],
    agree=[
        ("add_one", "add_one"),
        ("lambda x: x + 1", "lambda x: (x  +  1)"),
        ("adder(1)", "adder(1)"),
        ("adder(1)", "adder(n=1)"),
        ("functools.partial(add_one, 1)", "functools.partial(add_one, 1)"),
        ("functools.partial(functools.partial(add_one), 1)", "functools.partial(add_one, 1)"),
        ("operator.itemgetter(1)", "operator.itemgetter(1)"),
        ("Point", "type(Point(1.0))"),
        ("json", "__import__('json')"),
        ("list[int]", "list[int]"),
    ],
)

arrays = Pairs("NumPy")
arrays.values(
    things="""
        import numpy as np

        grid = np.arange(24.0).reshape(2, 3, 4)

        def read_only(array):
            array.flags.writeable = False
            return array

        def filled(array, value):
            array[...] = value
            return array
    """,
    differ=[
        ("np.int64(1)", "1"),
        ("np.float64(1)", "1.0"),
        ("np.bool_(True)", "True"),
        ("np.str_('a')", "'a'"),
        ("np.float32(1)", "np.float64(1)"),
        ("np.array([1])", "[1]"),
        ("np.array(1)", "np.int64(1)"),
        ("np.array([1])", "np.array([1.0])"),
        ("np.array([1], 'i4')", "np.array([1], 'i8')"),
        ("np.array([1], '<i8')", "np.array([1], '>i8')"),
        ("np.array([1])", "np.array([2])"),
        ("np.array([1, 2])", "np.array([2, 1])"),
        ("np.array([[1, 2]])", "np.array([[1], [2]])"),
        ("np.array([[1, 2]])", "np.array([1, 2])"),
        ("np.zeros((0, 3))", "np.zeros((3, 0))"),
        ("np.array([0.0])", "np.array([-0.0])"),
        ("np.array([np.nan])", "np.array([np.inf])"),
        ("np.array([1], object)", "np.array(['1'], object)"),
        ("np.array([1], object)", "np.array([1])"),
        ("np.array([None])", "np.array([np.nan], object)"),
        ("np.array(['a'])", "np.array(['a'], 'U2')"),
        ("np.array(['2024-05-01'], 'M8[D]')", "np.array(['2024-05-01'], 'M8[s]')"),
        ("np.asfortranarray(grid[0])", "np.ascontiguousarray(grid[0])"),
        ("grid[0]", "grid[0].T"),
        ("grid[0][::-1].copy()", "grid[0].copy()"),
        ("np.array([(1, 2)], [('a', 'i4'), ('b', 'i4')])", "np.array([(1, 2)], [('a', 'i4'), ('c', 'i4')])"),
        ("np.ma.array([1, 2], mask=[0, 1])", "np.ma.array([1, 2], mask=[1, 0])"),
        ("np.ma.array([1, 2])", "np.array([1, 2])"),
        ("np.dtype('f8')", "np.dtype('f4')"),
        ("np.add", "np.subtract"),
        ("np.arange(20_000.0)", "np.arange(20_000.0) + (np.arange(20_000) == 19_999)"),
        ("{'a': np.array([1])}", "{'a': np.array([1.0])}"),
    ],
    agree=[
        ("np.arange(3)", "np.array([0, 1, 2])"),
        ("np.float64(1)", "np.float64(0.5) * 2"),
        ("grid[:, ::2]", "grid[:, ::2].copy()"),
        ("grid[..., 1:3]", "np.ascontiguousarray(grid[..., 1:3])"),
        ("grid[0, :, 1]", "grid[0, :, 1].copy()"),
        ("np.asfortranarray(grid)", "np.asfortranarray(grid).copy(order='F')"),
        ("read_only(np.arange(3))", "np.arange(3)"),
        ("np.arange(20_000)[::2]", "np.arange(20_000)[::2].copy()"),
        ("np.frombuffer(b'\\0' * 80, 'f8')", "np.zeros(10)"),
        ("filled(np.empty(5), 1.5)", "np.full(5, 1.5)"),
        ("np.array([{'a': 1, 'b': 2}], object)", "np.array([{'b': 2, 'a': 1}], object)"),
        ("np.ones((3, 1))", "np.ones((1, 3)).T"),
        ("[grid, grid.copy()]", "[grid.copy(), grid.copy()]"),
        ("np.dtype('f8')", "np.dtype(float)"),
        ("np.add", "np.core.add if not hasattr(np, 'add') else getattr(np, 'add')"),
    ],
)

frames = Pairs("pandas")
frames.values(
    things="""
        import numpy as np
        import pandas as pd

        def frame(**columns):
            return pd.DataFrame(columns)

        wide = pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd"))
        days = ["2024-05-01"]
    """,
    differ=[
        ("frame(a=[1])", "frame(a=[2])"),
        ("frame(a=[1])", "frame(b=[1])"),
        ("frame(a=[1])", "frame(a=[1.0])"),
        ("frame(a=[1])", "frame(a=['1'])"),
        ("frame(a=[1])", "frame(a=[1]).astype('int32')"),
        ("frame(a=[1, 2])", "frame(a=[2, 1])"),
        ("frame(a=[1], b=[2])", "frame(b=[2], a=[1])"),
        ("frame(a=[1, 2])", "frame(a=[1, 2]).set_axis([5, 6])"),
        ("frame(a=[1, 2])", "frame(a=[1, 2]).rename_axis('row')"),
        ("frame(a=[1])", "frame(a=[1]).iloc[:0]"),
        ("frame(a=[1, None])", "frame(a=pd.array([1, None], 'Int64'))"),
        ("frame(a=pd.Categorical(['x']))", "frame(a=['x'])"),
        ("frame(a=pd.Categorical(['x']))", "frame(a=pd.Categorical(['x'], ordered=True))"),
        ("frame(a=pd.Categorical(['x']))", "frame(a=pd.Categorical(['x'], ['x', 'y']))"),
        ("frame(a=[1])", "frame(a=[1])['a']"),
        ("frame(a=[[1]])", "frame(a=[[2]])"),
        ("pd.Series([1])", "pd.Series([1], name='a')"),
        ("pd.Series([1])", "np.array([1])"),
        ("pd.Series(pd.to_datetime(days))", "pd.Series(pd.to_datetime(days, utc=True))"),
        ("pd.Index([1, 2])", "pd.Index([1, 2], name='a')"),
        ("pd.Timestamp(days[0])", "pd.Timestamp(days[0], tz='UTC')"),
        ("pd.Timestamp(days[0])", "pd.Timestamp(days[0]).to_pydatetime()"),
        ("pd.NA", "pd.NaT"),
        ("pd.Period('2024-05', 'M')", "pd.Period('2024-05-01', 'D')"),
        ("[wide, wide]", "[wide, wide.copy()]"),
        (
            "pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b'), (3, 'c')])[:2]",
            "pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b')])",
        ),
        (
            "pd.MultiIndex.from_product([['b', 'a'], [1]])",
            "pd.MultiIndex(levels=[['b', 'a'], [1]], codes=[[0, 1], [0, 0]])",
        ),
        ("pd.Series(np.zeros(2, np.dtype('i4', metadata={'unit': 'm'})))", "pd.Series(np.zeros(2, 'i4'))"),
    ],
    agree=[
        ("frame(a=[1], b=[2])", "pd.DataFrame([[1, 2]], columns=['a', 'b'])"),
        ("wide", "pd.DataFrame({name: wide[name].to_numpy().copy() for name in wide})"),
        ("wide", "wide.assign(z=1).drop(columns='z')"),
        ("wide", "wide.copy()"),
        ("wide[['b', 'c']]", "wide[['b', 'c']].copy()"),
        ("wide.iloc[1:]", "wide.iloc[1:].copy()"),
        ("wide", "pd.concat([wide[['a', 'b']], wide[['c', 'd']]], axis=1)"),
        ("pd.Series([3, 2, 1])[::-1].reset_index(drop=True)", "pd.Series([1, 2, 3])"),
        ("pd.Series(['a', None], dtype='str')", "pd.Series(['a', np.nan], dtype='str')"),
        ("pd.Timestamp('2024-05-01')", "pd.Timestamp(2024, 5, 1)"),
        ("[wide, wide.copy()]", "[wide.copy(), wide.copy()]"),
        (
            "pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b'), (3, 'c')])[:2].remove_unused_levels()",
            "pd.MultiIndex.from_tuples([(1, 'a'), (2, 'b')])",
        ),
    ],
)
