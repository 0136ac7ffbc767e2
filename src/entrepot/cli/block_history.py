"""`entrepot block history|diff|rollback`: the versions of saved blocks."""

import json
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from entrepot.blocks import Block
from entrepot.blocks._plain import Change
from entrepot.blocks.history import BlockVersion, StoredBlock, diff
from entrepot.blocks.stores import StoreName, find_only
from entrepot.cli.block_listing import InStore, within
from entrepot.cli.completing import block_names
from entrepot.cli.options import AsJson
from entrepot.cli.output import fitting, ok, print_json, show, table, told, warn, warn_together, when
from entrepot.protocols.documents import DocumentRef

__all__ = ["Name", "diff_versions", "history_", "rollback_", "show_changes", "show_stored"]

Name = Annotated[
    str,
    typer.Argument(help="type/name; or the name alone, if only one block has it.", autocompletion=block_names),
]

_UNKNOWN: Final = "unknown"
_LEFT_OUT: Final = ("Entrepot", "Class of", "Host", "Schema")  # where there is no room, in this order
_STYLES: Final = {"added": "green", "removed": "red", "changed": "yellow", "unchanged": "dim", "unknown": "yellow"}


def history_(name: Name, *, store: InStore = None, as_json: AsJson = False) -> None:
    """List the versions of a saved block: when, by whom, from where, with what.

    \b
    Examples:
      entrepot block history s3/prod
      entrepot block history s3/prod --store local
      entrepot block history s3/prod --json
    """  # noqa: D301  click's mark for lines that are kept as they are
    versions = Block.history(name, store=store)
    if as_json:
        print_json([_facts(each) for each in versions])
        return
    columns = ("Version", "When", "What", "By", "Host", "Class of", "Entrepot", "Schema")
    rows = [_row(each) for each in versions]
    fewer = [_LEFT_OUT[:number] for number in range(len(_LEFT_OUT) + 1)]
    show(fitting(*(table(columns, rows, keep=("Version", "When"), without=some) for some in fewer)))
    problems = {
        f"{DocumentRef(each.slug, each.name, each.version)} in {each.location}": each.problem
        for each in versions
        if each.problem
    }
    warn_together(problems, "cannot be opened", "cannot be opened")
    newest = versions[-1]
    if newest.store == "team":
        ok(f"{newest.slug}/{newest.name}{within(newest.store, newest.location)}")


def diff_versions(
    name: str, old: int | None, new: int | None, *, store: StoreName | None = None, as_json: bool
) -> None:
    """Print what is not the same in two versions of a saved block."""
    before, after, changes = diff(name, old, new, store)
    if as_json:
        print_json({"old": before.version, "new": after.version, "changes": [asdict(each) for each in changes]})
        return
    title = f"{after.slug}/{after.name}: version {before.version} and version {after.version}"
    if not changes:
        ok(f"{title} are the same")
        return
    ok(title)
    show_changes(changes, (f"Version {before.version}", f"Version {after.version}"))


def rollback_(
    name: Name,
    version: Annotated[int, typer.Argument(help="The version whose content is wanted again.")],
    *,
    store: InStore = None,
) -> None:
    """Save the content of an older version as a new one. Nothing is lost: history stays.

    Where both the team's store and one's own have it, --store says which one is meant.

    \b
    Examples:
      entrepot block history s3/prod
      entrepot block rollback s3/prod 3
    """  # noqa: D301  as above
    place, found = find_only(Block, name, store)
    ref = Block.rollback(f"{found.slug}/{found.name}", version, store=place.kind)
    where = within(place.kind, place.documents.store.location)
    ok(f"saved {ref.slug}/{ref.name}, version {ref.version}{where}, with the content of version {version}")


def show_stored(found: StoredBlock, why: str, *, as_json: bool) -> None:
    """Show a block as it is stored, since its class cannot: masked.

    Args:
        found: The block.
        why: Why not with its class.
        as_json: Print JSON.
    """
    if as_json:
        print_json({"type": found.ref.slug, "fields": found.fields})
        return
    warn(f"this is how it is stored, since {why}")
    show(table(("Field", "Value"), [(name, _text(value)) for name, value in found.fields.items()], keep=("Field",)))


def show_changes(changes: list[Change], columns: tuple[str, str], *, err: bool = False) -> None:
    """Print a table of changes; with `err` to stderr, for the person at the terminal."""
    rows = [
        (
            each.path,
            told(each.kind, _STYLES[each.kind]),
            "" if each.kind == "added" else _text(each.before),
            "" if each.kind == "removed" else _text(each.after),
        )
        for each in changes
    ]
    show(table(("Field", "", *columns), rows, keep=("Field",)), err=err)


# --- parts ------------------------------------------------------------------------------------------------------------


def _facts(version: BlockVersion) -> dict[str, Any]:
    return {"type": version.slug, "slug": version.slug, "name": version.name, "version": version.version} | asdict(
        version
    )


def _row(version: BlockVersion) -> tuple[object, ...]:
    known = version.action is not None
    what: str = "cannot be opened" if version.problem else version.action or _UNKNOWN
    if version.source is not None:
        what += f" of version {version.source}"
    return (
        version.version,
        when(version.saved) or _UNKNOWN,
        told("deleted" if version.deleted else what, "red" if version.problem else ""),
        version.by or _UNKNOWN,
        version.host or _UNKNOWN,
        (version.distribution or "the program") if known else _UNKNOWN,
        version.entrepot or _UNKNOWN,
        version.schema_version,
    )


def _text(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
