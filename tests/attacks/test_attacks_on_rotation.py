"""`kill -9` of a rotation at every call of the file system: nothing is lost, and the next one finishes it."""

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
from entrepot.blocks.system import Secret
from entrepot.crypto.seal import read_key
from entrepot.keys import rotating

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
    assert program.wait(30) == 0


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


def test_a_rotation_that_is_killed_loses_nothing_and_is_finished_by_the_next(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert campaign(ask, tmp_path, monkeypatch, blocks=3, step=17) >= 5


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to anything but 0")
@pytest.mark.timeout(0)
def test_a_rotation_that_is_killed_at_every_call_loses_nothing(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert campaign(ask, tmp_path, monkeypatch, blocks=6, step=1) >= 200
