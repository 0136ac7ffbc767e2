"""Write `docs/migrating-from-prefect.md` from the table of `entrepot.compat` and the list of Prefect's names.

    python tools/migration_page.py

A test holds the page equal to what this writes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from prefect_names import NAMES

from entrepot.compat.names import Verdict, names

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[1] / "docs" / "migrating-from-prefect.md"

_HEADINGS = {
    "prefect.flow()": "Options of `@flow`",
    "prefect.task()": "Options of `@task`",
    "prefect.flows.Flow": "What a flow has",
    "prefect.tasks.Task": "What a task has",
    "prefect.futures.PrefectFuture": "What a future has",
    "prefect.futures.PrefectFutureList": "What a list of futures has",
    "prefect.client.schemas.objects.State": "What a state has",
    "prefect.blocks.core.Block": "What a block has",
    "prefect.transactions.Transaction": "What a transaction has",
    "prefect.variables.Variable": "What a variable has",
}

_INTRO = """\
# Migrating from Prefect

Most code that was written for Prefect needs one word changed: `from prefect import flow, task` becomes
`from entrepot import flow, task`. Where Prefect 2 and 3 differ, Entrepot does as 3 does, and keeps the names of 2 that
much code uses.

**See what would have to change.** This reads a code base, runs nothing of it, and lists every name of Prefect that it
uses, also options of the decorators and methods of flows and tasks. The exit code is 1 if some of them are not here.

    entrepot compat flows/
    entrepot compat flows/ --json

**Try it before you change it.** This runs a script as it is, with Prefect's names meaning Entrepot's, also in processes
that `multiprocessing` starts. Prefect need not be installed, and is not touched if it is.

    python -m entrepot.compat flows/etl.py --day monday
    python -m entrepot.compat -m flows.etl

In a program or in a `conftest.py`, one call before the first import of Prefect does the same:

```python
from entrepot.compat.prefect import install

install()

from prefect import flow, task
from prefect.states import State


@task
def double(number: int) -> int:
    return 2 * number


@flow
def doubled(numbers: list[int]) -> list[int]:
    return double.map(numbers).result()


assert doubled([1, 2]) == [2, 4]
```

A name that Entrepot does not have raises, where it is imported, an ImportError that says why, and what to use instead
or what it will come with.

**What is not the same although the names are.**

- Cache keys see more: the code that a task uses, the types of values, closures and globals. What Prefect has kept is
  not found again, and nothing that it wrote is read.
- Results are signed. What somebody changed in a store, or wrote there without the key, is not believed.
- States are immutable, and hold the result itself: `state.result()` waits for nothing.
- Functions and methods are sync; where they wait for something, a twin whose name begins with `a` is async.
- Settings are `ENTREPOT_` variables and `$ENTREPOT_HOME/config.toml`: `entrepot config` lists them.
- There is no server yet, and no deployments and workers. A run needs neither.

The lists below have every public name of Prefect {versions}: no underscore in front, and defined by the module or in
its `__all__`. Names that a module has only imported work, too, if the module that defines them is listed here. The
column *in* says which of the two has the name. `prefect.server` and `prefect.cli` are applications, listed as a
whole.
"""

_ABSENT = """\
## Modules that are absent as a whole

Every name in these modules, and in modules inside them that are not listed above, is absent for one reason.
"""

_PACKAGES = """\
## Collections of integrations

| package | here |
| --- | --- |
"""

_VARIABLES = """\
## Variables of the environment

Prefect's variables have no effect here. These have counterparts:

| Prefect | Entrepot |
| --- | --- |
"""


def page() -> str:
    """Return the page."""
    listed = json.loads(NAMES.read_text(encoding="utf-8"))
    known = {
        version.partition(".")[0]: {module: found.split() for module, found in modules.items()}
        for version, modules in listed.items()
    }
    return "\n".join(_parts(known)) + "\n"


def _parts(known: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    table = names()
    yield _INTRO.format(versions=" and ".join(table.versions))
    for module, verdicts in table.tables().items():
        rows = list(_rows(module, verdicts, known))
        if rows:
            yield f"## {_HEADINGS.get(module, f'`{module}`')}\n"
            yield from rows
            yield ""
    yield _ABSENT
    yield from _whole(known)
    yield _PACKAGES + "\n".join(f"| `{package}` | {note} |" for package, note in table.packages.items())
    yield "\n" + _VARIABLES + "\n".join(f"| `{theirs}` | `{ours}` |" for theirs, ours in table.variables.items())


def _rows(
    module: str, verdicts: Mapping[str, Verdict], known: Mapping[str, Mapping[str, Sequence[str]]]
) -> Iterator[str]:
    """Yield the table of one module, class or decorator; names of which the same is to be said share a line."""
    if not verdicts:
        return
    member = module in _HEADINGS
    yield "| name | in | | Entrepot | note |" if not member else "| name | in | | note |"
    yield "| --- | --- | --- | --- | --- |" if not member else "| --- | --- | --- | --- |"
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts.values():
        versions = _versions(module, verdict.name.rpartition(".")[2], known)
        one_line = verdict.status != "different" or member
        key = verdict.status + verdict.note + verdict.target.rpartition(":")[0] if one_line else verdict.name
        groups.setdefault((key, versions, verdict.status), []).append(verdict)
    order = ("same", "different", "absent")
    for (_, versions, status), group in sorted(groups.items(), key=lambda item: order.index(item[0][2])):
        shown = _listed(verdict.name.rpartition(".")[2] for verdict in group)
        first = group[0]
        home = first.ours.rpartition(".")[0] if status == "same" else first.ours
        ours = f" {home and f'`{home}`'} |" if not member else ""
        note = first.note.replace("|", "\\|")  # a bar ends a cell of the table
        yield f"| {shown} | {versions} | {status} |{ours} {note} |".replace("  ", " ")
    rest, others = names().rest_of(module), [name for name in _found(module, known) if name not in verdicts]
    if rest is not None and others:
        yield f"| {_listed(others)} | | absent |{' |' if not member else ''} {rest} |"


def _versions(module: str, name: str, known: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """Return which major versions have a name."""
    return " ".join(major for major, modules in known.items() if name in modules.get(module, ()))


def _whole(known: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[str]:
    """Yield, by reason, the modules whose names are all absent and that have no table above."""
    table = names()
    by_reason: dict[str, list[str]] = {}
    for module in sorted({module for modules in known.values() for module in modules} | set(table.tables())):
        reason, own = table.rest_of(module), table.tables().get(module)
        found = _found(module, known)
        if reason is None or own or (own is None and not found):
            continue
        shown = f": {_listed(found)}" if found else ", and what is inside it"
        by_reason.setdefault(reason, []).append(f"- `{module}`{shown}")
    for reason, lines in by_reason.items():
        yield f"**{reason[0].upper()}{reason[1:]}:**\n"
        yield from lines
        yield ""


def _found(module: str, known: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    """Return the names of a module, of all versions."""
    return sorted({name for modules in known.values() for name in modules.get(module, ())})


def _listed(names_: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names_)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
