"""What this process holds is renewed while it does, and given back when its owner is gone."""

import gc
import logging
import time
import uuid
from pathlib import Path

import pytest

from entrepot.coordination import heartbeat
from entrepot.coordination.claims import Request, attempt, standings
from entrepot.coordination.database import default_path, reading
from entrepot.coordination.heartbeat import Held, hold, let_go
from entrepot.coordination.limits import set_limit
from entrepot.errors import StorageUnreachableError
from entrepot_test_processes import until

pytestmark = pytest.mark.usefixtures("own_heart")


class Owner:
    pass


def held(seconds: float = 1.0) -> Held:
    set_limit("db", 5)
    request = Request(uuid.uuid4().hex, {"db": 1}, seconds=seconds)
    attempt(default_path(), request)
    return Held(default_path(), request.claim_id, seconds, "the slots of 'db'", granted=True)


def expires(one: Held) -> float:
    with reading() as connection:
        assert connection is not None
        return connection.execute("SELECT expires FROM claims WHERE claim_id = ?", (one.name,)).fetchone()[0]


def is_renewed(one: Held) -> None:
    """Wait until it is, once more."""
    before = expires(one)
    until(lambda: expires(one) > before)


def test_a_lease_is_renewed_until_it_is_let_go() -> None:
    one, other = held(), held()
    hold(one)
    hold(other)
    for _ in range(2):
        is_renewed(one)
    let_go(one)
    is_renewed(other)  # one thread renews all: what it was about to do for the first is done
    after = expires(one)
    for _ in range(2):
        is_renewed(other)
    assert expires(one) == after
    let_go(other)


def test_a_short_lease_is_renewed_beside_long_ones_and_not_only_when_it_is_their_turn() -> None:
    long, short = held(3600), held(1)
    hold(long)
    until(lambda: heartbeat._heart._next > time.monotonic() + 600)  # the thread is about to sleep for as long
    hold(short)
    for _ in range(2):
        is_renewed(short)
    let_go(long)
    let_go(short)


def test_what_has_lost_its_owner_is_given_back() -> None:
    owner, one = Owner(), held(3600)
    hold(one, owner)
    assert len(standings(default_path())["db"]) == 1
    del owner
    gc.collect()
    until(lambda: standings(default_path()) == {})
    until(lambda: one not in heartbeat._heart._held)


def test_what_was_let_go_is_not_given_back_by_its_owner() -> None:
    owner, one = Owner(), held(3600)
    hold(one, owner)
    let_go(one)
    del owner
    gc.collect()
    time.sleep(0.1)
    assert len(standings(default_path())["db"]) == 1


def test_the_thread_ends_when_nothing_is_held_and_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "_LINGERS", 0.05)
    heart = heartbeat._heart
    for _ in range(2):
        one = held()
        hold(one)
        assert heart._thread is not None
        let_go(one)
        heart._messages.put(None)
        until(lambda: heart._thread is None)


def test_trouble_with_the_file_is_said_once_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[int] = []

    def fail(*_: object) -> set[str]:
        tries.append(1)
        raise StorageUnreachableError("another program keeps it locked", location="x")

    one = held()
    with monkeypatch.context() as patch:
        patch.setattr(heartbeat, "renew", fail)
        hold(one)
        until(lambda: len(tries) >= 3)
    before = expires(one)
    until(lambda: expires(one) > before)
    let_go(one)
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == ["leases cannot be renewed, and may be lost: another program keeps it locked"]


def test_a_home_that_was_removed_is_not_made_again_at_the_end(tmp_path: Path) -> None:
    heartbeat._heart.paths.add(tmp_path / "gone" / "state.db")
    heartbeat._at_exit()
    assert not (tmp_path / "gone").exists()
