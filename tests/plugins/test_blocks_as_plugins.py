"""Block classes in the registry: from scripts, from distributions, and things that only say that they are blocks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot import errors
from entrepot.blocks import Block
from entrepot.plugins import BLOCKS, SERIALIZERS
from entrepot.serializers import get_serializer
from entrepot_test_sites import FakeSite

NOTE = """
from entrepot.blocks import Block
class AcmeSalt(Block):
    _block_type_slug = "acme-salt"
    grams: int
"""


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for name in ("acme-salt", "acme-pepper"):
        BLOCKS.forget(name)
    SERIALIZERS.forget("acme-hash")


def test_a_block_of_a_distribution_is_loaded_by_its_slug(site: FakeSite) -> None:
    site.module("acme_salt", NOTE)
    site.distribution("acme-salt", blocks="acme-salt = acme_salt:AcmeSalt")
    assert "acme-salt" in BLOCKS.names()
    assert "acme_salt" not in sys.modules
    BLOCKS.get("acme-salt")(grams=3).save("mine")
    assert Block.load("acme-salt/mine").grams == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("AcmeSalt = 7", "it is no subclass of entrepot.blocks.core.Block but int"),
        ("class AcmeSalt: pass", "it is no subclass of entrepot.blocks.core.Block but type"),
        (NOTE.replace('"acme-salt"', '"acme-pepper"'), "AcmeSalt has the slug 'acme-pepper'"),
        (NOTE.replace('"acme-salt"', '"Acme Salt"'), "cannot be a block type slug"),
    ],
)
def test_what_is_no_block_of_that_slug_is_refused_and_says_why(site: FakeSite, source: str, why: str) -> None:
    site.module("acme_salt", source)
    site.distribution("acme-salt", blocks="acme-salt = acme_salt:AcmeSalt")
    with pytest.raises(errors.PluginLoadError) as caught:
        BLOCKS.get("acme-salt")
    assert why in str(caught.value)
    assert "of acme-salt 1.0 (acme_salt:AcmeSalt)" in str(caught.value)


def test_what_is_no_serializer_of_that_name_is_refused_and_says_why(site: FakeSite) -> None:
    site.module("acme_hash", "class Hash:\n    name = 'acme-hash'")
    site.distribution("acme-hash", serializers="acme-hash = acme_hash:Hash")
    with pytest.raises(errors.PluginLoadError, match=r"'acme-hash' of acme-hash 1.0"):
        get_serializer("acme-hash")


def test_a_distribution_that_claims_a_builtin_is_named_and_breaks_only_that_name(site: FakeSite) -> None:
    site.module("acme_salt", NOTE)
    site.distribution("acme-salt", blocks="string = acme_salt:AcmeSalt", serializers="json = acme_salt:AcmeSalt")
    BLOCKS.forget("string")  # an earlier test may have loaded it before the rival was there
    SERIALIZERS.forget("json")
    with pytest.raises(errors.PluginConflictError, match=r"'entrepot .*' and 'acme-salt 1.0'"):
        BLOCKS.get("string")
    with pytest.raises(errors.PluginConflictError, match=r"'entrepot .*' and 'acme-salt 1.0'"):
        SERIALIZERS.get("json")
    assert BLOCKS.get("secret")
    assert SERIALIZERS.get("pickle")


def test_a_class_may_not_take_a_builtin_slug() -> None:
    with pytest.raises(errors.PluginConflictError, match="give the class another name"):

        class Secret(Block):
            value: int


def test_a_class_of_the_users_script_is_known_while_it_is_imported(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        NOTE
        + """
from entrepot.plugins import BLOCKS
if __name__ == "__main__":
    import sys
    AcmeSalt(grams=2).save("mine")
    print(Block.load("acme-salt/mine"), BLOCKS.get("acme-salt") is AcmeSalt, "importlib.metadata" in sys.modules)
    first = AcmeSalt
    exec(compile('class AcmeSalt(Block):\\n    _block_type_slug = "acme-salt"\\n    grams: float', "cell", "exec"))
    print(BLOCKS.get("acme-salt") is AcmeSalt, AcmeSalt is not first)
    import script  # the same file under its own name
    print(BLOCKS.get("acme-salt") is script.AcmeSalt)
"""
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[-2:] for line in done.stdout.splitlines()] == [
        ["True", "True"],
        ["True", "True"],
        ["True"],
    ]
    other = tmp_path / "other.py"
    other.write_text("from entrepot.blocks import Block\nBlock.load('acme-salt/mine')")
    done = subprocess.run([sys.executable, other], capture_output=True, text=True, timeout=60, check=False)
    assert "UnknownBlockTypeError: no block type named 'acme-salt'" in done.stderr
    assert "if your program defines it, import its module first" in done.stderr
