"""Claims that nobody wrote who has the keys: they hold nobody up, and cost next to nothing."""

import os
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from entrepot.crypto.keyring import Keyring
from entrepot.errors import IntegrityError, UnknownKeyError
from entrepot.results import meetings
from entrepot.results.claims import FLIGHT_FORMAT, Claim, is_claim, open_claim, seal_claim
from entrepot.results.commit import Commit
from entrepot.results.lookup import Outcome
from entrepot.results.record import MAX_RECORD_SIZE
from entrepot.storage import EncryptedStorage, LocalStorage
from entrepot_test_flights import FACTS, PATH, One, another_process, signed
from entrepot_test_processes import until
from entrepot_test_results import RING, Kept

STRANGER = Keyring.generate()


class Said:
    """What a flight says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, _: int, text: str, *args: object) -> None:
        self.lines.append(text % args)


class TestForged:
    def test_it_is_replaced_at_once_with_one_warning_and_a_copy_is_kept(self, tmp_path: Path) -> None:
        kept, said = Kept(), Said()
        another_process(kept)
        forged = kept.bytes_at(PATH).replace(b"theirs", b"stolen")
        kept.storage.put(PATH, forged)
        one = One(kept, tmp_path, "one", say=said)
        assert one.look() is None  # though it says that it may stay as it is for an hour
        (line,) = said.lines
        assert "not waited for, and replaced" in line
        (copy,) = kept.paths("damaged")
        assert kept.bytes_at(copy) == forged
        assert one.commit("ours") is not None
        one.flight.let_go()
        assert one.value() == "ours"

    def test_the_record_below_it_counts(self, tmp_path: Path) -> None:
        kept = Kept()
        kept.write("key", "old", expires=kept.clock.now())
        record = kept.bytes_at(PATH)
        forged = seal_claim(Claim("f" * 32, seconds=3600.0), STRANGER, path=PATH, standing=record)
        kept.storage.put(PATH, forged.replace(b" ", b"  ", 1))
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        assert kept.store.describe("key").outcome is Outcome.EXPIRED
        assert kept.bytes_at(PATH).endswith(record)
        one.flight.let_go()

    def test_what_does_not_verify_below_a_claim_is_said_once_however_long_one_waits(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept = Kept()
        kept.write("key", [1, 2])
        spoilt = kept.bytes_at(PATH).replace(b"[1,2]", b"[1,3]")
        kept.storage.put(PATH, seal_claim(Claim("a" * 32, seconds=3600.0), RING, path=PATH, standing=spoilt))
        looks: list[int] = []
        told: dict[str, str] = {}
        one = One(kept, tmp_path, "one")

        def find() -> Any:
            looks.append(1)
            found = kept.store.fetch("key", told=told)
            assert "damaged/" in found.evidence
            return found if found.outcome is Outcome.HIT else None

        waiter = threading.Thread(target=lambda: one.flight.look(find))
        waiter.start()
        until(lambda: len(looks) > 4)
        one.flight.let_go()
        waiter.join(60)
        assert caplog.text.count("is damaged and is not used") == 1
        assert len(kept.paths("damaged")) == 1

    def test_old_claims_that_are_put_back_are_no_sign_of_life(self, tmp_path: Path) -> None:
        kept = Kept()
        old = [seal_claim(Claim("a" * 32, 1, beat, 0.3), RING, path=PATH) for beat in range(3)]
        kept.storage.put(PATH, old[0])
        over = threading.Event()

        def replay() -> None:
            turn = 0
            while not over.wait(0.05):
                turn += 1
                kept.storage.put(PATH, old[turn % 3])

        attacker = threading.Thread(target=replay)
        attacker.start()
        try:
            one = One(kept, tmp_path, "one")
            assert one.look() is None
        finally:
            over.set()
            attacker.join(60)
            one.flight.let_go()


class TestUnknownKeys:
    def test_it_is_an_error_as_such_a_record_is(self, tmp_path: Path) -> None:
        kept = Kept()
        theirs = seal_claim(Claim("f" * 32, seconds=3600.0), STRANGER, path=PATH)
        kept.storage.put(PATH, theirs)
        one = One(kept, tmp_path, "one")
        with pytest.raises(UnknownKeyError, match="neither waited for nor replaced"):
            one.look()
        one.flight.let_go()
        assert kept.bytes_at(PATH) == theirs
        assert not meetings._entries

    def test_a_result_that_can_still_be_used_is_used(self, tmp_path: Path) -> None:
        kept = Kept()
        kept.write("key", "old")
        standing = kept.bytes_at(PATH)
        kept.storage.put(PATH, seal_claim(Claim("f" * 32), STRANGER, path=PATH, standing=standing))
        one = One(kept, tmp_path, "one")
        found = one.look(is_early=lambda record: True)
        assert found is not None
        assert found.value == "old"
        one.flight.let_go()


class TestNewerVersions:
    def test_their_claims_are_waited_for_and_not_taken_for_damage(self, tmp_path: Path) -> None:
        kept = Kept()
        newer = signed({"format": "entrepot-flight/2", "what": "nobody knows"})
        assert open_claim(newer, RING, path=PATH, location="here") is None
        with pytest.raises(IntegrityError):  # signed for one format, it is none of another
            open_claim(newer.replace(b"flight/2", b"flight/3"), RING, path=PATH, location="here")
        kept.storage.put(PATH, newer)
        one = One(kept, tmp_path, "one")
        found: list[Any] = []
        waiter = threading.Thread(target=lambda: found.append(one.look()))
        waiter.start()
        until(lambda: "newer version" in one.flight._seat.who)
        assert kept.bytes_at(PATH) == newer
        kept.write("key", "theirs")
        waiter.join(60)
        assert found[0].value == "theirs"
        one.flight.let_go()

    def test_one_whose_fields_make_no_sense_is_of_no_kind_known_here(self) -> None:
        for odd in ({"seconds": float("inf")}, {"beat": "1"}, {"who": 1}, {"run": "r" * 257}):
            fields = {"format": FLIGHT_FORMAT, "holder": "a", "fence": 1, "beat": 0, "seconds": 1}
            assert open_claim(signed({**fields, "process": "", "run": "", **odd}), RING, path=PATH, location="") is None


class TestLarge:
    @pytest.mark.parametrize(
        "start", [b"", b'{"format":"entrepot-flight/1","', b'{"format":"entrepot-flight/1"}\nsig\n']
    )
    def test_nothing_large_is_read_and_nobody_waits(self, tmp_path: Path, start: bytes) -> None:
        kept = Kept(LocalStorage(tmp_path / "store"))
        file = tmp_path / "store" / PATH
        file.parent.mkdir(parents=True)
        file.write_bytes(start)
        os.truncate(file, 200 << 20)
        one = One(kept, tmp_path, "one")
        kept.store.keys()
        tracemalloc.start()
        try:
            assert one.look() is None
            kept.write("key", "ours")
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()
        one.flight.let_go()
        assert one.value() == "ours"

    def test_a_holder_that_finds_it_in_the_place_of_its_claim_reads_it_neither(self, tmp_path: Path) -> None:
        kept = Kept(LocalStorage(tmp_path / "store"))
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        os.truncate(tmp_path / "store" / PATH, 200 << 20)
        tracemalloc.start()
        try:
            assert one.commit("late") is None
            assert tracemalloc.get_traced_memory()[1] < 16 << 20
        finally:
            tracemalloc.stop()
        one.flight.let_go()

    def test_a_transaction_replaces_it(self, tmp_path: Path) -> None:
        kept = Kept()
        kept.storage.put(PATH, b'{"format":"entrepot-flight/1","' + bytes(MAX_RECORD_SIZE))
        items = [kept.store.prepare(key, 1, run={"id": "r"}, **FACTS) for key in ("key", "other")]
        Commit(kept.store, items).run()
        assert kept.store.fetch("key").value == 1

    def test_what_was_altered_where_all_is_encrypted_holds_nobody_up(self, tmp_path: Path) -> None:
        disk = LocalStorage(tmp_path / "store")
        kept = Kept(EncryptedStorage(disk, RING))
        kept.write("key", "old")
        disk.put(PATH, bytes(disk.get(PATH))[:-1] + b"!")
        one = One(kept, tmp_path, "one")
        assert one.look() is None
        assert not one.flight.is_claimed
        kept.write("key", "new")
        one.flight.let_go()
        assert one.value() == "new"


def test_a_claim_of_ours_is_never_taken_for_a_strangers(tmp_path: Path) -> None:
    kept = Kept()
    one = One(kept, tmp_path, "one", run_name="n" * 10_000)
    assert one.look() is None
    data = kept.bytes_at(PATH)
    assert is_claim(data)
    claim = open_claim(data, RING, path=PATH, location="here")
    assert claim is not None
    assert claim.who.startswith("run 'nnn")
    assert str(os.getpid()) in claim.who
    one.flight.let_go()
    until(lambda: b'"holder":""' in kept.bytes_at(PATH))
