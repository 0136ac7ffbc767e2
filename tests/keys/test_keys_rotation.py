"""Staged, primary, disabled, destroyed: what each step does, and what it refuses."""

import contextlib
from pathlib import Path

import pytest

from entrepot import home, settings, task
from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, default_documents
from entrepot.blocks.rewrap import rewrap_documents
from entrepot.blocks.stores import stores
from entrepot.blocks.system import Secret
from entrepot.coordination import pauses
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.providers import FileKeyProvider
from entrepot.crypto.seal import read_header, read_key
from entrepot.engine import places
from entrepot.engine.world import World
from entrepot.errors import (
    DestroyedKeyError,
    KeyInUseError,
    KeyringChangedError,
    KeyringError,
    KeyringMissingError,
    ObjectChangedError,
    StorageError,
    UnknownKeyError,
)
from entrepot.flow_runs.sealing import open_answer, seal_answer
from entrepot.keys import rotating
from entrepot.keys.usage import known_storages, usage_of
from entrepot.protocols.documents import DocumentRef
from entrepot.results.collect.collector import Collector
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage

BOTH = ("block", "result")


def rotate(*purposes: str) -> None:
    rotating.stage(home.key_provider(), purposes or BOTH)  # type: ignore[arg-type]
    rotating.promote(home.key_provider(), purposes or BOTH)  # type: ignore[arg-type]


def used() -> object:
    return usage_of(home.ring(), stores(), known_storages())


class TestSteps:
    def test_a_staged_key_opens_but_does_not_seal(self) -> None:
        before = home.ring()
        ring = rotating.stage(home.key_provider(), ["block"])
        (staged,) = [key for key in ring.all_keys() if key.state == "staged"]
        assert staged.opens
        assert ring.primary("block").id == before.primary("block").id
        assert ring.epoch == before.epoch + 1

    def test_staging_twice_makes_one_key(self) -> None:
        home.ring()
        one = rotating.stage(home.key_provider(), BOTH)
        assert rotating.stage(home.key_provider(), BOTH).epoch == one.epoch

    def test_promoting_makes_the_staged_key_primary_and_leaves_the_old_one_enabled(self) -> None:
        old = home.ring().primary("block").id
        rotating.stage(home.key_provider(), BOTH)
        (block, result) = rotating.promote(home.key_provider(), BOTH)
        assert (block.old, block.new) == (old, home.ring().primary("block").id)
        assert result.new == home.ring().primary("result").id
        assert {key.state for key in home.ring().all_keys()} == {"enabled"}
        assert rotating.promote(home.key_provider(), BOTH)[0].old == block.new, "where none is staged, nothing happens"

    def test_without_a_keyring_nothing_is_staged(self) -> None:
        with pytest.raises(KeyringMissingError, match="keys init"):
            rotating.stage(home.key_provider(), BOTH)

    def test_a_disabled_key_opens_nothing_until_it_is_enabled(self) -> None:
        Secret(value="s").save("one")
        old = home.ring().primary("block").id
        rotate()
        rotating.disable(home.key_provider(), old, None)
        with pytest.raises(UnknownKeyError, match=f"disabled.*entrepot keys enable {old}"):
            Secret.load("one")
        rotating.enable(home.key_provider(), old)
        assert Secret.load("one").get() == "s"
        epoch = home.ring().epoch
        assert rotating.enable(home.key_provider(), old).epoch == epoch, "it is enabled already"

    def test_a_primary_key_is_neither_disabled_nor_destroyed(self) -> None:
        primary = home.ring().primary("block").id
        for drop in (rotating.disable, rotating.destroy):
            with pytest.raises(KeyringError, match="make a new primary first"):
                drop(home.key_provider(), primary, None)

    def test_an_enabled_key_is_disabled_before_it_is_destroyed(self) -> None:
        old = home.ring().primary("block").id
        rotate()
        with pytest.raises(KeyInUseError, match="disable it first"):
            rotating.destroy(home.key_provider(), old, None)

    def test_a_destroyed_key_leaves_its_id_and_never_comes_back(self, entrepot_home: Path) -> None:
        ring = home.ring()
        old = ring.primary("block")
        assert old.material is not None
        rotate()
        rotating.disable(home.key_provider(), old.id, None)
        rotating.destroy(home.key_provider(), old.id, None)
        (left,) = [key for key in home.ring().all_keys() if key.id == old.id]
        assert (left.state, left.material) == ("destroyed", None)
        with pytest.raises(KeyringError, match="stays so"):
            rotating.enable(home.key_provider(), old.id)

    def test_an_unknown_key_is_named(self) -> None:
        home.ring()
        for step in (rotating.disable, rotating.destroy):
            with pytest.raises(UnknownKeyError, match="k0000000000000000"):
                step(home.key_provider(), "k" + "0" * 16, None)


class TestRefusals:
    def test_a_key_that_a_block_needs_stays(self) -> None:
        Secret(value="s").save("one")
        old = home.ring().primary("block").id
        rotate()
        with pytest.raises(KeyInUseError, match=r"secret/one.*entrepot keys rewrap") as caught:
            rotating.disable(home.key_provider(), old, used())  # type: ignore[arg-type]
        assert caught.value.key_id == old
        rewrap_documents(default_documents())
        rotating.disable(home.key_provider(), old, used())  # type: ignore[arg-type]
        assert Secret.load("one").get() == "s"

    def test_a_key_that_only_an_older_version_needs_stays(self) -> None:
        Secret(value="s").save("one")
        old = home.ring().primary("block").id
        rotate()
        Secret(value="t").save("one", overwrite=True)
        with pytest.raises(KeyInUseError, match="version 1 of the block secret/one"):
            rotating.disable(home.key_provider(), old, used())  # type: ignore[arg-type]

    @pytest.mark.parametrize("encrypted", [False, True])
    def test_a_key_that_a_result_needs_stays(self, monkeypatch: pytest.MonkeyPatch, *, encrypted: bool) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_ENCRYPT", str(encrypted).lower())
        task(persist_result=True)(lambda: "x" * 100_000)()
        old = home.ring().primary("result").id
        rotate()
        with pytest.raises(KeyInUseError, match=r"such as .*results.*store gc"):
            rotating.disable(home.key_provider(), old, used())  # type: ignore[arg-type]

    def test_a_store_that_does_not_answer_is_no_store_without_results(self) -> None:
        broken = FaultyStorage(MemoryStorage(), fail_at=1)
        with pytest.raises(StorageError):
            usage_of(home.ring(), stores(), [broken])


class TestRewrap:
    def test_every_version_and_every_tombstone_is_sealed_again(self) -> None:
        for value in ("one", "two", "three"):
            Secret(value=value).save("a", overwrite=True)
        Secret(value="gone").save("b")
        Secret.delete("b")
        rotate("block")
        told: list[tuple[int, int]] = []
        done = rewrap_documents(default_documents(), lambda *args: told.append(args))
        assert (done.seen, done.done, done.problems) == (4, 4, {})
        assert told == [(1, 4), (2, 4), (3, 4), (4, 4)], "and a second pass found nothing"
        documents = default_documents()
        primary = home.ring().primary("block").id
        for ref in documents.store.every():  # type: ignore[attr-defined]
            assert (read_key(documents.store.read(ref) or b"") or ("", ""))[1] == primary
        assert [b"one" in documents.open(ref) for ref in documents.store.versions("secret", "a")] == [
            True,
            False,
            False,
        ]
        assert Secret.load("a").get() == "three"
        assert not Secret.exists("b")
        assert rewrap_documents(default_documents()).done == 0

    def test_what_a_document_says_of_itself_stays_but_for_the_epoch(self) -> None:
        Secret(value="s").save("one")
        documents = default_documents()
        ref = documents.latest("secret", "one")
        before = dict(documents.header(ref))
        rotate("block")
        rewrap_documents(default_documents())
        after = dict(default_documents().header(ref))
        assert after.pop("epoch") == home.ring().epoch == before.pop("epoch") + 2  # type: ignore[operator]
        assert after == before

    def test_the_old_key_and_the_new_document_have_nothing_in_common(self) -> None:
        Secret(value="s").save("one")
        documents = default_documents()
        ref = documents.latest("secret", "one")
        old = documents.store.read(ref)
        rotate("block")
        rewrap_documents(default_documents())
        new = documents.store.read(ref)
        assert old is not None
        assert new is not None
        assert old != new
        assert read_header(new)

    def test_another_writer_at_the_same_moment_wins(self) -> None:
        storage, ring = MemoryStorage(), Keyring.generate()
        documents = BlockDocuments(StorageDocumentStore(storage), lambda: ring)
        ref = documents.save("secret", "one", memoryview(b"{}"), header={}, overwrite=False)
        sealed = documents.store.read(ref) or b""
        store = StorageDocumentStore(storage)
        assert not store.exchange(ref, b"something else", b"new")
        assert store.exchange(ref, sealed, b"new")
        assert not store.exchange(ref, sealed, b"newer")
        assert not store.exchange(DocumentRef("secret", "absent", 1), sealed, b"new")
        assert store.read(ref) == b"new"

    def test_a_swap_that_came_too_late_is_tried_again(self) -> None:
        def late() -> ObjectChangedError:
            return ObjectChangedError("late", path="", location="")

        storage, ring = MemoryStorage(), Keyring.generate()
        documents = BlockDocuments(StorageDocumentStore(storage), lambda: ring)
        ref = documents.save("secret", "one", memoryview(b"{}"), header={}, overwrite=False)
        rotated = ring.with_new_primary("block")
        faulty = FaultyStorage(storage, fail_at=1, on=["swap"], error=late)
        done = rewrap_documents(BlockDocuments(StorageDocumentStore(faulty), lambda: rotated))
        assert faulty.failed
        assert done.done == 1
        assert BlockDocuments(StorageDocumentStore(storage), lambda: rotated).open(ref) == b"{}"

    def test_a_store_without_conditions_is_rewrapped_too_and_brings_nothing_back(self) -> None:
        class Plain(FaultyStorage):
            def __init__(self, storage: MemoryStorage) -> None:
                super().__init__(storage)
                self.can_swap = lambda: False

        storage, ring = MemoryStorage(), Keyring.generate()
        store = StorageDocumentStore(Plain(storage))
        documents = BlockDocuments(store, lambda: ring)
        ref = documents.save("secret", "one", memoryview(b"{}"), header={}, overwrite=False)
        gone = documents.save("secret", "two", memoryview(b"{}"), header={}, overwrite=False)
        sealed = store.read(gone) or b""
        rotated = ring.with_new_primary("block")
        assert rewrap_documents(BlockDocuments(store, lambda: rotated)).done == 2
        documents.delete("secret", "two")
        storage.put("secret/two/00000001.json", sealed)  # as if a rewrap had read it before it was deleted
        assert not store.exchange(gone, sealed, b"new")
        assert store.read(gone) is None
        assert BlockDocuments(store, lambda: rotated).open(ref) == b"{}"

    @pytest.mark.parametrize("after", [False, True])
    def test_an_outage_stops_it_and_the_next_one_goes_on(self, *, after: bool) -> None:
        for at in range(1, 40):
            storage, ring = MemoryStorage(), Keyring.generate()
            documents = BlockDocuments(StorageDocumentStore(storage), lambda ring=ring: ring)  # type: ignore[misc]
            refs = [
                documents.save("secret", name, memoryview(name.encode()), header={}, overwrite=False)
                for name in ("a", "b", "c")
            ]
            rotated = ring.with_new_primary("block")
            faulty = FaultyStorage(storage, fail_at=at, after=after)
            with contextlib.suppress(StorageError):
                rewrap_documents(BlockDocuments(StorageDocumentStore(faulty), lambda rotated=rotated: rotated))  # type: ignore[misc]
            whole = BlockDocuments(StorageDocumentStore(storage), lambda rotated=rotated: rotated)  # type: ignore[misc]
            rewrap_documents(whole)
            assert [whole.open(ref) for ref in refs] == [b"a", b"b", b"c"]
            if not faulty.failed:
                break
        else:
            pytest.fail("it never came to its end")

    def test_answers_to_runs_are_sealed_again(self) -> None:
        now = home.ring().primary("block").created
        asked = pauses.Pause(
            root_run_id="r", key="k", run_id="r", question="q", schema=None, message="m", asked=now, deadline=None
        )
        pauses.ask(asked, lambda _question, **_: True)
        found = pauses.find("r", "k")
        assert found is not None
        pauses.answer(found, seal_answer(found, '"yes"'), now)
        old = home.ring().primary("block").id
        rotate("block")
        assert usage_of(home.ring(), stores(), []).count(old, "answers") == 1
        assert rotating.rewrap(default_documents()).done == 1
        rotating.disable(home.key_provider(), old, used())  # type: ignore[arg-type]
        found = pauses.find("r", "k")
        assert found is not None
        assert open_answer(found, found.answer or "") == '"yes"'


class TestRunningProcesses:
    def test_a_ring_that_was_read_before_opens_what_is_sealed_after(self) -> None:
        held = home.ring()
        rotate()
        Secret(value="sesame").save("one")
        documents = BlockDocuments(default_documents().store, lambda: held)
        assert b"sesame" in documents.open(documents.latest("secret", "one"))
        assert held.primary("block").id != home.ring().primary("block").id

    def test_a_change_at_the_very_moment_of_reading_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        home.ring()
        home._rings.clear()
        real = FileKeyProvider.read
        reads: list[int] = []

        def read(self: FileKeyProvider) -> bytes | None:
            document = real(self)
            reads.append(1)
            if len(reads) == 1:
                rotating.stage(FileKeyProvider(self.path), ["block"])
            return document

        monkeypatch.setattr(FileKeyProvider, "read", read)
        assert home.ring().epoch == 2
        assert home.ring().epoch == 2

    def test_a_key_that_nobody_knows_is_looked_for_once_and_raises(self) -> None:
        held = home.ring()
        asked: list[int] = []
        newest = held.newest
        assert newest is not None
        held.newest = lambda: (asked.append(1), newest())[1]
        with pytest.raises(UnknownKeyError, match=r"k0000000000000000.*epoch 1.*entrepot keys import"):
            held.key("k" + "0" * 16, "block")
        assert asked == [1]

    def test_a_block_inside_another_stays_a_reference_across_a_rotation(self) -> None:
        class Outer(Block):
            _block_type_slug = "outer-of-rotation"
            inner: Secret

        Secret(value="s").save("inner")
        inner = Secret.load("inner")
        rotate()
        Outer(inner=inner).save("outer")
        Secret(value="new").save("inner", overwrite=True)
        assert Outer.load("outer").inner.get() == "new", "it was saved as a reference, not as a copy"

    def test_results_are_hits_across_a_rotation(self) -> None:
        calls: list[int] = []

        @task(persist_result=True, cache_key_fn=lambda *_: "key")
        def once() -> int:
            calls.append(1)
            return len(calls)

        assert once() == 1
        rotate()
        assert once() == 1

    def test_results_under_a_destroyed_key_are_misses_and_are_computed_again(self) -> None:
        calls: list[int] = []

        @task(persist_result=True, cache_key_fn=lambda *_: "key")
        def once() -> int:
            calls.append(1)
            return len(calls)

        assert once() == 1
        old = home.ring().primary("result").id
        rotate()
        rotating.disable(home.key_provider(), old, None)
        places._open.clear()  # a running one looks at its keyring again after a second
        with pytest.raises(UnknownKeyError, match="disabled"):
            once()
        rotating.destroy(home.key_provider(), old, None)
        places._open.clear()
        assert once() == 2
        assert once() == 2

    def test_encrypted_results_under_a_destroyed_key_do_not_stop_a_collection(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_ENCRYPT", "true")
        task(persist_result=True)(lambda: "x" * 100_000)()
        old = home.ring().primary("result").id
        rotate()
        rotating.disable(home.key_provider(), old, None)
        places._open.clear()  # a running one looks at its keyring again after a second
        store = places.result_store(None, World(settings.current()))
        assert Collector(store, grace=0).preview().is_blind, "it may be enabled again"
        rotating.destroy(home.key_provider(), old, None)
        places._open.clear()
        report = Collector(places.result_store(None, World(settings.current())), grace=0).run()
        assert (report.is_blind, report.payloads) == (False, 1)

    def test_blocks_under_a_destroyed_key_name_it(self) -> None:
        Secret(value="s").save("one")
        old = home.ring().primary("block").id
        rotate()
        rotating.disable(home.key_provider(), old, None)
        rotating.destroy(home.key_provider(), old, None)
        with pytest.raises(DestroyedKeyError, match=f"{old}.*keyring.json"):
            Secret.load("one")


def test_two_rotations_at_the_same_moment_lose_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second changes the ring between the reading and the writing of the first."""
    home.ring()
    provider = home.key_provider()
    real = type(provider).replace
    theirs: list[str] = []

    def replace(self: object, document: bytes, *, old: bytes) -> None:
        if not theirs:
            theirs.append("")
            ring = rotating.stage(home.key_provider(), ["result"])
            theirs[0] = next(key.id for key in ring.all_keys() if key.state == "staged")
        real(self, document, old=old)  # type: ignore[arg-type]

    monkeypatch.setattr(type(provider), "replace", replace)
    ring = rotating.stage(provider, ["block"])
    assert theirs[0] in {key.id for key in ring.all_keys()}
    assert len([key for key in home.ring().all_keys() if key.state == "staged"]) == 2
    assert home.ring().epoch == 3
    with pytest.raises(KeyringChangedError):
        provider.replace(ring.to_document(), old=b"{}")
