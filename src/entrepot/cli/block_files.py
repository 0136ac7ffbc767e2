"""`entrepot block apply|export`, and `diff` of a file: blocks as files that a team reviews."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from entrepot import settings
from entrepot._text import counted
from entrepot.blocks import as_code
from entrepot.blocks._files import is_block_file, read_blocks, write_blocks
from entrepot.blocks._missing import nearest
from entrepot.blocks._misspelt import hint_for
from entrepot.blocks._plain import Change
from entrepot.blocks.as_code import Planned
from entrepot.blocks.documents import use_documents
from entrepot.blocks.sources import variable_of
from entrepot.blocks.stores import Store, listed
from entrepot.blocks.teams import where
from entrepot.cli.block_history import Name, diff_versions, show_changes
from entrepot.cli.block_listing import (
    CompareWith,
    InStore,
    SaveIn,
    own_unless_told,
    refs_in,
    warn_of_hiding,
    within,
)
from entrepot.cli.importing import Modules, import_modules
from entrepot.cli.options import AsJson
from entrepot.cli.output import ok, print_json, show, table, told, warn
from entrepot.errors import BlockFileError, EntrepotError, OptionError

__all__ = ["apply", "diff_", "export", "where_"]

Live = Annotated[
    bool,
    typer.Option("--live", help="Keep references to variables and files as such, to be looked up at each use."),
]
FileName = Annotated[Path, typer.Argument(metavar="FILE", help="A .toml, .yaml or .yml file.")]

_TROUBLE: Final = 2  # how a comparison with a file ends that could not be made, as `diff` does: 1 says that they differ
_STYLES: Final = {"create": "green", "change": "yellow", "same": "dim", "unknown": "yellow"}
_SIGNS: Final = {"create": "+", "change": "~", "same": "=", "unknown": "?"}


def apply(
    file: FileName,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    live: Live = False,
    store: SaveIn = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> None:
    """Save the blocks of a file: new ones, and a new version of those that are not the same. None is deleted.

    Secrets stand in the file as references. env://NAME and file:///run/secrets/x are looked up now, and sealed;
    with --live they stay references, as others (vault://..., keyring://...) do: to be looked up when they are used.
    What is compared and saved is one's own, but with --store team.

    \b
    Examples:
      entrepot block apply blocks.toml --dry-run
      AWS_KEY=... entrepot block apply blocks.toml
      entrepot block apply blocks.toml --live
      entrepot block apply team.toml --store team
    """  # noqa: D301  click's mark for lines that are kept as they are
    import_modules(module)
    blocks, place = read_blocks(file), own_unless_told(store)
    with use_documents(place.documents):
        planned = as_code.plan(blocks, live=live)
        done = [(each, each.saved) for each in planned] if dry_run else list(as_code.apply(planned))
    if as_json:
        print_json([_facts(each, place) | {"version": None if ref is None else ref.version} for each, ref in done])
        return
    show(
        table(
            ("", "Block", "Fields", "Version"),
            [
                (
                    told(_SIGNS[each.step], _STYLES[each.step]),
                    _address(each),
                    ", ".join(change.path for change in each.changes),
                    "" if ref is None or dry_run else ref.version,
                )
                for each, ref in done
            ],
            keep=("Block",),
        )
    )
    count = sum(each.step != "same" for each in planned)
    said = "would be saved" if dry_run else "saved"
    rest = ", the others are the same" if count < len(planned) else ""
    ok(f"{count} of {counted(len(planned), 'block')} {said}{_in(place)}{rest}")
    if not dry_run:
        warn_of_hiding([ref for each, ref in done if ref is not None and each.step != "same"], place.documents)


def export(
    file: FileName,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Blocks, as type/name or name; by default all.")
    ] = None,
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    store: InStore = None,
    module: Modules = None,
) -> None:
    """Write saved blocks to a file, for a team to review and to apply elsewhere.

    No secret is written: in the place of each stands a reference to a variable, env://S3_PROD_KEY. They are one's own
    blocks, but with --store team.

    \b
    Examples:
      entrepot block export blocks.toml
      entrepot block export prod.yaml s3/prod secret/api-key
      entrepot block export team.toml --store team
    """  # noqa: D301  as above
    import_modules(module)
    if file.exists() and not overwrite:
        raise BlockFileError(f"{file} is there already; --overwrite replaces it", path=str(file))
    place = own_unless_told(store)
    with use_documents(place.documents):
        found = as_code.export(refs_in(place, names))
    text = write_blocks(found.blocks, file)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BlockFileError(f"{file} cannot be written: {error.strerror}", path=str(file)) from None
    for address in found.as_stored:
        warn(f"{address} is written as it is stored: its class is not installed here, or does not take it")
    ok(f"wrote {counted(len(found.blocks), 'block')}{_of(place)} to {file}")
    if not found.blocks and store is None and settings.current().blocks_team is not None:
        ok("these would have been one's own; those of the team: --store team")
    if found.variables:
        lines = "\n".join(f"  {name:<40} {whose}" for name, whose in found.variables.items())
        ok(f"its secrets are references to these variables; set them where the file is applied:\n{lines}")


def diff_(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A saved block; or a file of blocks.")],
    old: Annotated[int | None, typer.Argument(metavar="[A]", help="A version; by default the one before B.")] = None,
    new: Annotated[int | None, typer.Argument(metavar="[B]", help="A version; by default the newest.")] = None,
    *,
    live: Live = False,
    store: CompareWith = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> None:
    """Compare two versions of a saved block, or what is saved with a file. Secrets are only said to be changed or not.

    With a file, it exits with 1 if applying the file would change anything, and with 2 if that cannot be told: where a
    reference leads to no secret here, all else is compared. With --live references are compared as they are. A file is
    compared with one's own blocks, but with --store team.

    \b
    Examples:
      entrepot block diff s3/prod              the newest version, with the one before
      entrepot block diff s3/prod 3            the newest version, with version 3
      entrepot block diff s3/prod 3 5
      entrepot block diff blocks.toml          what `entrepot block apply` would change
      entrepot block diff team.toml --store team
    """  # noqa: D301  as above
    if not is_block_file(what):
        diff_versions(what, old, new, store=store, as_json=as_json)
        return
    try:
        if old is not None:
            raise OptionError("a file has no versions: give nothing after its name", option="A")
        import_modules(module)
        _diff_file(Path(what), own_unless_told(store), live=live, as_json=as_json)
    except EntrepotError as error:
        vars(error)["exit_code"] = _TROUBLE
        raise


def where_(name: Name, *, as_json: AsJson = False) -> None:
    """Say where a block is looked up, in that order, and which place has it. Nothing is opened.

    \b
    Examples:
      entrepot block where s3/prod
      ENTREPOT_BLOCK__S3__PROD='{"bucket_path": "data"}' entrepot block where s3/prod
    """  # noqa: D301  as above
    places = where(name)
    if as_json:
        print_json([{"location": place.location, "blocks": place.blocks} for place in places])
        return
    first = next((place for place in places if place.blocks), None)
    rows = [
        (
            place.location,
            ", ".join(place.blocks) or "-",
            told("used", "green") if place is first else told("hidden", "yellow") if place.blocks else "",
        )
        for place in places
    ]
    show(table(("Where", "Blocks", ""), rows))
    slug, _, rest = name.rpartition("/")
    hint = hint_for(slug, rest).removeprefix("; ")
    if hint:
        warn(hint)
    if first is None:
        near = nearest(name, sorted({f"{each.slug}/{each.name}" for each in listed()}))
        meant = f"did you mean {' or '.join(near)}? Else " if near else ""
        ok(f"nowhere; {meant}save it, or set {variable_of(*_parts(name))}")
        raise typer.Exit(1)


def _parts(name: str) -> tuple[str, str]:
    slug, _, rest = name.rpartition("/")
    return slug or "TYPE", rest


def _in(place: Store, mark: str = "") -> str:
    where = within(place.kind, place.documents.store.location)
    return where and where + mark


def _of(place: Store) -> str:
    return _in(place, ",").replace(" in ", " of ", 1)


def _diff_file(file: Path, place: Store, *, live: bool, as_json: bool) -> None:
    lacking: list[str] = []
    blocks = read_blocks(file)
    with use_documents(place.documents):
        try:
            planned = as_code.plan(blocks, live=live, lacking=lacking)
        except BlockFileError:
            planned = as_code.plan(blocks, live=live)  # it says which variables are not set, before all else
    if as_json:
        print_json([_facts(each, place) for each in planned])
    else:
        for each in planned:
            if each.step != "same":
                show(told(f"{_SIGNS[each.step]} {_address(each)}", _STYLES[each.step]))
            if each.changes:
                show_changes([_told(change) for change in each.changes], ("Saved", "In the file"))
    if lacking:
        raise BlockFileError(
            f"not all can be compared: {'; '.join(lacking)}; or say --live, which keeps such references"
            " and compares them as they are",
            path=str(file),
        )
    count = sum(each.step != "same" for each in planned)
    if count:
        are = "is" if count == 1 else "are"
        ok(f"{count} of {counted(len(planned), 'block')} {are} not saved{_in(place, ',')} as the file has them")
        raise typer.Exit(1)
    every = "the one block of the file is" if len(planned) == 1 else f"all {len(planned)} blocks are"
    ok(f"{every} saved{_in(place, ',')} as the file has {'it' if len(planned) == 1 else 'them'}")


def _told(change: Change) -> Change:
    """Return a change for people: what cannot be compared says why."""
    if change.kind != "unknown":
        return change
    reference = str(change.after)
    variable = reference.removeprefix("env://")
    why = f"{variable} is not set" if variable != reference else f"{reference} cannot be read"
    return replace(change, after=f"cannot be compared: {why}")


def _address(planned: Planned) -> str:
    return f"{planned.slug}/{planned.name}"


def _facts(planned: Planned, place: Store) -> dict[str, Any]:
    return {
        "type": planned.slug,
        "name": planned.name,
        "store": place.kind,
        "step": planned.step,
        "changes": [
            {"path": each.path, "kind": each.kind, "before": each.before, "after": each.after, "secret": each.secret}
            for each in planned.changes
        ],
    }
