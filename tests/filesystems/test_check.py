"""`check()` on stores that misbehave."""

import pickle
from typing import Any

import pytest

from entrepot import errors
from entrepot.filesystems.base import StorageBlock, StorageCheck
from entrepot.storage import MemoryStorage


class Liar:
    """A store that does something wrong at one of the steps."""

    def __init__(self, wrong: str) -> None:
        self._inner = MemoryStorage()
        self.wrong = wrong
        self.location = "liar://here"
        self.creates_exclusively = wrong != "exclusively"

    def put(self, path: str, data: Any) -> None:
        self._fail("put")
        self._inner.put(path, b"other" if self.wrong == "alters" else data)

    def get(self, path: str) -> Any:
        self._fail("get")
        return self._inner.get(path)

    def delete(self, path: str) -> None:
        self._fail("delete")
        self._inner.delete(path)

    def left(self) -> list[str]:
        return [item.path for item in self._inner.list()]

    def _fail(self, step: str) -> None:
        if step == self.wrong:
            raise errors.StorageAccessError(f"may not {step}", location=self.location)


class Lying(StorageBlock):
    store: Any

    def as_storage(self) -> Any:
        return self.store


@pytest.mark.parametrize("step", ["put", "get", "delete"])
def test_the_step_that_fails_is_the_one_that_is_told(step: str) -> None:
    block = Lying(store=Liar(step))
    with pytest.raises(errors.StorageAccessError, match=f"may not {step}"):
        block.check()
    assert len(block.store.left()) == (1 if step == "delete" else 0)


def test_a_store_that_gives_back_other_bytes_is_not_to_be_used() -> None:
    block = Lying(store=Liar("alters"))
    with pytest.raises(errors.StorageError, match="other bytes than were written"):
        block.check()
    assert block.store.left() == []


def test_a_store_that_cannot_create_exclusively_works_and_says_so() -> None:
    found = Lying(store=Liar("exclusively")).check()
    assert not found.creates_exclusively
    assert "cannot create exclusively, so the last of two writers wins" in str(found)
    assert isinstance(found, StorageCheck)
    again = pickle.loads(pickle.dumps(found))
    assert (again, again.location, again.seconds) == (found, found.location, found.seconds)
    assert not again.creates_exclusively


def test_a_block_that_does_not_say_what_its_storage_is_cannot_be_made() -> None:
    class Nothing(StorageBlock):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()
