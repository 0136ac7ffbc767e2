"""Random lives of a block, against the plainest model of them: a list of versions, and the highest number so far."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from entrepot.blocks._marks import Marks
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.blocks.system import Secret
from entrepot.crypto.keyring import Keyring
from entrepot.errors import BlockExistsError, BlockNotFoundError, IntegrityError
from entrepot.storage import MemoryStorage

RING = Keyring.generate()
VALUES = st.sampled_from(["a", "b", "c", ""])


class Life(RuleBasedStateMachine):
    """One block, saved, rolled back, deleted; its newest document taken away, and old ones put back."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(TemporaryDirectory()))
        self.storage = MemoryStorage()
        documents = BlockDocuments(
            StorageDocumentStore(self.storage), lambda: RING, Marks(folder, self.storage.location)
        )
        self.stack.enter_context(use_documents(documents))
        self.versions: dict[int, str] = {}
        self.highest = 0
        self.deleted = False
        self.stolen: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.stack.close()

    def set_back(self) -> bool:
        return bool(self.versions) and max(self.versions) < self.highest

    @initialize()
    def begin(self) -> None:
        with pytest.raises(BlockNotFoundError):
            Secret.load("x")

    @rule(value=VALUES)
    def save_over(self, value: str) -> None:
        assert Secret(value=value).save("x", overwrite=True).version == self.highest + 1
        self.added(value)

    @rule(value=VALUES)
    def save_new(self, value: str) -> None:
        if self.versions:
            with pytest.raises(BlockExistsError):
                Secret(value=value).save("x")
        else:
            assert Secret(value=value).save("x").version == self.highest + 1
            self.added(value)

    @rule(data=st.data())
    def roll_back(self, data: Any) -> None:
        version = data.draw(st.integers(0, self.highest + 1))
        if version in self.versions:
            assert Secret.rollback("x", version).version == self.highest + 1
            self.added(self.versions[version])
        else:
            with pytest.raises(BlockNotFoundError):
                Secret.rollback("x", version)

    @rule()
    def delete(self) -> None:
        if self.versions:
            Secret.delete("x")
            self.highest += 1
            self.versions, self.deleted = {}, True
        else:
            with pytest.raises(BlockNotFoundError):
                Secret.delete("x")

    @rule()
    def copy_everything(self) -> None:
        self.stolen |= {info.path: bytes(self.storage.get(info.path)) for info in self.storage.list()}

    @precondition(lambda self: self.deleted)
    @rule()
    def put_back_what_is_older_than_a_deletion(self) -> None:
        grave = max(int(i.path[-21:-13]) for i in self.storage.list() if i.path.endswith(".deleted.json"))
        for path, sealed in self.stolen.items():
            if int(path.split("/")[2][:8]) < grave:
                self.storage.put(path, sealed)

    @precondition(lambda self: len(self.versions) > 1)
    @rule()
    def take_the_newest_away(self) -> None:
        newest = max(self.versions)
        self.storage.delete(f"secret/x/{newest:08d}.json")
        del self.versions[newest]

    @invariant()
    def the_newest_is_loaded_or_its_absence_noticed(self) -> None:
        assert Secret.exists("x") == bool(self.versions)
        if not self.versions:
            with pytest.raises(BlockNotFoundError):
                Secret.load("x")
        elif self.set_back():
            with pytest.raises(IntegrityError, match=f"version {self.highest} .* was seen from here"):
                Secret.load("x")
        else:
            assert Secret.load("x").get() == self.versions[max(self.versions)]

    @invariant()
    def every_version_that_counts_is_there_in_order(self) -> None:
        for version, value in self.versions.items():
            assert Secret.load("x", version=version).get() == value
        if self.versions or self.deleted:
            history = Secret.history("x")
            assert [each.version for each in history if not each.deleted] == sorted(self.versions)
            assert [each.deleted for each in history].count(True) == self.deleted
            assert not [each.problem for each in history if each.problem]

    def added(self, value: str) -> None:
        self.highest += 1
        self.versions[self.highest] = value


Life.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLife = Life.TestCase
