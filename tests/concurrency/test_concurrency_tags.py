"""Limits by tag: found when they are set, and nearly free when they are not."""

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from entrepot.concurrency import Slots, remove_limit, set_limit, tag_slots
from entrepot.concurrency import tags as tags_module
from entrepot.coordination import limits
from entrepot.coordination.claims import standings
from entrepot.coordination.database import default_path
from entrepot.errors import LimitTimeoutError
from entrepot.settings import home_folder


def test_only_tags_with_a_limit_have_slots() -> None:
    assert tag_slots(["eu", "heavy"]) is None
    set_limit("tag:heavy", 1)
    set_limit("eu", 1)  # of another kind: for concurrency("eu")
    assert tag_slots(["eu"]) is None
    assert tag_slots([]) is None
    slots = tag_slots({"eu", "heavy"})
    assert slots is not None
    with slots:
        assert [one.granted for one in standings(default_path())["tag:heavy"]] == [True]
    assert tag_slots(["heavy"], home=home_folder()) is not None


def test_changes_are_seen_at_once() -> None:
    for _ in range(5):
        set_limit("tag:heavy", 1)
        assert tag_slots(["heavy"]) is not None
        set_limit("tag:heavy", active=False)
        assert tag_slots(["heavy"]) is None
        set_limit("tag:heavy", active=True)
        assert tag_slots(["heavy"]) is not None
        remove_limit("tag:heavy")
        assert tag_slots(["heavy"]) is None


def test_changes_of_other_processes_too() -> None:
    set_limit("db", 1)
    assert tag_slots(["heavy"]) is None
    code = "from entrepot.concurrency import {0}; {0}('tag:heavy'{1})"
    subprocess.run([sys.executable, "-c", code.format("set_limit", ", 1")], check=True)
    assert tag_slots(["heavy"]) is not None
    subprocess.run([sys.executable, "-c", code.format("remove_limit", "")], check=True)
    assert tag_slots(["heavy"]) is None


def test_the_file_is_read_again_only_when_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    real = limits.read_limits
    monkeypatch.setattr(limits, "read_limits", lambda **options: (reads.append(1), real(**options))[1])
    for _ in range(100):
        assert tag_slots(["heavy"]) is None
    assert reads == []  # there is no file
    set_limit("db", 1)
    deadline = time.monotonic() + 120
    while tags_module._known is None or tags_module._known[0] != str(default_path()):
        assert tag_slots(["heavy"]) is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert tag_slots(["heavy"]) is None  # reading makes companions of the file, once
    reads.clear()
    for _ in range(100):
        assert tag_slots(["heavy"]) is None
    assert len(reads) <= 1
    set_limit("tag:heavy", 1)
    assert tag_slots(["heavy"]) is not None


def test_without_limits_no_database_and_no_loop_are_loaded() -> None:
    code = (
        "import sys\n"
        "from entrepot.concurrency import concurrency, rate_limit, tag_slots\n"
        "assert tag_slots(['heavy']) is None\n"
        "concurrency('db')\n"
        "assert not {'sqlite3', 'asyncio', 'concurrent.futures'} & set(sys.modules), 'loaded'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_limits_that_cannot_be_read_limit_nothing_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    default_path().parent.mkdir()
    default_path().write_bytes(b"this is no database at all, " * 200)
    for _ in range(3):
        assert tag_slots(["heavy"]) is None
    assert ["limits by tag limit nothing for now" in record.getMessage() for record in caplog.records] == [True]
    default_path().unlink()
    set_limit("tag:heavy", 1)
    assert tag_slots(["heavy"]) is not None


def test_as_the_engine_uses_them() -> None:
    set_limit("tag:heavy", 1)
    told: list[str] = []
    slots, others = tag_slots(["heavy"]), tag_slots(["heavy"])
    assert slots is not None
    assert others is not None
    slots.acquire(on_wait=told.append)
    waiting = threading.Thread(target=lambda: asyncio.run(others.aacquire(on_wait=told.append)))
    waiting.start()
    while not told:
        time.sleep(0.01)
    assert "slots of 'tag:heavy' are in use" in told[0]
    with pytest.raises(LimitTimeoutError):
        Slots(["tag:heavy"], timeout_seconds=0).acquire()
    assert slots.release()
    waiting.join(60)
    assert asyncio.run(others.arelease())
    assert standings(default_path()) == {}
