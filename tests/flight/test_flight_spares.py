"""Who computes a result again before it expires may die elsewhere: who uses the old one meanwhile finds that out."""

from pathlib import Path

import pytest

from entrepot.results import watching
from entrepot.results.claims import Claim, seal_claim
from entrepot_test_flights import PATH, One
from entrepot_test_results import RING, Kept


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    watching._seen.clear()
    return clock


def elsewhere(kept: Kept, beat: int, holder: str = "f" * 32) -> None:
    """Put the claim of a process of another machine on top of what is kept, or renew it."""
    content, tag = kept.storage.get_tagged(PATH)  # type: ignore[attr-defined]
    below = watching.standing_in(bytes(content)) or bytes(content)
    claim = Claim(holder, beat=beat, seconds=30.0, run="theirs")
    kept.storage.swap(PATH, seal_claim(claim, RING, path=PATH, standing=below), tag)  # type: ignore[attr-defined]


def computes(kept: Kept, home: Path, number: int) -> bool:
    """Let another run of this process look, to whom the result is old; return whether it is to compute it."""
    one = One(kept, home, f"run {number}")
    found = one.look(is_early=lambda _: True)
    if found is None:
        assert one.flight.spare is not None
        assert one.commit("new", replace=True) is not None
    else:
        assert found.value == "old"
    one.flight.let_go()
    return found is None


def kept_under_a_claim() -> Kept:
    kept = Kept()
    kept.write("key", "old", "json")
    elsewhere(kept, 0)
    return kept


def test_when_a_claim_showed_no_sign_of_life_for_its_time_the_next_run_takes_it_over(
    tmp_path: Path, clock: Clock
) -> None:
    kept = kept_under_a_claim()
    assert not computes(kept, tmp_path, 1)
    clock.now += 29
    assert not computes(kept, tmp_path, 2)
    clock.now += 1
    assert computes(kept, tmp_path, 3)
    assert One(kept, tmp_path, "last").value() == "new"


def test_signs_of_life_begin_the_time_anew(tmp_path: Path, clock: Clock) -> None:
    kept = kept_under_a_claim()
    for beat in range(1, 5):
        assert not computes(kept, tmp_path, beat)
        clock.now += 29
        elsewhere(kept, beat)
    assert not computes(kept, tmp_path, 5)
    elsewhere(kept, 0, holder="e" * 32)  # another one has taken it over
    clock.now += 29
    assert not computes(kept, tmp_path, 6)
    clock.now += 30
    assert computes(kept, tmp_path, 7)


def test_an_old_sign_of_life_is_none(tmp_path: Path, clock: Clock) -> None:
    kept = kept_under_a_claim()
    elsewhere(kept, 5)
    assert not computes(kept, tmp_path, 1)
    clock.now += 20
    elsewhere(kept, 4)  # somebody put back what it said before
    assert not computes(kept, tmp_path, 2)
    clock.now += 10
    assert computes(kept, tmp_path, 3)


def test_who_waits_because_there_is_nothing_to_use_measures_the_time_itself(tmp_path: Path, clock: Clock) -> None:
    kept = kept_under_a_claim()
    assert not computes(kept, tmp_path, 1)
    clock.now += 1000
    watch = watching.Watch(kept.store, PATH, around=(), home=tmp_path)
    sight = watch.look(kept.storage)  # type: ignore[arg-type]
    assert watch.judge(sight, vain=0, has_spare=False)[0] is watching.Next.WAIT
    clock.now += 30
    assert watch.judge(sight, vain=0, has_spare=False)[0] is watching.Next.CLAIM


def test_it_is_remembered_of_so_many_places_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_MOST", 3)
    watching._seen.clear()
    for number in range(10):
        watching._first_seen(("store", str(number)), "holder", 0, float(number))
        assert len(watching._seen) <= 3
    watching._seen.clear()
