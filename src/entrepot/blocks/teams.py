"""The documents of a team as a place where blocks are looked up before one's own; and where a name leads."""

import dataclasses
from dataclasses import dataclass

from entrepot import settings
from entrepot._names import check_name
from entrepot.blocks import _saving, shared
from entrepot.blocks._finding import WITHOUT_TEAM, find
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.blocks.sources import is_opening, sources
from entrepot.errors import BlockNotFoundError, EntrepotError, IntegrityError
from entrepot.protocols.documents import DocumentRef, RewrapsDocuments

__all__ = [
    "Place",
    "StoredBlocks",
    "load_from",
    "missing",
    "of_the_setting",
    "shared_documents",
    "where",
]


class StoredBlocks:
    """Blocks of other documents than those that are saved to, as a `BlockSource`.

    Args:
        documents: Theirs; opened with their own keyring.
        own: Whether nobody but this user saves there. Blocks that others save may refer to those secrets of this
            machine only that the setting `blocks_team_references` lists.
    """

    def __init__(self, documents: BlockDocuments, *, own: bool = False) -> None:
        self.documents = dataclasses.replace(documents, foreign=not own)

    @property
    def location(self) -> str:
        """Where they lie."""
        return self.documents.store.location

    def has(self, slug: str, name: str) -> bool:
        """Say whether a block is saved there, or should be: what was taken away or hidden is not passed over."""
        ref = self.documents.store.latest(slug, name)
        return (ref is not None and not ref.deleted) or self._is_hidden(slug, name, ref)

    def slugs(self, name: str) -> list[str]:
        """Return the types of the blocks that are saved there under this name, or should be (see `has`), sorted."""
        store, marks = self.documents.store, self.documents.marks
        newest: dict[str, DocumentRef] = {}
        for ref in store.every() if isinstance(store, RewrapsDocuments) else store.list():
            if ref.name == name and (ref.slug not in newest or newest[ref.slug].age < ref.age):
                newest[ref.slug] = ref
        plain = {slug for slug, ref in newest.items() if not ref.deleted}
        doubtful = {*newest, *(() if marks is None else marks.slugs(name))} - plain
        return sorted(plain | {slug for slug in doubtful if self.has(slug, name)})

    def get(self, slug: str, name: str) -> Block | None:
        """Return the newest version of a block, or None where there is none; raises as `Block.load`."""
        ref = self.documents.store.latest(slug, name)
        if ref is None or ref.deleted:
            self.refuse_hidden(slug, name)
            return None  # it was deleted a moment ago
        return _saving.load_newest(self.documents.believe(ref), self.documents)

    def refuse_hidden(self, slug: str, name: str) -> None:
        """Refuse to go on without a block that should be here.

        Raises:
            BlockNotFoundError: If it was taken away since it was seen from here.
            IntegrityError: If its tombstone was planted.
        """
        ref = self.documents.store.latest(slug, name)
        if (ref is None or ref.deleted) and self._is_hidden(slug, name, ref):
            try:
                self.documents.latest(slug, name)
            except EntrepotError as error:
                error.add_note(WITHOUT_TEAM)
                raise

    def _is_hidden(self, slug: str, name: str, ref: DocumentRef | None) -> bool:
        """Return whether a block that is not there was seen from here, or has a tombstone that was planted."""
        marks = self.documents.marks
        if marks is not None and marks.highest(slug, name) > (0 if ref is None else ref.version):
            return True
        if ref is not None:
            try:
                self.documents.latest(slug, name)
            except IntegrityError:
                return True
            except BlockNotFoundError:
                pass
        return False


def shared_documents() -> list[BlockDocuments]:
    """Return the documents of others in which blocks are looked up here, in that order.

    Raises:
        EntrepotError: If those that the setting `blocks_team` names cannot be opened.
    """
    found = [source.documents for source in sources() if isinstance(source, StoredBlocks)]
    return [each for each in found if each.foreign]


def missing(cls: type[Block], name: str) -> list[str]:
    """Return why a block is in none of the stores where blocks are looked up before one's own, in that order."""
    said = []
    for source in sources():
        if isinstance(source, StoredBlocks):
            try:
                find(cls, name, source.documents)
            except BlockNotFoundError as error:
                said.append(str(error))
            except EntrepotError:  # it has answered a moment ago, and did not have the block
                continue
    return said


def load_from(store: str, slug: str, name: str) -> Block:
    """Return the newest version of a block of a shared store, by the location of the store.

    Raises:
        BlockNotFoundError: If there is none, or blocks are not looked up in that store here.
        EntrepotError: As `Block.load`.
    """
    check_name(slug, what="block type")
    check_name(name)
    places = (*shared_documents(), current_documents())
    documents = next((each for each in places if each.store.location == store), None)
    if documents is None:
        raise BlockNotFoundError(
            f"the block {slug}/{name} is in the shared store {store}, and blocks are not looked up there here: see the"
            " setting blocks_team",
            name=f"{slug}/{name}",
        )
    return _saving.load_inner(slug, name, dataclasses.replace(documents, foreign=True))


def of_the_setting(now: settings.Settings | None = None) -> list[StoredBlocks]:
    """Return the documents that the setting `blocks_team` names; none where it is not set, or they are one's own.

    Args:
        now: The settings, where the caller has read them.

    Raises:
        EntrepotError: If they cannot be opened.
    """
    now = now or settings.current()
    if now.blocks_team is None or shared.works_in_the_teams(now) or is_opening():
        return []
    return [StoredBlocks(shared.documents_at(now.blocks_team, now, foreign=True))]


@dataclass(frozen=True, slots=True)
class Place:
    """One place of the look-up chain, and what it has under a name.

    Attributes:
        location: What it is, for people.
        blocks: `type/name` of what is there, sorted.
    """

    location: str
    blocks: tuple[str, ...]


def where(name: str) -> list[Place]:
    """Return the places where a name is looked up, in that order, with what each has; nothing is opened.

    Args:
        name: `type/name`, or a name alone.

    Raises:
        InvalidNameError: If it can be no name.
    """
    slug, _, rest = name.rpartition("/")
    if slug:
        check_name(slug, what="block type")
    check_name(rest)
    documents = StoredBlocks(current_documents())
    places = []
    for source in (*sources(), documents):
        found = source.slugs(rest) if not slug else [slug] if source.has(slug, rest) else []
        places.append(Place(source.location, tuple(f"{each}/{rest}" for each in found)))
    return places
