"""`entrepot limit`."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from entrepot.concurrency import concurrency, rate_limit, read_limits, set_limit
from entrepot.coordination.claims import standings
from entrepot.coordination.database import default_path
from entrepot_test_processes import until

from .conftest import Invoke


@contextmanager
def waiting(name: str) -> Iterator[None]:
    """Wait for a slot in another thread."""

    def work() -> None:
        with concurrency(name):
            pass

    thread = threading.Thread(target=work)
    before = len(standings(default_path()).get(name, []))
    thread.start()
    until(lambda: len(standings(default_path())[name]) > before)
    yield
    thread.join()


class TestLs:
    def test_without_limits_it_says_how_to_make_one(self, invoke: Invoke) -> None:
        found = invoke("limit", "ls")
        assert found.stdout == ""
        assert "no limits" in found.stderr
        assert "entrepot limit set NAME --limit N" in found.stderr
        assert invoke("limit", "ls", "--json").data == []

    def test_it_shows_who_holds_slots_and_how_many_wait(self, invoke: Invoke) -> None:
        set_limit("db", 2)
        set_limit("api", 10, slot_decay_per_second=0.5)
        set_limit("off", 1, active=False)
        rate_limit("api", 3)
        with concurrency("db", 2), waiting("db"):
            text = invoke("limit", "ls").stdout
            rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
            assert f"process {os.getpid()}" in rows["db"]
            assert rows["db"].split()[:5] == ["db", "2", "2", "1", "yes"]
            assert rows["api"].split()[:5] == ["api", "10", "3", "0.5/s", "yes"]
            assert rows["off"].split() == ["off", "1", "0", "no"]
            found = {row["name"]: row for row in invoke("limit", "ls", "--json").data}
            set_limit("db", 3)
        assert set(found["db"]) == {
            "name",
            "limit",
            "in_use",
            "slot_decay_per_second",
            "active",
            "holders",
            "waiting",
        }
        (holder,) = found["db"]["holders"]
        assert (holder["process_id"], holder["slots"]) == (os.getpid(), 2)
        assert len(found["db"]["waiting"]) == 1
        assert found["off"]["active"] is False


class TestShow:
    def test_one_limit(self, invoke: Invoke) -> None:
        set_limit("db", 1)
        with concurrency("db"), waiting("db"):
            text = invoke("limit", "show", "db").stdout
            data = invoke("limit", "show", "db", "--json").data
            set_limit("db", 2)
        assert "holds" in text
        assert "waits" in text
        assert data["in_use"] == 1

    def test_one_that_is_not_set_is_an_error_that_names_the_nearest(self, invoke: Invoke) -> None:
        set_limit("database", 1)
        for command in ("show", "rm", "release"):
            message = invoke("limit", command, "databse", exit_code=1).stderr
            assert "there is no limit 'databse'; did you mean 'database'?" in message


class TestSet:
    def test_a_new_one(self, invoke: Invoke) -> None:
        found = invoke("limit", "set", "db", "--limit", "5", "--decay-per-second", "2")
        assert found.stdout == ""
        assert found.stderr == "db has 5 slots; they come back at 2 a second\n"
        (limit,) = read_limits()
        assert (limit.slots, limit.decay, limit.active) == (5, 2.0, True)

    def test_what_is_not_given_stays(self, invoke: Invoke) -> None:
        invoke("limit", "set", "db", "-l", "5")
        assert "not active" in invoke("limit", "set", "db", "--inactive").stderr
        data = invoke("limit", "set", "db", "--active", "--json").data
        assert (data["limit"], data["active"]) == (5, True)

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            ((), "say how many slots it has, such as --limit 5"),
            (("--limit", "-1"), "a whole number from 0"),
            (("--limit", "1", "--decay-per-second", "-1"), "0 or more"),
        ],
    )
    def test_what_makes_no_sense_is_one_clear_error(self, args: tuple[str, ...], message: str, invoke: Invoke) -> None:
        assert message in invoke("limit", "set", "db", *args, exit_code=1).stderr


class TestRm:
    def test_it_is_removed(self, invoke: Invoke) -> None:
        set_limit("db", 1)
        set_limit("api", 1)
        assert "removed db" in invoke("limit", "rm", "db").stderr
        assert invoke("limit", "rm", "api", "--json").data == {"name": "api", "removed": True}
        assert read_limits() == []


class TestRelease:
    def hold_and_release(self, invoke: Invoke, *args: str) -> str:
        set_limit("db", 3)
        slots = concurrency("db", 2, strict=True)
        slots.acquire()
        found = invoke("limit", "release", "db", *args)
        assert standings(default_path()) == {}
        assert not slots.release()
        return found.stderr

    @pytest.mark.parametrize("args", [(), (str(os.getpid()),), ("--all",)])
    def test_the_slots_of_a_holder_are_free_and_it_is_told(self, args: tuple[str, ...], invoke: Invoke) -> None:
        text = self.hold_and_release(invoke, *args)
        assert f"freed 2 slots of db, held by process {os.getpid()}" in text
        assert "warning: the code that held them goes on" in text

    def test_of_several_one_has_to_be_named(self, invoke: Invoke) -> None:
        set_limit("db", 3)
        with concurrency("db"), concurrency("db"):
            assert "2 hold slots of 'db'" in invoke("limit", "release", "db", exit_code=1).stderr
            first, second = standings(default_path())["db"]
            (freed,) = invoke("limit", "release", "db", first.claim_id[:10], "--json").data
            assert freed["claim_id"] == first.claim_id
            assert [one.claim_id for one in standings(default_path())["db"]] == [second.claim_id]

    def test_nobody_to_release_is_an_error(self, invoke: Invoke) -> None:
        set_limit("db", 1)
        assert "nobody holds slots of 'db'" in invoke("limit", "release", "db", exit_code=1).stderr
        with concurrency("db"):
            message = invoke("limit", "release", "db", "999999999", exit_code=1).stderr
        assert "nobody called '999999999' holds slots" in message


def test_the_help_shows_examples(invoke: Invoke) -> None:
    assert "entrepot limit set db --limit 5" in invoke("limit", "--help").stdout
    for command in ("ls", "show", "set", "rm", "release"):
        assert f"entrepot limit {command}" in invoke("limit", command, "--help").stdout


def test_names_cannot_steer_the_terminal(invoke: Invoke) -> None:
    assert "cannot be the name" in invoke("limit", "set", "\x1b[31mdb", "--limit", "1", exit_code=1).stderr
