"""For tests about single flight: one run's way to a result, and the claims of others."""

import json
from pathlib import Path
from typing import Any

from entrepot.crypto.keyring import Keyring
from entrepot.crypto.sign import sign_line
from entrepot.results.claims import Claim, seal_claim
from entrepot.results.flight import Flight, Terms
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record, record_path
from entrepot.serializers import get_serializer
from entrepot_test_results import RING, Kept

PATH = record_path("key")
FACTS: dict[str, Any] = {"serializer": get_serializer("json"), "parts": {}, "task": {"name": "t"}}


class One:
    """One run's way to a result."""

    def __init__(self, kept: Kept, home: Path, run_id: str, *, seconds: float = 3600.0, **more: Any) -> None:
        self.kept = kept
        self.run_id = run_id
        self.flight = Flight(kept.store, "key", run_id=run_id, terms=Terms(seconds, home), **more)

    def find(self) -> Lookup | None:
        found = self.kept.store.fetch("key")
        return found if found.outcome is Outcome.HIT else None

    def look(self, **more: Any) -> Lookup | None:
        return self.flight.look(self.find, **more)

    def commit(self, value: object, **more: Any) -> Record | None:
        prepared = self.kept.store.prepare("key", value, run={"id": self.run_id}, **FACTS, **more)
        return self.flight.commit(prepared)

    def value(self) -> object:
        found = self.find()
        return None if found is None else found.value


def signed(fields: dict[str, Any], ring: Keyring = RING) -> bytes:
    """Return a claim of any fields, signed for the place."""
    line = json.dumps(fields, separators=(",", ":")).encode()
    return line + b"\n" + sign_line(ring, line, context=f"{fields['format']} {PATH}").encode() + b"\n"


def another_process(kept: Kept, **fields: Any) -> str:
    """Put the claim of a process that nobody here can know of in the place; return its tag."""
    claim = Claim(**{"holder": "f" * 32, "run": "theirs", "seconds": 3600.0} | fields)
    tag: str = kept.storage.swap(PATH, seal_claim(claim, RING, path=PATH), None)  # type: ignore[attr-defined]
    return tag
