"""What is sealed or signed under which key: in saved blocks, in answers to runs, in result stores.

What cannot be counted: pickles of blocks inside of encrypted results or snapshots, messages on their way to another
process, and stores that only an option of a task names, unless they are named here, too.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from entrepot import home
from entrepot.blocks.stores import Store
from entrepot.coordination import pauses
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import read_key
from entrepot.crypto.stream import HEADER_SIZE, read_stream_key
from entrepot.errors import EntrepotError, ObjectNotFoundError
from entrepot.protocols.documents import DocumentRef, RewrapsDocuments
from entrepot.protocols.storage import Storage
from entrepot.results.record import MAX_RECORD_SIZE
from entrepot.storage import EncryptedStorage, LocalStorage

__all__ = ["Foreign", "Place", "Usage", "known_storages", "usage_of"]

_AT_ONCE: Final = 16
_PAYLOADS: Final = "payloads/"
_NOT_READ: Final = "damaged/"  # evidence: nothing reads it again
_NAMED: Final = re.compile(rb"(?:entrepot-sig/1 |blake3:)(k[0-9a-f]{16})\b")

Tick = Callable[[str, int], object]


@dataclass(frozen=True, slots=True)
class Place:
    """Something that needs a key.

    Attributes:
        what: "blocks", "answers", or "results".
        where: The store.
        first: The first thing there that needs it.
        count: How many do.
        store: Of blocks, whose store it is: "team" or "local".
    """

    what: str
    where: str
    first: str
    count: int
    store: str = ""


@dataclass(slots=True)
class Foreign:
    """What another keyring has sealed in a store of blocks.

    Attributes:
        ring_id: That keyring, as the documents say, unverified.
        key_id: One key of it.
        place: The store.
        first: One version there.
        blocks: `type/name` of what it has there; True where only a tombstone is left.
        count: How many versions.
        ours: How many versions in that store are of the keyring that is here.
    """

    ring_id: str
    key_id: str
    place: Store
    first: str
    blocks: dict[str, bool] = field(default_factory=dict)
    count: int = 0
    ours: int = 0

    def __str__(self) -> str:
        return f"{self.first} in {self.place.documents.store.location}"


@dataclass(slots=True)
class Usage:
    """What needs which key.

    Attributes:
        places: By key id.
        foreign: What is of other keyrings, by store and keyring.
        unreadable: Objects where there should be sealed documents, and that are none.
    """

    places: dict[str, list[Place]] = field(default_factory=dict)
    foreign: list[Foreign] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def count(self, key_id: str, *what: str) -> int:
        """Return how many things need a key; of some kinds only, where they are given."""
        return sum(place.count for place in self.places.get(key_id, ()) if not what or place.what in what)

    def count_in(self, key_id: str, store: str) -> int:
        """Return how many versions of blocks need a key in the store of a kind."""
        return sum(place.count for place in self.places.get(key_id, ()) if place.store == store)

    def stores(self, key_id: str) -> list[str]:
        """Return where things are that need a key."""
        return list(dict.fromkeys(place.where for place in self.places.get(key_id, ())))

    def first(self, key_id: str) -> str:
        """Return one thing that needs a key, for people; "" where there is none."""
        places = self.places.get(key_id, ())
        return f"{places[0].first} in {places[0].where}" if places else ""

    def _add(self, what: str, where: str, found: "Counter[str]", firsts: dict[str, str], store: str = "") -> None:
        for key_id, count in found.items():
            self.places.setdefault(key_id, []).append(Place(what, where, firsts[key_id], count, store))


def known_storages(*more: Storage) -> list[Storage]:
    """Return the stores of results that are known here: the default one, snapshots of runs, and more, each once."""
    every = [home.results_storage(), LocalStorage(home.home_path() / "snapshots"), *more]
    return list({storage.location: storage for storage in every}.values())


def usage_of(
    ring: Keyring | None,
    saved: Sequence[Store],
    storages: Sequence[Storage],
    tick: Tick = lambda _what, _count: None,
) -> Usage:
    """Count what needs which key.

    Args:
        ring: The keys; without them, nothing can be seen inside of encrypted records.
        saved: Stores of saved blocks, as `blocks.stores.stores` gives them: the team's too.
        storages: Stores of results, as `ResultStore.storage` has them; encrypted ones too.
        tick: Told what is looked at, and how many were.

    Raises:
        StorageError: If a store cannot be read: nobody knows then what it needs.
    """
    usage = Usage()
    for place in saved:
        _count_documents(usage, ring, place, tick)
    _count_answers(usage)
    for storage in storages:
        _count_results(usage, ring, storage, tick)
    return usage


def _count_documents(usage: Usage, ring: Keyring | None, place: Store, tick: Tick) -> None:
    store = place.documents.store
    found: Counter[str] = Counter()
    firsts: dict[str, str] = {}
    foreign: dict[str, Foreign] = {}
    refs = store.every() if isinstance(store, RewrapsDocuments) else store.list()

    def named(ref: DocumentRef) -> tuple[DocumentRef, tuple[str, str] | None, bool]:
        sealed = store.read(ref)
        return ref, None if sealed is None else read_key(sealed), sealed is None

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="entrepot-keys") as pool:
        for number, (ref, ids, is_gone) in enumerate(pool.map(named, refs), 1):
            tick("blocks", number)
            if ids is not None:
                if ring is not None and ids[0] != ring.ring_id:
                    theirs = foreign.setdefault(ids[0], Foreign(*ids, place, str(ref)))
                    address = f"{ref.slug}/{ref.name}"
                    theirs.blocks[address] = ref.deleted and theirs.blocks.get(address, True)
                    theirs.count += 1
                    continue
                found[ids[1]] += 1
                firsts.setdefault(ids[1], str(ref))
            elif not is_gone:
                usage.unreadable.append(f"{ref} in {store.location}")
    for theirs in foreign.values():
        theirs.ours = found.total()
        usage.foreign.append(theirs)
    usage._add("blocks", store.location, found, firsts, place.kind)  # noqa: SLF001  the other half of the same class


def _count_answers(usage: Usage) -> None:
    found: Counter[str] = Counter()
    firsts: dict[str, str] = {}
    for pause in pauses.list_answered():
        ids = read_key((pause.answer or "").encode("utf-8", "replace"))
        if ids is not None:
            found[ids[1]] += 1
            firsts.setdefault(ids[1], f"the answer to {pause.key} of run {pause.root_run_id}")
    usage._add("answers", "state.db", found, firsts)  # noqa: SLF001  the other half of the same class


def _count_results(usage: Usage, ring: Keyring | None, storage: Storage, tick: Tick) -> None:
    raw = storage.sealed if isinstance(storage, EncryptedStorage) else storage
    opened = EncryptedStorage(raw, ring) if ring is not None else None
    found: Counter[str] = Counter()
    firsts: dict[str, str] = {}

    def named(path: str) -> tuple[str, set[str]]:
        with suppress(ObjectNotFoundError):  # removed since it was listed
            return path, _named_in(raw, opened, path)
        return path, set()

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="entrepot-keys") as pool:
        for number, (path, ids) in enumerate(pool.map(named, _paths(raw, encrypted=raw is not storage)), 1):
            tick("results", number)
            for key_id in ids:
                found[key_id] += 1
                firsts.setdefault(key_id, path)
    usage._add("results", raw.location, found, firsts)  # noqa: SLF001  the other half of the same class


def _paths(raw: Storage, *, encrypted: bool) -> Iterator[str]:
    """Yield what may name a key. Payloads in clear name none; their records do."""
    wants_payloads = True if encrypted else None
    for info in raw.list():
        if info.path.startswith(_NOT_READ):
            continue
        if not info.path.startswith(_PAYLOADS):
            yield info.path
            continue
        if wants_payloads is None:  # one tells: a store is encrypted or it is not
            wants_payloads = bool(read_stream_key(raw.get(info.path, length=HEADER_SIZE)))
        if wants_payloads:
            yield info.path


def _named_in(raw: Storage, opened: Storage | None, path: str) -> set[str]:
    if path.startswith(_PAYLOADS):
        key_id = read_stream_key(raw.get(path, length=HEADER_SIZE))
        return {key_id} if key_id else set()
    data = bytes(raw.get(path, length=2 * MAX_RECORD_SIZE))
    key_id = read_stream_key(data)
    if not key_id:
        return {match.decode("ascii") for match in _NAMED.findall(data)}
    ids = {key_id}
    if opened is not None:
        with suppress(EntrepotError):  # damaged, or under a key that is gone: then its header is all that can be said
            ids |= {match.decode("ascii") for match in _NAMED.findall(opened.get(path, length=MAX_RECORD_SIZE))}
    return ids
