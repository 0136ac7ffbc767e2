"""Of a record that was verified before, only the decoding is spared: all else is seen at each look-up."""

from datetime import timedelta
from pathlib import Path

import pytest

from entrepot import File
from entrepot.crypto.keyring import Keyring
from entrepot.errors import UnknownKeyError
from entrepot.results import records as records_module
from entrepot.results import remembered
from entrepot.results.lookup import Outcome
from entrepot.results.record import open_record, record_path
from entrepot.results.references import reference_notes
from entrepot.storage.local import LocalStorage
from entrepot_test_results import RING, START, Kept

PATH = record_path("key")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often a record is verified and decoded."""
    paths: list[str] = []

    def counted(data: bytes, ring: Keyring, **where: str) -> object:
        paths.append(where["path"])
        return open_record(data, ring, **where)

    monkeypatch.setattr(records_module, "open_record", counted)
    return paths


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(LocalStorage(tmp_path / "store"))


def look(kept: Kept) -> Outcome:
    return kept.store.lookup("key").outcome


def test_the_same_bytes_are_decoded_once_and_values_are_made_anew(kept: Kept, opened: list[str]) -> None:
    kept.write("key", {"a": [1]})
    first, second = kept.store.lookup("key"), kept.store.lookup("key")
    assert opened == [PATH]
    assert first.value == second.value == {"a": [1]}
    assert first.value is not second.value


def test_who_keeps_a_record_gets_one_of_its_own(kept: Kept) -> None:
    kept.write("key", 1)
    look(kept)
    assert kept.store.describe("key").record is not kept.store.describe("key").record


def test_another_bit_is_not_believed(kept: Kept) -> None:
    kept.write("key", 1)
    data = kept.bytes_at(PATH)
    for at in range(0, len(data), 7):
        assert look(kept) is Outcome.HIT
        kept.storage.put(PATH, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert look(kept) in {Outcome.DAMAGED, Outcome.UNKNOWN_KEY}
        kept.storage.put(PATH, data)


def test_the_same_bytes_in_another_place_are_not_believed(kept: Kept) -> None:
    kept.write("key", 1)
    assert look(kept) is Outcome.HIT
    kept.storage.put(record_path("other"), kept.bytes_at(PATH))
    assert kept.store.lookup("other").outcome is Outcome.DAMAGED


def test_what_is_gone_or_replaced_is_seen(kept: Kept) -> None:
    kept.write("key", 1)
    assert look(kept) is Outcome.HIT
    kept.write("key", 2, replace=True)
    assert kept.store.lookup("key").value == 2
    kept.storage.delete(PATH)
    assert look(kept) is Outcome.MISS


def test_what_has_expired_is_seen(kept: Kept) -> None:
    kept.write("key", 1, expires=START + timedelta(hours=1))
    assert look(kept) is Outcome.HIT
    kept.clock.time += timedelta(hours=1)
    assert look(kept) is Outcome.EXPIRED


def test_a_file_that_has_changed_is_seen(kept: Kept, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one")
    kept.write("key", 1, about=reference_notes({f"File:{File(file).path}": None}))
    assert [look(kept), look(kept)] == [Outcome.HIT, Outcome.HIT]
    file.write_text("another one")
    assert look(kept) is Outcome.EXPIRED


def test_a_key_that_was_disabled_is_seen(tmp_path: Path) -> None:
    rings = [RING]
    kept = Kept(LocalStorage(tmp_path / "store"), ring=lambda: rings[-1])
    kept.write("key", 1)
    assert look(kept) is Outcome.HIT
    changed = RING.with_new_primary("result")
    rings.append(changed.with_state(RING.primary("result").id, "disabled"))
    assert look(kept) is Outcome.UNKNOWN_KEY
    with pytest.raises(UnknownKeyError):
        kept.store.fetch("key")
    rings.append(changed)
    assert look(kept) is Outcome.HIT


def test_more_records_than_are_remembered_are_found_all_the_same(
    kept: Kept, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "_MOST", 2)
    for number in range(3):
        kept.write(f"key-{number}", number)
    for _ in range(3):
        assert [kept.store.lookup(f"key-{number}").value for number in range(3)] == [0, 1, 2]
    assert len(opened) > 3


def test_large_results_are_not_remembered(kept: Kept, opened: list[str]) -> None:
    kept.write("key", "x" * 10_000)
    assert [look(kept), look(kept)] == [Outcome.HIT, Outcome.HIT]
    assert opened == [PATH, PATH]
