"""Trying every stored block with the classes that are here, and saving anew what lags behind them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from entrepot.blocks import migrates
from entrepot.blocks.core import Block
from entrepot.blocks.doctor import Finding, examine_all, migrate
from entrepot.blocks.documents import BlockDocuments, current_documents, use_documents
from entrepot.blocks.history import stored
from entrepot.blocks.system import JSON, Secret, String
from entrepot.crypto.keyring import Keyring
from entrepot.errors import BlockExistsError
from entrepot.plugins import BLOCKS
from entrepot.storage import MemoryStorage

HUNTER = "hunter2-correct-horse"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for slug in ("pet", "gone"):
        BLOCKS.forget(slug)


def old() -> type[Block]:
    BLOCKS.forget("pet")

    class Pet(Block):
        name: str
        token: SecretStr = SecretStr(HUNTER)

    return Pet


def new() -> type[Block]:
    BLOCKS.forget("pet")

    class Pet(Block):
        _schema_version = 2

        first: str
        token: SecretStr

        @migrates(from_version=1)
        @staticmethod
        def _rename(fields: dict[str, Any]) -> None:
            if fields["name"] == "bad":
                raise ValueError(HUNTER)
            fields["first"] = fields.pop("name")

    return Pet


def found() -> dict[str, Finding]:
    return {f"{each.ref.slug}/{each.ref.name}": each for each in examine_all()}


@pytest.mark.usefixtures("documents")
class TestDoctor:
    def test_each_block_is_what_it_is(self, documents: BlockDocuments, storage: MemoryStorage, ring: Keyring) -> None:
        class Gone(Block):
            x: int = 1

        Gone().save("g")
        BLOCKS.forget("gone")
        pet = old()
        pet(name="rex").save("rex")  # type: ignore[call-arg]
        pet(name="bad").save("bad")  # type: ignore[call-arg]
        JSON(value=pet(name="inside")).save("outer")  # type: ignore[call-arg]
        String(value="x").save("fine")
        String(value="x").save("damaged")
        storage.put("string/damaged/00000001.json", b"{}")
        stranger = Keyring.generate()
        with use_documents(BlockDocuments(documents.store, lambda: stranger)):
            String(value="x").save("strange")
        _keep = new()
        before = {info.path: bytes(storage.get(info.path)) for info in storage.list()}
        seen = found()
        assert {name: each.health for name, each in seen.items()} == {
            "gone/g": "not installed",
            "json/outer": "migrates",
            "pet/bad": "fails",
            "pet/rex": "migrates",
            "string/damaged": "fails",
            "string/fine": "ok",
            "string/strange": "fails",
        }
        rex = seen["pet/rex"]
        assert (rex.saved_version, rex.class_version, rex.detail) == (1, 2, "")
        assert (seen["json/outer"].saved_version, seen["json/outer"].class_version) == (1, 2)
        assert (seen["gone/g"].saved_version, seen["gone/g"].class_version) == (1, None)
        assert stranger.primary("block").id in seen["string/strange"].detail
        assert "migration from version 1" in seen["pet/bad"].detail
        assert HUNTER not in repr(list(seen.values()))
        assert before == {info.path: bytes(storage.get(info.path)) for info in storage.list()}, "nothing was changed"

    def test_a_reference_to_what_is_not_there_fails(self) -> None:
        Secret(value="x").save("inner")
        JSON(value=Secret.load("inner")).save("outer")
        Secret.delete("inner")
        (finding,) = examine_all()
        assert finding.health == "fails"
        assert "The block json/outer refers to the block secret/inner" in finding.detail

    def test_a_newer_block_than_its_class_fails_with_both_versions(self) -> None:
        new()(first="rex", token="").save("rex")  # type: ignore[call-arg]
        _keep = old()
        (finding,) = examine_all()
        assert (finding.health, finding.saved_version, finding.class_version) == ("fails", 2, 1)


@pytest.mark.usefixtures("documents")
class TestMigrate:
    def run(self) -> dict[str, str]:
        documents = current_documents()
        return {ref.name: migrate(ref, documents).health for ref in list(documents.store.list())}

    def test_what_lags_gets_a_new_version_and_the_rest_none(self) -> None:
        pet = old()
        pet(name="rex").save("rex")  # type: ignore[call-arg]
        pet(name="bad").save("bad")  # type: ignore[call-arg]
        JSON(value=[pet(name="inside")]).save("outer")  # type: ignore[call-arg]
        String(value="x").save("fine")
        cls = new()
        assert self.run() == {"rex": "migrated", "bad": "fails", "outer": "migrated", "fine": "ok"}
        assert self.run() == {"rex": "ok", "bad": "fails", "outer": "ok", "fine": "ok"}
        first, second = cls.history("rex")
        assert (first.schema_version, second.schema_version) == (1, 2)
        assert (second.action, second.source) == ("migrate", 1)
        assert [len(Block.history(name)) for name in ("bad", "outer", "fine")] == [1, 2, 1]
        loaded: Any = cls.load("rex")
        assert (loaded.first, loaded.token.get_secret_value()) == ("rex", HUNTER)
        assert stored("rex", 1).fields == {"name": "rex", "token": "**********"}

    def test_a_save_in_between_wins_and_is_migrated_in_its_turn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old()(name="rex").save("rex")  # type: ignore[call-arg]
        cls = new()
        documents = current_documents()
        (ref,) = documents.store.list()
        real = BlockDocuments.save

        def overtaken(self: BlockDocuments, *args: Any, **options: Any) -> Any:
            monkeypatch.undo()
            BLOCKS.forget("pet")
            old()(name="max").save("rex", overwrite=True)  # type: ignore[call-arg]
            BLOCKS.register("pet", cls, replace=True)
            return real(self, *args, **options)

        monkeypatch.setattr(BlockDocuments, "save", overtaken)
        finding = migrate(ref, documents)
        assert (finding.health, finding.ref.version) == ("migrated", 3)
        assert [(each.version, each.source) for each in cls.history("rex")] == [(1, None), (2, None), (3, 2)]
        assert cls.load("rex").first == "max"  # type: ignore[attr-defined]

    def test_a_deletion_in_between_is_not_undone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old()(name="rex").save("rex")  # type: ignore[call-arg]
        cls = new()
        documents = current_documents()
        (ref,) = documents.store.list()
        real = BlockDocuments.save

        def overtaken(self: BlockDocuments, *args: Any, **options: Any) -> Any:
            monkeypatch.undo()
            cls.delete("rex")
            return real(self, *args, **options)

        monkeypatch.setattr(BlockDocuments, "save", overtaken)
        assert migrate(ref, documents).detail == "it was deleted meanwhile"
        assert not cls.exists("rex")

    def test_who_never_wins_gives_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old()(name="rex").save("rex")  # type: ignore[call-arg]
        _keep = new()
        documents = current_documents()
        (ref,) = documents.store.list()

        def never(self: BlockDocuments, *args: Any, **options: Any) -> Any:
            raise BlockExistsError("another was faster", name="pet/rex")

        monkeypatch.setattr(BlockDocuments, "save", never)
        finding = migrate(ref, documents)
        assert (finding.health, finding.detail[:24]) == ("fails", "other programs kept savi")


MODULE = """
import os, signal, sys
from typing import Any
from entrepot.blocks import Block, migrates
from entrepot.blocks.doctor import migrate
from entrepot.blocks.documents import current_documents

class Pet(Block):
    if sys.argv[1] == "old":
        name: str
    else:
        _schema_version = 2
        first: str

        @migrates(from_version=1)
        @staticmethod
        def _rename(fields: dict[str, Any]) -> None:
            fields["first"] = fields.pop("name")

if sys.argv[1] == "old":
    for number in range(6):
        Pet(name=f"n{number}").save(f"pet-{number}")
else:
    documents = current_documents()
    for count, ref in enumerate(documents.store.list()):
        if sys.argv[1] == str(count):
            os.kill(os.getpid(), signal.SIGKILL)
        print(migrate(ref, documents).health)
"""


def test_killed_half_way_and_called_again_three_times_at_once_it_makes_one_version_of_each(
    tmp_path: Path, entrepot_home: Path
) -> None:
    script = tmp_path / "pets.py"
    script.write_text(MODULE)

    def start(mode: str) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, script, mode], stdout=subprocess.PIPE, text=True, env=os.environ)

    assert start("old").wait(120) == 0
    killed = start("3")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    running = [start("all") for _ in range(3)]
    said = [process.communicate(timeout=120)[0].split() for process in running]
    assert {process.returncode for process in running} == {0}
    assert [each[:3] for each in said] == [["ok"] * 3] * 3, "what was done before is left alone"
    assert sum(each.count("migrated") for each in said) == 3
    assert {word for each in said for word in each} == {"migrated", "ok"}
    names = sorted(path.name for path in entrepot_home.glob("blocks/pet/*/*"))
    assert names == ["00000001.json"] * 6 + ["00000002.json"] * 6
