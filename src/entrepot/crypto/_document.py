"""The keyring's document, read and written.

UTF-8 JSON, one object::

    {"format": "entrepot-keyring/1",
     "ring_id": "r" + 16 hex,
     "epoch": 1,                                    grows by one with each change
     "primary": {"block": key id, "result": key id},
     "keys": [{"id": "k" + 16 hex, "purpose": "block" | "result",
               "state": "staged" | "enabled" | "disabled" | "destroyed",
               "created": RFC 3339, "material": {"raw": base64 of 32 bytes} | null}, ...]}

A key's id is made from its material, so that an id can never be put on other material.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

from entrepot.crypto._canonical import parse
from entrepot.crypto._keys import (
    KEY_ID,
    MATERIAL_SIZE,
    PURPOSES,
    RING_ID,
    STATES,
    Key,
    Material,
    Purpose,
    hide,
    key_id_of,
)

__all__ = ["KEYRING_FORMAT", "SEALED_FORMAT", "Fields", "read_document", "write_document"]

KEYRING_FORMAT: Final = "entrepot-keyring/1"
SEALED_FORMAT: Final = "entrepot-keyring-sealed/1"


@dataclass(frozen=True, slots=True)
class Fields:
    """What a document says."""

    ring_id: str
    epoch: int
    keys: tuple[Key, ...]
    primary: Mapping[Purpose, str]


class _UnsoundError(Exception):
    """Never leaves this module: its traceback leads through frames that hold key material."""


def write_document(fields: Fields) -> bytes:
    """Return the document: fields in reading order, one key a line. It holds the key material."""
    primary = ", ".join(f'"{purpose}": "{fields.primary[purpose]}"' for purpose in PURPOSES)
    keys = ",\n  ".join(_key_line(key) for key in fields.keys)
    return hide(
        f'{{"format": "{KEYRING_FORMAT}",\n "ring_id": "{fields.ring_id}",\n "epoch": {fields.epoch},\n'
        f' "primary": {{{primary}}},\n "keys": [\n  {keys}\n ]}}\n'.encode("ascii")
    )


def _key_line(key: Key) -> str:
    material = "null"
    if key.material is not None:
        material = '{"raw": "' + base64.b64encode(key.material.reveal()).decode("ascii") + '"}'
    return (
        f'{{"id": "{key.id}", "purpose": "{key.purpose}", "state": "{key.state}",'
        f' "created": "{key.created.isoformat()}", "material": {material}}}'
    )


def read_document(document: bytes) -> tuple[Fields | None, str]:
    """Return (the fields, "") or (None, what is wrong); nothing is raised, so that no traceback holds the document."""
    try:
        value, problem = parse(document)
        if not problem:
            return _read(value), ""
    except _UnsoundError as error:
        problem = str(error)
    return None, problem


def _read(value: object) -> Fields:
    if not isinstance(value, dict) or not isinstance(value.get("format"), str):
        _unsound("it is no keyring document")
    if value["format"] == SEALED_FORMAT and value.get("by"):
        by = str(value["by"])[:60]
        _unsound(f"it is sealed by the key provider {by!a}: set ENTREPOT_KEY_PROVIDER to that, with its options")
    if value["format"] != KEYRING_FORMAT:
        _unsound(f"its format is {value['format'][:60]!a}, and this version reads {KEYRING_FORMAT!r}")
    if value.keys() != {"format", "ring_id", "epoch", "primary", "keys"}:
        _unsound("its fields are not those of a keyring")
    ring_id, epoch = value["ring_id"], value["epoch"]
    if not (isinstance(ring_id, str) and RING_ID.match(ring_id)):
        _unsound("its ring id is malformed")
    if type(epoch) is not int or epoch < 1:
        _unsound("its epoch is not a positive whole number")
    if not isinstance(value["keys"], list):
        _unsound("its keys are not a list")
    keys: dict[str, Key] = {}
    for number, entry in enumerate(value["keys"], 1):
        key = _read_key(entry, f"key number {number}")
        if key.id in keys:
            _unsound(f"key {key.id} occurs twice")
        keys[key.id] = key
    return Fields(ring_id, epoch, tuple(keys.values()), _read_primary(value["primary"], keys))


def _read_primary(primary: object, keys: Mapping[str, Key]) -> dict[Purpose, str]:
    if not isinstance(primary, dict) or primary.keys() != set(PURPOSES):
        _unsound(f"it does not name a primary key for each of: {', '.join(PURPOSES)}")
    chosen: dict[Purpose, str] = {}
    for purpose in PURPOSES:
        key = keys.get(primary[purpose]) if isinstance(primary[purpose], str) else None
        if key is None:
            _unsound(f"the primary {purpose} key is missing")
        if key.purpose != purpose or key.state != "enabled":
            _unsound(f"the primary {purpose} key {key.id} is {key.state}, for {key.purpose} data")
        chosen[purpose] = key.id
    return chosen


def _read_key(entry: object, which: str) -> Key:
    if not isinstance(entry, dict) or entry.keys() != {"id", "purpose", "state", "created", "material"}:
        _unsound(f"the fields of {which} are not those of a key")
    key_id, state = entry["id"], entry["state"]
    if not (isinstance(key_id, str) and KEY_ID.match(key_id)):
        _unsound(f"the id of {which} is malformed")
    if entry["purpose"] not in PURPOSES or state not in STATES:
        _unsound(f"the purpose or state of {which} is unknown to this version")
    if (entry["material"] is None) != (state == "destroyed"):
        _unsound(f"{which} is {state}, and its material does not fit that")
    material = None if entry["material"] is None else _read_material(entry["material"], which)
    if material is not None and key_id_of(material.reveal()) != key_id:
        _unsound(f"the id of {which} does not match its material")
    return Key(key_id, entry["purpose"], state, _read_time(entry["created"], which), material)


def _read_time(value: object, which: str) -> datetime:
    try:
        created = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        created = None
    if created is None or created.tzinfo is None:
        _unsound(f"the time of creation of {which} is malformed")
    return created.astimezone(UTC)


def _read_material(value: object, which: str) -> Material:
    raw = value.get("raw") if isinstance(value, dict) and len(value) == 1 else None
    try:
        material = base64.b64decode(raw.encode("ascii"), validate=True) if isinstance(raw, str) else b""
    except ValueError:
        material = b""
    if len(material) != MATERIAL_SIZE:
        _unsound(f"the material of {which} is not in a form that this version reads")
    return Material(material)


def _unsound(why: str) -> NoReturn:
    raise _UnsoundError(why)
