"""Where saved blocks lie, and how they get there: sealed, each save a new version, under the owner's keys.

How they lie in a storage tells `blocks.document_store`. Who can write there can take the newest version away, so that
the one before it is the newest: sealing does not notice that, but a home that has seen the newer one does
(`blocks._marks`).
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from entrepot import home, settings
from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.blocks._epochs import EPOCH, warn_if_older
from entrepot.blocks._marks import Marks
from entrepot.blocks._missing import deleted, offer
from entrepot.blocks._numbers import next_version
from entrepot.blocks._rings import (
    check_deletion,
    check_new_name,
    check_overwriting,
    is_alone,
    is_foreign,
    not_behind,
)
from entrepot.blocks._turns import turns
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import Header, Place, read_header, read_key, reseal, seal, unseal
from entrepot.errors import (
    BlockExistsError,
    BlockNotFoundError,
    BlockSchemaError,
    IntegrityError,
    KeyringError,
    KeyringMissingError,
)
from entrepot.protocols.documents import DocumentRef, DocumentStore, RewrapsDocuments
from entrepot.settings import Settings

__all__ = [
    "BlockDocuments",
    "chosen_documents",
    "current_documents",
    "current_ring",
    "default_documents",
    "use_documents",
]

_SHOWN: Final = 10
_GRAVES: Final = 3  # of one name, of which a message tells

_chosen: contextvars.ContextVar["BlockDocuments | None"] = contextvars.ContextVar("entrepot_documents", default=None)


@dataclass(frozen=True, slots=True)
class BlockDocuments:
    """Saved blocks: a store, and the keys that open what is in it.

    Attributes:
        store: Where the sealed documents lie.
        ring: Gives the keyring; asked when something is sealed or opened, not before.
        marks: Which versions were seen from here, or None where nobody keeps that.
        clock: What a writer waits by that others were faster than.
        foreign: Whether others than this user save there: their blocks use only those secrets of this machine that its
            owner listed, in the setting `blocks_team_references`.
        is_shared: Whether they are not this home's alone: then what is of another keyring is somebody's.
        is_mixed: Whether documents of several keyrings are to be there.
    """

    store: DocumentStore
    ring: Callable[[], Keyring]
    marks: Marks | None = None
    clock: Clock = SYSTEM_CLOCK
    foreign: bool = False
    is_shared: bool = False
    is_mixed: bool = False

    def save(
        self,
        slug: str,
        name: str,
        body: memoryview,
        *,
        header: Mapping[str, str | int],
        overwrite: bool,
        expected: DocumentRef | None = None,
        older: bool = False,
    ) -> DocumentRef:
        """Seal a body and keep it as the next version.

        Args:
            slug: The block type.
            name: The document's name.
            body: What to seal.
            header: What to say in clear.
            overwrite: Whether there may be an earlier version.
            expected: Save only if this version is still the newest.
            older: Whether what is saved may be of an older schema version than the newest one.

        Raises:
            BlockExistsError: If there is one and there may not be, if the newest one is not what was expected, or if
                other writers kept winning.
            BlockSchemaError: If there is one that was saved under a newer schema version.
            IntegrityError: If a tombstone does not verify that says there is none, or the newest version was planted
                to use the numbers up.
            UnknownKeyError: If there is one that was sealed under a key that this keyring does not have, and the caller
                expected none: who opens that one could not open the next. Or if there is none, and what others have
                there is all of another keyring, or the newest of it is under a key that this keyring does not have.
        """
        ring = self.ring()
        for _ in turns(self.clock):
            # First the mark, then the documents: who saves in between makes the number taken, and not one higher.
            seen = self._seen(slug, name)
            latest = self.store.latest(slug, name)
            if expected is not None and (latest is None or latest.age != expected.age):
                raise BlockExistsError(
                    f"the block {slug}/{name} was not saved: version {expected.version} of it is not the newest any"
                    " more, another program has changed it; look at it again",
                    name=f"{slug}/{name}",
                )
            if latest is not None and not latest.deleted and not overwrite:
                break
            if latest is not None and latest.deleted and not overwrite:
                self._check_tombstone(latest)
            sealing: Keyring | None = ring
            if latest is not None and not latest.deleted:
                sealing = self._over(latest, ring, None if older else header, is_expected=expected is not None)
            elif self.is_shared:
                sealing = check_new_name(ring, self.store, self.clock, is_mixed=self.is_mixed)
            ref = self._next(latest, slug, name, seen)
            sealed = seal(sealing or ring, body, place=_place(ref), header={**header, EPOCH: ring.epoch})
            if self._append(ref, sealed):  # else another writer was faster: the next turn looks again
                if sealing is None and not self.is_mixed and not is_alone(ring, self.store, ref, self.clock):
                    self.store.withdraw(ref, sealed)
                    continue  # the next turn finds what the others saved, or that they have withdrawn it, too
                now = self.store.latest(slug, name)
                if now is None or not now.deleted or now.version != ref.version:
                    self.remember(ref)
                    return ref
        else:
            raise BlockExistsError(
                f"the block {slug}/{name} was not saved: other programs kept saving it at the same time; try again",
                name=f"{slug}/{name}",
            )
        raise BlockExistsError(
            f"there is a block {slug}/{name} in {self.store.location} already; pass overwrite=True to save a new"
            " version of it, or choose another name",
            name=f"{slug}/{name}",
        )

    def latest(self, slug: str, name: str) -> DocumentRef:
        """Return the newest version.

        Raises:
            BlockNotFoundError: If there is none; the message says when it was deleted, or offers names that are near.
        """
        ref = self.store.latest(slug, name)
        if ref is not None and not ref.deleted:
            return ref
        if ref is not None:
            hint = deleted(self._check_tombstone(ref))
        else:
            hint = offer(name, [each.name for each in self.store.list(slug)], slug=slug)
        seen = self._seen(slug, name)
        if seen > (0 if ref is None else ref.version):
            hint = f"but version {seen} of it was seen from here: it was taken away since; restore it, or save it again"
        raise BlockNotFoundError(
            f"no {slug} block named {name!r} in {self.store.location}; {hint}", name=f"{slug}/{name}"
        )

    def _over(
        self, latest: DocumentRef, ring: Keyring, header: Mapping[str, str | int] | None, *, is_expected: bool
    ) -> Keyring:
        """See that a version may be saved over a newest one; return the ring under which to seal it."""
        sealed = self.store.read(latest)
        if not is_expected:
            check_overwriting(ring, self.store, latest, sealed)
        if header is not None:
            _check_schema(latest, sealed, header)
        return not_behind(ring, sealed)

    def _check_tombstone(self, ref: DocumentRef) -> bytes:
        """Refuse one that was planted: it would hide what is there. Return its body, empty where it cannot be opened.

        Who has another ring cannot say whether it is ours; what it says is true in either case: there is nothing.
        """
        with contextlib.suppress(KeyringError, BlockNotFoundError):
            return self.open(ref)
        return b""

    def at(self, slug: str, name: str, version: int) -> DocumentRef:
        """Return one version of a block that is not deleted.

        Raises:
            BlockNotFoundError: If there is no such block, or no such version of it; the message says which there are.
        """
        self.latest(slug, name)
        known = [ref for ref in self.history(slug, name) if not ref.deleted]
        for ref in known:
            if ref.version == version:
                return ref
        numbers = ", ".join(str(ref.version) for ref in known[-_SHOWN:])
        raise BlockNotFoundError(
            f"there is no version {version} of the block {slug}/{name} in {self.store.location}; there"
            f" {f'are {len(known)}, the newest of them' if len(known) > _SHOWN else 'are'}: {numbers}",
            name=f"{slug}/{name}",
        )

    def history(self, slug: str, name: str) -> "list[DocumentRef]":
        """Return every version that counts, oldest first: what is older than a tombstone was put back, and is not."""
        versions = self.store.versions(slug, name)
        graves = [index for index, ref in enumerate(versions) if ref.deleted]
        return versions[graves[-1] if graves else 0 :]

    def believe(self, ref: DocumentRef) -> DocumentRef:
        """Return the newest version of a block, unless a newer one was seen from here.

        Args:
            ref: What the store gave as the newest a moment ago.

        Raises:
            BlockNotFoundError: If it was deleted a moment ago.
            IntegrityError: If newer versions were taken away.
        """
        seen = self._seen(ref.slug, ref.name)
        if ref.version >= seen:
            return ref
        now = self.store.latest(ref.slug, ref.name)  # a newer one may have come between that look and the mark
        if now is not None and now.version >= seen:
            return self.latest(ref.slug, ref.name)  # which says so if it was deleted
        raise IntegrityError(
            f"version {seen} of the block {ref.slug}/{ref.name} was seen from here, and now the newest in"
            f" {self.store.location} is version {ref.version}: newer versions were taken away, or the store was set"
            " back to a backup; if that is as it should be,"
            f" `entrepot block rollback {ref.slug}/{ref.name} {ref.version}` makes its content the newest again",
            location=self.store.location,
        )

    def as_they_are(self) -> "BlockDocuments":
        """Return the same documents, for somebody who looks and marks nothing as seen."""
        return self if self.marks is None else dataclasses.replace(self, marks=self.marks.as_they_are())

    def remember(self, ref: DocumentRef) -> None:
        """Mark a version as seen; call it with what was opened or written, not with what a store says it has."""
        if self.marks is not None:
            self.marks.raise_to(ref)

    def delete(self, slug: str, name: str, *, body: bytes = b"", force: bool = False) -> bool:
        """Delete a document: seal a tombstone as its next version, and remove all that are older.

        Without a keyring nothing can be sealed, nor opened: then everything is removed, and numbers start again.

        Args:
            slug: The block type.
            name: The document's name.
            body: What the tombstone says, sealed.
            force: Do so with what is another keyring's, too, in a store that others share; and put a tombstone of
                one's own in the place of theirs.

        Returns:
            Whether there was one.

        Raises:
            BlockExistsError: If other programs kept writing it.
            IntegrityError: If the newest version was planted to use the numbers up.
            KeyringMissingError: If there is no keyring, others share the store, and it is not forced.
            UnknownKeyError: If it is another keyring's, others share the store, and it is not forced.
        """
        try:
            ring = self.ring()
        except KeyringMissingError:
            if self.is_shared and not force:
                raise
            return self._remove(slug, name)
        for _ in turns(self.clock):
            seen = self._seen(slug, name)
            latest = self.store.latest(slug, name)
            if latest is None or (latest.deleted and not (force and is_foreign(ring, self.store, latest))):
                return False
            there = self.store.read(latest) if self.is_shared else None  # one's own goes, whether it can be read or not
            if self.is_shared and not force:
                check_deletion(ring, self.store, latest, there)
            ref = dataclasses.replace(self._next(latest, slug, name, seen), deleted=True)
            sealed = seal(not_behind(ring, there), body, place=_place(ref), header={"deleted": 1})
            if self._append(ref, sealed):  # else another one deleted it, or is about to save it again
                self.store.prune(ref)
                self.remember(ref)
                return True
        raise BlockExistsError(
            f"the block {slug}/{name} was not deleted: other programs kept writing it at the same time; try again",
            name=f"{slug}/{name}",
        )

    def check_deletion(self, ref: DocumentRef) -> None:
        """Raise as `delete` does, where it is not forced, if a newest version is another keyring's."""
        if self.is_shared:
            check_deletion(self.ring(), self.store, ref, self.store.read(ref))

    def find(self, name: str) -> "list[DocumentRef]":
        """Return the newest version of every block of this name, whatever its type.

        Raises:
            BlockNotFoundError: If there is none; the message offers names that are near.
        """
        every = list(self.store.list())
        found = [ref for ref in every if ref.name == name]
        if found:
            return found
        graves = [self._said_of(ref) for ref in self.buried(name)[:_GRAVES]]
        hint = "; ".join(filter(None, graves)) or offer(name, [f"{ref.slug}/{ref.name}" for ref in every])
        raise BlockNotFoundError(f"no block named {name!r} in {self.store.location}; {hint}", name=name)

    def buried(self, name: str) -> "list[DocumentRef]":
        """Return the tombstones of the blocks of a name that were deleted, by type; unverified.

        There are none where the store does not list them.
        """
        every = self.store.every() if isinstance(self.store, RewrapsDocuments) else ()
        slugs = sorted({ref.slug for ref in every if ref.name == name and ref.deleted})
        newest = (self.store.latest(slug, name) for slug in slugs)
        return [ref for ref in newest if ref is not None and ref.deleted]

    def _said_of(self, grave: DocumentRef) -> str:
        """Return what to say of a tombstone; "" of one that was planted: where there is no block it hides none."""
        with contextlib.suppress(IntegrityError):
            return deleted(self._check_tombstone(grave), f"{grave.slug}/{grave.name}")
        return ""

    def open(self, ref: DocumentRef) -> bytes:
        """Return the body of one version.

        Raises:
            BlockNotFoundError: If it is gone.
            IntegrityError: If it was altered, or sealed for another place.
            UnknownKeyError: If it needs a key that the ring does not have.
        """
        return self.open_whole(ref)[0]

    def open_whole(self, ref: DocumentRef) -> tuple[bytes, Header]:
        """Return the body of one version, and what it says in clear, verified; raises as `open`."""
        ring = self.ring()
        said: dict[str, str | int] = {}

        def place(header: Header) -> Place:
            said.update(header)
            return _place(ref)

        sealed = self._read(ref)
        try:
            body = unseal(ring, sealed, place=place, location=self._describe(ref))
        except IntegrityError as error:
            error.add_note(
                f"`entrepot block history {ref.slug}/{ref.name}` shows which versions open, `entrepot block rollback`"
                " makes one of them the newest, and `entrepot block create --overwrite` saves a new one"
            )
            raise
        warn_if_older(ring, said, self._describe(ref), lambda: self._key_id(sealed))
        return body, said

    def is_ahead(self, ref: DocumentRef) -> bool:
        """Say whether one version is under a key that came after the primary one here; unverified."""
        return self.ring().is_ahead(self._key_id(self._read(ref)), "block")

    def header(self, ref: DocumentRef) -> Mapping[str, str | int]:
        """Return what one version says of itself; unverified, for messages and listings."""
        return read_header(self._read(ref)) or {}

    def reseal(self, ring: Keyring, ref: DocumentRef, sealed: bytes, other: Keyring | None = None) -> bytes | None:
        """Return the bytes of a version under the primary key of a ring; None if they are under that or a newer one.

        Args:
            ring: Seals, and opens.
            ref: Which version.
            sealed: What it is.
            other: Opens; None is returned for what is not of this ring.

        Raises:
            IntegrityError: If they were altered, or sealed for another place.
            UnknownKeyError: If they need a key that the ring does not have.
        """
        mark = {EPOCH: ring.epoch}
        return reseal(ring, sealed, place=_place(ref), location=self._describe(ref), mark=mark, other=other)

    def _seen(self, slug: str, name: str) -> int:
        """Return the highest version that was ever seen from here; 0 for none."""
        return 0 if self.marks is None else self.marks.highest(slug, name)

    def _next(self, latest: DocumentRef | None, slug: str, name: str, seen: int) -> DocumentRef:
        return next_version(latest, DocumentRef(slug, name, seen), self.open, location=self.store.location)

    def _remove(self, slug: str, name: str) -> bool:
        if self.marks is not None:
            self.marks.forget(slug, name)  # first: who looks in between finds nothing missing
        return self.store.delete(slug, name)

    def _append(self, ref: DocumentRef, sealed: bytes) -> bool:
        """Keep a version; return False if another writer has that number."""
        try:
            self.store.append(ref, sealed)
        except BlockExistsError:
            # Sealed bytes are never the same twice: these are our own, and it was the store's answer that got lost.
            return self.store.read(ref) == sealed
        return True

    def _read(self, ref: DocumentRef) -> bytes:
        sealed = self.store.read(ref)
        if sealed is None:
            raise BlockNotFoundError(f"{self._describe(ref)} was deleted a moment ago", name=f"{ref.slug}/{ref.name}")
        return sealed

    @staticmethod
    def _key_id(sealed: bytes) -> str:
        return (read_key(sealed) or ("", ""))[1]

    def _describe(self, ref: DocumentRef) -> str:
        return f"{ref} in {self.store.location}"


def _check_schema(latest: DocumentRef, sealed: bytes | None, header: Mapping[str, str | int]) -> None:
    """Refuse to save over what a newer class has saved: fields that only that one knows would be lost."""
    saved = (read_header(sealed) or {}).get("schema_version") if sealed is not None else None
    ours = header.get("schema_version")
    if type(saved) is int and type(ours) is int and saved > ours:
        address = f"{latest.slug}/{latest.name}"
        raise BlockSchemaError(
            f"the block {address} was not saved: its newest version, {latest.version}, is of schema version {saved},"
            f" and the class here has {ours}: upgrade the package that has the class; or, if what is older is to"
            f" count again, `entrepot block rollback {address} VERSION`, or delete the block first",
            name=address,
            saved_version=saved,
            class_version=ours,
        )


def _place(ref: DocumentRef) -> Place:
    place: dict[str, str | int] = {"type": ref.slug, "name": ref.name, "version": ref.version}
    return {**place, "deleted": 1} if ref.deleted else place


# --- which documents ------------------------------------------------------------------------------------------------


def default_documents(now: Settings | None = None) -> BlockDocuments:
    """Return the documents of this home, for one operation.

    They lie where the setting `blocks_storage` says, or in a folder of `ENTREPOT_HOME`.

    Args:
        now: The settings, where the caller has read them.

    Raises:
        EntrepotError: If that cannot be opened; see `shared.documents_at`.
    """
    from entrepot.blocks import shared  # noqa: PLC0415  it loads blocks, which lie in documents

    now = now or settings.current()
    if now.blocks_storage is None:
        return shared.own_documents(now)
    # Where one works in the team's store itself, the others' blocks are in it all the same.
    return shared.documents_at(now.blocks_storage, now, foreign=shared.works_in_the_teams(now))


def current_documents(now: Settings | None = None) -> BlockDocuments:
    """Return the documents that `use_documents` chose here, or the default ones; see `default_documents`."""
    return _chosen.get() or default_documents(now)


def chosen_documents() -> BlockDocuments | None:
    """Return the documents that `use_documents` chose here, or None."""
    return _chosen.get()


def current_ring() -> Keyring:
    """Return the keyring of the current documents."""
    chosen = _chosen.get()
    return home.ring() if chosen is None else chosen.ring()


@contextlib.contextmanager
def use_documents(documents: BlockDocuments) -> Iterator[BlockDocuments]:
    """Let blocks be saved to and loaded from other documents, inside a `with`, in this thread or task."""
    token = _chosen.set(documents)
    try:
        yield documents
    finally:
        _chosen.reset(token)
