"""The versions of a saved block: listed, loaded, compared, shown without their class, made the newest, and deleted."""

import json
from dataclasses import dataclass, fields
from typing import TypeVar

from entrepot.blocks._about import UNKNOWN, About, about_now, read_about
from entrepot.blocks._bounds import beyond_bounds
from entrepot.blocks._decoding import quietly
from entrepot.blocks._plain import Change, compare, fields_of, masked
from entrepot.blocks._saving import body_bytes, bytes_of, load_found
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments
from entrepot.blocks.stores import Store, StoreName, buried, find_first, find_only
from entrepot.crypto.seal import Header
from entrepot.errors import BlockNotFoundError, EntrepotError, IntegrityError
from entrepot.protocols.documents import DocumentRef

__all__ = ["BlockVersion", "StoredBlock", "delete", "diff", "history", "load", "read_body", "rollback", "stored"]

B = TypeVar("B", bound=Block)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVersion(About):
    """One version of a saved block, and how it came to be.

    Attributes:
        slug: The block type.
        name: The block's name.
        version: From 1.
        deleted: Whether this version says that the block is deleted.
        schema_version: Of the class; None if that is not known.
        problem: Why it cannot be opened; "" if it can be.
        store: Where it is: "team" or "local".
        location: That store.
    """

    slug: str
    name: str
    version: int
    deleted: bool
    schema_version: int | None = None
    problem: str = ""
    store: StoreName = "local"
    location: str = ""


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A saved block as it is stored, its class unasked.

    Attributes:
        ref: Which version.
        about: How it came to be.
        fields: Its fields as JSON for people; secrets are masked.
    """

    ref: DocumentRef
    about: BlockVersion
    fields: dict[str, object]


def history(cls: type[Block], name: str, store: StoreName | None = None) -> list[BlockVersion]:
    """List versions; see `Block.history`."""
    try:
        place, ref = find_first(cls, name, store)
    except BlockNotFoundError:
        gone = buried(cls, name, store)
        if gone is None:
            raise
        place, ref = gone  # that it is deleted is what its history says
    return [_version(each, place) for each in place.documents.history(ref.slug, ref.name)]


def load(cls: type[B], name: str, version: int | None, store: StoreName | None = None) -> B:
    """Load a saved block, whatever the environment gives; see `Block.load`."""
    place, ref = find_first(cls, name, store)
    documents = place.documents
    if version is None:
        return load_found(cls, documents.believe(ref), documents)
    return load_found(cls, documents.at(ref.slug, ref.name, version), documents, is_newest=False)


def stored(name: str, version: int | None = None, store: StoreName | None = None) -> StoredBlock:
    """Return a saved block as it is stored: for showing one whose class is not installed, or no longer fits.

    Args:
        name: As for `Block.load`.
        version: Which; by default the newest.
        store: In which store; by default in the first that has it.

    Raises:
        BlockNotFoundError: If there is none.
        AmbiguousBlockNameError: If blocks of several types have that name.
        IntegrityError: If it was altered or moved.
        UnknownKeyError: If it was sealed under a key that the keyring does not have.
    """
    place, ref = find_first(Block, name, store)
    documents = place.documents
    ref = documents.believe(ref) if version is None else documents.at(ref.slug, ref.name, version)
    fields = fields_of(read_body(ref, documents)[0])
    return StoredBlock(ref, _version(ref, place), {name: masked(each) for name, each in fields.items()})


def diff(
    name: str, old: int | None = None, new: int | None = None, store: StoreName | None = None
) -> tuple[DocumentRef, DocumentRef, list[Change]]:
    """Compare two versions of a saved block.

    Args:
        name: As for `Block.load`.
        old: A version; by default the one before `new`.
        new: Another; by default the newest.
        store: In which store; by default in the first that has it.

    Returns:
        The two versions, and what is not the same in them; secrets are only said to be the same or not.

    Raises:
        BlockNotFoundError: If there is no such block or version, or only one version.
    """
    place, ref = find_first(Block, name, store)
    documents = place.documents
    versions = [each for each in documents.history(ref.slug, ref.name) if not each.deleted]
    after = versions[-1] if new is None else documents.at(ref.slug, ref.name, new)
    earlier = [each for each in versions if each.version < after.version]
    if old is None and not earlier:
        raise BlockNotFoundError(
            f"version {after.version} of the block {ref.slug}/{ref.name} is the first: there is nothing to compare it"
            " with",
            name=f"{ref.slug}/{ref.name}",
        )
    before = earlier[-1] if old is None else documents.at(ref.slug, ref.name, old)
    return before, after, compare(read_body(before, documents)[0], read_body(after, documents)[0])


def rollback(cls: type[Block], name: str, version: int, store: StoreName | None = None) -> DocumentRef:
    """Save an old version as a new one; see `Block.rollback`."""
    place, latest = find_only(cls, name, store)
    documents = place.documents
    ref = documents.at(latest.slug, latest.name, version)
    body, header = read_body(ref, documents)
    fields = bytes_of({name: value for name, value in body.items() if name != "about"})
    del body
    about = about_now(ref.slug, "rollback", source=ref.version)
    body_of_old = body_bytes(fields, about)
    return documents.save(ref.slug, ref.name, body_of_old, header=header, overwrite=True, expected=latest, older=True)


def delete(cls: type[Block], name: str, store: StoreName | None = None, *, force: bool = False) -> None:
    """Delete a block; see `Block.delete`."""
    try:
        place, ref = find_only(cls, name, store)
    except BlockNotFoundError:
        gone = buried(cls, name, store) if force else None
        if gone is None:
            raise
        place, ref = gone  # a tombstone of another keyring goes, too
    about = about_now(ref.slug, "delete").to_plain()
    body = json.dumps({"about": about}).encode()
    if not place.documents.delete(ref.slug, ref.name, body=body, force=force):
        place.documents.latest(ref.slug, ref.name)  # which says that there is none


def read_body(ref: DocumentRef, documents: BlockDocuments) -> tuple[dict[str, object], Header]:
    """Return the body of a version, with secrets in clear, and what it says in clear.

    Raises:
        IntegrityError: If it was altered or moved.
        UnknownKeyError: If it was sealed under a key that the keyring does not have.
    """
    opened, header = documents.open_whole(ref)
    body = memoryview(opened)  # prints as an address
    del opened
    found = quietly(lambda: json.loads(bytes(body) or b"{}"))  # a tombstone of an earlier Entrepot is empty
    problem = "it has no fields"
    if isinstance(found, dict):
        problem = beyond_bounds(found)  # who has our keys may still have another program
        if not problem:
            return found, header
    wrong = (
        found
        if isinstance(found, EntrepotError)
        else IntegrityError(f"{ref} cannot be shown: {problem}", location=documents.store.location)
    )
    del found  # it may be plain text
    raise wrong


def _version(ref: DocumentRef, place: Store) -> BlockVersion:
    about, schema_version, problem = UNKNOWN, None, ""
    try:
        body, header = read_body(ref, place.documents)
        about = read_about(body.get("about"))
        schema_version = header.get("schema_version")
    except EntrepotError as error:
        problem = str(error)
    return BlockVersion(
        slug=ref.slug,
        name=ref.name,
        version=ref.version,
        deleted=ref.deleted,
        schema_version=schema_version if isinstance(schema_version, int) else None,
        problem=problem,
        store=place.kind,
        location=place.documents.store.location,
        **{each.name: getattr(about, each.name) for each in fields(about)},
    )
