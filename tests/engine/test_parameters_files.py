"""Texts and paths that are given where a task asks for a `File` or `Dir`."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NewType, NotRequired, Optional, TypedDict

import pytest

from entrepot import Dir, File, flow, task
from entrepot.cache_policies import INPUTS
from entrepot.errors import ParameterError


def seen_by(function: Any, *args: Any, **kwargs: Any) -> Any:
    return task(function)(*args, **kwargs)


class Tree(TypedDict):
    below: list[Tree]


def one(x: File) -> Any:
    return x


def folder(x: Dir) -> Any:
    return x


def maybe(x: File | None) -> Any:
    return x


def maybe_in_other_words(x: Optional[File]) -> Any:  # noqa: UP045  as people wrote it
    return x


def noted(x: Annotated[File, "a note"]) -> Any:
    return x


def many(x: list[File]) -> Any:
    return x


def any_row(x: Sequence[File]) -> Any:
    return x


def row(x: tuple[str, File]) -> Any:
    return x


def named(x: dict[str, File]) -> Any:
    return x


def text_too(x: File | str) -> Any:
    return x


def starred(*x: File) -> Any:
    return x


def by_keyword(**x: File) -> Any:
    return x


def ordered(x: OrderedDict[str, File]) -> Any:
    return x


def with_a_default(x: defaultdict[str, list[File]]) -> Any:
    return x


def queued(x: deque[File]) -> Any:
    return x


def any_mapping(x: Mapping[str, File]) -> Any:
    return x


def mutable(x: MutableMapping[File, int]) -> Any:
    return x


def any_items(x: Collection[Dir]) -> Any:
    return x


class Row(NamedTuple):
    label: str
    source: File


class Job(TypedDict):
    label: str
    rows: NotRequired[list[Row]]


Prices = NewType("Prices", File)
Sources = dict[str, Prices]


def one_row(x: Row) -> Any:
    return x


def a_job(x: Job | None) -> Any:
    return x


def by_another_name(x: Prices) -> Any:
    return x


def by_an_alias(x: Sources) -> Any:
    return x


def unknown(x: Filed) -> Any:  # type: ignore[name-defined]  # noqa: F821  only a type checker would know it
    return x


F, D, A = File(Path("a")), Dir(Path("a")), Path("a")


@pytest.mark.parametrize(
    ("function", "given", "seen"),
    [
        (one, "a", F),
        (one, A, F),
        (one, F, F),
        (one, None, None),
        (one, 3, 3),
        (folder, "a", D),
        (maybe, "a", F),
        (maybe, None, None),
        (maybe_in_other_words, A, F),
        (noted, "a", F),
        (many, ["a", F], [F, F]),
        (many, "a", "a"),
        (any_row, ("a",), (F,)),
        (row, ("a", "a"), ("a", F)),
        (named, {"a": "a"}, {"a": F}),
        (ordered, OrderedDict(b="a", a="a"), OrderedDict(b=F, a=F)),
        (ordered, {"a": "a"}, {"a": "a"}),
        (with_a_default, defaultdict(list, a=["a"]), defaultdict(list, a=[F])),
        (queued, deque(["a"], 3), deque([F], 3)),
        (any_mapping, OrderedDict(a="a"), OrderedDict(a=F)),
        (any_mapping, {"a": A}, {"a": F}),
        (mutable, {"a": 1}, {F: 1}),
        (any_items, deque(["a"]), deque([D])),
        (one_row, Row("a", "a"), Row("a", F)),
        (one_row, ("a", "a"), ("a", "a")),
        (a_job, {"label": "a", "rows": [Row("a", "a")]}, {"label": "a", "rows": [Row("a", F)]}),
        (a_job, {"label": "a"}, {"label": "a"}),
        (a_job, None, None),
        (by_another_name, "a", F),
        (by_an_alias, {"a": "a"}, {"a": F}),
        (text_too, "a", "a"),
        (text_too, A, F),
        (unknown, "a", "a"),
    ],
)
def test_they_become_one_where_the_annotation_asks_for_one(function: Any, given: Any, seen: Any) -> None:
    assert seen_by(function, given) == seen
    assert type(seen_by(function, given)) is type(seen)


def test_collections_keep_what_they_are_besides_their_items() -> None:
    assert seen_by(queued, deque(["a"], 3)).maxlen == 3
    assert seen_by(with_a_default, defaultdict(list, a=["a"]))["b"] == []
    for function, given in (queued, deque([F])), (ordered, OrderedDict(a=F)), (one_row, Row("a", F)):
        assert seen_by(function, given) is given


def test_nothing_is_looked_for_where_no_annotation_speaks_of_files() -> None:
    class Line(NamedTuple):
        numbers: list[int]
        below: Line | None  # looks itself up

    def plain(a: Line, b: dict[str, list[int]], c: Elsewhere, d: Tree, e: str = "") -> Any:  # type: ignore[name-defined]  # noqa: F821
        return a, b, c, d, e

    assert task(one)._definition.validator is not None
    assert task(plain)._definition.validator is None


def test_stars_ask_for_each() -> None:
    assert seen_by(starred, "a", A) == (F, F)
    assert seen_by(by_keyword, x="a") == {"x": F}


def test_what_is_given_is_not_changed() -> None:
    given = ["a"]
    assert seen_by(many, given) == [F]
    assert given == ["a"]
    rows = [F]
    assert seen_by(many, rows) is rows


def test_the_content_counts_then(tmp_path: Path) -> None:
    file = tmp_path / "prices.txt"
    ran = []

    @task(cache_policy=INPUTS, persist_result=True)
    def total(prices: File) -> int:
        ran.append(1)
        return sum(map(int, prices.path.read_text().split()))

    @task
    def where() -> str:
        return str(file)

    file.write_text("1 2")
    assert [total(str(file)), total(file), total(File(file)), total.submit(str(file)).result()] == [3] * 4  # type: ignore[arg-type]
    assert total(where()) == 3  # type: ignore[arg-type]
    assert len(ran) == 1
    file.write_text("1 2 3")
    assert total(str(file)) == 6  # type: ignore[arg-type]
    assert len(ran) == 2


def test_a_result_that_comes_later_becomes_one(tmp_path: Path) -> None:
    @task
    def where() -> str:
        return "a"

    @flow
    def outer() -> Any:
        return task(one).submit(where.submit()).result()  # type: ignore[arg-type]

    assert outer() == F


def test_a_flow_that_validates_nothing_else_makes_them_too() -> None:
    assert flow(one, validate_parameters=False)("a") == F  # type: ignore[arg-type]
    assert flow(one)("a") == F  # type: ignore[arg-type]


def test_an_empty_text_is_no_path() -> None:
    with pytest.raises(ParameterError, match="task 'one' was called with an empty text for 'x'"):
        seen_by(one, "")
