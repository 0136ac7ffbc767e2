"""`entrepot check FILE`: whether the blocks that a program names, and the secrets in them, can be had."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.text import Text

from entrepot import settings
from entrepot._secrets import mask
from entrepot._text import counted
from entrepot.blocks import Block
from entrepot.blocks.preflight import Checked, Named, examine, named_in
from entrepot.cli.importing import import_code
from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import fitting, ok, print_json, show, table, told, warn
from entrepot.engine.places import block_name
from entrepot.errors import BlockFileError, PluginLoadError
from entrepot.flows import Flow
from entrepot.tasks import Task

__all__ = ["app"]

app = topic(
    "Whether the blocks that a program names, and the secrets in them, can be had.",
    examples=(
        "  entrepot check flow.py               before it runs: in a pipeline, or at the start of a container\n"
        "  entrepot check flow.py --json        the same, for programs\n"
    ),
)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file with flows.")], *, as_json: AsJson = False
) -> None:
    """Import a file, and try the blocks that it names: whether each is there, loads, and can have its secrets.

    Blocks are found where the source says their names: X.load("name"), block:// URLs, result_storage of flows, tasks
    and settings; also in the modules beside the file that it imports. Secrets are looked up and not shown. Flows are
    not run. It exits with 1 if anything fails.
    """
    if not file.is_file():
        raise BlockFileError(f"{file} is no file; give a Python file with flows", path=str(file))
    modules, problem = _imported(file)
    named = [each for path, module in modules for each in _named(path, module)]
    held: dict[str, Block] = {}
    for path, module in modules:
        for place, spec in _storages(path, module):
            _add(place, spec, named, held)
    _add("the setting results_storage", settings.current().results_storage, named, held)
    checked = list(examine(named, held))
    flows = sorted({value.name for _, module in modules for value in _values(module) if isinstance(value, Flow)})
    if as_json:
        fine = not problem and all(each.fine for each in checked)
        facts = [_facts(each) for each in checked]
        print_json({"file": str(file), "ok": fine, "problem": problem, "flows": flows, "blocks": facts})
    else:
        _show(file, flows, checked, problem)
    if problem or not all(each.fine for each in checked):
        raise typer.Exit(1)


def _imported(file: Path) -> tuple[list[tuple[Path, ModuleType | None]], str]:
    """Return a file and what it imports of its own folder, with their modules; and why it cannot be imported."""
    folder = file.resolve().parent
    sys.path.insert(0, str(folder))  # as `python flow.py` does
    importlib.invalidate_caches()
    main: ModuleType | None = None
    problem = ""
    try:
        main = import_code(file)
    except PluginLoadError as error:
        problem = mask(str(error).partition("; mend that")[0])
    beside = [
        (Path(path), module)
        for module in list(sys.modules.values())
        if module is not main and (path := _source_in(folder, module))
    ]
    return [(file, main), *beside], problem


def _source_in(folder: Path, module: ModuleType) -> str:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return ""
    path = Path(file).resolve()
    return str(path) if path.is_relative_to(folder) and "site-packages" not in path.parts else ""


def _named(path: Path, module: ModuleType | None) -> list[Named]:
    try:
        return list(named_in(path.read_text(encoding="utf-8"), path.name, {} if module is None else vars(module)))
    except (SyntaxError, ValueError):
        return []  # its import has said so


def _values(module: ModuleType | None) -> list[Any]:
    return [] if module is None else list(vars(module).values())


def _storages(path: Path, module: ModuleType | None) -> Iterator[tuple[str, object]]:
    """Yield what the flows and tasks of a module say of their storage, and the blocks that it has made."""
    for value in _values(module):
        if isinstance(value, Flow | Task):
            definition = value._definition  # noqa: SLF001  what the decorator was told
            yield f"{path.name}: {definition.label}", definition.keeping.storage
        elif isinstance(value, Block):
            yield path.name, value


def _add(place: str, spec: object, named: list[Named], held: dict[str, Block]) -> None:
    name = block_name(spec)
    if name is not None:
        named.append(Named(Block, name, place))
    elif isinstance(spec, Block) and not any(spec is other for other in held.values()):
        held[f"{place} ({len(held) + 1})" if place in held else place] = spec


def _facts(checked: Checked) -> dict[str, object]:
    references = [
        {"field": each.field, "reference": each.reference, "ok": not each.detail, "detail": each.detail}
        for each in checked.references
    ]
    return {
        "block": checked.address,
        "where": checked.where,
        "ok": checked.fine,
        "detail": checked.detail,
        "references": references,
    }


def _show(file: Path, flows: list[str], checked: list[Checked], problem: str) -> None:
    rows: list[tuple[Any, ...]] = []
    narrow: list[tuple[Any, ...]] = []
    for each in checked:
        named = ", ".join(each.where)
        rows.append((each.address, "", named, _verdict(each.detail)))
        rows += [(f"  {one.field}", one.reference, "", _verdict(one.detail)) for one in each.references]
        narrow += [(each.address, _verdict(each.detail)), ("", told(f"named in {named}", "dim"))]
        narrow += [  # why not names the reference
            (f"  {one.field}", _verdict(one.detail) if one.detail else told(f"{one.reference} is there"))
            for one in each.references
        ]
    if rows:
        wide = table(("Block", "Secret", "Named in", ""), rows, keep=("Block",))
        show(fitting(wide, table(("Block", ""), narrow, keep=("Block",))))
    if problem:
        warn(problem)
    failed = sum(not each.fine for each in checked)
    found = f"{file}: {counted(len(flows), 'flow')}, {counted(len(checked), 'block')} named"
    ok(f"{found}, {failed} cannot be used" if failed else found)


def _verdict(detail: str) -> Text:
    return told(detail, "red") if detail else told("ok", "green")
