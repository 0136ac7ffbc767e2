"""Futures among arguments: in models, allowed to fail, quoted; and whose results a run is told to take."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from entrepot import allow_failure, flow, task, unmapped
from entrepot.annotations import Quote, quote
from entrepot.errors import NotReadyError
from entrepot.states import State


@task
def one() -> int:
    return 1


@task
def fails() -> int:
    raise KeyError("as planned")


@task
def show(value: Any) -> Any:
    return value


@task
def kinds_of(values: list[Any]) -> list[str]:
    return [type(value).__name__ for value in values]


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")
    number: Any
    label: str = "x"
    inner: "Model | None" = None


@dataclass
class Box:
    content: Any


HOW: dict[str, Callable[..., Any]] = {
    "called": show,
    "submitted": lambda value: show.submit(value).result(),
    "mapped": lambda value: show.map([value]).result()[0],
}


@pytest.mark.parametrize("how", HOW)
class TestModels:
    def test_a_pydantic_model_gets_results_in_the_places_of_futures(self, how: str) -> None:
        @flow
        def main() -> Any:
            model = Model(number=one.submit(), inner=Model(number=[one.submit()]), more={"k": one.submit()})
            return HOW[how]([model])

        (found,) = main()
        assert type(found) is Model
        assert (found.number, found.inner.number, found.more, found.label) == (1, [1], {"k": 1}, "x")

    def test_the_model_that_was_given_stays_as_it_was(self, how: str) -> None:
        kept: list[Any] = []

        @flow
        def main() -> None:
            future = one.submit()
            kept.append(Model(number=future))
            HOW[how](kept[0])
            assert kept[0].number is future

        main()

    def test_one_without_futures_is_the_very_object(self, how: str) -> None:
        model = Model(number=3)
        assert flow(lambda: HOW[how]([model]))()[0] is model


@pytest.mark.parametrize("how", HOW)
class TestAllowFailure:
    def test_the_exception_stands_in_the_place_of_the_result(self, how: str) -> None:
        @flow
        def main() -> Any:
            return HOW[how](
                [allow_failure(fails.submit()), allow_failure(one.submit()), Box(allow_failure(one.submit()))]
            )

        found = main()
        assert isinstance(found[0], KeyError)
        assert found[1:] == [1, Box(1)]

    def test_collections_are_looked_into(self, how: str) -> None:
        found = flow(lambda: HOW[how](allow_failure([one.submit(), {"bad": fails.submit()}])))()
        assert found[0] == 1
        assert isinstance(found[1]["bad"], KeyError)

    def test_without_a_future_it_is_just_unwrapped(self, how: str) -> None:
        assert flow(lambda: HOW[how](allow_failure(5)))() == 5

    def test_states_are_allowed_to_have_failed_too(self, how: str) -> None:
        @flow
        def main() -> Any:
            return HOW[how](allow_failure(fails(return_state=True)))

        assert isinstance(main(), KeyError)

    def test_others_that_failed_still_leave_it_not_ready(self, how: str) -> None:
        @flow
        def main() -> State[Any]:
            arguments = [allow_failure(fails.submit()), fails.submit()]
            if how == "called":
                return show(arguments, return_state=True)
            return show.submit(arguments, return_state=True) if how == "submitted" else show.map([arguments]).result()

        with pytest.raises(NotReadyError):
            main()


def test_wait_for_may_fail_too() -> None:
    @flow
    def main() -> Any:
        return show.submit(2, wait_for=[allow_failure(fails.submit())]).result()

    assert main() == 2


def test_mapping_what_may_fail_allows_each_to() -> None:
    @flow
    def main() -> Any:
        futures = [one.submit(), fails.submit(), one.submit()]
        return show.map(allow_failure(futures)).result()

    found = main()
    assert (found[0], found[2]) == (1, 1)
    assert isinstance(found[1], KeyError)


def test_unmapped_may_fail() -> None:
    @flow
    def main() -> Any:
        pair = task(lambda a, b: (a, b))
        return pair.map([1, 2], unmapped(allow_failure(fails.submit()))).result()

    found = main()
    assert [(number, type(error)) for number, error in found] == [(1, KeyError), (2, KeyError)]


@pytest.mark.parametrize("how", HOW)
def test_what_is_quoted_is_not_looked_into(how: str) -> None:
    @flow
    def main() -> Any:
        future = one.submit()
        kinds = {"called": kinds_of, "submitted": kinds_of.submit, "mapped": lambda value: kinds_of.map([value])[0]}
        found = kinds[how](quote([future]))
        return found if how == "called" else found.result()

    assert main() == ["EntrepotFuture"]


def test_a_quote_can_be_unwrapped_by_hand() -> None:
    assert Quote([1]).unquote() == [1]


class TestUpstream:
    def test_a_run_tells_whose_results_it_takes(self, journal: Any) -> None:
        @flow
        def main() -> None:
            first, second = one.submit(), one.submit()
            show.submit([first, Box(second)])
            show({"a": first})
            show.submit(1, wait_for=[second]).wait()

        main()
        ids = {run.name: run.run_id for run in journal.created.values()}
        upstream = {run.name: sorted(run.upstream) for run in journal.created.values() if run.definition == "show"}
        shows = [name for name in upstream if name.startswith("show")]
        first, second = sorted((name for name in ids if name.startswith("one")), key=lambda name: name)
        assert [upstream[name] for name in shows] == [
            sorted([ids[first], ids[second]]),
            [ids[first]],
            [ids[second]],
        ]

    def test_so_does_an_async_one(self, journal: Any) -> None:
        @task
        async def show_async(value: Any) -> Any:
            return value

        @flow
        async def main() -> Any:
            return await show_async(one.submit())

        assert asyncio.run(main()) == 1
        assert list(journal.run("show_async").upstream) == [journal.run("one").run_id]


class TestPlainValues:
    """What is passed on as a value, without a future, is known as somebody's result all the same."""

    def test_a_chain_of_plain_calls_is_a_chain_of_runs(self, journal: Any) -> None:
        extract = task(lambda: {"records": [1, 2]}, name="extract")

        @task(name="transform")
        def transform(data: dict[str, Any]) -> dict[str, Any]:
            data["transformed"] = True
            return data

        load = task(lambda data, where: None, name="load")

        @flow
        def main() -> None:
            load(transform(extract()), "warehouse")

        main()
        ids = {run.definition: run.run_id for run in journal.created.values()}
        assert list(journal.run("transform").upstream) == [ids["extract"]]
        assert list(journal.run("load").upstream) == [ids["transform"]]

    @pytest.mark.parametrize(
        "value", [Box(1), [Box(1)], {"a": 1}, (1, 2), {3, 4}, "a text that is long enough", b"x" * 20]
    )
    def test_of_any_kind_alone_or_in_a_collection(self, value: Any, journal: Any) -> None:
        give, take = task(lambda: value, name="give"), task(lambda _: None, name="take")

        @flow
        def main() -> None:
            given = give()
            take(given)
            take.submit([given, 1]).wait()

        main()
        assert [list(run.upstream) for run in journal.created.values() if run.definition == "take"] == [
            [journal.run("give").run_id]
        ] * 2

    @pytest.mark.parametrize("value", [None, True, 1, 1.5, "short", ()])
    def test_but_not_what_could_come_from_anywhere(self, value: Any, journal: Any) -> None:
        give = task(lambda: value, name="give")
        flow(lambda: show(give()))()
        assert list(journal.run("show").upstream) == []

    def test_nor_another_object_at_the_same_address(self, journal: Any) -> None:
        give = task(lambda: Box(1), name="give")

        @flow
        def main() -> None:
            for _ in range(50):
                give()
            for _ in range(50):
                show(Box(1))

        main()
        assert {tuple(run.upstream) for run in journal.created.values() if run.definition == "show"} == {()}

    def test_nor_the_result_of_another_flow_run(self, journal: Any) -> None:
        kept = flow(task(lambda: Box(1), name="give"), name="first")()
        flow(lambda: show(kept), name="second")()
        assert list(journal.run("show").upstream) == []
