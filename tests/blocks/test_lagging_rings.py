"""A copy of the keyring that has not heard of a rotation: what it saves in a shared store goes under no old key."""

import pytest

from entrepot.blocks import BlockDocuments, StorageDocumentStore
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key
from entrepot.errors import UnknownKeyError
from entrepot.storage import MemoryStorage
from entrepot.testing import FaultyStorage, FrozenClock


class Team:
    """A store, and documents of it under copies of one keyring."""

    def __init__(self) -> None:
        self.clock = FrozenClock()
        self.storage = FaultyStorage(MemoryStorage(clock=self.clock))
        self.store = StorageDocumentStore(self.storage)

    def with_copy(self, ring: Keyring, *, mixed: bool = False) -> BlockDocuments:
        return BlockDocuments(self.store, lambda: ring, clock=self.clock, is_shared=True, is_mixed=mixed)

    def save(self, ring: Keyring, name: str, *, mixed: bool = False, overwrite: bool = False) -> None:
        self.clock.advance(1)
        documents = self.with_copy(ring, mixed=mixed)
        documents.save("secret", name, memoryview(b"{}"), header={}, overwrite=overwrite)

    def key_of(self, name: str) -> str:
        """Return the id of the key that the newest version of a block is under."""
        ref = self.store.latest("secret", name)
        assert ref is not None
        return (read_key(self.store.read(ref) or b"") or ("", ""))[1]

    def looks(self) -> int:
        """Return how often the whole store was listed since the last time, and forget it."""
        count = self.storage.calls.count(("list", ""))
        self.storage.calls.clear()
        return count


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture
def staged() -> Keyring:
    """A copy of the keyring with the key of a rotation that was begun."""
    return Keyring.generate().with_staged("block")


@pytest.fixture
def rotated(staged: Keyring) -> Keyring:
    """The keyring where that rotation was finished."""
    return staged.with_primary(staged.all_keys()[-1].id)


def test_a_new_name_goes_under_the_newer_key_that_what_is_there_is_under(
    team: Team, staged: Keyring, rotated: Keyring
) -> None:
    old, new = staged.primary("block").id, rotated.primary("block").id
    team.save(staged, "before")
    team.save(rotated, "since")
    team.clock.advance(300)
    team.save(staged, "of-who-lags")
    team.save(staged, "another")
    assert [team.key_of(name) for name in ("before", "since", "of-who-lags", "another")] == [old, new, new, new]
    documents = team.with_copy(rotated.with_state(old, "disabled"))
    assert documents.open(documents.latest("secret", "of-who-lags")) == b"{}"


def test_a_new_name_is_refused_where_a_newer_key_is_missing(team: Team, rotated: Keyring) -> None:
    new = rotated.primary("block").id
    behind = Keyring(
        ring_id=rotated.ring_id,
        epoch=1,
        keys=[key for key in rotated.all_keys() if key.id != new],
        primary={key.purpose: key.id for key in rotated.all_keys() if key.id != new},
        location="the copy of ben",
    )
    team.save(behind, "before")
    team.save(rotated, "since")
    team.clock.advance(300)
    for mixed in (False, True):
        with pytest.raises(UnknownKeyError, match=f"(?s)nothing was saved.*secret/since.*{new}.*keys import") as caught:
            team.save(behind, "more", mixed=mixed)
        assert "the copy of ben" in str(caught.value)
        assert caught.value.key_id == new
    assert team.store.latest("secret", "more") is None
    team.save(behind, "before", overwrite=True)
    team.clock.advance(300)
    team.save(behind, "more")  # what is there is under its own key again: nothing is known of another one
    team.with_copy(behind).delete("secret", "since", force=True)
    team.clock.advance(300)
    team.save(behind, "and-more")


def test_among_documents_of_others_the_newest_of_ones_own_counts(team: Team, staged: Keyring, rotated: Keyring) -> None:
    team.save(rotated, "since")
    for number in range(3):
        team.save(Keyring.generate(), f"of-others-{number}", mixed=True)
    team.clock.advance(300)
    team.save(staged, "of-who-lags", mixed=True)
    assert team.key_of("of-who-lags") == rotated.primary("block").id


def test_a_key_that_is_disabled_here_is_not_used(team: Team, staged: Keyring, rotated: Keyring) -> None:
    team.save(rotated, "since")
    team.clock.advance(300)
    team.save(staged.with_state(rotated.primary("block").id, "disabled"), "more")
    assert team.key_of("more") == staged.primary("block").id


def test_it_is_looked_again_after_some_minutes_and_not_for_each_name(team: Team, staged: Keyring) -> None:
    team.save(staged, "first")
    assert team.looks() == 2
    for number in range(10):
        team.save(staged, f"in-time-{number}")
    assert team.looks() == 0
    team.clock.advance(300)
    team.save(staged, "later")
    assert "get" in dict(team.storage.calls)
    assert team.looks() == 1


def test_a_tombstone_goes_under_no_older_key_either(team: Team, staged: Keyring, rotated: Keyring) -> None:
    team.save(rotated, "one")
    assert team.with_copy(staged).delete("secret", "one")
    assert team.key_of("one") == rotated.primary("block").id


def test_what_is_ones_own_is_deleted_although_it_cannot_be_read(team: Team, staged: Keyring) -> None:
    team.save(staged, "one")
    unreadable = FaultyStorage(team.storage, fail_at=1, on=["get"])
    assert BlockDocuments(StorageDocumentStore(unreadable), lambda: staged).delete("secret", "one")
    assert not list(team.store.list())


def test_a_process_that_read_the_keyring_before_saves_under_the_key_that_is_there_now(
    team: Team, staged: Keyring, rotated: Keyring
) -> None:
    """Where what keeps the keyring cannot be asked cheaply, a process has an older one for a while."""
    new = rotated.primary("block").id
    held = Keyring(
        ring_id=staged.ring_id,
        epoch=staged.epoch - 1,
        keys=[key for key in staged.all_keys() if key.id != new],
        primary={key.purpose: key.id for key in staged.all_keys() if key.id != new},
    )
    held.newest = lambda: rotated
    team.save(rotated, "one")
    team.save(held, "one", overwrite=True)
    team.save(held, "two")
    assert [team.key_of("one"), team.key_of("two")] == [new, new]
