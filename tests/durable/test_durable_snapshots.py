"""What is kept of a flow run so that another process can start it again, and when."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot import flow, task
from entrepot.engine import snapshots
from entrepot.engine.entrypoints import entrypoint_of
from entrepot.engine.parameters import copied
from entrepot.runs import RunHistory, default_path, default_recorder

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1, max_size=3), PLAIN, max_size=4))
def test_a_copy_of_plain_parameters_is_equal_and_shares_nothing_that_can_change(parameters: dict[str, Any]) -> None:
    before = copy.deepcopy(parameters)
    made = copied(parameters)
    assert made == before
    for value in parameters.values():
        spoil(value)
    assert made == before


def spoil(value: Any) -> None:
    if isinstance(value, dict):
        for member in value.values():
            spoil(member)
        value.clear()
    elif isinstance(value, list):
        for member in value:
            spoil(member)
        value.append("spoilt")
    elif isinstance(value, tuple):
        for member in value:
            spoil(member)


class Text(str):
    """No plain text."""

    __slots__ = ()


ROUND: list[Any] = []
ROUND.append(ROUND)


@pytest.mark.parametrize(
    "value", [object(), [object()], {"a": {1: Text("x")}}, list(range(1001)), [[0] * 600] * 2, ROUND]
)
def test_of_others_no_copy_is_made(value: object) -> None:
    assert copied({"n": 1, "value": value}) is None


class Loader:
    """A flow that is a method."""

    @flow
    def load(self) -> None: ...

    @staticmethod
    @flow
    def apart() -> None: ...


@flow(persist_result=True)
def keeps(value: Any) -> int:
    return 1


@flow
def fails(value: Any) -> int:
    kept()
    raise KeyError(value)


@task(persist_result=True)
def kept() -> None: ...


tuned = keeps.with_options(name="tuned")


@pytest.mark.parametrize(
    ("what", "name"),
    [(keeps, "keeps"), (tuned, "tuned"), (Loader.load, "Loader.load"), (Loader().load, "Loader.load")],
)
def test_a_flow_is_found_by_its_name(what: Any, name: str) -> None:
    found = entrypoint_of(what._definition)
    assert found is not None
    assert (found.name, found.file, found.imported_as) == (name, __file__, None)
    assert found.text.endswith(f"test_durable_snapshots:{name}")


def test_one_that_has_no_name_is_not(tmp_path: Path) -> None:
    @flow
    def inside() -> None: ...

    assert entrypoint_of(inside._definition) is None
    assert entrypoint_of(flow(print)._definition) is None
    assert entrypoint_of(flow(lambda: 1)._definition) is None


def snapshot_of(home: Path) -> snapshots.Snapshot | None:
    default_recorder().flush()
    return snapshots.load(home, RunHistory(default_path()).list()[0].run_id)


@pytest.mark.parametrize("value", [3, ["a", {"b": 1}], Path("x")])
def test_parameters_come_back_as_they_were(value: Any, entrepot_home: Path) -> None:
    keeps(value)
    snapshot = snapshot_of(entrepot_home)
    assert snapshot is not None
    assert snapshot.parameters() == {"value": value}
    assert snapshot.key == keeps.key


@pytest.mark.parametrize("value", [lambda: 1, bytes(17 << 20)], ids=["no pickle", "17 MiB"])
def test_of_parameters_that_cannot_be_kept_nothing_is_and_the_flow_runs(value: Any, entrepot_home: Path) -> None:
    assert keeps(value) == 1
    assert not (entrepot_home / "snapshots").exists()


def test_of_a_run_that_completed_only_small_ones_stay(entrepot_home: Path) -> None:
    keeps(bytes(100_000))
    assert list((entrepot_home / "snapshots").iterdir()) == []
    keeps(bytes(1000))
    assert len(list((entrepot_home / "snapshots").iterdir())) == 1
    with pytest.raises(KeyError):
        fails(bytes(100_000))
    assert len(list((entrepot_home / "snapshots").iterdir())) == 2


def test_of_what_may_have_changed_since_the_flow_began_nothing_is_kept(entrepot_home: Path) -> None:
    with pytest.raises(KeyError):
        fails(Path("x"))
    assert snapshot_of(entrepot_home) is None
    with pytest.raises(KeyError):
        fails([1])
    assert snapshot_of(entrepot_home) is not None


def test_what_is_no_run_has_none(entrepot_home: Path) -> None:
    (entrepot_home / "snapshots").mkdir(parents=True)
    for wanted in ("", "..", "../keyring.json", "x" * 36):
        assert snapshots.load(entrepot_home, wanted) is None
