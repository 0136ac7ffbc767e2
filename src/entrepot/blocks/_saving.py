"""Saving and loading blocks: between the block classes and the documents. Loaded by the first save or load.

No function here raises while it holds a secret in clear: tracebacks can be logged with the locals of every frame.
"""

import contextlib
import hmac
import inspect
import json
import pickle
from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar, cast

from entrepot._names import check_name
from entrepot.blocks import _encoding
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents, current_ring
from entrepot.blocks.fields import remember_secrets
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import seal, unseal
from entrepot.errors import (
    AmbiguousBlockNameError,
    BlockNotFoundError,
    BlockSchemaError,
    EntrepotError,
    PluginError,
    SerializationError,
    UnhashableValueError,
    UnknownKeyError,
)
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = ["delete", "exists", "identity", "load", "open_pickle", "refs", "save", "seal_pickle"]

B = TypeVar("B", bound=Block)
T = TypeVar("T")

_UNCHANGED: Final = "entrepot/block/unchanged/1"
_IDENTITY: Final = "entrepot/block/identity/1"


class Origin(NamedTuple):
    """Where a block was saved or loaded, and a keyed digest of what it was then."""

    slug: str
    name: str
    location: str
    digest: bytes


# --- saving -------------------------------------------------------------------------------------------------------


def save(block: Block, name: str, *, overwrite: bool) -> DocumentRef:
    """Save a block; see `Block.save`."""
    check_name(name)
    cls = type(block)
    slug = cls.get_block_type_slug()
    documents = current_documents()
    ring = documents.ring()
    encoded = _quietly(lambda: _bytes_of(_encoding.encode_checked(block, _reference_in(documents, ring, (block,)))))
    if isinstance(encoded, _encoding.Misfit):
        encoded = SerializationError(f"{cls.__name__} cannot be saved: {encoded}", serializer="block", path="value")
    if not isinstance(encoded, memoryview):
        raise encoded
    header: dict[str, str | int] = {
        "schema": cls.get_block_schema_fingerprint(),
        "schema_version": cls._schema_version,
    }
    ref = documents.save(slug, name, encoded, header=header, overwrite=overwrite)
    _set_origin(block, Origin(slug, name, documents.store.location, _digest(ring, encoded)))
    return ref


def _bytes_of(body: dict[str, object]) -> memoryview:
    """Return a body as bytes, in a form that does not print itself."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return memoryview(text.encode())


def _reference_in(documents: BlockDocuments, ring: Keyring, within: tuple[Block, ...]) -> _encoding.Reference:
    def reference(block: Block) -> tuple[str, str] | None:
        if any(block is outer for outer in within):
            raise _encoding.Misfit("a block contains itself; save one of them first, and put a loaded copy inside")
        origin = _origin_of(block)
        if origin is None or origin.location != documents.store.location:
            return None
        now = _digest(ring, _current_bytes(block, documents, ring, (*within, block)), origin.digest)
        return (origin.slug, origin.name) if hmac.compare_digest(now, origin.digest) else None

    return reference


def _current_bytes(
    block: Block, documents: BlockDocuments, ring: Keyring, within: tuple[Block, ...] = ()
) -> memoryview:
    return _bytes_of(_encoding.encode_fields(block, _reference_in(documents, ring, within)))


def _digest(ring: Keyring, body: memoryview, like: bytes = b"") -> bytes:
    """Return a keyed digest of a body and the id of its key: that of another digest, so that the two can be compared.

    The ring may have got another primary key since, which does not mean that the block has changed.
    """
    key = ring.primary("block")
    if like:
        with contextlib.suppress(UnknownKeyError):  # it is not to be used any more: then the block counts as changed
            key = ring.key(like.partition(b":")[0].decode(), "block")
    return key.id.encode() + b":" + hmac.digest(ring.derive(key, _UNCHANGED), body, "sha256")


def _origin_of(block: Block) -> Origin | None:
    return cast("Origin | None", block._origin.value)  # noqa: SLF001  the other half of the same class


def _set_origin(block: Block, origin: Origin) -> None:
    block._origin = type(block._origin)(origin)  # noqa: SLF001  the other half of the same class


# --- loading ------------------------------------------------------------------------------------------------------


def load(cls: type[B], name: str) -> B:
    """Load a block; see `Block.load`."""
    documents = current_documents()
    ref = _find(cls, name, documents)
    block = _load(ref, documents, (), cls=None if _is_open(cls) or ref.slug != cls.get_block_type_slug() else cls)
    if not isinstance(block, cls):
        raise _wrong_type(cls, ref)
    return block


def _load(
    ref: DocumentRef, documents: BlockDocuments, within: tuple[str, ...], *, cls: type[Block] | None = None
) -> Block:
    address = f"{ref.slug}/{ref.name}"
    if address in within:
        raise BlockSchemaError(
            f"the block {address} contains itself ({' in '.join([address, *within])}); save one of them again with"
            " another block inside",
            name=address,
        )
    found: type[Block] = BLOCKS.get(ref.slug) if cls is None else cls

    def resolve(slug: str, name: str) -> Block:
        try:
            return _load(documents.latest(slug, name), documents, (address, *within))
        except EntrepotError as error:
            error.add_note(f"The block {address} refers to the block {slug}/{name}.")
            raise

    body = memoryview(documents.open(ref))  # prints as an address, where the bytes would print themselves
    loaded = _quietly(lambda: _encoding.decode_fields(found, json.loads(bytes(body)), resolve))
    if isinstance(loaded, _encoding.Misfit):
        loaded = _schema_error(str(loaded), ref, documents, found)
    if not isinstance(loaded, Block):
        raise loaded
    ring = documents.ring()
    digest = _digest(ring, _current_bytes(loaded, documents, ring))
    _set_origin(loaded, Origin(ref.slug, ref.name, documents.store.location, digest))
    return loaded


def _schema_error(problem: str, ref: DocumentRef, documents: BlockDocuments, cls: type[Block]) -> BlockSchemaError:
    header = documents.header(ref)
    address = f"{ref.slug}/{ref.name}"
    return BlockSchemaError(
        f"the saved block {address} (version {ref.version}) does not fit the class {cls.__module__}.{cls.__qualname__}:"
        f" {problem}; it was saved under schema version {header.get('schema_version', '?')} and the class has"
        f" {cls._schema_version}: use the version of the class that saved it, give new fields a default, or save the"
        " block again with overwrite=True",
        name=address,
    )


# --- finding ------------------------------------------------------------------------------------------------------


def exists(cls: type[Block], name: str) -> bool:
    """Say whether a block is saved; see `Block.exists`."""
    try:
        _find(cls, name, current_documents())
    except BlockNotFoundError:
        return False
    except AmbiguousBlockNameError:
        return True
    return True


def delete(cls: type[Block], name: str) -> None:
    """Delete a block; see `Block.delete`."""
    documents = current_documents()
    ref = _find(cls, name, documents)
    documents.delete(ref.slug, ref.name)


def refs(cls: type[Block]) -> list[DocumentRef]:
    """List saved blocks; see `Block.list`."""
    documents = current_documents()
    if not _is_open(cls):
        return list(documents.store.list(cls.get_block_type_slug()))
    return [ref for ref in documents.store.list() if _may_be(cls, ref.slug)]


def _find(cls: type[Block], name: str, documents: BlockDocuments) -> DocumentRef:
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
        if not _is_open(cls) and slug != cls.get_block_type_slug() and not issubclass(BLOCKS.get(slug), cls):
            raise _wrong_type(cls, ref)
        return ref
    check_name(name)
    if not _is_open(cls):
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


def _is_open(cls: type[Block]) -> bool:
    """Return whether a class stands for more types than its own."""
    return cls is Block or inspect.isabstract(cls)


def _may_be(cls: type[Block], slug: str) -> bool:
    if cls is Block:
        return True
    try:
        return issubclass(BLOCKS.get(slug), cls)
    except PluginError:  # a type that is not installed or broken is none of this class, as far as can be known
        return False


def _wrong_type(cls: type[Block], ref: DocumentRef) -> BlockNotFoundError:
    return BlockNotFoundError(
        f"{ref.slug}/{ref.name} is a {ref.slug} block, not a {cls.__name__}; load it with"
        f" Block.load({f'{ref.slug}/{ref.name}'!r})",
        name=f"{ref.slug}/{ref.name}",
    )


# --- pickles and cache keys -----------------------------------------------------------------------------------------


def seal_pickle(block: Block) -> bytes:
    """Return the state of a block, private attributes included, sealed."""
    return seal(current_ring(), memoryview(pickle.dumps(block.__getstate__(), 5)), place=_pickle_place(type(block)))


def open_pickle(cls: type[B], sealed: bytes) -> B:
    """Return a block from what `seal_pickle` gave; any process that has the keyring can do that.

    Raises:
        IntegrityError: If it was altered.
        UnknownKeyError: If the ring here does not have its key.
    """
    block = cls.__new__(cls)
    ring = current_ring()
    location = f"the pickled {cls.get_block_type_slug()} block"
    # Sealed by us: only who has the key can have made this pickle.
    block.__setstate__(pickle.loads(unseal(ring, sealed, place=_pickle_place(cls), location=location)))  # noqa: S301
    remember_secrets(block)
    return block


def _pickle_place(cls: type[Block]) -> dict[str, str | int]:
    return {"kind": "pickled block", "type": cls.get_block_type_slug()}


def identity(block: Block) -> tuple[str, object]:
    """Return what stands for a block in cache keys; see `Block.__entrepot_key__`."""
    slug = type(block).get_block_type_slug()

    def veil(plain: object) -> str:
        ring = current_ring()
        key = ring.derive(ring.primary("block"), _IDENTITY)
        return hmac.digest(key, json.dumps(plain, sort_keys=True).encode(), "sha256").hex()

    encoded = _quietly(lambda: _encoding.encode_fields(block, lambda _: None, veil=veil))
    if isinstance(encoded, SerializationError):
        raise UnhashableValueError(
            f"a block of type {slug} has no stable identity: {encoded}", parameter="block", path=encoded.path
        )
    if not isinstance(encoded, dict):
        raise encoded
    return slug, encoded


# --- keeping quiet --------------------------------------------------------------------------------------------------


def _quietly(call: Callable[[], T]) -> T | EntrepotError | _encoding.Misfit:
    """Return what a call returns, or the error that it raises, without its frames: those have secrets in them."""
    try:
        return call()
    except (EntrepotError, _encoding.Misfit) as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001  of users: a property, a validator; its frames and words show values
        where = _encoding.kind_of(error)
    return SerializationError(
        f"a block could not be read or written: its class raised {where}", serializer="block", path="value"
    )
