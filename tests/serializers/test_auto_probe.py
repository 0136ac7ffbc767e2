"""Annotations that show before the work that a result cannot be kept, and those that do not."""

import abc
import dataclasses
import io
import socket
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Sequence
from typing import IO, Annotated, Any, Generic, Literal, NewType, Optional, Protocol, TypedDict, TypeVar

import numpy as np
import pandas as pd
import pytest
from pydantic import SecretStr

from entrepot import flow, task
from entrepot.cache_policies import INPUTS
from entrepot.engine import probe
from entrepot.errors import RefusedSerializerError, SerializationError
from entrepot.plugins import SERIALIZERS
from entrepot.serializers import register_json_type, register_serializer
from entrepot.states import State
from entrepot.storage import MemoryStorage

T = TypeVar("T")


@dataclasses.dataclass
class Point:
    x: int


class Base(abc.ABC):
    @abc.abstractmethod
    def area(self) -> float: ...


class Shaped(Protocol):
    x: int


class Boxed(Generic[T]):
    pass


class Row(TypedDict):
    x: int


class Parent:
    pass


@register_json_type("test-probe-child")
@dataclasses.dataclass
class Child(Parent):
    x: int = 0


UserId = NewType("UserId", int)


def ran_as(annotation: Any, **options: Any) -> list[str]:
    """Run a task with a return annotation, and return what it did: nothing, or its work."""
    did: list[str] = []

    def work() -> Any:
        did.append("work")
        return 1

    work.__annotations__["return"] = annotation
    made = task(**{"persist_result": True, "result_storage": MemoryStorage(), **options})(work)
    try:
        made()
    except SerializationError as error:
        assert "nothing was run" in str(error)  # noqa: PT017  it is raised or not
        assert error.path == "value"  # noqa: PT017
        assert not did
    return did


HOPELESS = [
    type(threading.Lock()),
    threading.Event,
    threading.Thread,
    socket.socket,
    io.TextIOWrapper,
    io.BufferedReader,
    memoryview,
    SecretStr,
    AsyncGenerator[int, None],
    tuple[int, socket.socket],
    Annotated[socket.socket, "note"],
    socket.socket | threading.Event,
    "socket.socket",
    "tuple[threading.Event, int]",
]
HOPEFUL = [
    Coroutine[Any, Any, int],  # some drivers await it
    None,
    int,
    Any,
    object,
    socket.socket | None,
    Optional["Point"],
    "socket.socket | None",
    int | threading.Event,
    Iterator[int],
    IO[str],
    Callable[[], int],
    list[socket.socket],
    tuple[socket.socket, ...],
    dict[str, threading.Event],
    Sequence[int],
    T,
    Point,
    Boxed[int],
    "NoSuchName",
    "int | NoSuchName",
    Literal["a"],
    lambda: 1,
    [1],
]


@pytest.mark.parametrize("annotation", HOPELESS, ids=str)
@pytest.mark.parametrize("serializer", ["auto", "pickle", "json", "compressed/pickle", "compressed/auto"])
def test_what_nobody_could_keep_is_said_before_the_work(annotation: Any, serializer: str) -> None:
    assert ran_as(annotation, result_serializer=serializer) == []


@pytest.mark.parametrize(
    "annotation",
    HOPEFUL,
    ids=lambda one: "a function" if callable(one) and not isinstance(one, type) and "lambda" in str(one) else str(one),
)
def test_what_may_be_kept_says_nothing(annotation: Any) -> None:
    assert ran_as(annotation) == ["work"]


def test_what_is_not_kept_may_be_anything() -> None:
    assert ran_as(socket.socket, persist_result=False, result_storage=None) == ["work"]


def test_the_message_says_what_why_and_what_to_do() -> None:
    @task(persist_result=True, result_storage=MemoryStorage())
    def connect() -> socket.socket:
        raise AssertionError("it ran")

    with pytest.raises(
        SerializationError, match=r"task 'connect' returns a socket\.socket, as its annotation says.*or do not keep"
    ):
        connect()


def test_flows_and_coroutines_are_looked_at_too() -> None:
    @flow(persist_result=True, result_storage=MemoryStorage())
    def outer() -> Generator[int, None, None]:
        raise AssertionError("it ran")

    with pytest.raises(SerializationError, match=r"flow 'outer' returns a collections\.abc\.Generator.*a list"):
        outer()


def test_a_hit_is_not_asked() -> None:
    storage = MemoryStorage()

    def work(x: int) -> Any:
        return x

    once = task(work, cache_policy=INPUTS, result_storage=storage)
    assert once(1) == 1
    work.__annotations__["return"] = socket.socket
    probe._fine.clear()
    assert once(1) == 1
    with pytest.raises(SerializationError):
        once(2)


def test_the_annotation_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    read = probe._return_annotation
    monkeypatch.setattr(probe, "_return_annotation", lambda fn: asked.append(fn) or read(fn))

    @task(cache_policy=INPUTS, result_storage=MemoryStorage())
    def double(x: int) -> int:
        return 2 * x

    assert [double(n) for n in range(5)] == [0, 2, 4, 6, 8]
    assert len(asked) == 1


def test_serializers_of_others_may_know_better() -> None:
    class Sockets:
        name = "test-probe"
        extension = "txt"
        is_text = True
        reads_code = False

        def accepts(self, value: object) -> bool:
            return False

        def dumps(self, value: object) -> list[bytes]:
            return [b"socket"]

        def loads(self, data: memoryview) -> object:
            return str(data, "utf-8")

    assert ran_as(socket.socket, result_serializer=Sockets()) == ["work"]
    register_serializer(Sockets)
    try:
        assert ran_as(socket.socket) == ["work"]
    finally:
        SERIALIZERS.forget("test-probe")
    assert ran_as(socket.socket) == []


# --- where pickle is not allowed --------------------------------------------------------------------------------------


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_RESULTS_ALLOW", "json,parquet")


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(
    "annotation",
    [Point, np.longdouble, np.ndarray, OrderedDict[str, int], Boxed[int], "Point", tuple[int, Point]],
    ids=str,
)
def test_a_class_that_only_pickle_could_write_is_said_before_the_work(annotation: Any) -> None:
    assert ran_as(annotation) == []


@pytest.mark.usefixtures("no_pickle")
@pytest.mark.parametrize(
    "annotation",
    [
        None, int, float, set[int], bytes, pd.DataFrame, pd.Series, Child, Parent, Base, Shaped, Row, UserId, State,
        Any, object, Point | None, list[Point], Sequence[Point], T, Callable[[], int], "NoSuchName",
    ],
    ids=str,
)  # fmt: skip
def test_what_may_be_plain_says_nothing(annotation: Any) -> None:
    assert ran_as(annotation) == ["work"]


def test_a_task_that_names_json_is_asked_the_same() -> None:
    assert ran_as(Point, result_serializer="json") == []
    assert ran_as(Child, result_serializer="json") == ["work"]


@pytest.mark.usefixtures("no_pickle")
def test_a_task_that_names_pickle_is_refused_before_the_work() -> None:
    did: list[int] = []

    @task(persist_result=True, result_serializer="pickle", result_storage=MemoryStorage())
    def work() -> int:
        did.append(1)
        return 1

    with pytest.raises(RefusedSerializerError, match="allowed: json, parquet"):
        work()
    assert did == []


@pytest.mark.usefixtures("no_pickle")
def test_a_value_that_shows_late_what_it_is_fails_after_the_work_and_says_so() -> None:
    @task(persist_result=True, result_storage=MemoryStorage())
    def work() -> Any:
        return [Point(1)]

    with pytest.raises(SerializationError, match=r"value\[0\], a .*Point") as caught:
        work()
    assert any("json, parquet" in note for note in caught.value.__notes__)
