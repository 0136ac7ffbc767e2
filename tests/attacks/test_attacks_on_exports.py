"""Who finds an export of a keyring on its way: alters it, guesses at it, or makes one that is dear to open."""

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot import home
from entrepot.crypto.changing import change_keyring
from entrepot.crypto.keyring import Keyring
from entrepot.errors import KeyringError, KeyringExistsError
from entrepot.keys.carrying import export_ring, import_ring, open_export, write_export
from entrepot_test_attacks import Victim, refused

GOOD = b"correct horse battery staple"

pytestmark = pytest.mark.usefixtures("quick_passphrases")


@pytest.fixture
def export(home_victim: Victim) -> Path:
    path = home_victim.home.parent / "keys.sealed"
    write_export(path, export_ring(home.ring(), GOOD))
    return path


class Attack:
    """Change an export, and change it back: before and after it opens, and the keyring is as it was."""

    def __init__(self, victim: Victim, export: Path) -> None:
        self._victim = victim
        self._export = export

    def fails(self, content: bytes, says: str, passphrase: bytes = GOOD) -> None:
        kept, ring = self._export.read_bytes(), self._victim.ring()
        assert bytes(open_export(self._export, lambda: GOOD).to_document()) == ring
        self._export.write_bytes(content)
        with refused(KeyringError, f"^(?!.*horse).*{says}"):
            import_ring(home.key_provider(), open_export(self._export, lambda: passphrase))
        assert self._export.read_bytes() == content
        self._export.write_bytes(kept)
        assert bytes(open_export(self._export, lambda: GOOD).to_document()) == ring
        assert self._victim.ring() == ring
        self._victim.lives_well()


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "epoch": (lambda fields: {"epoch": 7}, "does not open"),
    "ring": (lambda fields: {"ring": "r" + "0" * 16}, "does not open"),
    "provider": (lambda fields: {"by": "aws-kms"}, "sealed by the key provider 'aws-kms'"),
    "no provider": (lambda fields: {"by": ["\x1b[2J"]}, "sealed by the key provider"),
    "more": (lambda fields: {"more": 1}, "no sealed keyring that this version reads"),
    "format": (lambda fields: {"format": "entrepot-keyring-sealed/2"}, "no sealed keyring that this version reads"),
    "nonce": (lambda fields: {"nonce": base64.b64encode(bytes(12)).decode()}, "does not open"),
    "short nonce": (lambda fields: {"nonce": ""}, "does not open"),
    "sealed": (lambda fields: {"sealed": fields["sealed"][:-8] + "AAAAAAA="}, "does not open"),
    "no base64": (lambda fields: {"sealed": "?"}, "does not open"),
    "passes": (lambda fields: {"key": {**fields["key"], "passes": 2}}, "does not open"),
    "salt": (lambda fields: {"key": {**fields["key"], "salt": base64.b64encode(bytes(16)).decode()}}, "does not open"),
    "no salt": (
        lambda fields: {"key": {**fields["key"], "salt": "?"}},
        "a key derivation that this version does not do",
    ),
    "no key": (lambda fields: {"key": []}, "does not open"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_attack_56_an_export_is_altered(home_victim: Victim, export: Path, what: str) -> None:
    fields = json.loads(export.read_bytes())
    change, says = CHANGES[what]
    Attack(home_victim, export).fails(json.dumps({**fields, **change(fields)}).encode(), says)


def test_attack_57_an_export_is_cut_short_or_something_else(home_victim: Victim, export: Path) -> None:
    attack, sealed = Attack(home_victim, export), export.read_bytes().rstrip()
    for content in (b"", b"{", b"[]", b"[" * 100_000, b'{"format": "entrepot-keyring-sealed/2"}'):
        attack.fails(content, "no sealed keyring that this version reads; restore it from a backup")
    for end in range(1, len(sealed), 97):
        attack.fails(sealed[:end], "no sealed keyring")
    attack.fails(home_victim.ring(), "is a keyring in clear.*entrepot keys export")
    with export.open("r+b") as file:
        file.truncate(1 << 40)
    with refused(KeyringError, "no sealed keyring"):
        open_export(export, lambda: GOOD)


def test_attack_58_the_passphrase_of_an_export_is_guessed(home_victim: Victim, export: Path) -> None:
    for guess in (b"correct horse battery stable", b"", b" ", GOOD + b" ", GOOD.upper(), GOOD[:-1]):
        Attack(home_victim, export).fails(export.read_bytes(), "does not open", guess)


@pytest.mark.parametrize(
    "facts",
    [
        {"memory_kib": 1 << 30},
        {"memory_kib": 10**400},
        {"passes": 1 << 20},
        {"lanes": 1000},
        {"passes": 0},
        {"passes": -1},
        {"memory_kib": "64"},
        {"memory_kib": True},
        {"memory_kib": None},
        {"kdf": "none"},
        {"memory_kib": 8, "lanes": 60},
    ],
)
def test_attack_59_an_export_asks_for_all_memory_or_time(
    home_victim: Victim, export: Path, facts: dict[str, Any]
) -> None:
    fields = json.loads(export.read_bytes())
    asked = json.dumps({**fields, "key": {**fields["key"], **facts}}).encode()
    Attack(home_victim, export).fails(asked, "(asks for a key derivation .* too much memory or time|needs Argon2id)")


def test_attack_60_an_export_of_another_ring_is_imported(home_victim: Victim, export: Path) -> None:
    ring = home_victim.ring()
    stranger = export_ring(Keyring.generate(), GOOD)
    export.write_bytes(stranger)
    with refused(KeyringExistsError, "another keyring is at .*entrepot keys join FILE.*another home .ENTREPOT_HOME"):
        import_ring(home.key_provider(), open_export(export, lambda: GOOD))
    assert home_victim.ring() == ring
    home_victim.lives_well()
    export.write_bytes(export_ring(home.ring(), GOOD))
    assert import_ring(home.key_provider(), open_export(export, lambda: GOOD)).added == ()


@pytest.mark.parametrize("newer", [True, False])
def test_attack_67_an_export_is_made_of_the_ids_that_stand_in_documents(
    home_victim: Victim, export: Path, *, newer: bool
) -> None:
    """Believed, it would make the attacker's key the primary one, or one that opens what the attacker has sealed."""
    ours = Keyring.from_document(home_victim.ring(), location="here")
    own = Keyring.generate()
    known = [dataclasses.replace(key, state="destroyed", material=None) for key in ours.all_keys()]
    forged = Keyring(
        ring_id=ours.ring_id,
        epoch=99 if newer else 1,
        keys=[*(known if newer else ()), *own.all_keys()],
        primary={"block": own.primary("block").id, "result": own.primary("result").id},
    )
    Attack(home_victim, export).fails(export_ring(forged, GOOD), "has no key that is in use here: .*Ask who gave it")
    genuine = ours.with_new_primary("block").with_state(ours.primary("block").id, "destroyed")
    export.write_bytes(export_ring(genuine, GOOD))
    done = import_ring(home.key_provider(), open_export(export, lambda: GOOD))
    assert done.added == (genuine.primary("block").id,)
    assert home.ring().primary("block").id == genuine.primary("block").id


def test_attack_67_a_key_that_was_stolen_and_disabled_proves_nothing(home_victim: Victim, export: Path) -> None:
    stolen = Keyring.from_document(home_victim.ring(), location="here").primary("block")
    for step in (lambda ring: ring.with_new_primary("block"), lambda ring: ring.with_state(stolen.id, "disabled")):
        change_keyring(home.key_provider(), step)
    own = Keyring.generate()
    forged = Keyring(
        ring_id=home.ring().ring_id,
        epoch=99,
        keys=[*own.all_keys(), stolen],
        primary={"block": own.primary("block").id, "result": own.primary("result").id},
    )
    before = home_victim.ring()
    export.write_bytes(export_ring(forged, GOOD))
    with refused(KeyringError, "has no key that is in use here"):
        import_ring(home.key_provider(), open_export(export, lambda: GOOD))
    assert home_victim.ring() == before
