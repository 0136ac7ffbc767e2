"""The form of the soundness suite: small projects in two versions, whose cache keys must differ, or must agree.

The pairs stand in `tests/soundness/pairs_*.py`. This module imports nothing but the standard library, so that other
workflow engines can be asked about the same pairs in their own environments (`benchmarks/soundness/`).

A project is a few files. Its `flow.py` has a function `work`, and perhaps `INPUTS`, the arguments that it is called
with (or `inputs.txt`, an expression that gives them); without either it is called with `x=3`. A project that says
`RUNS_AS = "session"` is one without a file: its cells are executed as a notebook would do it. A folder `site-packages`
in it stands for installed distributions.
"""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent
from typing import Any, Literal, TypeAlias

__all__ = ["Loaded", "Pair", "Pairs", "all_pairs", "loaded", "observed", "write_side"]

Verdict: TypeAlias = Literal["differ", "agree"]
_FOLDER = Path(__file__).parent / "soundness"
_SESSION = 'RUNS_AS = "session"'
_VALUE = "from things import *\n\n\ndef work(value):\n    return value\n\n\nINPUTS = {{'value': {expression}}}\n"


@dataclass(frozen=True)
class Pair:
    """A project before and after.

    Attributes:
        kind: The chapter that it belongs to.
        name: What changed.
        must: What the keys of the two have to do.
        before: Files by path.
        after: The same, afterwards.
        shows: Whether the results of the two differ where the keys have to: where they do not, they would for other
            arguments, or for a caller that looks at the function itself.
        is_value: Whether this is a pair of values, and the function is the same.
    """

    kind: str
    name: str
    must: Verdict
    before: Mapping[str, str]
    after: Mapping[str, str]
    shows: bool = True
    is_value: bool = False

    @property
    def title(self) -> str:
        """The chapter, the verdict and the name: unique."""
        return f"{self.kind}: {self.must}: {self.name}"


class Pairs(list[Pair]):
    """One chapter of the suite.

    A change replaces one text by another in the sources, after their common indent was taken away.

    Args:
        kind: What it is about.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def differ(
        self, name: str, source: str, old: str, new: str, *, inputs: str = "", shows: bool = True, **modules: str
    ) -> None:
        """Add a pair that must differ: in every file of the project, and in their names, `old` becomes `new`."""
        self._change("differ", name, _files(source, inputs, modules), (old, new), shows=shows)

    def agree(self, name: str, source: str, old: str, new: str, *, inputs: str = "", **modules: str) -> None:
        """Add a pair that must agree."""
        self._change("agree", name, _files(source, inputs, modules), (old, new))

    def values(
        self, *, differ: Sequence[tuple[str, str]] = (), agree: Sequence[tuple[str, str]] = (), things: str = ""
    ) -> None:
        """Add pairs of expressions, each the argument of the same function; `things` is what they are made from."""
        self._values("differ", differ, things)
        self._values("agree", agree, things)

    def _values(self, must: Verdict, pairs: Sequence[tuple[str, str]], things: str) -> None:
        for pair in pairs:
            one, two = ({"flow.py": _VALUE.format(expression=said), "things.py": dedent(things)} for said in pair)
            name = f"{pair[0]} and {pair[1]}" if pair[0] != pair[1] else f"{pair[0]}, twice"
            self.append(Pair(self.kind, name, must, one, two, is_value=True))

    def _change(
        self, must: Verdict, name: str, files: dict[str, str], change: tuple[str, str], *, shows: bool = True
    ) -> None:
        after = {file.replace(*change): text.replace(*change) for file, text in files.items()}
        assert after != files, f"{self.kind}: {name}: nothing changes"
        self.append(Pair(self.kind, name, must, files, after, shows=shows))


def _files(source: str, inputs: str, modules: Mapping[str, str]) -> dict[str, str]:
    """Return a project's files, without the indent that their sources have in the suite."""
    named = {(name if name.endswith("METADATA") else f"{name}.py"): text for name, text in modules.items()}
    files = {"flow.py": source} | named | ({"inputs.txt": inputs} if inputs else {})
    return {name: dedent(text).strip(" \n") + "\n" for name, text in files.items()}


def all_pairs() -> list[Pair]:
    """Return the whole suite, in the order of its files."""
    found: list[Pair] = []
    for file in sorted(_FOLDER.glob("pairs_*.py")):
        spec = spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        for chapter in vars(module).values():
            if isinstance(chapter, Pairs):
                found += chapter
    titles = [pair.title for pair in found]
    twice = {title for title in titles if titles.count(title) > 1}
    assert not twice, twice
    return found


def write_side(folder: Path, files: Mapping[str, str]) -> None:
    """Write one side of a pair."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="surrogatepass")


@dataclass(frozen=True)
class Loaded:
    """A project that was imported.

    Attributes:
        work: Its function.
        inputs: The arguments by parameter.
    """

    work: Callable[..., Any]
    inputs: Mapping[str, Any]


def loaded(folder: Path) -> Iterator[Loaded]:
    """Yield a project, imported; afterwards it is forgotten again, so that the next one can have the same names."""
    sys.dont_write_bytecode = True
    before = set(sys.modules)
    paths = [str(folder), *map(str, folder.glob("site-packages"))]
    sys.path[:0] = paths
    try:
        source = (folder / "flow.py").read_text(encoding="utf-8", errors="surrogatepass")
        if _SESSION in source:
            namespace: dict[str, Any] = {"__name__": "__main__"}
            for number, cell in enumerate(source.split("# ---\n")):
                exec(compile(cell, f"<cell {number}>", "exec"), namespace)
        else:
            namespace = vars(importlib.import_module("flow"))
        said = folder / "inputs.txt"
        if said.exists():
            yield Loaded(namespace["work"], eval(said.read_text(), namespace))
        else:
            yield Loaded(namespace["work"], namespace.get("INPUTS", {"x": 3}))
    finally:
        del sys.path[: len(paths)]
        for name in set(sys.modules) - before:
            if str(folder) in str(getattr(sys.modules[name], "__file__", None)):
                del sys.modules[name]
        importlib.invalidate_caches()


def observed(result: Any) -> str:
    """Return what a caller sees of a result: coroutines are awaited, generators read, sets put in order."""
    if inspect.isawaitable(result):
        return "awaited " + observed(asyncio.run(_awaited(result)))
    if inspect.isgenerator(result):
        return "yielded " + observed(list(result))
    return f"{type(result).__name__}: {_shown(result)}"


async def _awaited(result: Any) -> Any:
    return await result


def _shown(result: Any) -> str:
    if isinstance(result, set | frozenset):
        return f"{type(result).__name__}({sorted(map(_shown, result))})"
    if isinstance(result, list | tuple) and type(result).__repr__ in {list.__repr__, tuple.__repr__}:
        return f"{type(result).__name__}({[_shown(item) for item in result]})"
    return repr(result)
