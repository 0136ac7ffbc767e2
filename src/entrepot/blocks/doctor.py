"""Whether saved blocks load with the classes that are installed here, and how they are brought up to date."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from entrepot.blocks import _saving
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments
from entrepot.blocks.history import read_body
from entrepot.blocks.preflight import refused_in
from entrepot.blocks.stores import Store, stores
from entrepot.errors import (
    BlockExistsError,
    BlockNotFoundError,
    EntrepotError,
    ForeignReferenceError,
    UnknownBlockTypeError,
)
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef
from entrepot.serializers.tagged import TAG

__all__ = ["Finding", "Health", "examine", "examine_all", "migrate", "saved_everywhere"]

Health: TypeAlias = Literal["ok", "migrates", "migrated", "refused", "not installed", "fails"]
"""What a block is: it loads; it loads, and saved anew it would have the newest schema version; that was done; it is of
a shared store, and does not work here, since it may not use secrets of this machine that it refers to; no installed or
imported class has its slug; it does not load."""

_MAX_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What is with the newest version of one saved block.

    Attributes:
        ref: Which version.
        health: What it is.
        saved_version: The schema version under which it was saved, the lowest one inside it; None if that is unknown.
        class_version: The schema version of its class, or of the class of that inner block; None if it has none here.
        detail: What does not work, and what to do; "" if all does.
        error: The error behind that.
        location: The shared store that it is in; "" for the documents that are saved to.
    """

    ref: DocumentRef
    health: Health
    saved_version: int | None = None
    class_version: int | None = None
    detail: str = ""
    error: EntrepotError | None = None
    location: str = ""

    @property
    def lags(self) -> bool:
        """Whether it was saved under an older schema version than its class has."""
        saved, wanted = self.saved_version, self.class_version
        return saved is not None and wanted is not None and saved < wanted


def saved_everywhere(only: str | None = None) -> list[tuple[Store, DocumentRef]]:
    """Return the newest version of every saved block of each store, in the order in which they are looked up.

    Args:
        only: "team" or "local", for one store; as `stores`.
    """
    places = [Store(place.kind, place.documents.as_they_are()) for place in stores(only)]
    return [(place, ref) for place in places for ref in place.documents.store.list()]


def examine_all() -> Iterator[Finding]:
    """Try all of them; nothing is changed."""
    for place, ref in saved_everywhere():
        yield examine(ref, place.documents)


def examine(ref: DocumentRef, documents: BlockDocuments) -> Finding:
    """Try one saved block.

    Args:
        ref: Its newest version.
        documents: Where it is.
    """
    finding = _examine(ref, documents)[0]
    if isinstance(finding.error, ForeignReferenceError):  # of an older schema version or not: it does not work here
        finding = dataclasses.replace(finding, health="refused")
    return _placed(finding, documents)


def migrate(ref: DocumentRef, documents: BlockDocuments, *, dry_run: bool = False) -> Finding:
    """Save a block anew if it was saved under an older schema version; what was saved stays, as history.

    Another program may save the block meanwhile: then its version is looked at instead. Stopped half-way, and called
    again, it goes on: what is migrated already is left alone. What may not use secrets of this machine is migrated all
    the same, if it loads without them.

    Args:
        ref: Its newest version.
        documents: Where it is.
        dry_run: Whether only to say what would be done.
    """
    return _placed(_migrated(ref, documents, dry_run=dry_run), documents)


def _placed(finding: Finding, documents: BlockDocuments) -> Finding:
    return dataclasses.replace(finding, location=documents.store.location) if documents.foreign else finding


def _migrated(ref: DocumentRef, documents: BlockDocuments, *, dry_run: bool) -> Finding:
    for _ in range(_MAX_TRIES):
        finding, block = _examine(ref, documents)
        if block is None and finding.health == "refused":
            return dataclasses.replace(finding, health="fails")  # it does not get as far as being saved
        if finding.health != "migrates" or block is None or dry_run:
            return finding
        try:
            saved = _saving.save_again(block, finding.ref, documents)
        except BlockExistsError:
            try:
                ref = documents.latest(ref.slug, ref.name)
            except BlockNotFoundError:
                return Finding(ref, "ok", detail="it was deleted meanwhile")
        except EntrepotError as error:
            return _failed(finding.ref, error)
        else:
            return Finding(saved, "migrated", finding.saved_version, finding.class_version)
    return Finding(ref, "fails", detail="other programs kept saving it at the same time; try again")


def _examine(ref: DocumentRef, documents: BlockDocuments) -> tuple[Finding, Block | None]:
    try:
        cls: type[Block] = BLOCKS.get(ref.slug)
    except UnknownBlockTypeError as error:
        return Finding(ref, "not installed", _lowest(ref, documents)[0], detail=str(error)), None
    except EntrepotError as error:
        return _failed(ref, error), None
    saved: int | None = None
    wanted: int | None = cls._schema_version
    try:
        ref = documents.believe(ref)
        block = _saving.load_newest(ref, documents)
        saved, wanted = _lowest(ref, documents)
    except EntrepotError as error:
        return _failed(ref, error, getattr(error, "saved_version", None), wanted), None
    refused = refused_in(block)
    detail, first = "; ".join(map(str, refused)), next(iter(refused), None)
    finding = Finding(ref, "refused" if refused else "ok", saved, wanted, detail, first)
    return dataclasses.replace(finding, health="migrates") if finding.lags else finding, block


def _failed(ref: DocumentRef, error: EntrepotError, saved: int | None = None, wanted: int | None = None) -> Finding:
    detail = "; ".join([str(error), *getattr(error, "__notes__", ())])
    health: Health = "refused" if isinstance(error, ForeignReferenceError) else "fails"
    return Finding(ref, health, saved, wanted, detail=detail, error=error)


def _lowest(ref: DocumentRef, documents: BlockDocuments) -> tuple[int | None, int | None]:
    """Return the schema version of a document or of a block inside it, and that of the class: the first pair that lags.

    Where none lags, those of the document.
    """
    try:
        body, header = read_body(ref, documents)
    except EntrepotError:
        return None, None
    own = (_number(header.get("schema_version", 1)), _known(ref.slug))
    for saved, wanted in [own, *_inner(body)]:
        if wanted is not None and saved < wanted:
            return saved, wanted
    return own


def _inner(plain: object) -> Iterator[tuple[int, int | None]]:
    """Yield the schema versions of the blocks that are kept inside, and those of their classes."""
    if isinstance(plain, list):
        for each in plain:
            yield from _inner(each)
    elif isinstance(plain, dict):
        if plain.get(TAG) == "block":
            yield _number(plain.get("schema_version", 1)), _known(str(plain.get("slug")))
        for each in plain.values():
            yield from _inner(each)


def _number(said: object) -> int:
    return said if isinstance(said, int) else 1  # whoever sealed something else is found out by a load


def _known(slug: str) -> int | None:
    try:
        cls: type[Block] = BLOCKS.get(slug)
    except EntrepotError:
        return None
    return cls._schema_version
