"""`entrepot block doctor|migrate`: whether saved blocks fit the installed classes, and bringing them up to date."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from entrepot.blocks import Block
from entrepot.blocks._finding import find
from entrepot.blocks.doctor import Finding, Health, examine, migrate, refs_everywhere
from entrepot.blocks.documents import current_documents
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
    "refused": "yellow",
    "not installed": "yellow",
    "fails": "red",
}


def doctor(*, module: Modules = None, as_json: AsJson = False) -> None:
    """Try every saved block with the classes that are installed, those of a team's store too. Nothing is changed.

    Exits with 1 if one fails. A block whose class is not installed here is no failure: it may be somebody else's. Nor
    is one of a team's store that refers to secrets which the setting blocks_team_references does not list.

    \b
    Examples:
      entrepot block doctor
      entrepot block doctor -m my_package.blocks     with the block types of a module of yours, too
      entrepot block doctor --json
    """  # noqa: D301  click's mark for lines that are kept as they are
    import_modules(module)
    findings = [examine(ref, documents) for ref, documents in _watched(refs_everywhere(), "Trying blocks")]
    _report(findings, as_json=as_json)


def migrate_(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Blocks, as type/name or name.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that need it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    module: Modules = None,
    as_json: AsJson = False,
) -> None:
    """Save blocks anew that were saved under an older schema version of their class.

    Each gets a new version; what was saved stays in its history. It can be stopped and called again at any time.

    \b
    Examples:
      entrepot block migrate --all --dry-run     what would be done
      entrepot block migrate --all
      entrepot block migrate database/warehouse
    """  # noqa: D301  as above
    import_modules(module)
    if bool(names) == every:
        raise OptionError("say which blocks to migrate: their names, or --all", option="--all")
    documents = current_documents()
    refs = list(documents.store.list()) if every else [find(Block, name, documents) for name in names or ()]
    if dry_run:
        documents = documents.as_they_are()
    act = examine if dry_run else migrate
    findings = [act(ref, documents) for ref in _watched(refs, "Trying blocks" if dry_run else "Migrating blocks")]
    _report([each for each in findings if each.health != "ok"] if every else findings, as_json=as_json)


# --- parts ------------------------------------------------------------------------------------------------------------


def _watched(refs: Iterable[T], what: str) -> Iterator[T]:
    """Yield each, behind a progress bar where a person looks."""
    found = list(refs)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        yield from bar.track(found, description=what)


def _report(findings: list[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json([_facts(each) for each in findings])
    else:
        if findings:
            show(
                table(
                    ("Block", "Version", "State", "Why"),
                    [(_address(each), each.ref.version, _state(each), _reason(each)) for each in findings],
                    keep=("Block",),
                )
            )
        whole = dict.fromkeys(each.detail for each in findings if each.detail and each.health != "ok")
        for detail in whole:  # each once: the same class may be missing for many
            show("", told(advice(detail)))
        counts = Counter(each.health for each in findings)
        ok(", ".join(f"{number} {health}" for health, number in counts.items()) or "nothing to do")
    if any(each.health == "fails" for each in findings):
        raise typer.Exit(1)


def _address(finding: Finding) -> str:
    where = f" in {finding.location}" if finding.location else ""
    return f"{finding.ref.slug}/{finding.ref.name}{where}"


def _reason(finding: Finding) -> str:
    """Return the first words of why: below the table stands the whole."""
    return cut(finding.detail.partition("; ")[0].partition("\n")[0], _WIDTH)


def _state(finding: Finding) -> Text:
    text: str = finding.health
    if finding.health in {"migrates", "migrated"}:
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
