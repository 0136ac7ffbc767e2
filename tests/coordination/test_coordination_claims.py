"""Claims in the shared file: granted, kept, renewed, ended and given back, by a clock that a test moves."""

import itertools
import json
import os
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.coordination import claims as claims_module
from entrepot.coordination.claims import Answer, Request, _decided, attempt, standings, withdraw
from entrepot.coordination.database import default_path, reading, writing
from entrepot.coordination.deciding import Claim, Limit, decide
from entrepot.coordination.leases import renew
from entrepot.coordination.limits import read_limits, remove_limit, set_limit
from entrepot.coordination.liveness import known_processes, process_token
from entrepot.errors import LimitError
from entrepot.testing.fakes import FrozenClock
from entrepot_test_processes import Program


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


def request(*, rate: bool = False, around: tuple[str, ...] = (), seconds: float = 30, **wants: int) -> Request:
    return Request(uuid.uuid4().hex, wants, rate=rate, around=around, seconds=seconds, run_id="r1", run_name="otter")


def ask(wanted: Request, clock: FrozenClock) -> Answer:
    return attempt(default_path(), wanted, clock=clock)


def claims() -> list[str]:
    with reading() as connection:
        return (
            []
            if connection is None
            else [row[0] for row in connection.execute("SELECT claim_id FROM claims ORDER BY number")]
        )


class TestGranting:
    def test_slots_are_given_until_there_are_none_and_again_when_they_are_back(self, clock: FrozenClock) -> None:
        set_limit("db", 2, clock=clock)
        first, second, third = (request(db=1) for _ in range(3))
        assert ask(first, clock).granted
        assert ask(second, clock).granted
        assert not ask(third, clock).granted
        assert withdraw(default_path(), first.claim_id)
        assert ask(third, clock).granted
        assert claims() == [second.claim_id, third.claim_id]

    def test_who_is_refused_is_told_what_is_in_the_way(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        holder = request(db=1)
        ask(holder, clock)
        ask(request(db=1), clock)
        answer = ask(request(db=1), clock)
        assert answer.ahead == 1
        (slots, (standing,)) = answer.short["db"]
        assert slots == 1
        assert standing.claim_id == holder.claim_id
        assert (standing.process_id, standing.host) == (os.getpid(), os.uname().nodename)
        assert (standing.run_id, standing.run_name) == ("r1", "otter")
        assert standing.since == clock.now()
        assert str(standing) == f"process {os.getpid()} (run 'otter')"

    def test_asking_again_keeps_the_place(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        holder, first, second = (request(db=1) for _ in range(3))
        for one in (holder, first, second, first, second):
            ask(one, clock)
        withdraw(default_path(), holder.claim_id)
        assert not ask(second, clock).granted
        assert ask(first, clock).granted

    def test_what_nothing_limits_leaves_nothing(self, clock: FrozenClock) -> None:
        set_limit("db", 1, active=False, clock=clock)
        for rate in (True, False):
            answer = ask(request(db=1, other=1, rate=rate), clock)
            assert (answer.granted, list(answer.limited)) == (True, [])
        assert claims() == []

    def test_who_waits_for_a_limit_that_is_removed_is_let_in(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        ask(request(db=1), clock)
        waiting = request(db=1)
        assert not ask(waiting, clock).granted
        assert remove_limit("db")
        assert ask(waiting, clock).granted
        assert waiting.claim_id not in claims()

    def test_more_than_there_is_is_an_error_and_keeps_no_place(self, clock: FrozenClock) -> None:
        set_limit("db", 2, clock=clock)
        with pytest.raises(LimitError, match=r"3 slots of 'db' were asked for, and it has 2; .*--limit 3") as caught:
            ask(request(db=3), clock)
        assert caught.value.name == "db"
        assert claims() == []

    def test_a_limit_that_is_lowered_below_what_somebody_waits_for_is_an_error_for_them(
        self, clock: FrozenClock
    ) -> None:
        set_limit("db", 2, clock=clock)
        ask(request(db=2), clock)
        waiting = request(db=2)
        assert not ask(waiting, clock).granted
        set_limit("db", 1, clock=clock)
        with pytest.raises(LimitError, match="has 1"):
            ask(waiting, clock)
        assert waiting.claim_id not in claims()

    def test_a_closed_limit_is_waited_for(self, clock: FrozenClock) -> None:
        set_limit("db", 0, clock=clock)
        waiting = request(db=2)
        assert not ask(waiting, clock).granted
        set_limit("db", 2, clock=clock)
        assert ask(waiting, clock).granted

    def test_withdrawing_twice_is_told(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        holder = request(db=1)
        ask(holder, clock)
        assert withdraw(default_path(), holder.claim_id)
        assert not withdraw(default_path(), holder.claim_id)
        with reading() as connection:
            assert connection is not None
            assert connection.execute("SELECT count(*) FROM claimed").fetchone() == (0,)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    others=st.lists(
        st.tuples(
            st.booleans(),
            st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), min_size=1),
            st.lists(st.integers(0, 40), max_size=2),
        ),
        max_size=40,
    ),
    wants=st.dictionaries(st.sampled_from("abc"), st.integers(1, 2), min_size=1),
    around=st.lists(st.integers(0, 40), max_size=1),
    slots=st.fixed_dictionaries({name: st.integers(0, 40) for name in "abc"}),
)
def test_what_is_read_from_the_file_decides_as_all_of_it_would(
    others: list[tuple[bool, dict[str, int], list[int]]],
    wants: dict[str, int],
    around: list[int],
    slots: dict[str, int],
) -> None:
    known = {name: Limit(name, count) for name, count in slots.items()}
    everybody = [
        Claim(f"c{number}", number, theirs, granted, frozenset(f"c{one}" for one in inside if one < number))
        for number, (granted, theirs, inside) in enumerate(others)
    ]
    claim = Claim("me", len(everybody), wants, around=frozenset(f"c{one}" for one in around))
    with writing() as connection:
        connection.execute("DELETE FROM claims")
        for one in everybody:
            connection.execute(
                "INSERT INTO claims VALUES (?, ?, ?, 0, '', 0, '', NULL, NULL, ?, '', 0, 0)",
                (one.number, one.claim_id, one.granted, json.dumps(sorted(one.around))),
            )
            for name, count in one.wants.items():
                connection.execute("INSERT INTO claimed VALUES (?, ?, ?)", (name, one.claim_id, count))
        found = _decided(connection, claim, known, 0)
    wanted = decide(claim, everybody, known, 0)
    assert found.granted == wanted.granted
    assert bool(found.ahead) == bool(wanted.ahead)


class TestLeases:
    def test_a_lease_that_is_not_renewed_ends_when_somebody_comes(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        holder, waiting = request(db=1, seconds=30), request(db=1)
        ask(holder, clock)
        for _ in range(5):
            clock.advance(5.9)
            assert not ask(waiting, clock).granted
        clock.advance(0.6)
        assert ask(waiting, clock).granted
        assert not withdraw(default_path(), holder.claim_id)

    def test_one_that_is_renewed_does_not(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        holder = request(db=1, seconds=30)
        ask(holder, clock)
        for _ in range(10):
            clock.advance(20)
            assert renew(default_path(), [holder.claim_id, "other"], clock=clock) == {holder.claim_id}
            assert not ask(request(db=1), clock).granted

    def test_one_that_ended_while_nobody_came_goes_on(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        set_limit("api", 1, clock=clock)
        holder = request(db=1, seconds=30)
        ask(holder, clock)
        clock.advance(100)
        for _ in range(2):  # the second is refused, and looks who is in its way: not that one
            ask(request(api=1), clock)
        assert renew(default_path(), [holder.claim_id], clock=clock) == {holder.claim_id}
        assert not ask(request(db=1), clock).granted

    def test_a_place_in_the_queue_ends_too(self, clock: FrozenClock) -> None:
        set_limit("db", 2, clock=clock)
        ask(request(db=1), clock)
        ask(request(db=2), clock)  # and is never heard of again
        small = request(db=1)
        assert not ask(small, clock).granted
        clock.advance(14)
        assert not ask(small, clock).granted
        clock.advance(2)
        assert ask(small, clock).granted

    def test_whose_place_ended_comes_last(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        holder, silent, patient = request(db=1), request(db=1), request(db=1)
        for one in (holder, silent, patient):
            ask(one, clock)
        for _ in range(3):
            clock.advance(8)
            ask(patient, clock)
        ask(silent, clock)
        withdraw(default_path(), holder.claim_id)
        assert not ask(silent, clock).granted
        assert ask(patient, clock).granted

    def test_after_the_machine_was_started_anew_old_leases_count_no_more(self, clock: FrozenClock) -> None:
        set_limit("db", 1, clock=clock)
        clock.advance(1_000_000)
        ask(request(db=1), clock)
        assert ask(request(db=1), FrozenClock()).granted  # its clock began at 0


class TestTheDead:
    def test_what_a_killed_process_held_is_free_at_once_and_so_is_its_place(
        self, clock: FrozenClock, start_program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(claims_module, "WAITING_SECONDS", 3600)  # it is for its death that all of it goes
        set_limit("db", 1, clock=clock)
        program = start_program(
            "from entrepot.coordination import claims\n"
            "from entrepot.coordination.claims import Request, attempt\n"
            "from entrepot.coordination.database import default_path\n"
            "claims.WAITING_SECONDS = 3600\n"
            "assert attempt(default_path(), Request('a', {'db': 1}, seconds=3600)).granted\n"
            "assert not attempt(default_path(), Request('b', {'db': 1}, seconds=3600)).granted\n"
            "print('ready')\n"
            "input()\n"
        )
        program.says("ready")
        waiting = request(db=1)
        assert not attempt(default_path(), waiting).granted
        assert [one.claim_id for one in standings(default_path())["db"]] == ["a", "b", waiting.claim_id]
        program.kill()
        assert [one.claim_id for one in standings(default_path())["db"]] == [waiting.claim_id]
        assert attempt(default_path(), waiting).granted
        assert claims() == [waiting.claim_id]
        assert known_processes(default_path().parent) == [process_token(default_path().parent)]

    def test_files_of_processes_that_died_without_claims_are_swept(
        self, clock: FrozenClock, start_program: Callable[..., Program]
    ) -> None:
        home = default_path().parent
        program = start_program(
            "from entrepot.coordination.database import default_path\n"
            "from entrepot.coordination.liveness import process_token\n"
            "print(process_token(default_path().parent)[:0] or 'ready')\n"
            "input()\n"
        )
        program.says("ready")
        program.kill()
        assert len(known_processes(home)) == 1
        set_limit("db", 1, clock=clock)
        ask(request(db=1), clock)
        assert known_processes(home) == [process_token(home)]


class TestRates:
    def test_slots_come_back_at_the_rate_and_are_not_held(self, clock: FrozenClock) -> None:
        set_limit("api", 2, slot_decay_per_second=0.5, clock=clock)
        assert ask(request(api=2, rate=True), clock).granted
        assert claims() == []
        waiting = request(api=1, rate=True)
        answer = ask(waiting, clock)
        assert not answer.granted
        assert answer.seconds == pytest.approx(2)
        clock.advance(1.5)
        assert ask(waiting, clock).seconds == pytest.approx(0.5)
        clock.advance(0.5)
        assert ask(waiting, clock).granted

    def test_a_limit_without_a_rate_has_none(self, clock: FrozenClock) -> None:
        set_limit("api", 2, clock=clock)
        with pytest.raises(LimitError, match=r"no rate.*--decay-per-second"):
            ask(request(api=1, rate=True), clock)

    def test_all_rates_or_none_are_taken(self, clock: FrozenClock) -> None:
        set_limit("api", 1, slot_decay_per_second=1, clock=clock)
        set_limit("bulk", 5, slot_decay_per_second=1, clock=clock)
        ask(request(api=1, rate=True), clock)
        assert not ask(request(api=1, bulk=1, rate=True), clock).granted
        assert {limit.name: limit.level for limit in read_limits()} == {"api": 1, "bulk": 0}

    def test_a_limit_can_be_held_too_and_then_both_count(self, clock: FrozenClock) -> None:
        set_limit("api", 2, slot_decay_per_second=1, clock=clock)
        holder = request(api=1)
        assert ask(holder, clock).granted
        assert ask(request(api=1, rate=True), clock).granted
        clock.advance(0.5)
        refused = request(api=1, rate=True)
        assert ask(refused, clock).seconds is None
        clock.advance(0.5)
        assert ask(refused, clock).granted

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(
        slots=st.integers(1, 4),
        decay=st.sampled_from([0.2, 1.0, 3.0]),
        steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 4), st.booleans()), min_size=1, max_size=15),
    )
    def test_no_span_of_time_sees_more_than_its_share_though_the_limit_is_set_again_meanwhile(
        self, slots: int, decay: float, steps: list[tuple[float, int, bool]]
    ) -> None:
        clock = FrozenClock()
        name = uuid.uuid4().hex
        set_limit(name, slots, slot_decay_per_second=decay, clock=clock)
        granted: list[tuple[float, int]] = []
        for pause, count, sets in steps:
            clock.advance(pause)
            if sets:
                set_limit(name, slots, slot_decay_per_second=decay, clock=clock)
            wanted = Request(uuid.uuid4().hex, {name: min(count, slots)}, rate=True)
            if ask(wanted, clock).granted:
                granted.append((clock.monotonic(), min(count, slots)))
            else:
                withdraw(default_path(), wanted.claim_id)
        for first, last in itertools.combinations_with_replacement(range(len(granted)), 2):
            span = granted[last][0] - granted[first][0]
            assert sum(count for _, count in granted[first : last + 1]) <= slots + decay * span + 1e-6


class TestSettingLimits:
    def test_what_is_not_given_stays(self, clock: FrozenClock) -> None:
        set_limit("api", 5, slot_decay_per_second=2, clock=clock)
        set_limit("api", active=False, clock=clock)
        limit = set_limit("api", 6, clock=clock)
        assert (limit.slots, limit.decay, limit.active) == (6, 2.0, False)
        assert [one.name for one in read_limits()] == ["api"]

    def test_what_is_out_comes_back_at_the_rate_of_its_time(self, clock: FrozenClock) -> None:
        set_limit("api", 10, slot_decay_per_second=1, clock=clock)
        ask(request(api=10, rate=True), clock)
        clock.advance(4)
        assert set_limit("api", slot_decay_per_second=2, clock=clock).level == pytest.approx(6)
        clock.advance(1)
        (limit,) = read_limits()
        assert limit.level_now(clock.monotonic()) == pytest.approx(4)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"limit": -1}, "a whole number from 0"),
            ({"limit": 1.5}, "a whole number from 0"),
            ({"limit": True}, "a whole number from 0"),
            ({"limit": 1, "slot_decay_per_second": -1}, "0 or more"),
            ({"limit": 1, "slot_decay_per_second": float("inf")}, "0 or more"),
            ({"limit": 1, "slot_decay_per_second": float("nan")}, "0 or more"),
            ({"limit": 1, "slot_decay_per_second": "2"}, "0 or more"),
            ({}, "there is no limit 'db' yet: say how many slots"),
        ],
    )
    def test_numbers_that_make_no_sense_are_refused(self, arguments: dict[str, object], message: str) -> None:
        with pytest.raises(LimitError, match=message):
            set_limit("db", **arguments)
        assert read_limits() == []

    @pytest.mark.parametrize("name", ["", " db", "db\n", "d\0b", "x" * 201, 5, None])
    def test_names_that_nobody_could_read_are_refused(self, name: str) -> None:
        with pytest.raises(LimitError, match="cannot be the name of a limit"):
            set_limit(name, 1)

    def test_names_may_be_of_any_language(self) -> None:
        set_limit("tag:데이터 센터", 1)
        assert [limit.name for limit in read_limits()] == ["tag:데이터 센터"]

    def test_removing_says_whether_there_was_one(self) -> None:
        set_limit("db", 1)
        assert remove_limit("db")
        assert not remove_limit("db")


def test_times_for_people_are_in_utc() -> None:
    set_limit("db", 1)
    attempt(default_path(), request(db=1))
    (standing,) = standings(default_path())["db"]
    assert standing.since.tzinfo is not None
    assert abs((datetime.now(UTC) - standing.since).total_seconds()) < 60


def test_who_looks_where_nobody_was_makes_nothing(entrepot_home: Path) -> None:
    assert standings(default_path()) == {}
    assert read_limits() == []
    assert not entrepot_home.exists()
