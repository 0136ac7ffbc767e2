"""List the public names of installed versions of Prefect, from their sources, without importing them.

    python tools/prefect_names.py FOLDER...    each the site-packages of an environment with a Prefect

It writes `tests/compat/prefect-names.json`: by version, the names of each public module, the members of the classes
that users handle, and the options of the two decorators. `entrepot.compat` has to judge every one of them.

Public is what has no underscore in front, in the module's name and in its own. A name belongs to the module that
defines it, or that has it in its `__all__`; what a module merely imports does not count, nor do its loggers and type
variables. Prefect's server and command line are applications, and no interface: of them only the modules are listed.
"""

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["NAMES", "main"]

NAMES = Path(__file__).parents[1] / "tests" / "compat" / "prefect-names.json"

_APPLICATIONS = ("prefect.server.", "prefect.cli.")
_NO_NAMES = frozenset({"ParamSpec", "TypeVar", "TypeVarTuple", "getLogger", "get_logger", "lazy_import"})
_CLASSES = {
    "prefect.blocks.core": ("Block",),
    "prefect.client.schemas.objects": ("State",),
    "prefect.flows": ("Flow",),
    "prefect.futures": ("PrefectFuture", "PrefectFutureList"),
    "prefect.tasks": ("Task",),
    "prefect.transactions": ("Transaction",),
    "prefect.variables": ("Variable",),
}
_DECORATORS = {"prefect.flows": ("Flow", "prefect.flow()"), "prefect.tasks": ("Task", "prefect.task()")}


def main(folders: Iterable[str]) -> None:
    """Write the list for the versions in these folders."""
    found = dict(sorted(_version(Path(folder)) for folder in folders))
    lines = []
    for version, modules in found.items():
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(' '.join(names))}" for name, names in modules.items())
        lines.append(f" {json.dumps(version)}: {{\n{rows}\n }}")
    NAMES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print({version: sum(map(len, modules.values())) for version, modules in found.items()})


def _version(folder: Path) -> tuple[str, dict[str, list[str]]]:
    metadata = next(folder.glob("prefect-[0-9]*.dist-info")) / "METADATA"
    match = re.search(r"^Version: (\S+)$", metadata.read_text(encoding="utf-8"), re.MULTILINE)
    modules: dict[str, list[str]] = {}
    for name, file in _modules(folder / "prefect"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        modules[name] = [] if f"{name}.".startswith(_APPLICATIONS) else sorted(_names(tree.body))
        for cls in _CLASSES.get(name, ()):
            members = set(_members(tree.body, cls))
            if members:
                modules[f"{name}.{cls}"] = sorted(members)
        if name in _DECORATORS:
            cls, shown = _DECORATORS[name]
            modules[shown] = sorted(_options(tree.body, cls))
    return ("?" if match is None else match[1]), dict(sorted(modules.items()))


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root.parent).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if all(part.isidentifier() and not part.startswith("_") for part in parts):
            yield ".".join(parts), file


def _names(body: list[ast.stmt]) -> set[str]:
    """Return the public names that the statements of a module define, and those that it says are public."""
    names: set[str] = set()
    for statement in _flat(body):
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(statement.name)
            case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.AnnAssign(target=ast.Name(id="__all__")):
                names.update(node.value for node in ast.walk(statement) if _is_text(node))
            case ast.Assign() | ast.AnnAssign() if not _makes_no_name(statement.value):
                targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                names.update(node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
    return {name for name in names if not name.startswith("_") or name == "__version__"}


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, and those inside `if`, `try` and `with`, but not what only type checkers see."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from _flat(statement.orelse)
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for field in ("body", "orelse", "finalbody"):
                yield from _flat(getattr(statement, field, []))
            for handler in getattr(statement, "handlers", []):
                yield from _flat(handler.body)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _makes_no_name(value: ast.expr | None) -> bool:
    """Tell whether a value is a type variable, a logger or a module: nothing that anybody imports from here."""
    if not isinstance(value, ast.Call):
        return False
    return ast.unparse(value.func).rpartition(".")[2] in _NO_NAMES


def _class(body: list[ast.stmt], name: str) -> ast.ClassDef | None:
    return next((one for one in _flat(body) if isinstance(one, ast.ClassDef) and one.name == name), None)


def _members(body: list[ast.stmt], name: str) -> Iterator[str]:
    """Yield the public members of a class, those of its bases in the same module included."""
    cls = _class(body, name)
    if cls is None:
        return
    for base in cls.bases:
        yield from _members(body, ast.unparse(base).partition("[")[0])
    for statement in _flat(cls.body):
        match statement:
            case ast.FunctionDef(name=member) | ast.AsyncFunctionDef(name=member):
                found = [member]
                if member == "__init__":
                    found = [node.attr for node in ast.walk(statement) if _is_set_on_self(node)]
            case ast.AnnAssign(target=ast.Name(id=member)):
                found = [member]
            case _:
                found = []
        yield from (member for member in found if not member.startswith("_"))


def _is_set_on_self(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _options(body: list[ast.stmt], name: str) -> set[str]:
    """Return what the constructor of a class takes by name."""
    cls = _class(body, name)
    made = [one for one in ([] if cls is None else cls.body) if isinstance(one, ast.FunctionDef)]
    options = {
        argument.arg
        for one in made
        if one.name == "__init__"
        for argument in (*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs)
    }
    return options - {"self", "fn"}


if __name__ == "__main__":
    main(sys.argv[1:])
