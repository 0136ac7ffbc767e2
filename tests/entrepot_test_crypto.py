"""For tests about keys: a clock that stands still, and the ways in which key material could show."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime


class FixedClock:
    """Stands still."""

    def now(self) -> datetime:
        return datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        pass


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
