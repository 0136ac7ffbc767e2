"""JSON Schema as pydantic writes it: what is wrong is said early, and what pydantic takes is never refused."""

import json
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError

from entrepot.input.checking import is_secret, kinds, problems, resolved


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = Field(min_length=2, max_length=5)
    number: int | None = None


@dataclass
class Pair:
    left: int
    right: str = "x"


class Everything(BaseModel):
    name: str = Field(min_length=1)
    age: int = Field(ge=0, lt=150)
    ratio: float = Field(0.5, gt=0, le=1)
    on: bool = False
    colour: Colour = Colour.RED
    mode: Literal["fast", 3] = "fast"
    only: Literal["this"] = "this"
    address: Address | None = None
    pair: Pair | None = None
    tags: list[str] = Field([], max_length=3)
    counts: dict[str, int] = {}
    two: tuple[int, str] | None = None
    when: datetime | None = None
    day: date | None = None
    at: time | None = None
    number: uuid.UUID | None = None
    either: int | str | list[int] = 1
    token: SecretStr = SecretStr("")


class Tree(BaseModel):
    children: "list[Tree]" = []


SCHEMA = TypeAdapter(Everything).json_schema()
GOOD: dict[str, Any] = {"name": "x", "age": 3}


def said(**values: Any) -> list[str]:
    return [str(problem) for problem in problems(SCHEMA, GOOD | values)]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"name": ""}, "name: has fewer than 1 characters"),
        ({"name": 3}, "name: is not a text"),
        ({"age": "3"}, "age: is not a whole number"),
        ({"age": True}, "age: is not a whole number"),
        ({"age": 1.5}, "age: is not a whole number"),
        ({"age": -1}, "age: is less than 0"),
        ({"age": 150}, "age: is not less than 150"),
        ({"ratio": 0}, "ratio: is not more than 0"),
        ({"ratio": 2}, "ratio: is more than 1"),
        ({"on": "maybe"}, "on: is not true or false"),
        ({"colour": "green"}, "colour: is not red or blue"),
        ({"mode": "3"}, "mode: is not fast or 3"),
        ({"only": "that"}, "only: is not this"),
        ({"address": {"street": "x"}}, "address.street: has fewer than 2 characters"),
        ({"address": {"street": "xxxxxx"}}, "address.street: has more than 5 characters"),
        ({"address": {}}, "address.street: is missing"),
        ({"address": 3}, "address: is not an object, {...}"),
        ({"pair": {"left": 1, "rihgt": "y"}}, "pair.rihgt: is no field; did you mean 'right'?"),
        ({"tags": ["a", 1]}, "tags.1: is not a text"),
        ({"tags": ["a"] * 4}, "tags: has more than 3 items"),
        ({"counts": {"a": "b"}}, "counts.a: is not a whole number"),
        ({"two": [1]}, "two: has fewer than 2 items"),
        ({"two": ["x", "y"]}, "two.0: is not a whole number"),
        ({"when": "soon"}, "when: is not a date and time, as 2026-01-31T13:45:00+00:00"),
        ({"day": "31.1.2026"}, "day: is not a date, as 2026-01-31"),
        ({"at": "noon"}, "at: is not a time of day, as 13:45"),
        ({"number": "1"}, "number: is not a UUID"),
        ({"either": 1.5}, "either: is not a whole number and is not a text and is not a list"),
        ({"zzz": 1}, "zzz: is no field; known: name, age, ratio, on, colour, mode, only, address, pair, tags, counts,"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(values: dict[str, Any], problem: str) -> None:
    (found,) = said(**values)
    assert found.startswith(problem)


def test_what_is_missing_is_said() -> None:
    assert [str(one) for one in problems(SCHEMA, {})] == ["name: is missing", "age: is missing"]


def test_a_secret_is_not_repeated() -> None:
    (found,) = said(token=["hunter2"])
    assert "hunter2" not in found


def test_a_schema_that_refers_to_itself_is_followed_as_deep_as_the_value() -> None:
    schema = TypeAdapter(Tree).json_schema()
    assert problems(schema, {"children": [{"children": [{}]}]}) == []
    (found,) = problems(schema, {"children": [{"children": [{"children": 3}]}]})
    assert found.where == "children.0.children.0.children"
    assert kinds(schema, schema["$defs"]) == {"object"}
    assert not is_secret(schema, schema["$defs"])


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},
        {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}},
        {"type": "object", "properties": []},
        {"type": 3},
        {"minLength": "x"},
        {"required": 5},
        {"$ref": 3, "$defs": 4},
        {"enum": 5},
    ],
)
def test_a_schema_that_is_none_ends_in_no_crash(schema: dict[str, Any]) -> None:
    for value in ({}, "x", 3, [1], None):
        problems(schema, value)


def test_what_a_field_takes_and_whether_it_is_secret_is_known() -> None:
    fields, definitions = SCHEMA["properties"], SCHEMA["$defs"]
    assert kinds(fields["either"], definitions) == {"integer", "string", "array"}
    assert kinds(fields["address"], definitions) == {"object"}
    assert kinds(fields["colour"], definitions) == {"string"}
    assert [name for name in fields if is_secret(fields[name], definitions)] == ["token"]
    nested = TypeAdapter(dict[str, list[SecretStr]]).json_schema()
    assert is_secret(nested, {})
    assert resolved(fields["colour"], definitions)["default"] == "red"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 200) | st.sampled_from([0.5, 1.5]) | st.sampled_from(["x", "red", "3"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["street", "left", "a"]), inner),
    max_leaves=5,
)
STRICT = TypeAdapter(Annotated[Everything, Field(strict=True)])


@given(st.builds(Everything, age=st.integers(0, 149), name=st.text(min_size=1), ratio=st.sampled_from([0.5, 1.0])))
def test_what_a_model_writes_is_never_refused(made: Everything) -> None:
    value = json.loads(made.model_dump_json())
    assert problems(SCHEMA, value) == []


@given(st.dictionaries(st.sampled_from(sorted(Everything.model_fields)), VALUES))
def test_what_pydantic_takes_as_it_is_is_never_refused(values: dict[str, Any]) -> None:
    value = GOOD | values
    try:
        STRICT.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return
    assert problems(SCHEMA, value) == []
