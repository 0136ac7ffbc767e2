"""The versions of a saved block: listed, compared, shown without their class, and made the newest again."""

import json
from dataclasses import dataclass
from datetime import datetime

from entrepot.blocks._about import UNKNOWN, Action, about_now, read_about
from entrepot.blocks._bounds import beyond_bounds
from entrepot.blocks._decoding import quietly
from entrepot.blocks._finding import find, is_open
from entrepot.blocks._plain import Change, compare, fields_of, masked
from entrepot.blocks._saving import body_bytes, bytes_of
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.crypto.seal import Header
from entrepot.errors import BlockNotFoundError, EntrepotError, IntegrityError
from entrepot.protocols.documents import DocumentRef

__all__ = ["BlockVersion", "StoredBlock", "diff", "history", "read_body", "rollback", "stored"]


@dataclass(frozen=True, slots=True)
class BlockVersion:
    """One version of a saved block; what is not known (an earlier version of Entrepot did not write it) is None.

    Attributes:
        slug: The block type.
        name: The block's name.
        version: From 1.
        deleted: Whether this version says that the block is deleted.
        saved: When it was made, in UTC.
        by: By which user.
        host: On which machine.
        entrepot: With which version of Entrepot.
        distribution: Whose the class was, with its version; "" for a class of the program itself.
        action: What was done: "save", "rollback", "migrate", "delete".
        source: The version that it was made from, by a rollback or a migration.
        schema_version: Of the class.
        problem: Why it cannot be opened; "" if it can be.
    """

    slug: str
    name: str
    version: int
    deleted: bool
    saved: datetime | None = None
    by: str | None = None
    host: str | None = None
    entrepot: str | None = None
    distribution: str | None = None
    action: Action | None = None
    source: int | None = None
    schema_version: int | None = None
    problem: str = ""


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


def history(cls: type[Block], name: str) -> list[BlockVersion]:
    """List versions; see `Block.history`."""
    documents = current_documents()
    try:
        ref = find(cls, name, documents)
        slug, name = ref.slug, ref.name
    except BlockNotFoundError:
        slug, _, name = name.rpartition("/")  # both are checked names by now
        slug = slug or ("" if is_open(cls) else cls.get_block_type_slug())
        if not slug or not documents.history(slug, name):
            raise  # else it is deleted: that is what its history says
    return [_version(each, documents) for each in documents.history(slug, name)]


def stored(name: str, version: int | None = None) -> StoredBlock:
    """Return a saved block as it is stored: for showing one whose class is not installed, or no longer fits.

    Args:
        name: As for `Block.load`.
        version: Which; by default the newest.

    Raises:
        BlockNotFoundError: If there is none.
        AmbiguousBlockNameError: If blocks of several types have that name.
        IntegrityError: If it was altered or moved.
        UnknownKeyError: If it was sealed under a key that the keyring does not have.
    """
    documents = current_documents()
    ref = find(Block, name, documents)
    ref = documents.believe(ref) if version is None else documents.at(ref.slug, ref.name, version)
    fields = fields_of(read_body(ref, documents)[0])
    return StoredBlock(ref, _version(ref, documents), {name: masked(each) for name, each in fields.items()})


def diff(name: str, old: int | None = None, new: int | None = None) -> tuple[DocumentRef, DocumentRef, list[Change]]:
    """Compare two versions of a saved block.

    Args:
        name: As for `Block.load`.
        old: A version; by default the one before `new`.
        new: Another; by default the newest.

    Returns:
        The two versions, and what is not the same in them; secrets are only said to be the same or not.

    Raises:
        BlockNotFoundError: If there is no such block or version, or only one version.
    """
    documents = current_documents()
    ref = find(Block, name, documents)
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


def rollback(cls: type[Block], name: str, version: int) -> DocumentRef:
    """Save an old version as a new one; see `Block.rollback`."""
    documents = current_documents()
    latest = find(cls, name, documents)
    ref = documents.at(latest.slug, latest.name, version)
    body, header = read_body(ref, documents)
    fields = bytes_of({name: value for name, value in body.items() if name != "about"})
    del body
    about = about_now(ref.slug, "rollback", source=ref.version)
    return documents.save(ref.slug, ref.name, body_bytes(fields, about), header=header, overwrite=True, expected=latest)


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


def _version(ref: DocumentRef, documents: BlockDocuments) -> BlockVersion:
    about, schema_version, problem = UNKNOWN, None, ""
    try:
        body, header = read_body(ref, documents)
        about = read_about(body.get("about"))
        schema_version = header.get("schema_version")
    except EntrepotError as error:
        problem = str(error)
    return BlockVersion(
        slug=ref.slug,
        name=ref.name,
        version=ref.version,
        deleted=ref.deleted,
        saved=about.at,
        by=about.by,
        host=about.host,
        entrepot=about.entrepot,
        distribution=about.distribution,
        action=about.action,
        source=about.source,
        schema_version=schema_version if isinstance(schema_version, int) else None,
        problem=problem,
    )
