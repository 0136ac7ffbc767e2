"""Pairs made up by Hypothesis: values and their copies, values with one part changed, programs and their edits."""

import ast
import copy
import math
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from entrepot.results.keys import INPUTS, TASK_SOURCE, KeyContext

# --- keys -----------------------------------------------------------------------------------------------------------


def identity(value: object) -> object:
    return value


def key_of_value(value: object) -> str:
    key = (INPUTS + TASK_SOURCE).compute(KeyContext("generated.identity", identity, {"value": value}))
    assert key is not None
    return key.key


def key_of_program(source: str) -> str:
    namespace: dict[str, Any] = {"__name__": "a_generated_program"}
    exec(compile(source, "<generated>", "exec"), namespace)
    key = (INPUTS + TASK_SOURCE).compute(KeyContext("generated.work", namespace["work"], {"x": 1}))
    assert key is not None
    return key.key


# --- values ---------------------------------------------------------------------------------------------------------

LEAVES = [
    None,
    False,
    True,
    0,
    1,
    -1,
    0.0,
    -0.0,
    1.0,
    math.inf,
    1j,
    "",
    "0",
    "1",
    "None",
    b"",
    b"1",
    2**70,
    (),
    frozenset(),
]
leaves = (
    st.sampled_from(LEAVES) | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.binary(max_size=8)
)
hashable = st.recursive(leaves, lambda one: st.tuples(one, one) | st.frozensets(one, max_size=3), max_leaves=4)
values = st.recursive(
    leaves | st.frozensets(hashable, max_size=4) | st.sets(hashable, max_size=4),
    lambda one: (
        st.lists(one, max_size=24)
        | st.tuples(one, one, one)
        | st.dictionaries(hashable, one, max_size=5)
        | st.builds(lambda item: [item, item], one)
    ),
    max_leaves=20,
)


def is_same(one: object, two: object) -> bool:
    """Tell whether two leaves are equal and of one type; the two zeros are not."""
    return type(one) is type(two) and (one, str(one)) == (two, str(two))


def made_otherwise(value: Any) -> Any:
    """Return a copy that shares nothing, whose dicts and sets were filled the other way round."""
    if type(value) is dict:
        return {made_otherwise(key): made_otherwise(item) for key, item in reversed(value.items())}
    if type(value) in {set, frozenset}:
        return type(value)([made_otherwise(item) for item in value][::-1])
    if type(value) in {list, tuple}:
        return type(value)(made_otherwise(item) for item in value)
    if type(value) is str:
        return "".join([*value])
    return copy.deepcopy(value)


def with_one_change(data: st.DataObject, value: Any) -> Any:
    """Return a copy with one part changed, somewhere inside."""
    if type(value) in {list, tuple} and value:
        place = data.draw(st.integers(0, len(value) - 1))
        items = [with_one_change(data, item) if n == place else item for n, item in enumerate(value)]
        return type(value)(items)
    if type(value) is dict and value:
        chosen = data.draw(st.sampled_from([*value]))
        return {key: with_one_change(data, item) if key is chosen else item for key, item in value.items()}
    if type(value) in {set, frozenset}:
        added = data.draw(hashable)
        assume(added not in value)
        return type(value)([*value, added])
    other = data.draw(leaves)
    assume(not is_same(value, other))
    return other


@given(values)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_value_that_was_made_otherwise_has_the_same_key(value):
    again = made_otherwise(value)  # in which nothing stands in two places, as it may in what was drawn
    assert key_of_value(made_otherwise(again)) == key_of_value(again)


@given(values, st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_value_with_one_part_changed_has_another_key(value, data):
    assert key_of_value(with_one_change(data, value)) != key_of_value(value)


# --- programs -------------------------------------------------------------------------------------------------------

HELPERS = 3
OPERATORS = [ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.BitAnd, ast.Pow]
COMPARISONS = [ast.Lt, ast.LtE, ast.Eq, ast.NotEq, ast.In, ast.Is]
CONSTANTS = st.integers(0, 300) | st.floats(0, 9) | st.sampled_from(["a", "b c", "", b"a", b""])
names = st.sampled_from(["x", "y", "LIMIT"])


def constants() -> st.SearchStrategy[str]:
    return CONSTANTS.map(repr)


def expressions(helpers: int) -> st.SearchStrategy[str]:
    """Return expressions that call some of the first helpers; none of them can be computed beforehand."""
    ops, comparisons = st.sampled_from(["+", "-", "*", "//", "&"]), st.sampled_from(["<", "<=", "==", "!=", "in"])

    def larger(one: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        kinds = [
            st.builds("({} {} {})".format, names, ops, one),
            st.builds("({} if {} {} {} else {})".format, one, names, comparisons, one, one),
            st.builds("[{} for y in {} if y {} {}]".format, one, names, comparisons, constants()),
            st.builds("(lambda y, z={}: {})({})".format, constants(), one, one),
            st.builds("{{'k': {}, {}: {}}}".format, one, names, one),
            st.builds("f'{{{}!r:>{}}} of'".format, names, st.integers(1, 9)),
            st.builds("max(x, {}, key={})".format, one, st.just("lambda y: -y")),
        ]
        if helpers:
            kinds.append(st.builds("h{}({})".format, st.integers(0, helpers - 1), one))
        return st.one_of(kinds)

    return st.recursive(names | constants(), larger, max_leaves=6)


def statements(helpers: int) -> st.SearchStrategy[list[str]]:
    one = expressions(helpers)
    return st.one_of(
        st.builds(lambda value: [f"y = {value}"], one),
        st.builds(lambda value, more: [f"if x < {value}:", f"    y = {more}"], one, one),
        st.builds(lambda value, more: [f"for y in {value}:", f"    x = {more}"], one, one),
        st.builds(lambda value: ["try:", f"    y = {value}", "except KeyError:", "    y = x"], one),
        st.builds(lambda value: ["while y:", f"    y = {value}", "    break"], one),
    )


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Return a module whose function `work` uses every function and every constant of it."""
    lines = [f"LIMIT = {draw(constants())}", ""]
    for number in range(HELPERS):
        lines += [f"def h{number}(x, y={draw(constants())}):"]
        body = [line for group in draw(st.lists(statements(number), max_size=3)) for line in group]
        lines += [f"    {line}" for line in [*body, f"return LIMIT, {draw(expressions(number))}"]] + [""]
    calls = ", ".join(f"h{number}(x)" for number in range(HELPERS))
    body = [line for group in draw(st.lists(statements(HELPERS), max_size=4)) for line in group]
    lines += ["def work(x, y=None):", *[f"    {line}" for line in [*body, f"return y, {calls}"]], ""]
    return "\n".join(lines)


class Prose(ast.NodeTransformer):
    """Gives every function a docstring and annotations."""

    def __init__(self, said: str) -> None:
        self.said = said

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.body.insert(0, ast.Expr(ast.Constant(self.said)))
        node.returns = ast.parse("dict[str, int]", mode="eval").body
        for argument in node.args.args:
            argument.annotation = ast.Constant(self.said)
        return node


def with_comments(data: st.DataObject, source: str) -> str:
    """Return a source with comments and empty lines between its lines."""
    lines: list[str] = []
    for line in source.splitlines():
        noise = data.draw(st.sampled_from(["", "", "\n\n", "# note", "    # x = 1\n"]))
        lines += [noise, line + data.draw(st.sampled_from(["", "", "  # so", "   "]))]
    return "\n".join(lines) + "\n"


def places_to_change(tree: ast.Module) -> list[ast.AST]:
    kinds = (ast.Constant, ast.BinOp, ast.Compare)
    formats = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.FormattedValue) for inner in ast.walk(node)}
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and id(node) not in formats]


def change(data: st.DataObject, node: Any) -> None:
    """Change a constant, an operator or a comparison, where it is."""
    if isinstance(node, ast.Constant):
        other = node.value + "!" if isinstance(node.value, str) else data.draw(CONSTANTS)
        assume(not is_same(other, node.value))
        node.value = other
    elif isinstance(node, ast.BinOp):
        node.op = data.draw(st.sampled_from([one for one in OPERATORS if not isinstance(node.op, one)]))()
    else:
        node.ops = [data.draw(st.sampled_from([one for one in COMPARISONS if not isinstance(node.ops[0], one)]))()]


@given(programs(), st.text(min_size=1, max_size=20), st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_program_that_only_reads_otherwise_has_the_same_key(source, said, data):
    tree = ast.fix_missing_locations(Prose(said).visit(ast.parse(source)))
    key = key_of_program(source)
    assert key_of_program(ast.unparse(ast.parse(source))) == key
    assert key_of_program(ast.unparse(tree)) == key
    assert key_of_program(with_comments(data, source)) == key


@given(programs(), st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_program_with_one_constant_or_operator_changed_has_another_key(source, data):
    tree = ast.parse(source)
    change(data, data.draw(st.sampled_from(places_to_change(tree))))
    assert key_of_program(ast.unparse(tree)) != key_of_program(source)
