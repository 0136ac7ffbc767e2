"""Claims: one line, and its signature, in the place of a record, by a run that computes what will be there.

The claim and the record share one place on purpose. The record replaces the claim in one step, on the condition that it
is still there, and whoever takes the claim over changes it. So there is no moment at which a run has been found to hold
the claim, and another holds it before the record is in: a run that was stopped in between finds another object.

    {"format":"entrepot-flight/1","holder":...,"fence":...,"beat":...,"seconds":...,"process":...,"run":...,"vain":...,"who":...}
    entrepot-sig/1 ...
    <the record that was there before, as it was, or nothing>

The record that was there counts until the new one comes: it has a signature of its own. A claim is believed in nothing
but that somebody should wait, and for that only as long as it shows signs of life. One that nobody wrote who has the
keys is believed in nothing at all.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Final

from entrepot.crypto.keyring import Keyring
from entrepot.crypto.sign import sign_line, verify_line
from entrepot.errors import IntegrityError

__all__ = ["FLIGHT_FORMAT", "MAX_CLAIM_SIZE", "Claim", "is_claim", "open_claim", "seal_claim", "standing_in"]

FLIGHT_FORMAT: Final = "entrepot-flight/1"
MAX_CLAIM_SIZE: Final = 4096
"""Bytes, without the record that was there before."""

_START: Final = b'{"format":"entrepot-flight/'
_ANY_FORMAT: Final = re.compile(rb'\{"format":"(entrepot-flight/[0-9]{1,4})"')
_TEXTS: Final = ("holder", "process", "run", "who")
_NUMBERS: Final = ("fence", "beat", "vain")
_LATER: Final = {"vain": 0, "who": ""}  # what claims did not say at first
_LONGEST_TEXT: Final = 256
_LONGEST: Final = 3600.0  # seconds; nobody is waited for longer without a sign of life


@dataclass(frozen=True, slots=True)
class Claim:
    """Who computes the result of a key.

    Attributes:
        holder: An id that no other claim has; "" where nobody does any more, and nothing came of it.
        fence: How many claims there were for this result in a row, this one included.
        beat: How often it was renewed.
        seconds: How long it may stay as it is before it counts as left behind.
        process: The token of the holder's process (`coordination.liveness`), or "".
        run: The id of its run.
        vain: How many computations of this result in a row came to nothing before this one.
        who: The run, its process and its beginning, for people.
    """

    holder: str
    fence: int = 1
    beat: int = 0
    seconds: float = 30.0
    process: str = ""
    run: str = ""
    vain: int = 0
    who: str = ""


def is_claim(data: bytes) -> bool:
    """Return whether what is in the place of a record begins with a claim, whoever wrote it."""
    return data.startswith(_START)


def standing_in(data: bytes) -> bytes:
    """Return the record that was there before a claim, as it was; b"" if there was none."""
    return _split(data)[2]


def seal_claim(claim: Claim, ring: Keyring, *, path: str, standing: bytes = b"") -> bytes:
    """Return a claim's bytes, signed for the place of a record."""
    fields = {"format": FLIGHT_FORMAT, "holder": claim.holder, "fence": claim.fence, "beat": claim.beat}
    fields |= {"seconds": claim.seconds, "process": claim.process, "run": claim.run}
    fields |= {"vain": claim.vain, "who": claim.who[:_LONGEST_TEXT]}
    line = json.dumps(fields, separators=(",", ":")).encode()
    signature = sign_line(ring, line, context=_context(FLIGHT_FORMAT, path)).encode("ascii")
    return b"".join((line, b"\n", signature, b"\n", standing))


def open_claim(data: bytes, ring: Keyring, *, path: str, location: str) -> Claim | None:
    """Return the claim in the place of a record; None if it was signed for this place, and is of a kind not known here.

    Args:
        data: What is there; it begins with a claim.
        ring: The reader's keys.
        path: The place.
        location: The same for people.

    Raises:
        IntegrityError: If it does not verify.
        UnknownKeyError: If it is signed under a key that the ring lacks.
    """
    line, signature, _ = _split(data)
    form = _ANY_FORMAT.match(line)
    if form is None or len(line) + len(signature) > MAX_CLAIM_SIZE:
        raise IntegrityError(f"{location} is no whole claim of a run", location=location)
    # Signed for the format that it names: a newer version's claims are known as such, and a stranger's are not.
    context = _context(form[1].decode("ascii"), path)
    verify_line(ring, line, signature.decode("latin-1"), context=context, location=location)
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return _claim(fields) if isinstance(fields, dict) and fields.get("format") == FLIGHT_FORMAT else None


def _claim(fields: dict[str, object]) -> Claim | None:
    fields = {**_LATER, **fields}
    texts = [fields.get(name) for name in _TEXTS]
    numbers = [fields.get(name) for name in _NUMBERS]
    seconds = fields.get("seconds")
    if (
        not all(isinstance(text, str) and len(text) <= _LONGEST_TEXT for text in texts)
        or not all(type(number) is int for number in numbers)
        or type(seconds) not in {int, float}
        or not math.isfinite(seconds)  # type: ignore[arg-type]  # it is a number
    ):
        return None
    holder, process, run, who = map(str, texts)
    fence, beat, vain = (number for number in numbers if isinstance(number, int))
    return Claim(holder, fence, beat, min(float(seconds), _LONGEST), process, run, vain, who)  # type: ignore[arg-type]


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    line, _, rest = data.partition(b"\n")
    signature, _, standing = rest.partition(b"\n")
    return line, signature, standing


def _context(form: str, path: str) -> str:
    return f"{form} {path}"
