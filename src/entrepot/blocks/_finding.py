"""Which saved block a class and a name mean."""

import inspect

from entrepot._names import check_name
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.errors import AmbiguousBlockNameError, BlockNotFoundError, PluginError
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = ["exists", "find", "is_open", "refs", "wrong_type"]


def exists(cls: type[Block], name: str) -> bool:
    """Say whether a block is saved; see `Block.exists`."""
    try:
        find(cls, name, current_documents())
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
    return [ref for ref in documents.store.list() if _may_be(cls, ref.slug)]


def find(cls: type[Block], name: str, documents: BlockDocuments) -> DocumentRef:
    """Return the newest version of the block that a class and a name mean."""
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
    found = [ref for ref in documents.find(name) if _may_be(cls, ref.slug)]
    if len(found) == 1:
        return found[0]
    candidates = [f"{ref.slug}/{ref.name}" for ref in found]
    if not candidates:
        raise BlockNotFoundError(
            f"no {cls.__name__} named {name!r} in {documents.store.location}: the blocks of that name are of other"
            " types",
            name=name,
        )
    raise AmbiguousBlockNameError(
        f"blocks of {len(candidates)} types are named {name!r}: {', '.join(candidates)}; say which, as in"
        f" Block.load({candidates[0]!r})",
        name=name,
        candidates=candidates,
    )


def is_open(cls: type[Block]) -> bool:
    """Return whether a class stands for more types than its own."""
    return cls is Block or inspect.isabstract(cls)


def _may_be(cls: type[Block], slug: str) -> bool:
    if cls is Block:
        return True
    try:
        return issubclass(BLOCKS.get(slug), cls)
    except PluginError:  # a type that is not installed or broken is none of this class, as far as can be known
        return False


def wrong_type(cls: type[Block], ref: DocumentRef) -> BlockNotFoundError:
    return BlockNotFoundError(
        f"{ref.slug}/{ref.name} is a {ref.slug} block, not a {cls.__name__}; load it with"
        f" Block.load({f'{ref.slug}/{ref.name}'!r})",
        name=f"{ref.slug}/{ref.name}",
    )
