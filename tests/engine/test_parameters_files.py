"""Texts and paths that are given where a task asks for a `File` or `Dir`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import pytest

from entrepot import Dir, File, flow, task
from entrepot.cache_policies import INPUTS
from entrepot.errors import ParameterError


def seen_by(function: Any, *args: Any, **kwargs: Any) -> Any:
    return task(function)(*args, **kwargs)


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
        (text_too, "a", "a"),
        (text_too, A, F),
        (unknown, "a", "a"),
    ],
)
def test_they_become_one_where_the_annotation_asks_for_one(function: Any, given: Any, seen: Any) -> None:
    assert seen_by(function, given) == seen
    assert type(seen_by(function, given)) is type(seen)


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
