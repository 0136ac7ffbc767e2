"""Which block a class and a name mean: one of the sources that are asked first, or one that is saved."""

import inspect
from collections.abc import Sequence
from typing import Final, TypeVar

from entrepot import settings
from entrepot._names import check_name
from entrepot.blocks._lookups import made_for
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.blocks.sources import BlockSource, sources
from entrepot.errors import (
    AmbiguousBlockNameError,
    BlockNotFoundError,
    ConfigurationError,
    PluginError,
    StorageError,
)
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = ["WITHOUT_TEAM", "exists", "find", "from_sources", "given", "is_open", "may_be", "refs", "wrong_type"]

B = TypeVar("B", bound=Block)

WITHOUT_TEAM: Final = "what is one's own can be had without the team's store: store='local', or --store local"
"""What to add to an error that is of the team's store."""


def exists(cls: type[Block], name: str) -> bool:
    """Say whether a block is saved; see `Block.exists`."""
    now = settings.current()
    try:
        if _given_slugs(cls, name, sources(now))[0]:
            return True
        find(cls, name, current_documents(now))
    except BlockNotFoundError:
        return False
    except AmbiguousBlockNameError:
        return True
    return True


def refs(cls: type[Block]) -> list[DocumentRef]:
    """List saved blocks; see `Block.list`."""
    documents = current_documents()
    if not is_open(cls):
        return list(documents.store.list(cls.get_block_type_slug()))
    return [ref for ref in documents.store.list() if may_be(cls, ref.slug)]


def find(cls: type[Block], name: str, documents: BlockDocuments) -> DocumentRef:
    """Return the newest version of the block that a class and a name mean.

    Raises:
        BlockNotFoundError: If there is none, or the one of that type and name is not of the class.
        AmbiguousBlockNameError: If blocks of several types have that name.
        UnknownBlockTypeError: If there is none, and no installed or imported class has the slug.
        InvalidNameError: If it can be no name.
    """
    if isinstance(name, str) and "/" in name:
        slug, _, rest = name.partition("/")
        check_name(slug, what="block type")
        check_name(rest)
        try:
            ref = documents.latest(slug, rest)
        except BlockNotFoundError:
            if slug not in BLOCKS.names():
                BLOCKS.get(slug)  # raises, and says what to install
            raise
        if not is_open(cls) and slug != cls.get_block_type_slug() and not issubclass(BLOCKS.get(slug), cls):
            raise wrong_type(cls, ref)
        return ref
    check_name(name)
    if not is_open(cls):
        return documents.latest(cls.get_block_type_slug(), name)
    found = [ref for ref in documents.find(name) if may_be(cls, ref.slug)]
    if len(found) == 1:
        return found[0]
    candidates = [f"{ref.slug}/{ref.name}" for ref in found]
    if not candidates:
        raise BlockNotFoundError(
            f"no {cls.__name__} named {name!r} in {documents.store.location}: the blocks of that name are of other"
            " types",
            name=name,
        )
    raise _ambiguous(name, candidates)


def _ambiguous(name: str, candidates: list[str]) -> AmbiguousBlockNameError:
    return AmbiguousBlockNameError(
        f"blocks of {len(candidates)} types are named {name!r}: {', '.join(candidates)}; say which, as in"
        f" Block.load({candidates[0]!r})",
        name=name,
        candidates=candidates,
    )


def given(cls: type[B], name: str, now: settings.Settings) -> B | None:
    """Return the block that a class and a name mean, if a source has it that is asked before the documents.

    Args:
        cls: The class.
        name: As for `Block.load`.
        now: The settings; to read them once more takes longer than to look into the environment.

    Raises:
        AmbiguousBlockNameError: If sources have blocks of several types under that name.
        InvalidNameError: If it can be no name.
        EntrepotError: If a source has it, and cannot give it.
    """
    try:
        places = sources(now)
        slugs, rest = _given_slugs(cls, name, places)
        if len(slugs) > 1:
            raise _ambiguous(rest, [f"{slug}/{rest}" for slug in slugs])
        block = _first(slugs[0], rest, places) if slugs else None
    except (ConfigurationError, StorageError) as error:
        if now.blocks_team is not None and WITHOUT_TEAM not in getattr(error, "__notes__", ()):
            error.add_note(WITHOUT_TEAM)  # own documents have not been asked yet
        raise
    if block is None or isinstance(block, cls):
        return block
    raise wrong_type(cls, DocumentRef(slugs[0], rest, 1))


def from_sources(slug: str, name: str) -> Block | None:
    """Return a block of the first source that has it, or None."""
    return _first(slug, name, sources())


def _first(slug: str, name: str, places: Sequence[BlockSource]) -> Block | None:
    found = (source.get(slug, name) for source in places if source.has(slug, name))
    with made_for():  # also where a block of a shared store has it inside
        return next((block for block in found if block is not None), None)


def _given_slugs(cls: type[Block], name: str, places: Sequence[BlockSource]) -> tuple[list[str], str]:
    """Return the types that sources have of what a class and a name mean, sorted, and the name alone."""
    if isinstance(name, str) and "/" in name:
        slug, _, name = name.partition("/")
        check_name(slug, what="block type")
    else:
        slug = "" if is_open(cls) else cls.get_block_type_slug()
    check_name(name)
    if slug:
        return [slug] if any(source.has(slug, name) for source in places) else [], name
    found = {each for source in places for each in source.slugs(name)}
    return sorted(each for each in found if may_be(cls, each)), name


def is_open(cls: type[Block]) -> bool:
    """Return whether a class stands for more types than its own."""
    return cls is Block or inspect.isabstract(cls)


def may_be(cls: type[Block], slug: str) -> bool:
    """Return whether blocks of a type are of a class, as far as that can be known here."""
    if cls is Block:
        return True
    try:
        return issubclass(BLOCKS.get(slug), cls)
    except PluginError:  # a type that is not installed or broken is none of this class, as far as can be known
        return False


def wrong_type(cls: type[Block], ref: DocumentRef) -> BlockNotFoundError:
    """Return the error that a block is not of the class by which it was asked for."""
    return BlockNotFoundError(
        f"{ref.slug}/{ref.name} is a {ref.slug} block, not a {cls.__name__}; load it with"
        f" Block.load({f'{ref.slug}/{ref.name}'!r})",
        name=f"{ref.slug}/{ref.name}",
    )
