"""Blocks across processes, in a home of their own: what a user does first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.blocks.core import Block
from entrepot.blocks.system import JSON, Secret
from entrepot_test_processes import said_at_once


def run(script: str, *, check: bool = True, **environment: str) -> str:
    """Run a script in a new process, with the home of this test."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONHASHSEED": "random", **environment},
    )
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip() if check else done.stdout + done.stderr


SAVE = "from entrepot.blocks.system import Secret; Secret(value='sésame').save('my-api-key')"
LOAD = "from entrepot.blocks.system import Secret; print(Secret.load('my-api-key').get())"


def test_one_process_saves_and_another_loads(entrepot_home: Path) -> None:
    run(SAVE, PYTHONIOENCODING="utf-8")
    assert run(LOAD, PYTHONIOENCODING="utf-8") == "sésame"
    assert (entrepot_home / "keyring.json").stat().st_mode & 0o777 == 0o600
    assert (entrepot_home / "blocks/secret/my-api-key/00000001.json").is_file()
    assert b"same" not in b"".join(path.read_bytes() for path in entrepot_home.rglob("*.json"))


def test_the_key_of_a_cache_is_the_same_in_every_process() -> None:
    script = (
        "from entrepot.blocks.system import JSON; from pydantic import SecretStr;"
        "print(JSON(value={'a': {'x', 'y', 'z'}, 's': SecretStr('secret')}).__entrepot_key__())"
    )
    assert run(script) == run(script)


def test_a_pickle_of_one_process_opens_in_another(tmp_path: Path) -> None:
    path = str(tmp_path / "block.pickle")
    run(f"import pickle; from entrepot.blocks import Secret; pickle.dump(Secret(value='s'), open({path!r}, 'wb'))")
    assert run(f"import pickle; print(pickle.load(open({path!r}, 'rb')).get())") == "s"
    failed = run(
        f"import pickle; pickle.load(open({path!r}, 'rb'))", check=False, ENTREPOT_HOME=str(tmp_path / "other")
    )
    assert "UnknownKeyError" in failed


def test_the_keyring_can_come_from_the_environment(entrepot_home: Path, tmp_path: Path) -> None:
    run(SAVE)
    (entrepot_home / "keyring.json").rename(tmp_path / "elsewhere.json")
    document = (tmp_path / "elsewhere.json").read_text()
    assert run(LOAD, ENTREPOT_KEYRING=document, PYTHONIOENCODING="utf-8") == "sésame"


def test_eight_processes_that_save_first_share_one_ring_and_one_wins_a_name(entrepot_home: Path) -> None:
    script = (
        "import sys\n"
        "from entrepot.blocks.system import Secret\n"
        "from entrepot.errors import BlockExistsError\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "Secret(value='own').save(f'own-{sys.argv[1]}')\n"
        "try:\n    Secret(value=sys.argv[1]).save('shared'); print('won')\n"
        "except BlockExistsError:\n    print('lost')\n"
    )
    outcomes = said_at_once(*(("-c", script, number) for number in range(8)))
    assert sorted(outcomes) == ["lost"] * 7 + ["won"]
    assert Secret.load("shared").get() == str(outcomes.index("won"))
    assert [Secret.load(f"own-{number}").get() for number in range(8)] == ["own"] * 8


def test_a_script_that_defines_its_class_loads_what_it_saved(tmp_path: Path) -> None:
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys\n"
        "from pydantic import BaseModel, SecretStr\n"
        "from entrepot.blocks import Block\n"
        "class Inner(BaseModel):\n    token: SecretStr\n"
        "class Mine(Block):\n    host: str\n    inner: Inner\n"
        "if sys.argv[1] == 'save':\n    Mine(host='h', inner={'token': 't'}).save('m')\n"
        "else:\n    print(Mine.load('m').inner.token.get_secret_value(), Block.load('mine/m').host)\n"
    )
    for action, expected in (("save", ""), ("load", "t h\n")):
        done = subprocess.run([sys.executable, script, action], capture_output=True, text=True, check=True, timeout=120)
        assert done.stdout == expected
    with pytest.raises(LookupError, match="no block type named 'mine'"):
        Block.load("mine/m")


def test_a_crash_after_saving_loses_nothing() -> None:
    run("import os\n" + SAVE + "\nos.kill(os.getpid(), 9)", check=False)
    assert Secret.load("my-api-key").get() == "sésame"


def test_without_secrets_no_keyring_is_made_by_use_alone(entrepot_home: Path) -> None:
    block = JSON(value=[1])
    repr(block)
    block.__entrepot_key__()
    assert not JSON.exists("x")
    assert Block.names() == []
    assert not (entrepot_home / "keyring.json").exists()


def test_a_class_of_a_script_is_known_after_it_was_sent_to_a_worker_and_back() -> None:
    script = """
import gc
import cloudpickle
from entrepot.blocks import Block

class Depot(Block):
    place: str = "here"

Depot().save("one")
sent = cloudpickle.dumps(Depot())  # of __main__: by value
assert type(cloudpickle.loads(sent)) is Depot
gc.collect()
print(Block.load("depot/one").place)
"""
    assert run(script) == "here"
