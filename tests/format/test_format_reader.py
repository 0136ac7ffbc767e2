"""A reader that knows docs/format.md and nothing of our code finds what we find, and refuses what we refuse."""

import base64
import json
import pickle
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entrepot import flow, home, task
from entrepot.crypto.keyring import Keyring
from entrepot.results.claims import Claim, seal_claim
from entrepot.results.markers import Fate
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer
from entrepot.storage import EncryptedStorage, LocalStorage
from entrepot.transactions import transaction
from entrepot_test_commits import Between, Died, commit
from entrepot_test_results import Kept

READER = Path(__file__).parent / "reader.py"
# The package that wrote the store is not there for the reader.
ALONE = "import runpy, sys; sys.modules['entrepot'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"


def read(folder: Path, *, keyring: Path | None = None, encrypted: bool = False) -> dict[str, dict[str, Any]]:
    """Return what the reader says of each record, by path."""
    command = [sys.executable, "-I", "-c", ALONE, str(READER), str(folder), str(keyring or home_ring())]
    ran = subprocess.run(
        [*command, *(["--encrypted"] if encrypted else [])], capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    return {line.pop("path"): line for line in lines}


def home_ring() -> Path:
    home.ring()
    return home.home_path() / "keyring.json"


def ours(folder: Path, *, encrypted: bool = False) -> dict[str, dict[str, Any]]:
    """Return what our own reader says, in the form of the other's."""
    plain = LocalStorage(folder)
    store = ResultStore(EncryptedStorage(plain, home.ring) if encrypted else plain, ring=home.ring)
    names = {"hit": "hit", "expired": "expired", "miss": "miss", "damaged": "refused", "unknown_key": "refused"}
    return {
        info.path: {"outcome": names[store._records.look(info.path).outcome.value]} for info in plain.list("records")
    }


def outcomes(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {path: one["outcome"] for path, one in found.items()}


def values(found: dict[str, dict[str, Any]]) -> list[Any]:
    """Return what the hits hold, plain JSON and plain pickles decoded, in a fixed order."""
    decoded = []
    for one in found.values():
        if one["outcome"] == "hit":
            data = base64.b64decode(one["value"])
            decoded.append(json.loads(data) if one["serializer"] == "json" else pickle.loads(data))
    return sorted(decoded, key=repr)


def write_by_flows(folder: Path, *, encrypted: bool = False) -> None:
    """Write what users write: small and large, JSON and pickles, expired, in transactions."""
    plain = LocalStorage(folder)
    storage = EncryptedStorage(plain, home.ring) if encrypted else plain
    options: dict[str, Any] = {"result_storage": storage, "persist_result": True, "cache_key_fn": lambda _c, x: str(x)}

    @task(result_serializer="json", **options)
    def small(x: dict[str, Any]) -> Any:
        return x["value"]

    @task(result_serializer="pickle", **options)
    def pickled(x: str) -> Any:
        return {x, "pickled"}

    @task(result_serializer="json", cache_expiration=timedelta(microseconds=1), **options)
    def fleeting(x: str) -> Any:
        return x

    @flow
    def work() -> None:
        small({"value": "한국어\n"})
        small({"value": ["x" * 20_000]})
        small({"value": ["y" * 600_000]})
        pickled("one")
        fleeting("soon over")
        with transaction():
            small({"value": "together 1"})
            small({"value": "together 2"})

    work()


def test_what_flows_wrote_is_read_and_verified_without_our_package(tmp_path: Path) -> None:
    write_by_flows(tmp_path)
    found = read(tmp_path)
    assert outcomes(found) == outcomes(ours(tmp_path))
    assert values(found) == sorted(
        ["한국어\n", ["x" * 20_000], ["y" * 600_000], {"one", "pickled"}, "together 1", "together 2"], key=repr
    )
    assert sorted(outcomes(found).values()).count("expired") == 1


def test_an_encrypted_store_is_read_with_the_keyring_only(tmp_path: Path) -> None:
    write_by_flows(tmp_path, encrypted=True)
    found = read(tmp_path, encrypted=True)
    assert outcomes(found) == outcomes(ours(tmp_path, encrypted=True))
    assert len(values(found)) == 6
    assert set(outcomes(read(tmp_path)).values()) == {"refused"}
    one = next(path for path, each in found.items() if each["outcome"] == "hit")
    file = tmp_path / one
    file.write_bytes(file.read_bytes()[:-1])
    assert read(tmp_path, encrypted=True)[one] == {"outcome": "refused", "why": "chunk"}


def test_results_count_as_their_transactions_ended(tmp_path: Path) -> None:
    kept = Kept(LocalStorage(tmp_path), ring=home.ring)
    kept.write("a", "apart")
    kept.write("b", "noted", about={"keep": "7d", "tag:x": ""}, details={"input:x[0]": "1"})
    commit(kept, {"a": "first", "c": "first"}, replace=True)
    commit(kept, {"a": "second", "c": "second"}, replace=True)
    kept.store.markers.decide("ab" * 16, Fate.ABORTED)

    def die() -> None:
        raise Died

    operations = Between(kept.storage, lambda: None)
    commit(Kept(operations, ring=home.ring), {"d": "whole", "e": "whole"})
    dying = Kept(Between(kept.storage, die, at=operations.count), ring=home.ring)  # at the marker
    with pytest.raises(Died):
        commit(dying, {"f": "half", "g": "half"})
    found = read(tmp_path)
    assert outcomes(found) == outcomes(ours(tmp_path))
    assert values(found) == ["noted", "second", "second", "whole", "whole"]
    assert list(outcomes(found).values()).count("miss") == 2


def test_a_claim_hides_nothing_and_is_no_result(tmp_path: Path) -> None:
    write_by_flows(tmp_path)
    before = outcomes(read(tmp_path))
    claim = Claim("somebody")
    for path in before:
        file = tmp_path / path
        file.write_bytes(seal_claim(claim, home.ring(), path=path, standing=file.read_bytes()))
    bare = f"records/ab/{'ab' * 32}.json"
    (tmp_path / bare).parent.mkdir(exist_ok=True)
    (tmp_path / bare).write_bytes(seal_claim(claim, home.ring(), path=bare))
    assert outcomes(read(tmp_path)) == before | {bare: "miss"} == outcomes(ours(tmp_path))


def test_whatever_is_tampered_with_is_refused(tmp_path: Path) -> None:
    store = tmp_path / "store"
    kept = Kept(LocalStorage(store), ring=home.ring, inline_limit=60)
    kept.write("small", "value")
    record = kept.write("large", "value" * 30)
    commit(kept, {"small": "newer", "other": "newer"}, replace=True)
    assert set(outcomes(read(store)).values()) == {"hit"}
    files = [path for path in store.rglob("*.json") if path.is_file()]
    changes = 0
    for file in files:
        whole = file.read_bytes()
        copy = tmp_path / f"copy {changes}"
        shutil.copytree(store, copy)
        place = copy / file.relative_to(store)
        place.write_bytes(whole.replace(b"value", b"VALUE", 1) if b"value" in whole else whole[:20] + b"~" + whole[21:])
        found = read(copy)
        changed = {path: one for path, one in outcomes(found).items() if one != "hit"}
        if file.name == "base.json":  # what nobody reads any more, nobody misses
            assert changed == {}
        else:
            assert set(changed.values()) == {"refused"}, place
        assert outcomes(found) == outcomes(ours(copy)) or file.parts[-3] == "payloads", place  # ours looks at records
        changes += 1
    assert changes >= 6
    swapped = store / record.path
    swapped.write_bytes((store / kept.store.describe("other").path).read_bytes())
    assert read(store)[record.path]["outcome"] == "refused"


def test_another_ring_opens_nothing(tmp_path: Path) -> None:
    Kept(LocalStorage(tmp_path / "store"), ring=home.ring).write("key", "value")
    other = tmp_path / "other.json"
    other.write_bytes(bytes(Keyring.generate().to_document()))
    (one,) = read(tmp_path / "store", keyring=other).values()
    assert one["outcome"] == "refused"
    assert one["why"].startswith("unknown key k")


def test_arrays_are_found_in_their_container(tmp_path: Path) -> None:
    kept = Kept(LocalStorage(tmp_path), ring=home.ring)
    kept.write("array", np.arange(100_000), "pickle")
    (one,) = read(tmp_path).values()
    data = base64.b64decode(one["value"])
    assert data.startswith(b"EPICKLE1")
    assert get_serializer("pickle").loads(memoryview(bytearray(data))).sum() == np.arange(100_000).sum()


def test_the_reader_is_short_and_imports_nothing_of_ours() -> None:
    lines = [line for line in READER.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert len(lines) <= 120
    assert not [line for line in lines if "import" in line and "entrepot" in line and not line.startswith('"""')]
