"""A rotation while other processes load and save the same blocks: no error, no lost version."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot import home
from entrepot.blocks.documents import default_documents
from entrepot.blocks.stores import stores
from entrepot.blocks.system import Secret
from entrepot.crypto.seal import read_key
from entrepot.keys import rotating
from entrepot.keys.usage import usage_of

USER = Path(__file__).parent / "rotation_user.py"
SOAK = int(os.environ.get("ENTREPOT_SOAK", "0"))


def campaign(blocks: int, users: int, rotations: int) -> int:
    """Rotate while others use the blocks; return how many versions they saved."""
    for number in range(blocks):
        Secret(value="first").save(f"block-{number}")
    first = home.ring().primary("block").id
    running = [
        subprocess.Popen(
            [sys.executable, USER, str(number), str(blocks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for number in range(users)
    ]
    for user in running:
        assert user.stdout is not None
        assert json.loads(user.stdout.readline()) == "ready"
    provider = home.key_provider()
    ticks: list[tuple[int, int]] = []
    for _ in range(rotations):
        rotating.stage(provider, ["block"])
        rotating.promote(provider, ["block"])
        found = rotating.rewrap(default_documents(), lambda count, total: ticks.append((count, total)))
        assert found.problems == {}
    said = [json.loads(user.communicate("", timeout=120)[0]) for user in running]
    assert [each["errors"] for each in said] == [[]] * users
    assert all(each["loads"] for each in said)
    assert max(count for count, _ in ticks) >= blocks, "progress is told"

    documents = default_documents()
    for number in range(blocks):
        refs = documents.store.versions("secret", f"block-{number}")
        wanted = [value for each in said for value in each["saved"].get(f"block-{number}", [])]
        assert [ref.version for ref in refs] == list(range(1, len(wanted) + 2))
        kept = [documents.open(ref).decode() for ref in refs]
        assert all(sum(value in body for body in kept) == 1 for value in wanted)

    # A save of the very moment may be under the key of a moment before; one more pass, and nothing needs the old keys.
    rotating.rewrap(default_documents())
    primary = home.ring().primary("block").id
    for ref in documents.store.every():  # type: ignore[attr-defined]
        assert read_key(documents.store.read(ref) or b"") == (home.ring().ring_id, primary)
    usage = usage_of(home.ring(), stores(), [])
    rotating.disable(provider, first, usage)
    rotating.destroy(provider, first, usage)
    assert Secret.load("block-0").get()
    return sum(len(values) for each in said for values in each["saved"].values())


def test_blocks_are_loaded_and_saved_while_their_keys_are_rotated() -> None:
    assert campaign(blocks=40, users=4, rotations=1) > 0


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to anything but 0")
@pytest.mark.timeout(0)
def test_a_thousand_blocks_are_loaded_and_saved_while_their_keys_are_rotated() -> None:
    assert campaign(blocks=1000, users=4, rotations=3) > 0
