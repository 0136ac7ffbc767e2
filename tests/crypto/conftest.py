"""Rings: one that never changes, one for this session, and a stranger's."""

from pathlib import Path

import pytest

from entrepot.crypto.keyring import Keyring
from entrepot_test_crypto import FixedClock

GOLDEN = Path(__file__).parent.parent / "golden" / "crypto"


@pytest.fixture
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def golden_ring() -> Keyring:
    return Keyring.from_document((GOLDEN / "keyring.json").read_bytes(), location="golden")


@pytest.fixture(scope="session")
def ring() -> Keyring:
    return Keyring.generate(clock=FixedClock())


@pytest.fixture(scope="session")
def other_ring() -> Keyring:
    return Keyring.generate()
