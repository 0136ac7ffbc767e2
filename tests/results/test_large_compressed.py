"""Compression of large results: where it is worth it, never where it is not, and never a plain byte on a disk."""

import os
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import S3Server

from entrepot.protocols.storage import Storage
from entrepot.results import compression as module
from entrepot.results.compression import Compression, is_worth_it
from entrepot.results.lookup import Outcome
from entrepot.results.store import ResultStore
from entrepot.serializers import JSONSerializer
from entrepot.storage import EncryptedStorage, LocalStorage, MemoryStorage, stages
from entrepot_test_results import RING, Kept, Wrapped

MIB = 1 << 20
WORDS = b"all the same words, over and over; " * (2 * MIB // 35)
NOISE = os.urandom(2 * MIB)


class Remote(Wrapped):
    """Memory that says it is elsewhere."""

    @property
    def location(self) -> str:
        return "s3://bucket/results"


def kept_in(storage: Storage, compression: Compression, allow: frozenset[str] | None = None) -> Kept:
    kept = Kept(storage)
    kept.store = ResultStore(storage, ring=RING, clock=kept.clock, compression=compression, allow=allow)
    return kept


@pytest.mark.parametrize(
    ("compression", "remote", "value", "expected"),
    [
        ("auto", True, WORDS, "compressed/pickle"),
        ("auto", True, NOISE, "pickle"),
        ("auto", True, WORDS[:1000], "pickle"),
        ("auto", True, WORDS[: MIB // 2], "pickle"),
        ("auto", False, WORDS, "pickle"),
        ("always", False, WORDS, "compressed/pickle"),
        ("always", True, NOISE, "compressed/pickle"),
        ("always", True, WORDS[:1000], "pickle"),
        ("never", True, WORDS, "pickle"),
    ],
)
def test_values_are_compressed_where_that_is_worth_it(
    compression: Compression,
    remote: bool,  # noqa: FBT001  by name
    value: bytes,
    expected: str,
) -> None:
    storage = Remote(MemoryStorage()) if remote else MemoryStorage()
    kept = kept_in(storage, compression)
    record = kept.write("key", value, "pickle")
    assert record.serializer == expected
    found = kept.store.fetch("key")
    assert (found.outcome, found.value) == (Outcome.HIT, value)
    assert Kept(storage).store.fetch("key").value == value  # whoever reads it needs no setting
    assert record.payload is None or record.payload.endswith(".pkl.zst") is expected.startswith("compressed")


def test_what_is_compressed_already_is_left_alone() -> None:
    kept = kept_in(Remote(MemoryStorage()), "always")
    assert kept.write("key", WORDS.decode(), "compressed/json").serializer == "compressed/json"


def test_a_store_that_allows_a_serializer_allows_its_compressed_form() -> None:
    kept = kept_in(Remote(MemoryStorage()), "auto", frozenset({"json"}))
    assert kept.write("key", WORDS.decode(), "json").serializer == "compressed/json"
    assert kept.store.fetch("key").outcome is Outcome.HIT


def test_a_serializer_of_the_callers_own_reads_what_was_compressed() -> None:
    class Own(JSONSerializer):
        name = "own"

    kept = kept_in(Remote(MemoryStorage()), "auto")
    kept.write("key", WORDS.decode(), serializer=Own())
    found = kept.store.fetch("key", serializer=Own())
    assert found.record is not None
    assert (found.record.serializer, found.value) == ("compressed/own", WORDS.decode())


@settings(deadline=None)  # it is its data that is large
@given(
    cuts=st.lists(st.integers(0, 3 * MIB), max_size=5),
    blank=st.booleans(),
)
def test_the_sample_does_not_depend_on_how_the_bytes_are_cut(cuts: list[int], blank: bool) -> None:  # noqa: FBT001  by name
    data = bytes(3 * MIB) if blank else NOISE + NOISE[:MIB]
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [memoryview(data)[low:high] for low, high in pairwise(edges)]
    assert is_worth_it(parts) is blank


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_large_compressed_value_is_spooled_but_never_in_plain_for_an_encrypted_store(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    encrypted: bool,  # noqa: FBT001  by name
) -> None:
    spooled: list[bytes] = []
    real = stages.Spool.write
    monkeypatch.setattr(stages.Spool, "write", lambda self, view: (spooled.append(bytes(view)), real(self, view)))
    monkeypatch.setattr(module, "_HELD", 1000)
    storage: Storage = LocalStorage(tmp_path)
    kept = kept_in(EncryptedStorage(storage, RING) if encrypted else storage, "always")
    assert kept.write("key", NOISE, "pickle").serializer == "compressed/pickle"
    assert kept.store.fetch("key").value == NOISE
    assert bool(spooled) is not encrypted


def test_compressing_a_large_value_takes_a_bounded_part_of_it_in_memory(tmp_path: Path) -> None:
    kept = kept_in(LocalStorage(tmp_path), "always")
    value = os.urandom(MIB) * 48  # it shrinks, but only where the window reaches back a MiB
    tracemalloc.start()
    try:
        kept.write("key", value, "pickle")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 24 * MIB + len(value)  # pickle itself copies bytes once
    assert kept.store.fetch("key").value == value


def test_it_goes_to_a_real_server_and_back(s3_server: S3Server) -> None:
    from entrepot.storage import FileStorage  # noqa: PLC0415  s3fs, for this one

    storage = FileStorage.from_url(f"s3://{s3_server.bucket()}/results", **s3_server.storage_options())
    kept = kept_in(storage, "auto")
    assert kept.write("key", WORDS, "pickle").serializer == "compressed/pickle"
    assert kept.store.fetch("key").value == WORDS
