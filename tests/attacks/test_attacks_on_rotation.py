"""The machine that dies during a rotation, the writer of a store that is rotated, and the thief of an old key."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot import home
from entrepot.blocks.documents import default_documents
from entrepot.blocks.stores import stores
from entrepot.blocks.system import Secret
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key, seal, unseal
from entrepot.errors import DestroyedKeyError, KeyInUseError, UnknownKeyError
from entrepot.keys import rotating
from entrepot.keys.usage import known_storages, usage_of
from entrepot_test_attacks import Victim, path_of, refused

PROGRAM = Path(__file__).parent / "rotation_killed.py"
# Read here: the fixture that gives each test its own home also forgets such variables.
SOAK = int(os.environ.get("ENTREPOT_SOAK", "0"))


@pytest.fixture
def ask() -> Iterator[Any]:
    program = subprocess.Popen([sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(**task: object) -> Any:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(json.dumps(task) + "\n")
        program.stdin.flush()
        return json.loads(program.stdout.readline())

    yield call
    assert program.stdin is not None
    program.stdin.close()
    assert program.wait(120) == 0


def campaign(ask: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, *, blocks: int, step: int) -> int:
    """Kill a rotation at every so-many-th call, and look after each; return how often."""
    model = folder / "model"
    monkeypatch.setenv("ENTREPOT_HOME", str(model))
    for number in range(blocks):
        Secret(value=f"value {number}").save(f"block-{number}")
    Secret(value="newer").save("block-0", overwrite=True)
    Secret.delete("block-1")
    before = home.ring()
    for kills, at in enumerate(range(1, 100_000, step)):
        here = folder / f"home-{at}"
        shutil.copytree(model, here)
        monkeypatch.setenv("ENTREPOT_HOME", str(here))
        answer = ask(home=str(here), at=at)
        check(before.ring_id, blocks)
        if not answer["killed"]:
            assert answer["code"] == 0
            assert home.ring().epoch == before.epoch + 4
            return kills
        finish(before.ring_id)
        check(before.ring_id, blocks)
        shutil.rmtree(here)
    raise AssertionError("it never came to its end")


def check(ring_id: str, blocks: int) -> None:
    """Every block is there, in every version, and the ring is a later one of the same."""
    assert home.ring().ring_id == ring_id
    assert Secret.load("block-0").get() == "newer"
    assert not Secret.exists("block-1")
    for number in range(2, blocks):
        assert Secret.load(f"block-{number}").get() == f"value {number}"
    documents = default_documents()
    refs = list(documents.store.every())  # type: ignore[attr-defined]
    assert len(refs) == blocks + 1
    for ref in refs:
        documents.open(ref)


def finish(ring_id: str) -> None:
    """The next rotation finishes this one: what is staged is promoted, and all is sealed under the primary key."""
    provider = home.key_provider()
    rotating.stage(provider, ["block", "result"])
    rotating.promote(provider, ["block", "result"])
    done = rotating.rewrap(default_documents())
    primary = home.ring().primary("block").id
    assert (done.key_id, done.problems) == (primary, {})
    documents = default_documents()
    for ref in documents.store.every():  # type: ignore[attr-defined]
        assert read_key(documents.store.read(ref) or b"") == (ring_id, primary)


def test_attack_53_a_rotation_is_killed_and_the_next_one_finishes_it(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert campaign(ask, tmp_path, monkeypatch, blocks=3, step=17) >= 5


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to anything but 0")
@pytest.mark.timeout(0)
def test_attack_53_a_rotation_is_killed_at_200_points(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert campaign(ask, tmp_path, monkeypatch, blocks=6, step=1) >= 200


def rotate() -> None:
    rotating.stage(home.key_provider(), ["block"])
    rotating.promote(home.key_provider(), ["block"])


def test_attack_54_documents_are_damaged_or_planted_while_keys_are_rotated(victim: Victim) -> None:
    """They are left as they are and named, the rest is rotated, and the old key is not given up for them."""
    sealed, a2 = victim.objects(), path_of("secret", "a", 2)
    old = home.ring().primary("block").id
    planted = {
        a2: sealed[a2].replace(b'"schema_version":1', b'"schema_version":2'),
        path_of("secret", "a", 3): sealed[path_of("secret", "a", 1)],
        path_of("secret", "z", 1): b"{}",
        path_of("string", "a", 2): sealed[path_of("string", "a", 1)][:-40],
    }
    if victim.ring_file is None:  # a variable is changed from outside
        os.environ["ENTREPOT_KEYRING"] = bytes(home.ring().with_new_primary("block").to_document()).decode()
    else:
        rotate()
    victim.write(planted)
    done = rotating.rewrap(default_documents())
    assert len(done.problems) == len(planted)
    assert all("does not verify" in problem for problem in done.problems.values())
    assert done.done == 3
    assert {path: victim.objects()[path] for path in planted} == planted
    used = usage_of(home.ring(), stores(), known_storages())
    with refused(KeyInUseError, "secret/a"):
        rotating.disable(home.key_provider(), old, used)
    victim.write({path: sealed.get(path) for path in planted})
    assert rotating.rewrap(default_documents()).problems == {}
    victim.lives_well()


def test_attack_55_a_stolen_key_seals_documents_after_it_was_rotated_away(home_victim: Victim) -> None:
    stolen = Keyring.from_document(home_victim.ring(), location="the thief's")
    old = stolen.primary("block").id
    body = b'{"fields":{"value":{"$type":"secret-str","value":"of the thief"}},"extra":{}}'
    planted = seal(stolen, body, place={"type": "secret", "name": "a", "version": 3})
    path = path_of("secret", "a", 3)
    rotate()
    rotating.rewrap(default_documents())
    rotating.disable(home.key_provider(), old, usage_of(home.ring(), stores(), known_storages()))
    with home_victim.attacked({path: planted}):
        with refused(UnknownKeyError, f"no usable key {old} .*disabled; if the data is still to be trusted"):
            Secret.load("a")
        assert len(rotating.rewrap(default_documents()).problems) == 1, "it is not sealed again under the new key"
    rotating.destroy(home.key_provider(), old, usage_of(home.ring(), stores(), known_storages()))
    with home_victim.attacked({path: planted}), refused(DestroyedKeyError, f"key {old} .*was destroyed"):
        Secret.load("a")
    # What it was stolen for: before it is disabled, who holds it is one of those who may save.
    assert unseal(stolen, planted, place={"type": "secret", "name": "a", "version": 3}, location="here") == body
