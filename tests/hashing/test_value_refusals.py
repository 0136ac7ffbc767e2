"""What has no stable identity is refused, and the error says what, where, and the ways out."""

import dataclasses
import io
import pickle
import socket
import threading
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from entrepot import File
from entrepot.errors import UnhashableValueError
from entrepot.hashing.values import hash_value, identify
from entrepot_test_values import Keyed, Model


@dataclasses.dataclass
class Holder:
    conn: Any


class Plain:
    def __init__(self) -> None:
        self.x = 1


class PlainDict(dict):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Login(BaseModel):
    user: str = "me"
    password: SecretStr = SecretStr("hunter2")


class Itself:
    def __entrepot_key__(self) -> object:
        return self


class Broken:
    def __entrepot_key__(self) -> object:
        raise LookupError("no such row")


def refused(value: object, name: str = "config") -> UnhashableValueError:
    with pytest.raises(UnhashableValueError) as caught:
        hash_value(value, name=name)
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Plain(),
        threading.Lock(),
        threading.current_thread(),
        iter([1]),
        (n for n in [1]),
        map(str, [1]),
        type("Made", (), {})(),
        np.random.default_rng(1),
        ValueError("x"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_without_identity_are_refused(value):
    error = refused(value)
    assert error.parameter == "config"
    assert error.path == "config"
    assert type(value).__name__ in str(error)


def test_open_files_and_sockets_are_refused(tmp_path):
    with (tmp_path / "x").open("w") as file, socket.socket() as sock:
        refused(file)
        refused(sock)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([1, [2, object()]], "config[1][1]"),
        ({"db": Holder(object())}, "config['db'].conn"),
        ({"db": {3: (object(),)}}, "config['db'][3][0]"),
        ({"a" * 100: object()}, f"config['{'a' * 36}...]"),
        ({(1, 2): object()}, "config[<tuple>]"),
        ({Plain(): 1}, "config{keys}"),
        ({Plain()}, "config{...}"),
        ([*range(5000), object()], "config[5000]"),
        ({n: object() if n == 4500 else n for n in range(5000)}, "config[4500]"),
        (np.array([[1, 2], [3, object()]], object), "config[1, 1]"),
        (np.array([1, object()], object), "config[1]"),
        (pd.DataFrame({"a": [1], "b": [object()]}), "config.columns[1][0]"),
        (pd.Series([object()], name="s"), "config[0]"),
        (pd.DataFrame({"a": [1]}, index=pd.Index([object()])), "config.index[0]"),
        (PlainDict(), "config.lock"),
        (Login(), "config.password"),
        (slice(object()), "config.stop"),
    ],
)
def test_the_error_says_where_in_the_value(value, path):
    error = refused(value)
    assert error.path == path
    assert path in str(error)


def test_the_error_names_the_ways_out():
    message = str(refused({"db": Plain()}, name="source"))
    assert "INPUTS - 'source'" in message
    assert "cache_key_fn" in message
    assert "__entrepot_key__" in message
    assert "Plain" in message


def test_what_is_used_up_by_reading_it_is_to_be_passed_in_another_way(tmp_path):
    generator = str(refused((n for n in [1]), name="rows"))
    assert generator.endswith("is used up by reading it. Pass its items in its place: list(rows).")
    assert str(refused({"rows": map(str, [1])})).endswith("list(config['rows']).")
    assert str(refused(io.StringIO("text"))).endswith("Pass what is in it: config.getvalue().")
    with (tmp_path / "x").open("w") as file:
        assert str(refused([file])).endswith("Pass the path of the file, as File(path).")


def test_of_a_file_that_is_not_there_the_path_is_to_be_checked(tmp_path):
    message = str(refused(File(tmp_path / "no.csv")))
    assert message.endswith(f"which cannot be read (no such file or directory): {tmp_path / 'no.csv'}. Check the path.")
    assert "@hasher" not in message


def test_a_hasher_is_advised_for_the_class_itself():
    assert "@hasher(lock)" in str(refused(threading.Lock()))
    assert "@hasher(ValueError)" in str(refused(ValueError("x")))


def test_the_error_survives_pickling():
    error = pickle.loads(pickle.dumps(refused([object()])))
    assert (error.parameter, error.path) == ("config", "config[0]")
    assert isinstance(error, TypeError)


@pytest.mark.parametrize("secret", [SecretStr("hunter2"), SecretBytes(b"hunter2")])
def test_secrets_are_refused_and_not_shown(secret):
    error = refused({"password": secret})
    assert "hunter2" not in str(error)
    assert "secret" in str(error)


def test_an_object_that_is_refused_is_not_asked_for_its_repr():
    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("asked")

    refused({"a": [Loud()]})


def test_a_value_nested_too_deeply_is_refused():
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in str(refused(deep))


def test_a_structure_with_too_many_ways_through_its_cycles_is_refused():
    nodes: list[list[Any]] = [[] for _ in range(30)]
    for node in nodes:
        node.extend(nodes)
    assert "cycles" in str(refused(nodes))


def test_values_that_share_much_take_no_longer_than_their_size():
    def doubled() -> list[Any]:
        value: list[Any] = ["x" * 50]
        for _ in range(60):
            value = [value, value]
        return value

    value = doubled()
    assert hash_value(value) == hash_value(doubled())
    assert hash_value(value) != hash_value([value[0], list(value[1])])
    tuples: tuple[Any, ...] = ("x" * 50,)
    for _ in range(60):
        tuples = (tuples, tuples)
    assert hash_value(tuples) == hash_value((tuples[0], tuple(list(tuples[1]))))  # noqa: C414  another one


def test_a_class_can_say_what_its_instances_stand_for():
    assert hash_value(Keyed("a", object())) == hash_value(Keyed("a", None)) != hash_value(Keyed("b", None))
    assert hash_value(Keyed("a")) != hash_value("a")


def test_a_class_that_says_itself_ends_somewhere():
    assert hash_value(Itself()) == hash_value(Itself())


def test_an_error_of_the_users_own_key_comes_through():
    with pytest.raises(LookupError, match="no such row"):
        hash_value(Broken())


def test_classes_of_objects_are_reported():
    identity = identify([Keyed("a"), {"b": Model()}, 1, "x"])
    assert set(identity.classes) == {Keyed, Model}
    assert identity.digest == hash_value([Keyed("a"), {"b": Model()}, 1, "x"])


def test_two_classes_of_one_name_are_told_apart():
    def make(extra: int) -> type:
        @dataclasses.dataclass
        class Local:
            x: int

            def more(self) -> int:
                return self.x + extra

        return Local

    one, two = make(1), make(2)
    assert hash_value([one(1), one(1)]) != hash_value([one(1), two(1)])
    assert hash_value([one(1), two(1)]) == hash_value([two(1), one(1)])  # their code tells which is which
    assert identify([one(1), two(1)]).classes == (one, two)
