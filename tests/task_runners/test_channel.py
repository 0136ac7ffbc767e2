"""Objects between two processes: what goes in comes out, whatever its size, and an end is seen as one."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.errors import SerializationError
from entrepot.task_runners.channel import ANSWER, CALL, MESSAGE, Channel, packed, unpacked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=200_000),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    here, there = socket.socketpair()
    channels = Channel(here), Channel(there)
    yield channels
    for channel in channels:
        channel.close()


def through(ends: tuple[Channel, Channel], value: Any) -> Any:
    sender = threading.Thread(target=ends[0].send, args=(ANSWER, value))
    sender.start()
    kind, parts = ends[1].receive()
    sender.join()
    assert kind == ANSWER
    return unpacked(parts)


@given(value=VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_values_come_out_as_they_went_in(ends: tuple[Channel, Channel], value: Any) -> None:
    assert through(ends, value) == value


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
def test_arrays_are_sent_beside_the_pickle_and_can_be_written_to(ends: tuple[Channel, Channel], size: int) -> None:
    array = np.arange(size, dtype=np.int64)
    parts = packed({"a": array}, "it")
    assert parts[0].nbytes < 1000
    back = through(ends, {"a": array})["a"]
    assert np.array_equal(back, array)
    if size:
        back[0] = 7


def test_what_several_threads_send_is_not_mixed_up(ends: tuple[Channel, Channel]) -> None:
    threads = [
        threading.Thread(target=lambda n=n: [ends[0].send(MESSAGE, [n] * 5000) for _ in range(20)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    got = [unpacked(ends[1].receive()[1]) for _ in range(80)]
    for thread in threads:
        thread.join()
    assert all(len(message) == 5000 and len(set(message)) == 1 for message in got)


def test_the_end_is_seen_in_the_middle_of_a_message_too(ends: tuple[Channel, Channel]) -> None:
    ends[0]._end.sendall(b"\x02\x00\x00")
    assert ends[1].wait(30)
    ends[0].break_off()
    with pytest.raises(EOFError):
        ends[1].receive()


def test_who_waits_is_woken_by_breaking_off(ends: tuple[Channel, Channel]) -> None:
    threading.Timer(0.05, ends[0].break_off).start()
    assert ends[0].wait(30)
    with pytest.raises(EOFError):
        ends[0].receive()


def test_a_wait_may_be_in_vain(ends: tuple[Channel, Channel]) -> None:
    assert ends[0].wait(0.01) is False


def test_what_cannot_be_pickled_is_refused_and_nothing_was_sent(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(SerializationError, match=r"the lock cannot be sent to another process: TypeError: .*lock"):
        ends[0].send(CALL, threading.Lock(), "the lock")
    assert through(ends, 1) == 1
