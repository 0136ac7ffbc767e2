"""For tests about keys: a clock that stands still, quick passphrases, and the ways in which key material could show."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest


class FixedClock:
    """Stands still."""

    def now(self) -> datetime:
        return datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass


@pytest.fixture
def quick_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let passphrases give their keys at once: what is sealed under one here is no secret."""
    quick = {"kdf": "argon2id", "memory_kib": 64, "passes": 1, "lanes": 1}
    monkeypatch.setattr("entrepot.crypto.passphrase._NEW", quick)


def forms_of(material: bytes) -> Iterator[str]:
    """Yield the ways in which bytes could show up in text."""
    yield material.hex()
    yield base64.b64encode(material).decode()
    yield base64.urlsafe_b64encode(material).decode().rstrip("=")
    yield repr(material)[2:-1]
    yield json.dumps(material.decode("latin-1"))[1:-1]
    yield ", ".join(map(str, material))  # a list of numbers


def materials_of(document: bytes) -> list[bytes]:
    return [base64.b64decode(key["material"]["raw"]) for key in json.loads(bytes(document))["keys"] if key["material"]]
