"""Saving and loading blocks: between their classes and the documents. Loaded by the first save or load.

No function here raises while it holds a secret in clear: tracebacks can be logged with the locals of every frame.
"""

import contextlib
import hmac
import json
from typing import Final, NamedTuple, TypeVar, cast

from entrepot import settings
from entrepot._names import check_name
from entrepot.blocks import _encoding
from entrepot.blocks._about import About, Action, about_now
from entrepot.blocks._decoding import Misfit, decode_fields, newer, quietly
from entrepot.blocks._finding import exists, find, from_sources, given, is_open, refs, wrong_type
from entrepot.blocks._inputs import mark_foreign, place_references
from entrepot.blocks._lookups import Whose, made_for
from entrepot.blocks._misspelt import hint_for
from entrepot.blocks._team_references import is_listed, line_for
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.blocks.migrations import stub
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    BlockNotFoundError,
    BlockSchemaError,
    EntrepotError,
    IntegrityError,
    SerializationError,
    UnknownKeyError,
)
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = [
    "body_bytes",
    "bytes_of",
    "exists",
    "load",
    "load_found",
    "load_inner",
    "load_newest",
    "reference_in",
    "refs",
    "save",
    "save_again",
    "save_over",
]

B = TypeVar("B", bound=Block)

_UNCHANGED: Final = "entrepot/block/unchanged/1"


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
    return _save(block, name, current_documents(), overwrite=overwrite)


def save_again(block: Block, expected: DocumentRef, documents: BlockDocuments) -> DocumentRef:
    """Save what was loaded of a version as the next one, if that version still is the newest.

    Raises:
        BlockExistsError: If it is not.
    """
    return _save(block, expected.name, documents, expected=expected, action="migrate", source=expected.version)


def save_over(block: Block, expected: DocumentRef, documents: BlockDocuments) -> DocumentRef:
    """Save a block as the version after another, if that still is the newest.

    Raises:
        BlockExistsError: If it is not.
    """
    return _save(block, expected.name, documents, expected=expected)


def _save(
    block: Block,
    name: str,
    documents: BlockDocuments,
    *,
    overwrite: bool = True,
    expected: DocumentRef | None = None,
    action: Action = "save",
    source: int | None = None,
) -> DocumentRef:
    cls = type(block)
    slug = cls.get_block_type_slug()
    ring = documents.ring()
    encoded = quietly(lambda: bytes_of(_encoding.encode_checked(block, _reference_in(documents, ring, (block,)))))
    if isinstance(encoded, Misfit):
        encoded = SerializationError(f"{cls.__name__} cannot be saved: {encoded}", serializer="block", path="value")
    if not isinstance(encoded, memoryview):
        raise encoded
    header: dict[str, str | int] = {
        "schema": cls.get_block_schema_fingerprint(),
        "schema_version": cls._schema_version,
    }
    whole = body_bytes(encoded, about_now(slug, action, source=source))
    ref = documents.save(slug, name, whole, header=header, overwrite=overwrite, expected=expected)
    _set_origin(block, Origin(slug, name, documents.store.location, _digest(ring, encoded)))
    return ref


def bytes_of(body: dict[str, object]) -> memoryview:
    """Return a body as bytes, in a form that does not print itself."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return memoryview(text.encode())


def body_bytes(fields: memoryview, about: About) -> memoryview:
    """Return a body of fields, as bytes, with what it says of its making."""
    said = json.dumps({"about": about.to_plain()}, separators=(",", ":"))
    return memoryview(b"".join([said[:-1].encode(), b",", fields[1:]]))


def reference_in(documents: BlockDocuments) -> _encoding.Reference:
    """Return what gives slug and name of blocks that were saved in these documents and are unchanged."""
    return _reference_in(documents, documents.ring(), ())


def _reference_in(documents: BlockDocuments, ring: Keyring, within: tuple[Block, ...]) -> _encoding.Reference:
    def reference(block: Block) -> tuple[str, str] | None:
        if any(block is outer for outer in within):
            raise Misfit("a block contains itself; save one of them first, and put a loaded copy inside")
        origin = _origin_of(block)
        if origin is None or origin.location != documents.store.location:
            return None
        now = _digest(ring, _current_bytes(block, documents, ring, (*within, block)), origin.digest)
        return (origin.slug, origin.name) if hmac.compare_digest(now, origin.digest) else None

    return reference


def _current_bytes(
    block: Block, documents: BlockDocuments, ring: Keyring, within: tuple[Block, ...] = ()
) -> memoryview:
    return bytes_of(_encoding.encode_fields(block, _reference_in(documents, ring, within)))


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
    place_references(block, f"{origin.slug}/{origin.name}")


# --- loading ------------------------------------------------------------------------------------------------------


def load(cls: type[B], name: str) -> B:
    """Load a block from where it is looked up first; see `Block.load`."""
    now = settings.current()
    found = given(cls, name, now)
    if found is not None:
        return found
    documents = current_documents(now)
    try:
        ref = find(cls, name, documents)
    except BlockNotFoundError as error:
        slug = name.rpartition("/")[0] or ("" if is_open(cls) else cls.get_block_type_slug())
        error.args = (f"{_teams_before(cls, name)}{error}{hint_for(slug, name.rpartition('/')[2])}",)
        raise
    return load_found(cls, documents.believe(ref), documents)


def _teams_before(cls: type[Block], name: str) -> str:
    """Return what the stores of a team say of a block that they do not have, for the beginning of a message."""
    from entrepot.blocks import teams  # noqa: PLC0415  it loads blocks, by what is here

    return "".join(f"{each}; and " for each in teams.missing(cls, name))


def load_found(cls: type[B], ref: DocumentRef, documents: BlockDocuments, *, is_newest: bool = True) -> B:
    """Load a version of a block as a class; only the newest one can be referred to by name later."""
    own = None if is_open(cls) or ref.slug != cls.get_block_type_slug() else cls
    block = _load(ref, documents, (), cls=own)
    if is_newest:
        _set_origin(block, _origin_in(block, ref, documents))
    if not isinstance(block, cls):
        raise wrong_type(cls, ref)
    return block


def load_newest(ref: DocumentRef, documents: BlockDocuments) -> Block:
    """Load the newest version of a block, by what a listing gave.

    Raises:
        EntrepotError: As `Block.load`.
    """
    return load_found(Block, ref, documents)


def load_inner(slug: str, name: str, documents: BlockDocuments, within: tuple[str, ...] = ()) -> Block:
    """Load a block that is meant by name inside another one: saved with that, it stays a reference.

    That holds of what a source gives, too: the secret of a variable is not sealed into a document unasked. Inside a
    block of a shared store it is another one of that store, unless this machine's owner listed `block://type/name`.

    Args:
        slug: Its type.
        name: Its name.
        documents: Where the other one is.
        within: The blocks that it is in, the innermost first.

    Raises:
        EntrepotError: As `Block.load`.
    """
    ref = DocumentRef(slug, name, 1)
    reference = f"block://{slug}/{name}"
    listed = documents.foreign and is_listed(reference)
    block = from_sources(slug, name) if listed or not documents.foreign else None
    if block is None:
        place = current_documents() if listed else documents
        try:
            ref = place.believe(place.latest(slug, name))
        except BlockNotFoundError as error:
            if documents.foreign and not listed:
                error.add_note(
                    "blocks of a shared store find each other there, and nowhere else; so that they find that one of"
                    f" yours, set {line_for(reference)}"
                )
            before = "" if documents.foreign else _teams_before(Block, f"{slug}/{name}")
            error.args = (f"{before}{error}{hint_for(slug, name)}",)
            raise
        block = _load(ref, place, within)
    _set_origin(block, _origin_in(block, ref, documents))
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

    def resolve(slug: str, name: str) -> Block:
        try:
            return load_inner(slug, name, documents, (address, *within))
        except EntrepotError as error:
            error.add_note(f"The block {address} refers to the block {slug}/{name}.")
            raise

    opened, header = documents.open_whole(ref)
    body = memoryview(opened)  # prints as an address, where the bytes would print themselves
    del opened
    documents.remember(ref)
    # Now, and not before: what does not verify imports no plugin. What that makes then is no part of the block around.
    with made_for():
        found: type[Block] = BLOCKS.get(ref.slug) if cls is None else cls
    saved = header.get("schema_version", 1)
    if not isinstance(saved, int):
        raise IntegrityError(
            f"{ref} in {documents.store.location} says no schema version: another program sealed it; load an earlier"
            f" version, or make one the newest again: entrepot block rollback {address} VERSION",
            location=documents.store.location,
        )
    if saved > found._schema_version:  # noqa: SLF001  a setting of classes, for us
        raise _newer_error(ref, found, saved)
    whose = Whose(documents.store.location if documents.foreign else "", address)
    with made_for(whose):
        loaded = quietly(lambda: decode_fields(found, json.loads(bytes(body)), resolve, version=saved))
    if isinstance(loaded, Misfit):
        loaded = _schema_error(loaded, ref, found, saved)
    if not isinstance(loaded, Block):
        raise loaded
    if whose.store:
        mark_foreign(loaded, whose.store)
    return loaded


def _origin_in(block: Block, ref: DocumentRef, documents: BlockDocuments) -> Origin:
    ring = documents.ring()
    digest = _digest(ring, _current_bytes(block, documents, ring))
    return Origin(ref.slug, ref.name, documents.store.location, digest)


def _schema_error(misfit: Misfit, ref: DocumentRef, cls: type[Block], saved: int) -> BlockSchemaError:
    address = f"{ref.slug}/{ref.name}"
    fields = {"missing": misfit.missing, "unknown": misfit.unknown, "refused": misfit.refused}
    source = stub(cls, saved, **fields)
    message = (
        f"the saved block {address} (version {ref.version}) does not fit the class {cls.__module__}.{cls.__qualname__}:"
        f" {misfit}; it was saved under schema version {saved} and the class has {cls._schema_version}: use the version"
        " of the class that saved it, give new fields a default, save the block again with overwrite=True"
    )
    message += f", or write a migration:\n\n{source}" if source else ", or mend its migrations"
    return BlockSchemaError(
        message, name=address, saved_version=saved, class_version=cls._schema_version, stub=source, **fields
    )


def _newer_error(ref: DocumentRef, cls: type[Block], saved: int) -> BlockSchemaError:
    address = f"{ref.slug}/{ref.name}"
    return BlockSchemaError(
        f"the saved block {address} (version {ref.version}) is newer than its class: {newer(cls, saved)}; upgrade the"
        " package that has the class; the block is as it was",
        name=address,
        saved_version=saved,
        class_version=cls._schema_version,
    )
