"""Saving under a name, loading by it; references, versions, drift, and names that may not be."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import AfterValidator, BaseModel, Field, SecretStr, field_validator

from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, current_documents, use_documents
from entrepot.blocks.system import JSON, Secret, String
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    AmbiguousBlockNameError,
    BlockExistsError,
    BlockNotFoundError,
    BlockSchemaError,
    ConfigurationError,
    InvalidNameError,
    KeyringMissingError,
    SerializationError,
    UnknownBlockTypeError,
)
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef
from entrepot.storage import MemoryStorage
from entrepot.testing import FrozenClock

pytestmark = pytest.mark.usefixtures("documents")


class Host(Block):
    address: str
    password: SecretStr | None = None


class Cluster(Block):
    main: Host
    others: list[Host] = Field(default_factory=list)
    anything: Any = None


class TestSaveAndLoad:
    def test_what_was_saved_comes_back_by_every_name(self) -> None:
        saved = Secret(value="sesame")
        ref = saved.save("my-api-key")
        assert (ref.slug, ref.name, ref.version) == ("secret", "my-api-key", 1)
        assert Secret.load("my-api-key").get() == "sesame"
        for block in (Secret.load("secret/my-api-key"), Block.load("secret/my-api-key"), Block.load("my-api-key")):
            assert isinstance(block, Secret)
            assert block == saved

    def test_text_and_json_blocks(self) -> None:
        String(value="tëxt\x00\ud800").save("s")
        assert String.load("s").value == "tëxt\x00\ud800"
        value = {"a": [1, 2.5, None, True], "$type": "no tag", "t": (1, {2}), 3: SecretStr("x")}
        JSON(value=value).save("j")
        assert JSON.load("j").value == value

    def test_a_name_that_is_taken_is_refused_and_nothing_changes(self) -> None:
        Secret(value="one").save("x")
        with pytest.raises(BlockExistsError, match=r"secret/x.*overwrite=True") as caught:
            Secret(value="two").save("x")
        assert caught.value.name == "secret/x"
        assert Secret.load("x").get() == "one"

    def test_overwriting_adds_a_version_and_the_history_stays(self, documents: BlockDocuments) -> None:
        for number in range(1, 13):
            assert Secret(value=f"v{number}").save("x", overwrite=True).version == number
        assert Secret.load("x").get() == "v12"
        assert [ref.version for ref in documents.store.versions("secret", "x")] == list(range(1, 13))

    def test_the_same_name_for_two_types_is_two_blocks(self) -> None:
        Secret(value="s").save("x")
        String(value="t").save("x")
        assert Secret.load("x").get() == "s"
        assert String.load("x").value == "t"
        with pytest.raises(AmbiguousBlockNameError, match=r"secret/x, string/x") as caught:
            Block.load("x")
        assert caught.value.candidates == ["secret/x", "string/x"]
        with pytest.raises(AmbiguousBlockNameError):
            Block.delete("x")
        assert Block.exists("x")

    def test_deleting_listing_and_asking(self) -> None:
        assert (Secret.exists("x"), Secret.names(), Block.names()) == (False, [], [])
        Secret(value="1").save("x")
        Secret(value="2").save("x", overwrite=True)
        Secret(value="1").save("a")
        String(value="1").save("b")
        assert Secret.names() == ["a", "x"]
        assert Block.names() == ["secret/a", "secret/x", "string/b"]
        assert [(ref.name, ref.version) for ref in Secret.list()] == [("a", 1), ("x", 2)]
        assert all(isinstance(ref, DocumentRef) for ref in Block.list())
        Block.delete("secret/x")
        Secret.delete("a")
        assert not Secret.exists("x")
        assert not Block.exists("secret/x")
        assert Block.names() == ["string/b"]
        with pytest.raises(BlockNotFoundError):
            Secret.delete("x")
        Secret(value="again").save("x")
        assert Secret.load("x").get() == "again"

    def test_one_that_is_not_there_is_named_with_those_that_are_near(self) -> None:
        with pytest.raises(BlockNotFoundError, match="none is saved there"):
            Secret.load("my-api-key")
        Secret(value="x").save("my-api-key")
        Secret(value="x").save("zzz")
        with pytest.raises(BlockNotFoundError, match=r"did you mean 'my-api-key'\?") as caught:
            Secret.load("my-api-kye")
        assert caught.value.name == "secret/my-api-kye"
        with pytest.raises(BlockNotFoundError, match="'secret/my-api-key'"):
            Block.load("my-api-ky")
        with pytest.raises(BlockNotFoundError, match="saved there: my-api-key, zzz"):
            Secret.load("quite-different")

    def test_another_type_than_asked_for_is_refused(self) -> None:
        String(value="x").save("x")
        with pytest.raises(BlockNotFoundError, match=r"string/x is a string block, not a Secret"):
            Secret.load("string/x")

    def test_async_twins(self) -> None:
        async def use() -> None:
            ref = await Secret(value="x").asave("x")
            assert ref.version == 1
            assert (await Secret.aload("x")).get() == "x"
            assert await Secret.aexists("x")
            assert await Secret.anames() == ["x"]
            assert [each.name for each in await Block.alist()] == ["x"]
            assert await Secret(value="x").acheck() == ""
            await Secret.adelete("x")
            assert not await Secret.aexists("x")

        asyncio.run(use())


class TestNames:
    def test_something_that_is_no_text_is_refused(self) -> None:
        with pytest.raises(InvalidNameError, match="a string, not int"):
            Secret.load(5)  # type: ignore[arg-type]

    def test_the_longest_name_works(self) -> None:
        Secret(value="x").save("x" * 100)
        assert Secret.load("x" * 100).get() == "x"


class TestRaces:
    def test_of_many_writers_exactly_one_creates(self) -> None:
        context = threading.Barrier(8)
        outcomes: list[str] = []

        def write(number: int, documents: BlockDocuments) -> None:
            with use_documents(documents):
                context.wait()
                try:
                    Secret(value=f"v{number}").save("x")
                    outcomes.append(f"v{number}")
                except BlockExistsError:
                    outcomes.append("")

        threads = [threading.Thread(target=write, args=(number, current_documents())) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = filter(None, outcomes)
        assert Secret.load("x").get() == winner

    def test_of_many_who_overwrite_each_gets_a_version(self, documents: BlockDocuments) -> None:
        def write(number: int) -> None:
            with use_documents(documents):
                Secret(value=f"v{number}").save("x", overwrite=True)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [ref.version for ref in documents.store.versions("secret", "x")] == list(range(1, 9))

    def test_a_writer_who_never_wins_gives_up(self, ring: Keyring) -> None:
        class Busy(StorageDocumentStore):
            def append(self, ref: DocumentRef, sealed: bytes) -> None:
                raise BlockExistsError("taken", name=ref.name)

        with use_documents(BlockDocuments(Busy(MemoryStorage()), lambda: ring, clock=FrozenClock())):
            with pytest.raises(BlockExistsError, match="try again"):
                Secret(value="x").save("x", overwrite=True)
            with pytest.raises(BlockExistsError):
                Secret(value="x").save("x")


class TestNesting:
    def test_an_unsaved_block_is_kept_inside(self) -> None:
        Cluster(main=Host(address="a", password="p"), others=[Host(address="b")]).save("c")
        assert Block.names() == ["cluster/c"]
        loaded = Cluster.load("c")
        assert loaded.main.password is not None
        assert loaded.main.password.get_secret_value() == "p"
        assert [host.address for host in loaded.others] == ["b"]

    def test_a_saved_block_is_kept_as_a_reference_that_follows_its_changes(self) -> None:
        host = Host(address="a")
        host.save("h")
        Cluster(main=host, others=[Host.load("h")], anything={"deep": [host]}).save("c")
        Host(address="changed").save("h", overwrite=True)
        loaded = Cluster.load("c")
        assert loaded.main.address == "changed"
        assert loaded.others[0].address == "changed"
        assert loaded.anything["deep"][0].address == "changed"

    def test_a_saved_block_that_was_changed_since_is_kept_inside(self) -> None:
        host = Host(address="a")
        host.save("h")
        host.address = "mine"
        Cluster(main=host).save("c")
        assert Cluster.load("c").main.address == "mine"
        assert Host.load("h").address == "a"

    def test_a_block_changed_and_changed_back_is_a_reference_again(self) -> None:
        host = Host(address="a")
        host.save("h")
        host.address = "b"
        host.address = "a"
        Cluster(main=host).save("c")
        Host(address="new").save("h", overwrite=True)
        assert Cluster.load("c").main.address == "new"

    def test_a_block_saved_elsewhere_is_kept_inside(self, ring: Keyring) -> None:
        host = Host(address="a", password="p")
        host.save("h")
        with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: ring)):
            Cluster(main=host).save("c")
            assert Block.names() == ["cluster/c"]
            assert Cluster.load("c").main == host

    def test_a_reference_to_nothing_says_who_refers(self) -> None:
        host = Host(address="a")
        host.save("h")
        Cluster(main=host).save("c")
        Host.delete("h")
        with pytest.raises(BlockNotFoundError, match="no host block named 'h'") as caught:
            Cluster.load("c")
        assert caught.value.__notes__ == ["The block cluster/c refers to the block host/h."]

    def test_a_reference_to_a_block_of_another_type_is_refused(self) -> None:
        class Strange(Block):
            inner: Any

        host = Host(address="a")
        host.save("h")
        Strange(inner=host).save("s")

        class Strange(Block):  # type: ignore[no-redef]
            inner: String

        with pytest.raises(BlockSchemaError, match="inner"):
            Strange.load("s")

    def test_blocks_that_contain_each_other_are_refused_not_followed_for_ever(self) -> None:
        class Ring(Block):
            next: Any = None

        one, two = Ring(), Ring()
        one.save("one")
        two.next = one
        two.save("two")
        one.next = two
        with pytest.raises(SerializationError, match=r"Ring cannot be saved: a block contains itself; save one"):
            one.save("one", overwrite=True)
        one.next = Ring.load("two")
        one.save("one", overwrite=True)
        with pytest.raises(BlockSchemaError, match=r"ring/one contains itself \(ring/one in ring/two in ring/one\)"):
            Ring.load("one")

    def test_a_subclass_inside_comes_back_as_such(self) -> None:
        class Special(Host):
            weight: int = 0
            level: "Level | None" = None

        Cluster(main=Special(address="a", weight=3, level=Level(n=4))).save("c")
        loaded = Cluster.load("c").main
        assert isinstance(loaded, Special)
        assert loaded.weight == 3
        assert loaded.level == Level(n=4)

    def test_a_nested_block_of_a_type_that_is_gone_says_what_to_do(self) -> None:
        class Gone(Host):
            pass

        Cluster(main=Gone(address="a")).save("c")
        BLOCKS.forget("gone")
        with pytest.raises(UnknownBlockTypeError, match=r"'gone'.*import its module"):
            Cluster.load("c")

    def test_a_block_that_contains_itself_is_refused(self) -> None:
        block = JSON(value=[])
        block.value.append(block)
        with pytest.raises(SerializationError, match="contains itself"):
            block.save("loop")


class Level(BaseModel):
    n: int


class TestAbstractClasses:
    def test_an_abstract_class_loads_what_derives_from_it(self) -> None:
        class Notifier(Block, ABC):
            @abstractmethod
            def notify(self) -> str: ...

        class Mail(Notifier):
            to: str

            def notify(self) -> str:
                return f"mail {self.to}"

        Mail(to="a").save("x")
        String(value="x").save("x")
        String(value="x").save("y")
        assert Notifier.load("x").notify() == "mail a"
        assert Notifier.load("mail/x").notify() == "mail a"
        assert Notifier.names() == ["mail/x"]
        with pytest.raises(BlockNotFoundError, match="of other types"):
            Notifier.load("y")


def version(number: int, annotations: dict[str, Any], /, **defaults: Any) -> type[Block]:
    body = {"__module__": __name__, "__annotations__": annotations, "_schema_version": number, **defaults}
    return type("Drift", (Block,), body)


class TestDrift:
    @pytest.fixture(autouse=True)
    def saved(self, documents: BlockDocuments) -> Iterator[None]:
        version(1, {"a": int, "b": str})(a=1, b="x").save("d")  # type: ignore[call-arg]
        yield
        BLOCKS.forget("drift")

    def test_a_new_field_with_a_default_is_fine(self) -> None:
        loaded = version(2, {"a": int, "b": str, "c": list[int]}, c=Field(default_factory=lambda: [7])).load("d")
        assert loaded.c == [7]  # type: ignore[attr-defined]

    def test_a_required_field_that_is_missing_is_named(self) -> None:
        with pytest.raises(BlockSchemaError) as caught:
            version(2, {"a": int, "b": str, "c": int, "e": int}).load("d")
        message = str(caught.value)
        assert "drift/d (version 1)" in message
        assert "it lacks the fields c, e" in message
        assert "schema version 1 and the class has 2" in message
        assert "overwrite=True" in message
        assert caught.value.name == "drift/d"

    def test_a_field_that_the_class_does_not_know_is_named_and_not_dropped(self) -> None:
        for config in ({}, {"model_config": {"extra": "ignore"}}):
            with pytest.raises(BlockSchemaError, match="it has the field b, which the class does not know"):
                version(2, {"a": int}, **config).load("d")

    def test_a_class_that_allows_more_takes_it(self) -> None:
        loaded = version(2, {"a": int}, model_config={"extra": "allow"}).load("d")
        assert loaded.model_extra == {"b": "x"}

    def test_a_value_that_is_refused_is_named_by_its_field(self) -> None:
        with pytest.raises(BlockSchemaError, match=r"refuses what it has for b \(Input should be a valid integer"):
            version(1, {"a": int, "b": int}).load("d")

    def test_the_words_of_a_validator_may_quote_a_value_and_are_left_out(self) -> None:
        def refuse(value: str) -> str:
            raise ValueError(f"{value} is none")

        with pytest.raises(BlockSchemaError, match=r"refuses what it has for b \(value_error\)"):
            version(1, {"a": int, "b": Annotated[str, AfterValidator(refuse)]}).load("d")

    def test_an_unknown_type_says_what_to_install(self) -> None:
        BLOCKS.forget("drift")
        with pytest.raises(UnknownBlockTypeError, match="drift"):
            Block.load("drift/d")
        with pytest.raises(UnknownBlockTypeError, match=r"entrepot\[aws\]"):
            Block.load("s3-bucket/data")

    def test_it_can_be_saved_again(self) -> None:
        cls = version(2, {"a": int, "c": int})
        cls(a=1, c=2).save("d", overwrite=True)  # type: ignore[call-arg]
        assert cls.load("d").c == 2  # type: ignore[attr-defined]


class TestWhatCannotBeKept:
    def test_an_object_of_no_known_kind_is_named_with_its_path(self) -> None:
        class Thing:
            pass

        with pytest.raises(SerializationError, match=r"JSON\.value\['a'\]\[1\].*Thing.*plain data") as caught:
            JSON(value={"a": [1, Thing()]}).save("x")
        assert caught.value.path == "value['a'][1]"
        assert not Block.names()

    def test_a_model_that_no_annotation_names_is_refused(self) -> None:
        with pytest.raises(SerializationError, match="would not come back"):
            JSON(value=Level(n=1)).save("x")

    def test_a_validator_that_does_not_take_its_own_output_is_named(self) -> None:
        class Fussy(Block):
            path: str
            other: int = 1

            @field_validator("path")
            @classmethod
            def _prefix(cls, path: str) -> str:
                return f"/data/{path}"

        with pytest.raises(SerializationError, match=r"come back as it is \(path\)"):
            Fussy(path="a").save("x")

    def test_what_was_made_without_validation_and_does_not_fit_is_refused(self) -> None:
        with pytest.raises(SerializationError, match="address"):
            Host.model_construct(address=5).save("x")
        with pytest.raises(SerializationError, match="lacks the field address"):
            Host.model_construct().save("x")


class TestRotation:
    def test_after_a_rotation_the_old_opens_and_the_new_is_under_the_new_key(self, storage: MemoryStorage) -> None:
        ring = Keyring.generate()
        store = StorageDocumentStore(storage)
        with use_documents(BlockDocuments(store, lambda: ring)):
            Secret(value="one").save("a")
        rotated = ring.with_new_primary("block")
        with use_documents(BlockDocuments(store, lambda: rotated)):
            assert Secret.load("a").get() == "one"
            Secret(value="two").save("b")
        assert rotated.primary("block").id.encode() in bytes(storage.get("secret/b/00000001.json"))


class TestStores:
    def test_a_store_that_cannot_create_exclusively_is_refused_unless_there_is_one_writer(self, ring: Keyring) -> None:
        class Plain(MemoryStorage):
            creates_exclusively: ClassVar[bool] = False  # type: ignore[misc]

        storage = Plain()
        with use_documents(BlockDocuments(StorageDocumentStore(storage), lambda: ring)):
            with pytest.raises(ConfigurationError, match=r"one could overwrite the other.*blocks_sole_writer"):
                Secret(value="x").save("x")
            assert not Secret.exists("x")
        with use_documents(BlockDocuments(StorageDocumentStore(storage, sole_writer=True), lambda: ring)):
            Secret(value="x").save("x")
            assert Secret.load("x").get() == "x"

    def test_a_document_that_goes_away_while_it_is_loaded(self, documents: BlockDocuments) -> None:
        ref = Secret(value="x").save("x")
        Secret.delete("x")
        with pytest.raises(BlockNotFoundError, match="deleted a moment ago"):
            documents.open(ref)

    def test_deleting_stopped_half_way_leaves_the_newest(self, documents: BlockDocuments, storage: Any) -> None:
        for number in range(3):
            Secret(value=f"v{number}").save("x", overwrite=True)
        removed: list[str] = []

        def stop(path: str) -> None:
            if removed:
                raise RuntimeError("power cut")
            removed.append(path)
            MemoryStorage.delete(storage, path)

        object.__setattr__(
            documents.store, "_storage", type("Stopping", (), {"delete": staticmethod(stop), "list": storage.list})()
        )
        with pytest.raises(RuntimeError):
            documents.store.delete("secret", "x")
        object.__setattr__(documents.store, "_storage", storage)
        assert Secret.load("x").get() == "v2"

    def test_a_save_whose_number_a_tombstone_took_is_done_again(
        self, documents: BlockDocuments, storage: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Secret(value="1").save("x")
        append = StorageDocumentStore.append

        def after_a_deletion(store: StorageDocumentStore, ref: Any, sealed: bytes) -> None:
            monkeypatch.undo()
            Secret.delete("x")
            append(store, ref, sealed)

        monkeypatch.setattr(StorageDocumentStore, "append", after_a_deletion)
        assert Secret(value="2").save("x", overwrite=True).version == 3
        assert Secret.load("x").get() == "2"

    def test_without_a_keyring_deleting_leaves_nothing(self, documents: BlockDocuments, storage: Any) -> None:
        def lost() -> Keyring:
            raise KeyringMissingError("gone", location="nowhere")

        Secret(value="1").save("x")
        with use_documents(BlockDocuments(documents.store, lost)):
            Secret.delete("x")
        assert list(storage.list()) == []
