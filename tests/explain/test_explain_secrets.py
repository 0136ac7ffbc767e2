"""What is kept for explanations gives no value away: not in records, not in the store, and in the home masked."""

import importlib
import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from entrepot import home, task
from entrepot._secrets import remember_secret
from entrepot.blocks.core import Block
from entrepot.cache_policies import INPUTS, TASK_SOURCE
from entrepot.hashing.outline import ENTRIES, outline
from entrepot.results import sources
from entrepot.results.sources import KeptSources
from entrepot.results.store import ResultStore

PIN = "4711-0815"


class Vault(Block):
    """A block."""

    pin: str = ""


def kept_bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_no_value_stands_in_a_record_in_clear() -> None:
    key = b"k" * 32
    entries = outline({"input:x": {"name": "Miller", "ann@example.org": 7, 4711081512: 1}}, key=key)
    text = json.dumps(entries)
    assert "Miller" not in text
    assert "ann@example.org" not in text  # a key that looks like a value counts as one
    assert "4711081512" not in text
    assert "['name']" in text


def test_digests_are_under_the_key_of_the_store_so_that_nobody_else_can_try_values() -> None:
    values = {"input:x": [1, 2]}
    assert outline(values, key=b"a" * 32) != outline(values, key=b"b" * 32)
    assert outline(values, key=b"a" * 32) == outline(values, key=b"a" * 32)


def test_equal_values_at_two_places_do_not_show() -> None:
    entries = outline({"input:x": [7, 7]}, key=b"k" * 32)
    assert entries["input:x[0]"] != entries["input:x[1]"]


def test_a_known_secret_has_no_digest_at_all() -> None:
    remember_secret(PIN)
    entries = outline({"input:x": {"pin": PIN, PIN: 1, "in_bytes": PIN.encode()}}, key=b"k" * 32)
    assert entries["input:x['pin']"] == entries["input:x['in_bytes']"] == "secret"
    assert PIN not in str(entries)


def test_a_parameter_that_is_called_a_secret_has_none_either() -> None:
    def work(token: pydantic.SecretStr, other: list[int]) -> int:
        return len(other)

    task(work, cache_policy=INPUTS)(PIN, [1])  # type: ignore[arg-type]  # who calls it has it in clear
    store = ResultStore(home.results_storage(), ring=home.ring)
    (found,) = store.records()
    assert found.record is not None
    assert found.record.details["input:token"] == "secret"
    assert "input:other[0]" in found.record.details


def test_a_block_is_not_looked_into() -> None:
    entries = outline({"input:x": Vault(pin=PIN), "input:y": [Vault(pin=PIN)]}, key=b"k" * 32)
    assert entries == {"input:x": "Vault", "input:y": "list[1]:", "input:y[0]": "Vault"}


def test_source_is_kept_in_the_home_only_and_secrets_in_it_are_masked(
    entrepot_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "with_pin.py").write_text(f"def work(x):\n    pin = {PIN!r}\n    return x  # marked\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("with_pin")

    remember_secret(PIN)
    task(module.work, cache_policy=INPUTS + TASK_SOURCE)(1)
    (file,) = (entrepot_home / "sources").iterdir()
    assert "# marked" in file.read_text()
    assert PIN not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (entrepot_home / "sources").stat().st_mode & 0o777 == 0o700
    assert b"marked" not in kept_bytes(entrepot_home / "results")


def test_only_so_many_sources_are_kept_and_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot.results.sources._MOST", 8)
    folder = tmp_path / "sources"
    digests = [f"{number:064x}" for number in range(12)]
    for digest in digests:
        KeptSources(folder).keep([digest], lambda digest=digest: {digest: f"# {digest}\n"})  # type: ignore[misc]
    assert len(list(folder.iterdir())) <= 8
    assert KeptSources(folder).read(digests[-1]) == f"# {digests[-1]}\n"
    assert KeptSources(folder).read("../../keyring") is None


def test_a_secret_that_lies_across_the_end_of_a_source_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_LONGEST", 20)
    remember_secret("hunter2-swordfish")
    KeptSources(tmp_path).keep(["a" * 64], lambda: {"a" * 64: "password = hunter2-swordfish"})
    assert KeptSources(tmp_path).read("a" * 64) == "password = *********"


def test_what_is_known_is_not_asked_for_again(tmp_path: Path) -> None:
    kept, asked = KeptSources(tmp_path / "sources"), []

    def texts() -> dict[str, str]:
        asked.append(1)
        return {"a" * 64: "text"}

    kept.keep(["a" * 64], texts)
    kept.keep(["a" * 64], texts)
    KeptSources(tmp_path / "sources").keep(["a" * 64], texts)
    assert asked == [1]


@pytest.mark.parametrize(
    "value",
    [
        [[number] * 50 for number in range(200)],
        {f"k{number}": {f"j{inner}": inner for inner in range(9)} for number in range(7)},
        [{"a": 1}] * 5000,
        list(range(1000)),
    ],
)
def test_a_record_has_no_more_entries_than_it_may(value: Any) -> None:
    values = {f"input:p{number}": value for number in range(5)}
    entries = outline(values, key=b"k" * 32)
    assert len(values) <= len(entries) <= ENTRIES
    # Of a value whose parts are said to follow, they all do.
    for name in (name for name, text in entries.items() if text.endswith(":") and "[" not in name):
        parts = {path.removeprefix(name).partition("]")[0] for path in entries if path.startswith(f"{name}[")}
        assert len(parts) == len(value)
