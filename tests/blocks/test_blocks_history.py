"""The versions of a block: who made them, what changed, which can be loaded, and what a store cannot take back."""

import asyncio
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from entrepot._version import __version__
from entrepot.blocks._about import UNKNOWN, about_now, read_about
from entrepot.blocks._marks import Marks
from entrepot.blocks._saving import save_over
from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.blocks.history import diff, stored
from entrepot.blocks.system import JSON, Secret, String
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import seal
from entrepot.errors import BlockExistsError, BlockNotFoundError, IntegrityError, SerializationError
from entrepot.plugins import BLOCKS
from entrepot.storage import LocalStorage, MemoryStorage
from entrepot.testing import FrozenClock
from entrepot_test_sites import FakeSite

HUNTER = "hunter2-correct-horse"
GOLDEN = Path(__file__).parent.parent / "golden"


class Entry(Block):
    note: str = ""
    token: SecretStr = SecretStr("")


class Ledger(Block):
    headers: dict[str, SecretStr]
    places: dict[Any, Any] = Field(default_factory=dict)
    inner: Entry | None = None
    tags: list[Any] = Field(default_factory=list)


@pytest.fixture
def kept(tmp_path: Path, ring: Keyring) -> Iterator[BlockDocuments]:
    """Documents in a folder, whose versions are marked."""
    storage = LocalStorage(tmp_path / "kept")
    marks = Marks(tmp_path / "seen", storage.location)
    with use_documents(BlockDocuments(StorageDocumentStore(storage), lambda: ring, marks)) as documents:
        yield documents


@pytest.mark.usefixtures("documents")
class TestHistory:
    def test_each_version_says_who_when_where_and_with_what(self) -> None:
        before = datetime.now(UTC) - timedelta(seconds=2)
        Secret(value="1").save("x")
        Secret(value="2").save("x", overwrite=True)
        versions = Secret.history("x")
        assert [each.version for each in versions] == [1, 2]
        for each in versions:
            assert each.saved is not None
            assert before <= each.saved <= datetime.now(UTC)
            assert each.host == os.uname().nodename
            assert each.by
            assert each.entrepot == __version__
            assert each.distribution == f"entrepot {__version__}"
            assert (each.action, each.source, each.schema_version, each.problem) == ("save", None, 1, "")

    def test_it_is_sealed_and_not_in_clear(
        self, documents: BlockDocuments, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("getpass.getuser", lambda: "augusta-ada-king-of-lovelace")
        Secret(value="1").save("x")
        (sealed,) = [bytes(storage.get(info.path)) for info in storage.list()]
        assert b"lovelace" not in sealed
        assert Secret.history("x")[0].by == "augusta-ada-king-of-lovelace"
        header = documents.header(documents.latest("secret", "x"))
        assert not {"about", "at", "by", "host", "entrepot", "distribution"} & header.keys()

    def test_a_class_of_the_program_has_no_distribution(self) -> None:
        Entry().save("x")
        assert Entry.history("x")[0].distribution == ""

    def test_a_class_of_a_plugin_says_which_distribution_it_is_of(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = FakeSite(tmp_path)
        site.module(
            "acme_history", "from entrepot.blocks import Block\nclass AcmeHistory(Block):\n    host: str = 'h'\n"
        )
        site.distribution("acme-history", "2.5", blocks="acme-history = acme_history:AcmeHistory")
        monkeypatch.syspath_prepend(str(tmp_path))
        BLOCKS.get("acme-history")().save("x")
        assert Block.history("acme-history/x")[0].distribution == "acme-history 2.5"
        BLOCKS.forget("acme-history")

    def test_what_an_earlier_version_saved_has_an_unknown_history(self) -> None:
        ring = Keyring.from_document((GOLDEN / "crypto" / "keyring.json").read_bytes(), location="golden")
        with use_documents(BlockDocuments(StorageDocumentStore(LocalStorage(GOLDEN / "blocks")), lambda: ring)):
            (version,) = Secret.history("nested")
            assert Secret.load("nested", version=1).get() == "nested and saved"
        assert (version.version, version.schema_version, version.problem) == (1, 1, "")
        assert {version.saved, version.by, version.host, version.entrepot, version.distribution, version.action} == {
            None
        }

    def test_what_this_version_saves_is_read_by_the_next(self) -> None:
        ring = Keyring.from_document((GOLDEN / "crypto" / "keyring.json").read_bytes(), location="golden")
        told = StorageDocumentStore(LocalStorage(GOLDEN / "blocks-history"))
        with use_documents(BlockDocuments(told, lambda: ring)) as documents:
            assert String.load("told").value == "one"
            first, second, third = String.history("told")
            assert json.loads(documents.open(documents.at("string", "told", 3))) == {
                "about": {
                    "at": "2026-11-26T10:00:00+00:00",
                    "by": "ada",
                    "host": "engine",
                    "entrepot": "0.1.0",
                    "distribution": "entrepot 0.1.0",
                    "action": "rollback",
                    "source": 1,
                },
                "fields": {"value": "one"},
            }
            (gone,) = String.history("gone")
            assert Block.history("string/gone") == Block.history("gone") == [gone]
            for name in ("never", "string/never"):
                with pytest.raises(BlockNotFoundError):
                    Block.history(name)
        assert (first.by, first.host, first.distribution) == ("ada", "engine", "entrepot 0.1.0")
        assert first.saved == datetime(2026, 11, 26, 10, 0, tzinfo=UTC)
        assert [(each.action, each.source) for each in (first, second, third)] == [
            ("save", None),
            ("save", None),
            ("rollback", 1),
        ]
        assert (gone.version, gone.deleted, gone.action, gone.by) == (2, True, "delete", "ada")

    def test_a_version_that_cannot_be_opened_is_listed_with_the_reason(self, storage: MemoryStorage) -> None:
        for number in range(3):
            String(value=str(number)).save("x", overwrite=number > 0)
        storage.put("string/x/00000002.json", b"{}")
        first, second, third = String.history("x")
        assert (first.problem, third.problem) == ("", "")
        assert "version 2 of the block string/x" in second.problem
        assert String.load("x").value == "2"

    def test_a_deletion_starts_history_again_and_says_who_did_it(self, storage: MemoryStorage) -> None:
        String(value="1").save("x")
        old = bytes(storage.get("string/x/00000001.json"))
        String.delete("x")
        String(value="2").save("x")
        storage.put("string/x/00000001.json", old)
        grave, again = String.history("x")
        assert (grave.version, grave.deleted, grave.action, grave.host) == (2, True, "delete", os.uname().nodename)
        assert (again.version, again.deleted) == (3, False)
        for version in (1, 2):
            with pytest.raises(BlockNotFoundError, match=r"no version . of the block string/x .* there are: 3"):
                String.load("x", version=version)

    def test_what_a_body_says_of_itself_is_read_with_care(self) -> None:
        clock = FrozenClock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
        said = about_now("secret", "rollback", source=4, clock=clock)
        assert read_about(json.loads(json.dumps(said.to_plain()))) == said
        assert said.saved == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        for odd in (None, 7, [], {"at": "yesterday", "by": 7, "action": "burn", "source": "x"}, {"at": "2026-01-01"}):
            assert read_about(odd) == UNKNOWN

    def test_a_user_without_a_name_has_a_number(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody() -> str:
            raise KeyError("no such user")

        monkeypatch.setattr("getpass.getuser", nobody)
        assert about_now("secret", "save").by == str(os.getuid())


@pytest.mark.usefixtures("documents")
class TestVersions:
    @pytest.fixture(autouse=True)
    def _three(self, documents: BlockDocuments) -> None:
        for number in (1, 2, 3):
            Secret(value=f"v{number}").save("x", overwrite=True)

    def test_each_can_be_loaded_by_every_name(self) -> None:
        for number in (1, 2, 3):
            for block in (
                Secret.load("x", version=number),
                Block.load("secret/x", version=number),
                Block.load("x", version=number),
                asyncio.run(Secret.aload("x", version=number)),
            ):
                assert isinstance(block, Secret)
                assert block.get() == f"v{number}"

    @pytest.mark.parametrize("version", [0, -1, 4])
    def test_one_that_is_not_there_names_those_that_are(self, version: int) -> None:
        with pytest.raises(BlockNotFoundError, match=rf"no version {version} of .* there are: 1, 2, 3"):
            Secret.load("x", version=version)

    def test_of_many_the_newest_are_named(self) -> None:
        for number in range(4, 13):
            Secret(value=f"v{number}").save("x", overwrite=True)
        with pytest.raises(BlockNotFoundError, match="there are 12, the newest of them: 3, 4"):
            Secret.load("x", version=99)

    def test_a_rollback_is_a_new_version_with_the_old_content(self) -> None:
        ref = Secret.rollback("x", 1)
        assert (ref.slug, ref.name, ref.version) == ("secret", "x", 4)
        assert [Secret.load("x", version=number).get() for number in (1, 2, 3, 4)] == ["v1", "v2", "v3", "v1"]
        assert Secret.load("x").get() == "v1"
        last = asyncio.run(Secret.ahistory("x"))[-1]
        assert (last.action, last.source) == ("rollback", 1)
        assert asyncio.run(Block.arollback("x", 2)).version == 5

    def test_a_rollback_that_another_writer_overtakes_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = BlockDocuments.open_whole

        def slow(documents: BlockDocuments, ref: Any) -> Any:
            monkeypatch.undo()
            Secret(value="meanwhile").save("x", overwrite=True)
            return real(documents, ref)

        monkeypatch.setattr(BlockDocuments, "open_whole", slow)
        with pytest.raises(BlockExistsError, match="version 3 of it is not the newest any more"):
            Secret.rollback("x", 1)
        assert Secret.load("x").get() == "meanwhile"

    def test_an_old_version_inside_another_block_stays_what_it_is(self) -> None:
        JSON(value=[Secret.load("x", version=1), Secret.load("x")]).save("both")
        Secret(value="v4").save("x", overwrite=True)
        old, new = JSON.load("both").value
        assert (old.get(), new.get()) == ("v1", "v4")


@pytest.mark.usefixtures("documents")
class TestDiff:
    def kinds(self, name: str, *versions: int) -> dict[str, tuple[str, object, object]]:
        return {each.path: (each.kind, each.before, each.after) for each in diff(name, *versions)[2]}

    def test_fields_are_compared_and_secrets_are_not_shown(self) -> None:
        Ledger(headers={"A": HUNTER, "B": HUNTER, "C": HUNTER}, places={1: "x"}, inner=Entry(note="n")).save("o")
        Ledger(
            headers={"A": HUNTER, "B": HUNTER + "!", "D": HUNTER}, places={1: "y"}, inner=Entry(note="m"), tags=[1]
        ).save("o", overwrite=True)
        mask = "**********"
        assert self.kinds("o") == {
            "headers.A": ("unchanged", mask, mask),
            "headers.B": ("changed", mask, mask),
            "headers.C": ("removed", mask, None),
            "headers.D": ("added", None, mask),
            "places.1": ("changed", "x", "y"),
            "inner.note": ("changed", "n", "m"),
            "inner.token": ("unchanged", mask, mask),
            "tags": ("changed", [], [1]),
        }
        assert HUNTER not in repr(diff("o"))

    def test_what_became_a_secret_is_not_shown_as_it_was(self) -> None:
        JSON(value={"a": HUNTER, "b": [HUNTER], "c": {"d": HUNTER}}).save("j")
        JSON(value={"a": SecretStr("x"), "b": [SecretStr("x")], "c": SecretStr("x")}).save("j", overwrite=True)
        before, after, changes = diff("j")
        assert (before.version, after.version) == (1, 2)
        assert HUNTER not in repr(changes)
        assert {each.kind for each in changes} == {"changed"}

    def test_which_versions(self) -> None:
        for number in (1, 2, 3):
            String(value=f"v{number}").save("s", overwrite=True)
        assert self.kinds("s") == {"value": ("changed", "v2", "v3")}
        assert self.kinds("s", 1) == {"value": ("changed", "v1", "v3")}
        assert self.kinds("s", 3, 1) == {"value": ("changed", "v3", "v1")}
        String(value="only").save("alone")
        with pytest.raises(BlockNotFoundError, match="is the first"):
            diff("alone")

    def test_values_of_all_kinds_are_shown_as_people_write_them(self) -> None:
        Entry(note="x").save("i")
        value = {"t": (1, {2}), "when": datetime(2026, 1, 2, tzinfo=UTC), (1, 2): SecretStr("x"), "b": Entry.load("i")}
        JSON(value=value).save("j")
        assert stored("j").fields == {
            "value": {"t": [1, [2]], "when": "2026-01-02T00:00:00+00:00", "[1, 2]": "**********", "b": "entry/i"}
        }


class TestWithoutTheClass:
    def test_a_block_whose_class_has_gone_is_listed_shown_compared_rolled_back_and_deleted(
        self, documents: BlockDocuments
    ) -> None:
        class Gone(Block):
            host: str
            token: SecretStr

        Gone(host="one", token=HUNTER).save("x")
        Gone(host="two", token=HUNTER).save("x", overwrite=True)
        BLOCKS.forget("gone")
        assert Block.names() == ["gone/x"]
        found = stored("gone/x")
        assert found.fields == {"host": "two", "token": "**********"}
        assert (found.ref.version, found.about.by is not None) == (2, True)
        assert stored("x", 1).fields["host"] == "one"
        assert [(each.path, each.kind) for each in diff("x")[2]] == [("host", "changed"), ("token", "unchanged")]
        assert Block.rollback("gone/x", 1).version == 3
        assert [each.action for each in Block.history("gone/x")] == ["save", "save", "rollback"]
        BLOCKS.register("gone", Gone)
        assert Gone.load("x").token.get_secret_value() == HUNTER
        BLOCKS.forget("gone")
        Block.delete("gone/x")
        assert Block.names() == []

    def test_a_body_that_is_malformed_is_not_quoted(
        self, documents: BlockDocuments, storage: MemoryStorage, ring: Keyring
    ) -> None:
        place = {"type": "gone", "name": "x", "version": 1}
        storage.put("gone/x/00000001.json", seal(ring, HUNTER.encode(), place=place))
        with pytest.raises(SerializationError) as caught:
            stored("gone/x")
        assert HUNTER not in repr((str(caught.value), caught.value.__context__, caught.value.__cause__))
        storage.put("gone/x/00000001.json", seal(ring, b"[1]", place=place))
        with pytest.raises(IntegrityError, match="has no fields"):
            stored("gone/x")


def test_a_version_that_was_altered_says_how_to_go_back_and_that_works(entrepot_home: Path) -> None:
    String(value="one").save("x")
    String(value="two").save("x", overwrite=True)
    file = entrepot_home / "blocks/string/x/00000002.json"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="does not verify") as caught:
        String.load("x")
    assert "`entrepot block history string/x` shows which versions open" in caught.value.__notes__[0]
    String.rollback("x", 1)
    assert String.load("x").value == "one"


class TestWhatWasTakenAway:
    def versions(self, tmp_path: Path) -> Path:
        for number in (1, 2, 3):
            Secret(value=f"v{number}").save("x", overwrite=True)
        return tmp_path / "kept/secret/x"

    def test_so_is_one_inside_another_block(self, kept: BlockDocuments, tmp_path: Path) -> None:
        folder = self.versions(tmp_path)
        JSON(value=Secret.load("x")).save("outer")
        (folder / "00000003.json").unlink()
        with pytest.raises(IntegrityError, match="was seen from here"):
            JSON.load("outer")

    def test_a_save_says_it_too_and_a_deletion_is_not_held_up(self, kept: BlockDocuments, tmp_path: Path) -> None:
        folder = self.versions(tmp_path)
        (folder / "00000003.json").unlink()
        assert Secret(value="new").save("x", overwrite=True).version == 4
        (folder / "00000004.json").unlink()
        Secret.delete("x")
        assert [path.name for path in folder.iterdir()] == ["00000005.deleted.json"]

    def test_another_program_that_loaded_the_newer_one_notices_too(
        self, kept: BlockDocuments, tmp_path: Path, ring: Keyring
    ) -> None:
        folder = self.versions(tmp_path)
        elsewhere = BlockDocuments(kept.store, lambda: ring, Marks(tmp_path / "elsewhere", kept.store.location))
        never = BlockDocuments(kept.store, lambda: ring, Marks(tmp_path / "never", kept.store.location))
        with use_documents(elsewhere):
            Secret.load("x")
        (folder / "00000003.json").unlink()
        with use_documents(elsewhere), pytest.raises(IntegrityError):
            Secret.load("x")
        with use_documents(never):
            assert Secret.load("x").get() == "v2", "who has never seen a newer one cannot know"

    def test_a_version_that_came_after_the_look_is_not_missing(
        self, kept: BlockDocuments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.versions(tmp_path)
        real = Marks.highest

        def later(marks: Marks, slug: str, name: str) -> int:
            monkeypatch.undo()
            Secret(value="v4").save("x", overwrite=True)
            return real(marks, slug, name)

        monkeypatch.setattr(Marks, "highest", later)
        assert Secret.load("x").get() == "v4"

    def test_the_default_home_keeps_marks_and_a_new_process_reads_them(self, entrepot_home: Path) -> None:
        Secret(value="1").save("x")
        Secret(value="2").save("x", overwrite=True)
        assert [path.name for path in entrepot_home.glob("seen/*/secret/x/*")] == ["00000002"]
        assert {path.stat().st_mode & 0o777 for path in (entrepot_home / "seen").rglob("*") if path.is_dir()} == {0o700}
        (entrepot_home / "blocks/secret/x/00000002.json").unlink()
        with pytest.raises(IntegrityError, match="was seen from here"):
            Secret.load("x")

    def test_a_store_in_memory_takes_nothing_away_when_its_process_ends(
        self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", "memory://history-of-blocks")
        Secret(value="1").save("x")
        assert not (entrepot_home / "seen").exists()


def test_what_expects_a_version_never_goes_past_one_that_comes_at_that_moment(
    kept: BlockDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = String(value="first").save("x")
    latest, others = kept.store.latest, ["theirs"]

    def and_another_saves(slug: str, name: str) -> Any:
        found = latest(slug, name)
        if others:
            String(value=others.pop()).save(name, overwrite=True)
        return found

    monkeypatch.setattr(kept.store, "latest", and_another_saves)
    with pytest.raises(BlockExistsError, match="not the newest"):
        save_over(String(value="ours"), first, kept)
    assert String.load("x").value == "theirs"
    assert [version.version for version in String.history("x")] == [1, 2]
