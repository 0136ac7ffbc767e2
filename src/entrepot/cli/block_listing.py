"""`entrepot block ls`, and the option that says in which store of blocks a command is to look."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, cast

import typer

from entrepot import settings
from entrepot.blocks import Block
from entrepot.blocks._finding import find
from entrepot.blocks._misspelt import misspelt
from entrepot.blocks.documents import BlockDocuments
from entrepot.blocks.sources import EnvironmentBlocks, variable_of
from entrepot.blocks.stores import NAMES, Store, StoreName, listed, stores
from entrepot.blocks.teams import StoredBlocks, of_the_setting
from entrepot.cli.completing import block_types
from entrepot.cli.options import AsJson
from entrepot.cli.output import fitting, ok, print_json, show, table, told, warn, warn_together, when
from entrepot.errors import BlockNotFoundError, EntrepotError, OptionError
from entrepot.protocols.documents import DocumentRef

__all__ = ["CompareWith", "InStore", "SaveIn", "ls", "own_unless_told", "refs_in", "warn_of_hiding", "within"]


def _store(text: str) -> StoreName:
    if text not in NAMES:
        raise OptionError(f"--store {text!r} is none of: {', '.join(NAMES)}", option="--store")
    return cast("StoreName", text)


def _option(told_: str) -> Any:
    return typer.Option("--store", parser=_store, metavar="team|local", help=told_, autocompletion=lambda: [*NAMES])


InStore = Annotated[
    StoreName | None, _option("Only in the store that a team shares (blocks_team), or only in one's own.")
]
SaveIn = Annotated[
    StoreName | None, _option("Save in the store that a team shares (blocks_team), or in one's own, as by default.")
]
CompareWith = Annotated[
    StoreName | None, _option("The store that a team shares (blocks_team), or one's own; a file: by default one's own.")
]

_STYLES: Final = {"environment": "cyan", "team": "magenta", "local": ""}


def ls(
    *,
    type_: Annotated[
        str | None, typer.Option("--type", "-t", help="Only blocks of this type.", autocompletion=block_types)
    ] = None,
    store: InStore = None,
    as_json: AsJson = False,
) -> None:
    """List the blocks of the environment, of the team and one's own. None is opened.

    Of those of one type and name the first is used; the others are marked as hidden. A version is written when it is
    saved, and again when the keys are rotated; `entrepot block history` says when it was saved.

    \b
    Examples:
      entrepot block ls
      entrepot block ls --type s3
      entrepot block ls --store local        without a look at the team's store
    """  # noqa: D301  click's mark for lines that are kept as they are
    found = listed(type_, store)
    if as_json:
        print_json(
            [
                {
                    "type": each.slug,
                    "name": each.name,
                    "version": each.version,
                    "modified": each.modified,
                    "store": each.kind,
                    "location": each.location,
                    "hidden": each.hidden,
                }
                for each in found
            ]
        )
        return
    for odd in misspelt():
        warn(str(odd))
    if not found:
        ok("no blocks are saved; `entrepot block create TYPE NAME` saves one, `entrepot block types` lists the types")
        return
    rows = [
        (
            f"{each.slug}/{each.name}",
            each.version,
            when(each.modified),
            told(f"{each.kind}, hidden" if each.hidden else each.kind, "yellow" if each.hidden else _STYLES[each.kind]),
        )
        for each in found
    ]
    columns = ("Block", "Version", "Written", "From")
    show(fitting(*(table(columns, rows, keep=("Block", "From"), without=some) for some in ((), ("Version",)))))
    variables = [each.location for each in found if each.kind == "environment"]
    if variables:
        ok(f"of the environment: {', '.join(variables)}")


def refs_in(place: Store, names: Sequence[str] | None) -> list[DocumentRef]:
    """Return the newest versions of blocks of one store: of those that are named, or of all.

    Raises:
        BlockNotFoundError: If there is none of a name; where another store could have it, that is said.
        AmbiguousBlockNameError: If blocks of several types have a name.
    """
    if not names:
        return list(place.documents.store.list())
    try:
        return [find(Block, name, place.documents) for name in names]
    except BlockNotFoundError as error:
        if place.kind == "local" and settings.current().blocks_team is not None:
            error.add_note("What the team's store has is meant with --store team")
        raise


def own_unless_told(only: StoreName | None) -> Store:
    """Return the store that a command is about which takes one's own blocks, but where the team's store is said.

    Raises:
        OptionError: As `stores`.
        EntrepotError: If it cannot be opened.
    """
    return stores(only or "local")[0]


def warn_of_hiding(refs: Iterable[DocumentRef], documents: BlockDocuments) -> bool:
    """Warn of what was saved just now where another place has a block of that name, and is asked before.

    Args:
        refs: What was saved.
        documents: Where.

    Returns:
        Whether that is so of any.
    """
    here, teams = documents.store.location, list[StoredBlocks]()
    problems = {}
    with contextlib.suppress(EntrepotError):  # it is saved; that a team's store does not answer is for who loads it
        teams = [team for team in of_the_setting() if team.location != here]
    for ref in refs:
        address = f"{ref.slug}/{ref.name}"
        try:
            if EnvironmentBlocks().has(ref.slug, ref.name):
                problems[address] = f"the variable {variable_of(ref.slug, ref.name)} is set here and comes first"
            elif any(team.has(ref.slug, ref.name) for team in teams):
                problems[address] = f"the store that blocks_team names has {address}, too, and comes first"
        except EntrepotError:
            teams = []
    warn_together(problems, "is hidden", "are hidden")
    return bool(problems)


def within(store: StoreName, location: str) -> str:
    """Return words for where something was done, to follow what it was: nothing where there is no team's store."""
    return f" in the team's store, {location}" if store == "team" else ""
