"""`entrepot block doctor|migrate`: whether saved blocks fit the installed classes, and bringing them up to date."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from entrepot.blocks.doctor import Finding, Health, examine, migrate, saved_everywhere
from entrepot.blocks.stores import Store
from entrepot.cli.block_listing import InStore, own_unless_told, refs_in
from entrepot.cli.importing import Modules, advice, import_modules
from entrepot.cli.options import AsJson
from entrepot.cli.output import cut, ok, print_json, show, table, told
from entrepot.errors import OptionError

__all__ = ["doctor", "migrate_"]

T = TypeVar("T")

_WIDTH: Final = 60
_STYLES: Final[dict[Health, str]] = {
    "ok": "green",
    "migrated": "green",
    "migrates": "yellow",
    "refused": "red",
    "not installed": "yellow",
    "fails": "red",
}
_BROKEN: Final[tuple[Health, ...]] = ("fails", "refused")
_OF_SEVERAL: Final[dict[Health, str]] = {"fails": "fail", "migrates": "migrate"}


def doctor(
    *,
    store: InStore = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where a class is not installed, too.")] = False,
    module: Modules = None,
    as_json: AsJson = False,
) -> None:
    """Try every saved block, the team's too, with the classes that are installed. Nothing is changed.

    Exits with 0 if all that can be tried fits, and with 1 if something does not. A block whose class is not installed
    here cannot be tried: it is listed as "not installed", and is no failure, since it may be somebody else's; with
    --strict it is one. One of a team's store that refers to secrets which the setting blocks_team_references does not
    list is "refused": it loads, and does not work here, which is a failure, too.

    \b
    Examples:
      entrepot block doctor
      entrepot block doctor --strict --store local
      entrepot block doctor -m my_package.blocks     with the block types of a module of yours, too
      entrepot block doctor --json
    """  # noqa: D301  click's mark for lines that are kept as they are
    import_modules(module)
    saved = saved_everywhere(store)
    found = [(place, examine(ref, place.documents)) for place, ref in _watched(saved, "Trying blocks")]
    _report(found, as_json=as_json, failures=(*_BROKEN, "not installed") if strict else _BROKEN)


def migrate_(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Blocks, as type/name or name.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that need it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    store: InStore = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> None:
    """Save blocks anew that were saved under an older schema version of their class.

    Each gets a new version; what was saved stays in its history. It can be stopped and called again at any time. They
    are one's own blocks, but with --store team: programs of others may have the older class still.

    \b
    Examples:
      entrepot block migrate --all --dry-run     what would be done
      entrepot block migrate --all
      entrepot block migrate database/warehouse
      entrepot block migrate --all --store team
    """  # noqa: D301  as above
    import_modules(module)
    if bool(names) == every:
        raise OptionError("say which blocks to migrate: their names, or --all", option="--all")
    place = own_unless_told(store)
    documents = place.documents
    refs = refs_in(place, names)
    if dry_run:
        documents = documents.as_they_are()
    watched = _watched(refs, "Trying blocks" if dry_run else "Migrating blocks")
    found = [(place, migrate(ref, documents, dry_run=dry_run)) for ref in watched]
    if every:  # what is refused here, and of the newest schema version, needs nothing of this either
        found = [each for each in found if each[1].health not in {"ok", "refused"}]
    _report(found, as_json=as_json)


# --- parts ------------------------------------------------------------------------------------------------------------


def _watched(found: Sequence[T], what: str) -> Iterator[T]:
    """Yield each, behind a progress bar where a person looks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        yield from bar.track(found, description=what)


def _report(found: Sequence[tuple[Store, Finding]], *, as_json: bool, failures: Sequence[Health] = ("fails",)) -> None:
    findings = [each for _, each in found]
    if as_json:
        print_json([_facts(each) | {"store": place.kind} for place, each in found])
    else:
        if findings:
            has_team = any(place.kind == "team" for place, _ in found)
            show(
                table(
                    ("Block", "Version", "State", "Why", "In"),
                    [
                        (_address(each), each.ref.version, _state(each), _reason(each), place.kind)
                        for place, each in found
                    ],
                    keep=("Block",),
                    without=() if has_team else ("In",),
                )
            )
        whole = dict.fromkeys(each.detail for each in findings if each.detail and each.health != "ok")
        for detail in whole:  # each once: the same class may be missing for many
            show("", told(advice(detail)))
        counts = Counter(each.health for each in findings)
        ok(", ".join(_counted(number, health) for health, number in counts.items()) or "nothing to do")
    if any(each.health in failures for each in findings):
        raise typer.Exit(1)


def _counted(number: int, health: Health) -> str:
    return f"{number} {health if number == 1 else _OF_SEVERAL.get(health, health)}"


def _address(finding: Finding) -> str:
    return f"{finding.ref.slug}/{finding.ref.name}"


def _reason(finding: Finding) -> str:
    """Return the first words of why: below the table stands the whole."""
    return cut(finding.detail.partition("; ")[0].partition("\n")[0], _WIDTH)


def _state(finding: Finding) -> Text:
    text: str = finding.health
    if finding.health == "refused" and finding.lags:
        text += ", migrates"
    if finding.health in {"migrates", "migrated"} or finding.lags:
        text += f" from v{finding.saved_version} to v{finding.class_version}"
    return told(text, _STYLES[finding.health])


def _facts(finding: Finding) -> dict[str, Any]:
    return {
        "type": finding.ref.slug,
        "name": finding.ref.name,
        "version": finding.ref.version,
        "location": finding.location,
        "state": finding.health,
        "saved_version": finding.saved_version,
        "class_version": finding.class_version,
        "detail": finding.detail,
        "missing": list(getattr(finding.error, "missing", ())),
        "unknown": list(getattr(finding.error, "unknown", ())),
        "refused": list(getattr(finding.error, "refused", ())),
        "stub": getattr(finding.error, "stub", ""),
    }
