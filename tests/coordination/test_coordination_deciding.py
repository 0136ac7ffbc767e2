"""Who gets slots: the pure decision, by examples and by laws."""

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.coordination.deciding import Claim, Limit, decide
from entrepot.testing.fakes import FrozenClock


def limits(**slots: int) -> dict[str, Limit]:
    return {name: Limit(name, count) for name, count in slots.items()}


def waits(number: int, around: str = "", **wants: int) -> Claim:
    return Claim(f"c{number}", number, wants, around=frozenset(around.split()))


def holds(number: int, around: str = "", **wants: int) -> Claim:
    return replace(waits(number, around, **wants), granted=True)


class TestSlots:
    def test_what_is_free_is_given(self) -> None:
        assert decide(waits(2, db=1), [holds(1, db=1)], limits(db=2), 0).granted

    def test_what_is_not_free_is_not(self) -> None:
        verdict = decide(waits(2, db=2), [holds(1, db=1)], limits(db=2), 0)
        assert not verdict.granted
        assert verdict.short == ("db",)
        assert verdict.seconds is None

    def test_all_limits_or_none(self) -> None:
        verdict = decide(waits(2, db=1, api=1), [holds(1, api=1)], limits(db=5, api=1), 0)
        assert not verdict.granted
        assert verdict.short == ("api",)

    @pytest.mark.parametrize("known", [{}, {"db": Limit("db", 0, active=False)}])
    def test_a_limit_that_is_not_set_or_not_active_limits_nothing(self, known: dict[str, Limit]) -> None:
        assert decide(waits(2, db=9), [holds(1, db=9)], known, 0).granted

    def test_a_limit_of_nothing_lets_nobody_in(self) -> None:
        assert not decide(waits(1, db=1), [], limits(db=0), 0).granted

    def test_after_a_limit_was_lowered_nobody_gets_in_before_there_is_room(self) -> None:
        held = [holds(1, db=1), holds(2, db=1), holds(3, db=1)]
        assert not decide(waits(4, db=1), held, limits(db=2), 0).granted
        assert not decide(waits(4, db=1), held[1:], limits(db=2), 0).granted
        assert decide(waits(4, db=1), held[2:], limits(db=2), 0).granted


class TestOrder:
    def test_who_came_first_goes_first(self) -> None:
        claims = [holds(1, db=1), waits(2, db=2), waits(3, db=1)]
        assert not decide(claims[2], claims, limits(db=2), 0).granted  # though there is a slot
        assert decide(claims[2], claims, limits(db=2), 0).ahead == 1

    def test_where_there_is_room_for_both_the_second_need_not_wait_for_the_first_to_ask_again(self) -> None:
        assert decide(waits(3, db=1), [holds(1, db=1), waits(2, db=1)], limits(db=3), 0).granted

    def test_queues_of_different_limits_have_nothing_to_do_with_each_other(self) -> None:
        assert decide(waits(2, api=1), [holds(3, db=1), waits(1, db=1)], limits(db=1, api=1), 0).granted

    @pytest.mark.parametrize("slots", [0, 2])
    def test_who_can_never_be_served_keeps_nobody_waiting(self, slots: int) -> None:
        claims = [waits(1, db=3, api=1)]
        assert decide(waits(2, api=1), claims, limits(db=slots, api=1), 0).granted

    def test_a_large_claim_is_not_starved_by_small_ones(self) -> None:
        known = limits(db=4)
        claims = {number: holds(number, db=1) for number in range(4)}
        large = waits(4, db=4)
        for number in range(5, 50):  # one leaves, one comes, again and again
            claims.pop(number - 5, None)
            small = waits(number, db=1)
            everybody = [*claims.values(), large]
            if decide(large, everybody, known, 0).granted:
                break
            assert not decide(small, everybody, known, 0).granted
        assert number == 8  # the four that it found have left


class TestCircles:
    def test_who_holds_what_the_first_one_waits_for_goes_before_it(self) -> None:
        claims = [holds(1, b=1), waits(2, a=1, b=1)]  # the second keeps a for itself, and waits for the holder of b
        assert decide(waits(3, "c1", a=1), claims, limits(a=1, b=1), 0).granted
        assert not decide(waits(3, a=1), claims, limits(a=1, b=1), 0).granted

    def test_through_others_too(self) -> None:
        # 5 holds d and wants a; 2 keeps a, and waits for b, which the code around 4 holds; that waits for 3, which came
        # earlier and waits for d.
        claims = [holds(0, d=1), holds(1, b=1), waits(2, a=1, b=1), waits(3, c=1, d=1), waits(4, "c1", c=1)]
        known = limits(a=1, b=1, c=1, d=1)
        assert decide(waits(5, "c0", a=1), claims, known, 0).granted
        assert not decide(waits(5, a=1), claims, known, 0).granted

    def test_holding_something_that_nobody_waits_for_is_no_way_past_others(self) -> None:
        claims = [holds(1, b=1), holds(2, a=1), waits(3, a=2)]
        assert not decide(waits(4, "c1", a=1), claims, limits(a=2, b=1), 0).granted


class TestRates:
    def test_slots_come_back_by_themselves(self) -> None:
        limit = Limit("api", 2, decay=0.5).taken(2, 10)
        assert [limit.level_now(now) for now in (10, 11, 14, 99)] == [2, 1.5, 0, 0]
        assert not decide(waits(1, api=1), [], {"api": limit}, 11).granted
        assert decide(waits(1, api=1), [], {"api": limit}, 12).granted

    def test_it_is_known_when(self) -> None:
        limit = Limit("api", 2, decay=0.5).taken(2, 10)
        assert decide(waits(1, api=1), [], {"api": limit}, 11).seconds == pytest.approx(1)
        assert decide(waits(2, api=1), [waits(1, api=1)], {"api": limit}, 11).seconds == pytest.approx(3)

    def test_when_a_slot_is_held_nobody_knows_when(self) -> None:
        limit = Limit("api", 1, decay=0.5)
        assert decide(waits(2, api=1), [holds(1, api=1)], {"api": limit}, 0).seconds is None

    def test_a_clock_that_went_back_gives_nothing_back_early(self) -> None:
        limit = Limit("api", 2, decay=1).taken(2, 1000)
        assert limit.level_now(5) == 2
        assert limit.taken(0, 5).level_now(6) == 1

    @settings(max_examples=200)
    @given(
        slots=st.integers(1, 6),
        decay=st.floats(0.01, 50),
        steps=st.lists(st.tuples(st.floats(0, 3), st.integers(1, 6)), max_size=40),
    )
    def test_in_no_span_of_time_are_more_given_than_there_are_and_came_back(
        self, slots: int, decay: float, steps: list[tuple[float, int]]
    ) -> None:
        clock = FrozenClock()
        limit = Limit("api", slots, decay)
        given_out: list[tuple[float, int]] = []
        for number, (pause, wanted) in enumerate(steps):
            clock.advance(pause)
            if decide(waits(number, api=wanted), [], {"api": limit}, clock.monotonic()).granted:
                limit = limit.taken(wanted, clock.monotonic())
                given_out.append((clock.monotonic(), wanted))
        for first, last in itertools.combinations_with_replacement(range(len(given_out)), 2):
            span = given_out[last][0] - given_out[first][0]
            total = sum(count for _, count in given_out[first : last + 1])
            assert total <= slots + decay * span + 1e-6

    @given(slots=st.integers(1, 5), decay=st.floats(0.1, 20), wanted=st.lists(st.integers(1, 5), max_size=20))
    def test_who_waits_as_long_as_it_is_told_gets_in(self, slots: int, decay: float, wanted: list[int]) -> None:
        clock = FrozenClock()
        limit = Limit("api", slots, decay)
        for number, count in enumerate(wanted):
            claim = waits(number, api=min(count, slots))
            verdict = decide(claim, [], {"api": limit}, clock.monotonic())
            if not verdict.granted:
                assert verdict.seconds is not None
                clock.advance(verdict.seconds + 1e-6)  # this clock counts whole microseconds
            assert decide(claim, [], {"api": limit}, clock.monotonic()).granted
            limit = limit.taken(claim.wants["api"], clock.monotonic())


# --- many at once -----------------------------------------------------------------------------------------------------

NAMES = "abcd"


@dataclass
class Actor:
    """Code that takes slots, one `with` inside the other, and leaves them again.

    The limits of each are later in the alphabet than those of the ones around it, so that there is no deadlock but one
    that the decision itself made.
    """

    script: list[Mapping[str, int]]
    held: list[str] = field(default_factory=list)
    waiting: str | None = None

    @property
    def is_done(self) -> bool:
        return not self.script and not self.held


@st.composite
def scripts(draw: st.DrawFn) -> list[Mapping[str, int]]:
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1).map(sorted))
    script = []
    while names:
        count = draw(st.integers(1, len(names)))
        script.append({name: draw(st.integers(1, 2)) for name in names[:count]})
        names = names[count:]
    return script


@settings(max_examples=150, deadline=None)
@given(
    actors=st.lists(scripts(), min_size=2, max_size=7),
    slots=st.fixed_dictionaries({name: st.integers(2, 3) for name in NAMES}),
    chance=st.randoms(use_true_random=False),
)
def test_limits_hold_nobody_is_passed_over_and_everybody_gets_through(
    actors: list[list[Mapping[str, int]]], slots: dict[str, int], chance: random.Random
) -> None:
    known = limits(**slots)
    numbers = itertools.count(1)
    claims: dict[str, Claim] = {}
    todo = [Actor(list(script)) for script in actors]
    while any(not actor.is_done for actor in todo):
        progress = False
        for actor in chance.sample(todo, len(todo)):
            if actor.is_done:
                continue
            if actor.script:
                if actor.waiting is None:
                    number = next(numbers)
                    actor.waiting = f"c{number}"
                    claims[actor.waiting] = Claim(actor.waiting, number, actor.script[0], around=frozenset(actor.held))
                    progress = True
                claim = claims[actor.waiting]
                if decide(claim, list(claims.values()), known, 0).granted:
                    check_order(claim, claims, slots)
                    claims[claim.claim_id] = replace(claim, granted=True)
                    actor.held.append(claim.claim_id)
                    actor.script.pop(0)
                    actor.waiting = None
                    progress = True
            elif chance.random() < 0.5:
                del claims[actor.held.pop()]
                progress = True
            else:
                progress = True  # it works on
            for name in NAMES:
                assert sum(one.wants.get(name, 0) for one in claims.values() if one.granted) <= slots[name]
        assert progress, f"nobody gets on: {claims}"


def check_order(claim: Claim, claims: Mapping[str, Claim], slots: Mapping[str, int]) -> None:
    """Check that who holds nothing takes nothing from those who came before it."""
    if claim.around:
        return
    for name in claim.wants:
        earlier = [one for one in claims.values() if name in one.wants and (one.granted or one.number <= claim.number)]
        assert sum(one.wants[name] for one in earlier) <= slots[name]
