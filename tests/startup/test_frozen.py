"""Objects that are made quickly are what their dataclass says: frozen, equal, copied, pickled, with their defaults."""

import copy
import dataclasses
import pickle
import weakref
from dataclasses import dataclass, field

import pytest

from entrepot._frozen import quick
from entrepot.context import TaskRun
from entrepot.engine.accounts import Account
from entrepot.protocols.recorder import RunCreated, RunTransition
from entrepot.results.keys import CacheKey
from entrepot.results.lookup import Lookup
from entrepot.results.record import Record
from entrepot.states import State, StateType


@quick
@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)
    seen: list[int] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x")
        self.seen.append(self.x)


@dataclass(frozen=True, slots=True)
class Deep(Point):
    z: int = 3


def test_it_takes_arguments_and_defaults_as_before() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2, names=[])"
    assert Point(1, 2, []) == Point(x=1, y=2) != Point(1, 3)
    assert Point(1).names is not Point(1).names
    assert Point(1).seen == [1]
    with pytest.raises(TypeError, match=r"Point.__init__\(\) missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'w'"):
        Point(1, w=2)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="x"):
        Point(-1)


def test_it_is_frozen_and_of_its_class() -> None:
    point = Point(1)
    assert type(point) is Point
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        point.other = 1  # type: ignore[attr-defined]


@quick
@dataclass(frozen=True, slots=True, weakref_slot=True)
class Watched:
    x: int = 1


def test_what_python_does_not_let_change_its_class_is_made_as_before() -> None:
    watched = Watched(2)
    assert (type(watched), watched.x, weakref.ref(watched)()) == (Watched, 2, watched)
    with pytest.raises(dataclasses.FrozenInstanceError):
        watched.x = 3  # type: ignore[misc]


def test_it_is_copied_replaced_and_pickled() -> None:
    point = Point(1, names=["a"])
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == copy.copy(point) == point
    assert dataclasses.replace(point, y=5) == Point(1, 5, ["a"])


def test_an_object_of_a_subclass_stays_one() -> None:
    deep = Deep(1, z=4)
    assert (type(deep), deep.x, deep.y, deep.z) == (Deep, 1, 2, 4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        deep.x = 2  # type: ignore[misc]


@pytest.mark.parametrize("cls", [RunCreated, RunTransition, State, TaskRun, Record, Lookup, CacheKey, Account])
def test_every_class_that_uses_it_is_made_in_this_way(cls: type) -> None:
    assert "twin" in cls.__init__.__code__.co_names


def test_a_state_is_what_it_was() -> None:
    state = State(StateType.COMPLETED, data=1)
    assert (type(state), state.name, state.data) == (State, "Completed", 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.name = "Other"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(state)) == state
