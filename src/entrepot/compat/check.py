"""Which names of Prefect a code base uses, found by reading it: nothing of it is run or imported."""

import ast
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from entrepot.compat.names import ROOT, Verdict, names

__all__ = ["Place", "Report", "Use", "check"]

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
_VARIABLE: Final = re.compile(r"PREFECT_[A-Z0-9_]+\Z")
_MAKES: Final = {
    "prefect.flow": "Flow",
    "prefect.task": "Task",
    "prefect.flows.flow": "Flow",
    "prefect.tasks.task": "Task",
}
"""By decorator: the class of what it makes."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Use:
    """One name of Prefect, and where it is used.

    Attributes:
        verdict: The name, and what it is here.
        places: Where, in order.
    """

    verdict: Verdict
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        files: How many Python files were read.
        uses: The names: first those that are absent, then unknown ones, different ones, and the same.
        variables: Variables of the environment that the code mentions; none of them has an effect here.
        unreadable: Files that could not be read, with why.
        notebooks: Notebooks that were passed by.
    """

    files: int
    uses: tuple[Use, ...]
    variables: tuple[Use, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    notebooks: int = 0

    @property
    def fits(self) -> bool:
        """Whether every name that was found is here, and every file could be read."""
        return not self.unreadable and all(use.verdict.works for use in self.uses)

    def counts(self) -> dict[str, int]:
        """Return how many names there are of each status."""
        return {
            status: sum(use.verdict.status == status for use in self.uses)
            for status in ("same", "different", "absent", "unknown")
        }


def check(paths: Iterable[str | os.PathLike[str]]) -> Report:
    """Read files and folders, and return which names of Prefect they use.

    In folders, `*.py` files are read; hidden folders, virtual environments and caches are passed by.

    Raises:
        FileNotFoundError: If a path leads nowhere.
    """
    found: dict[Verdict, set[Place]] = {}
    variables: dict[Verdict, set[Place]] = {}
    unreadable: dict[str, str] = {}
    files = notebooks = 0
    for file in _files(paths):
        if file.endswith(".ipynb"):
            notebooks += 1
            continue
        files += 1
        try:
            tree = ast.parse(Path(file).read_bytes(), filename=file)
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            unreadable[file] = f"{type(error).__name__}: {error}"
            continue
        reading = _Reading(tree)
        for kept, seen in ((found, reading.uses(tree)), (variables, _variables(tree))):
            for verdict, line in seen:
                kept.setdefault(verdict, set()).add(Place(file, line))
    order = ("absent", "unknown", "different", "same")
    return Report(
        files,
        tuple(sorted(_as_uses(found), key=lambda use: (order.index(use.verdict.status), use.verdict.name))),
        tuple(sorted(_as_uses(variables), key=lambda use: use.verdict.name)),
        unreadable,
        notebooks,
    )


def _as_uses(found: Mapping[Verdict, set[Place]]) -> Iterator[Use]:
    for verdict, places in found.items():
        yield Use(verdict, tuple(sorted(places)))


def _files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    for path in [os.fspath(path) for path in paths]:
        if os.path.isfile(path):  # noqa: PTH113  paths are shown as they were given
            yield path
        elif not os.path.isdir(path):  # noqa: PTH112
            raise FileNotFoundError(f"{path!r} is neither a file nor a folder; give the code to look at")
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not _is_passed_by(folder, name))
            yield from (os.path.join(folder, name) for name in sorted(files) if name.endswith((".py", ".ipynb")))  # noqa: PTH118


def _is_passed_by(folder: str, name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED or Path(folder, name, "pyvenv.cfg").exists()


def _variables(tree: ast.Module) -> Iterator[tuple[Verdict, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _VARIABLE.match(node.value):
            ours = names().variables.get(node.value)
            note = "" if ours else "settings of Entrepot are other ones: `entrepot config`"
            yield Verdict(node.value, "different" if ours else "absent", ours or "", note), node.lineno


class _Reading:
    """One file: what its names stand for, and what it uses of Prefect.

    Args:
        tree: The file.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._paths: dict[str, str] = {}  # local name -> dotted path
        self._made: dict[str, str] = {}  # local name -> "Flow" or "Task", for what the decorators made
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if _is_prefects(alias.name):
                        root = alias.name.partition(".")[0]
                        self._paths[alias.asname or root] = alias.name if alias.asname else root
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module and _is_prefects(node.module):
                self._paths.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for decorator in node.decorator_list:
                    made = self._maker(decorator.func if isinstance(decorator, ast.Call) else decorator)
                    if made:
                        self._made[node.name] = made

    def uses(self, tree: ast.Module) -> Iterator[tuple[Verdict, int]]:
        """Yield what is used, with the line."""
        inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            match node:
                case ast.Import():
                    yield from ((verdict, node.lineno) for verdict in map(_module, node.names) if verdict)
                case ast.ImportFrom(level=0, module=str(module)) if _is_prefects(module):
                    yield from ((_imported(module, alias.name), node.lineno) for alias in node.names)
                case ast.Attribute() if id(node) not in inner:
                    yield from ((verdict, node.lineno) for verdict in self._attribute(node))
                case ast.Call():
                    yield from ((verdict, node.lineno) for verdict in self._options(node))

    def _path(self, node: ast.expr) -> str | None:
        """Return the dotted path of an expression, with what its first name stands for; None for all others."""
        if isinstance(node, ast.Name):
            return self._paths.get(node.id)
        if isinstance(node, ast.Attribute):
            before = self._path(node.value)
            return before and f"{before}.{node.attr}"
        return None

    def _maker(self, node: ast.expr) -> str | None:
        """Return what an expression makes, "Flow" or "Task", if it is one of the decorators."""
        return _MAKES.get(self._path(node) or "")

    def _attribute(self, node: ast.Attribute) -> Iterator[Verdict]:
        """Yield what an attribute is, the longest of `a.b.c`, where that says more than the import of `a` did."""
        inmost = node
        while isinstance(inmost.value, ast.Attribute):
            inmost = inmost.value
        base = inmost.value
        if not isinstance(base, ast.Name):
            return
        path, imported = self._path(node), self._paths.get(base.id, "")
        if path is not None and path.partition(".")[0] == ROOT:
            verdict = names().judge_path(path)
            says_more = verdict.status != "same" or names().serves(imported)
            if says_more and verdict.name != imported and not names().serves(verdict.name):
                yield verdict
        elif base.id in self._made:
            member = names().member(self._made[base.id], inmost.attr)
            if member is not None and member.status != "same":
                yield member

    def _options(self, node: ast.Call) -> Iterator[Verdict]:
        """Yield the options of a decorator, or of `with_options`, that are not the same."""
        made = self._maker(node.func)
        match node.func:
            case ast.Attribute(value=ast.Name(id=name), attr="with_options"):
                made = self._made.get(name)
        if made:
            for keyword in node.keywords:
                if keyword.arg:
                    verdict = names().option(made.lower(), keyword.arg)
                    if verdict.status != "same":
                        yield verdict


def _is_prefects(module: str) -> bool:
    """Tell whether a module is Prefect's own or of a known collection; `prefect_flows` may be the user's."""
    root = module.partition(".")[0]
    return root == ROOT or root in names().packages


def _module(alias: ast.alias) -> Verdict | None:
    """Return what `import a.b` finds, or None where that is a module whose names decide."""
    if not _is_prefects(alias.name) or names().serves(alias.name):
        return None
    return _package(alias.name) or names().judge_path(alias.name)


def _imported(module: str, name: str) -> Verdict:
    """Return what `from module import name` finds."""
    if name == "*" and names().serves(module):
        return Verdict(f"{module}.*", "different", note="the names that are here are imported, and no others")
    return _package(module) or names().judge(module, name)


def _package(module: str) -> Verdict | None:
    """Return what a collection of integrations is here; None for Prefect itself."""
    root = module.partition(".")[0]
    return None if root == ROOT else Verdict(root, "absent", note=names().packages[root])
