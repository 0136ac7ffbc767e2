"""Files and folders that a result refers to: what was in them when it was kept, and whether that still holds.

A result that holds a `File` or `Dir` says where something is, not what it is: it is right only as long as that is what
the task left there. The record notes their digests (`about`: `files.000`, `files.001`, ... are one JSON text, deflated,
in Base64, and cut into pieces that a record keeps whole). What has changed since, is gone, or has appeared makes the
look-up say "expired".
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from itertools import count, takewhile
from typing import Final

from entrepot.errors import SerializationError
from entrepot.hashing.files import ABSENT, recorded_state

__all__ = ["UNCHANGED", "changed_reference", "reference_notes", "reference_states", "refers_to_files"]

UNCHANGED: Final = "unchanged"
"""What `reference_states` says of what is as it was."""

_PIECE: Final = 256  # characters: what a record keeps of one text
_LONGEST: Final = 800 * _PIECE  # characters in all, some 5,000 files: a record keeps 1,000 notes
_FIRST: Final = "files.000"


def reference_notes(names: Mapping[str, object]) -> dict[str, str]:
    """Return what a record is to note of files and folders.

    Args:
        names: They, as `collected_references` gives them.

    Raises:
        SerializationError: If they are too many.
    """
    if not names:
        return {}
    states = json.dumps({name: recorded_state(name) for name in sorted(names)}, separators=(",", ":"))
    text = base64.b64encode(zlib.compress(states.encode())).decode()
    if len(text) > _LONGEST:
        raise SerializationError(
            f"this result refers to {len(names):,} files, more than a record can note: put them into one folder, and"
            " return a Dir",
            serializer="result record",
            path="value",
        )
    return {f"files.{n:03}": text[n * _PIECE : (n + 1) * _PIECE] for n in range(-(-len(text) // _PIECE))}


def refers_to_files(about: Mapping[str, str]) -> bool:
    """Tell whether a record notes files or folders: what it stands for is then not told by its payload's digest."""
    return _FIRST in about


def changed_reference(about: Mapping[str, str]) -> str:
    """Return which file or folder that a record notes is not what it was, for people; "" if all are."""
    for kind, path, state in reference_states(about):
        if state != UNCHANGED:
            return f"the {kind} {path} that it refers to has changed since"
    return ""


def reference_states(about: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield kind ("file" or "folder"), path, and state of what a record notes: each is looked at when it is asked for.

    The state is `UNCHANGED`, or else "changed", "gone" (or not to be read), or "appeared".
    """
    if not refers_to_files(about):
        return
    names = takewhile(about.__contains__, (f"files.{n:03}" for n in count()))
    noted: dict[str, str] = json.loads(zlib.decompress(base64.b64decode("".join(about[name] for name in names))))
    for name, then in noted.items():
        kind, _, path = name.partition(":")
        now = recorded_state(name)
        if now == then:
            state = UNCHANGED
        elif ABSENT in {now, then}:
            state = "gone" if now == ABSENT else "appeared"
        else:
            state = "changed"
        yield "folder" if kind == "Dir" else "file", path, state
