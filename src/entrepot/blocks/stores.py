"""In which store of documents a saved block is: in the team's, or in one's own; and on which of them something acts.

What looks at a block (`history`, `load(version=)`, `diff`) takes the first store that has it, in the order in which
blocks are looked up. What changes one (`delete`, `rollback`) does not choose for its caller: it acts where the block
is, and asks where two stores have one of that name.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias, get_args

from entrepot import settings
from entrepot.blocks._finding import WITHOUT_TEAM, find, is_open, may_be
from entrepot.blocks._misspelt import misspelt
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.blocks.shared import works_in_the_teams
from entrepot.blocks.sources import PREFIX, EnvironmentBlocks, sources, variable_of
from entrepot.blocks.teams import StoredBlocks
from entrepot.errors import (
    AmbiguousBlockNameError,
    BlockNotFoundError,
    EntrepotError,
    OptionError,
    UnknownBlockTypeError,
)
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = ["NAMES", "Listed", "Store", "StoreName", "buried", "every", "find_first", "find_only", "listed", "stores"]

StoreName: TypeAlias = Literal["team", "local"]
"""The documents that a team shares (the setting `blocks_team`), or those that one saves to."""

NAMES: Final[tuple[str, ...]] = get_args(StoreName)


@dataclass(frozen=True, slots=True)
class Store:
    """Documents where a block can be.

    Attributes:
        kind: Whose they are.
        documents: The documents.
    """

    kind: StoreName
    documents: BlockDocuments

    def __str__(self) -> str:
        whose = "the team's store" if self.kind == "team" else "one's own store"
        return f"{whose}, {self.documents.store.location}"


@dataclass(frozen=True, slots=True)
class Listed:
    """One block that is somewhere; it was not opened.

    Attributes:
        slug: The block type.
        name: The block's name.
        kind: "environment", "team" or "local".
        location: The variable, or the store.
        version: The newest; None of the environment.
        modified: When that was written, or None where nobody says.
        hidden: Whether a place that is asked before has a block of this type and name.
    """

    slug: str
    name: str
    kind: Literal["environment", StoreName]
    location: str
    version: int | None
    modified: datetime | None
    hidden: bool


def stores(only: str | None = None) -> list[Store]:
    """Return the stores where a block is looked up, in that order.

    Args:
        only: "team" or "local", to leave out the other one: it is not even opened.

    Raises:
        OptionError: If that names none, or there is no team's.
        EntrepotError: If the documents that the setting `blocks_team` names cannot be opened.
    """
    if only is not None and only not in NAMES:
        raise OptionError(f"{only!a} is no store of blocks; known: {', '.join(NAMES)}", option="store")
    now = settings.current()
    own = Store("local", current_documents(now))
    if only == "local":
        return [own]
    teams = [Store("team", each.documents) for each in sources(now) if isinstance(each, StoredBlocks)]
    if not teams and only == "team" and works_in_the_teams(now):
        return [Store("team", own.documents)]  # it is saved to directly
    if not teams and only == "team":
        raise OptionError(
            "there is no team's store: the setting blocks_team says where it is (entrepot config set blocks_team URL)",
            option="store",
        )
    return teams if only == "team" else [*teams, own]


def find_first(cls: type[Block], name: str, only: str | None = None) -> tuple[Store, DocumentRef]:
    """Return the newest version of a block in the first store that has it.

    Raises:
        BlockNotFoundError: If none has.
        UnknownBlockTypeError: If none has, and no installed or imported class has the slug.
        AmbiguousBlockNameError: If the first that has such a name has it of several types.
        OptionError: As `stores`.
    """
    return next(every(cls, name, only))


def find_only(cls: type[Block], name: str, only: str | None = None) -> tuple[Store, DocumentRef]:
    """Return the newest version of a block that is to be changed, and where it is.

    Raises:
        AmbiguousBlockNameError: If two stores have one.
        BlockNotFoundError: If none has.
        OptionError: As `stores`.
    """
    found = list(every(cls, name, only))
    if len(found) == 1:
        return found[0]
    candidates = [f"{ref.slug}/{ref.name} in {place}" for place, ref in found]
    raise AmbiguousBlockNameError(
        f"{name!r} is in more than one store: {'; '.join(candidates)}. Nothing was changed; say which is meant:"
        " store='team' or store='local' (--store team or --store local)",
        name=name,
        candidates=candidates,
    )


def every(cls: type[Block], name: str, only: str | None = None) -> Iterator[tuple[Store, DocumentRef]]:
    """Yield the newest version of a block in each store that has it; raises as `find_first`."""
    missing: list[BlockNotFoundError | UnknownBlockTypeError] = []
    with _hinted(only):
        places = stores(only)
    for place in places:
        try:
            with _hinted(place.kind):
                ref = find(cls, name, place.documents)
        except (BlockNotFoundError, UnknownBlockTypeError) as error:
            if place.kind == "team":
                _refuse_hidden(cls, name, StoredBlocks(place.documents))
            missing.append(error)
        else:
            yield place, ref
    if len(missing) < len(places):
        return
    if only is None:
        _refuse_given(cls, name)
    if len(places) == 1 or isinstance(missing[0], UnknownBlockTypeError):
        raise missing[0]
    raise BlockNotFoundError("; and ".join(map(str, missing)), name=missing[0].name)


def _refuse_given(cls: type[Block], name: str) -> None:
    """Say of a block that no store has, and that a variable gives, that it is not in a store."""
    slug, rest = _parts(cls, name)
    environment = EnvironmentBlocks()
    slugs = [slug] if slug else [each for each in environment.slugs(rest) if may_be(cls, each)]
    for each in slugs:
        if environment.has(each, rest):
            raise BlockNotFoundError(
                f"no store has the block {each}/{rest}: the variable {variable_of(each, rest)} gives it. It has one"
                " version, and who wants to change it or to take it away does so with the variable",
                name=f"{each}/{rest}",
            )


def _refuse_hidden(cls: type[Block], name: str, blocks: StoredBlocks) -> None:
    slug, rest = _parts(cls, name)
    for each in [slug] if slug else [each for each in blocks.slugs(rest) if may_be(cls, each)]:
        blocks.refuse_hidden(each, rest)


def buried(cls: type[Block], name: str, only: str | None = None) -> tuple[Store, DocumentRef] | None:
    """Return where a block was that is deleted, and its newest version; None where none says so.

    A name alone means the first store where one block of that name was deleted, if it is of one type there.
    """
    slug, rest = _parts(cls, name)
    for place in stores(only):
        documents = place.documents
        if slug:
            graves = list(filter(None, [documents.store.latest(slug, rest)]))
        else:
            graves = [ref for ref in documents.buried(rest) if may_be(cls, ref.slug)]
        if graves:
            return (place, graves[0]) if len(graves) == 1 else None
        marks = documents.marks
        if place.kind == "team" and marks is not None and (marks.highest(slug, rest) if slug else marks.slugs(rest)):
            return None  # it was taken away: what is one's own is another one
    return None


def _parts(cls: type[Block], name: str) -> tuple[str, str]:
    """Return the type that a class and a name mean, "" for any, and the name alone."""
    slug, _, rest = name.rpartition("/")
    return slug or ("" if is_open(cls) else cls.get_block_type_slug()), rest


def listed(slug: str | None = None, only: str | None = None) -> list[Listed]:
    """Return what is in the environment and in the stores, by type and name, and then in the order of looking up.

    Args:
        slug: Only blocks of this type.
        only: "team" or "local", for that store alone; what hides it is not looked at.

    Raises:
        OptionError: As `stores`.
        StorageError: If a store cannot be reached.
    """
    with _hinted(only):
        saved = [(place, ref) for place in stores(only) for ref in place.documents.store.list(slug)]
    given = [] if only is not None else list(_given([ref for _, ref in saved]))
    found = [each for each in given if slug in {None, each.slug}]
    seen = {(each.slug, each.name) for each in found}
    for place, ref in saved:
        where, hidden = place.documents.store.location, (ref.slug, ref.name) in seen
        found.append(Listed(ref.slug, ref.name, place.kind, where, ref.version, ref.modified, hidden))
        seen.add((ref.slug, ref.name))
    return sorted(found, key=lambda each: (each.slug, each.name))


@contextlib.contextmanager
def _hinted(kind: str | None) -> Iterator[None]:
    """Say of an error that may be of the team's store how to do without that."""
    try:
        yield
    except (BlockNotFoundError, UnknownBlockTypeError, AmbiguousBlockNameError, OptionError):
        raise
    except EntrepotError as error:
        if kind != "local" and settings.current().blocks_team is not None:
            error.add_note(WITHOUT_TEAM)
        raise


def _given(saved: list[DocumentRef]) -> Iterator[Listed]:
    """Yield the blocks of variables; what capitals leave open is as it is saved, else with `-`."""
    odd = {each.variable for each in misspelt()}
    variables = sorted(each for each in os.environ if each.startswith(PREFIX) and each not in odd)
    if not variables:
        return
    types = {variable_of(each, ""): each for each in BLOCKS.names()}
    names = {variable_of(ref.slug, ref.name): ref for ref in saved}
    for variable in variables:
        kind, _, name = variable.removeprefix(PREFIX).partition("__")
        slug = types.get(f"{PREFIX}{kind}__", kind.lower().replace("_", "-"))
        ref = names.get(variable, DocumentRef(slug, name.lower().replace("_", "-"), 1))
        yield Listed(ref.slug, ref.name, "environment", variable, None, None, hidden=False)
