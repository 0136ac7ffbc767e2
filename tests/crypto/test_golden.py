"""The bytes on disk: what earlier versions wrote must open, and what cannot be random must not change."""

import os
from pathlib import Path

import pytest

from entrepot.crypto.digest import Digester
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import seal, unseal
from entrepot.crypto.sign import sign_line, verify_line
from entrepot.crypto.stream import decrypt_range, encrypt_parts
from entrepot_test_crypto import FixedClock

MESSAGE = b'{"format":"entrepot-result/1","key":"golden"}'
PLACE = {"slug": "secret", "name": "golden", "version": 3}
HEADER = {"schema": "f00d", "schema_version": 1}
PLAINTEXT = b'{"value":"a golden secret"}'
STREAM = bytes(range(256)) * 3


def count_up(size: int, _state: list[int] = [0]) -> bytes:  # noqa: B006  it counts on
    _state[0] += 1
    return bytes([_state[0]]) * size


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random bytes that are the same at each run, so that whole documents can be pinned."""
    count_up.__defaults__[0][0] = 0  # type: ignore[index]
    monkeypatch.setattr(os, "urandom", count_up)


def test_the_keyring_document(golden: Path, golden_ring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_bytes", count_up)
    monkeypatch.setattr("secrets.token_hex", lambda size: "5a" * size)
    count_up.__defaults__[0][0] = 0  # type: ignore[index]
    made = Keyring.generate(clock=FixedClock())
    made = made.with_new_primary("block", clock=FixedClock()).with_state(made.primary("block").id, "destroyed")
    assert bytes(made.to_document()) == (golden / "keyring.json").read_bytes()
    assert bytes(golden_ring.to_document()) == bytes(made.to_document())


def test_derived_keys(golden_ring: Keyring) -> None:
    key = golden_ring.primary("result")
    assert golden_ring.derive(key, "test/1").hex() == DERIVED


def test_the_signature_line(golden_ring: Keyring) -> None:
    line = sign_line(golden_ring, MESSAGE, context="record:golden")
    assert line == SIGNATURE
    assert verify_line(golden_ring, MESSAGE, SIGNATURE, context="record:golden", location="golden")


def test_the_digest(golden_ring: Keyring) -> None:
    assert Digester(golden_ring).digest([STREAM]) == DIGEST


def test_the_sealed_document(golden: Path, golden_ring: Keyring, counted: None) -> None:
    kept = (golden / "sealed.json").read_bytes()
    assert unseal(golden_ring, kept, place=PLACE, location="golden") == PLAINTEXT
    assert seal(golden_ring, PLAINTEXT, place=PLACE, header=HEADER) == kept


def test_the_encrypted_object(golden: Path, golden_ring: Keyring, counted: None) -> None:
    kept = (golden / "stream.bin").read_bytes()
    fetch = lambda start, length: kept[start : start + length]  # noqa: E731
    assert decrypt_range(golden_ring, "a/golden", fetch, size=len(kept), location="golden") == STREAM
    assert b"".join(encrypt_parts(golden_ring, "a/golden", [STREAM], size=len(STREAM))) == kept


DERIVED = "5c3f5b4da664809db87270a0e51e1bf9e27af340a216be23291b7506358f20f1"
SIGNATURE = "entrepot-sig/1 ka7e33e168c2abed1 4b5b38848b4a1dae688f46a7a32b73d867f32f6e66e50c6184ea74c79663fd74"
DIGEST = "blake3:ka7e33e168c2abed1:367252682da0b32204cc558e18ff588d7d30f235b7375d707341290aa8ca7695"
