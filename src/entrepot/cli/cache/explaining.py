"""`entrepot cache explain` and `entrepot cache why`: what made a run compute, or not."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from entrepot import settings
from entrepot.cli.cache.filters import watched
from entrepot.cli.cache.topic import app
from entrepot.cli.options import AsJson
from entrepot.cli.output import ok, print_json, show, told, when
from entrepot.cli.records import StorageOption, find, open_store
from entrepot.engine.accounts import kept_sources
from entrepot.engine.explaining import explain_record, explain_run
from entrepot.errors import MissingResultError, RunNotFoundError
from entrepot.results.explain import Difference, Explanation, differences, facts_of, run_text, with_sources
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.runs import RunDetails, RunHistory, RunSummary, default_path
from entrepot.runs.keyed import key_of, recent_keys

__all__ = ["explain", "why"]

_KEY: Final = re.compile(r"(?:[ec][0-9]{1,3}-[0-9a-f]{5}|fn/|name/|run/|transaction/|sha256:)")
_STYLES: Final = {"hit": "green", "damaged": "red", "unknown key": "red", "unreachable": "red", "failed": "red"}
_INSIDE: Final = 100  # runs inside a flow run that are explained
_SHOWN: Final = 3  # differences of each
_RUNS: Final = 100  # newest runs of a task, in which `why` looks for two keys

RunOrKey = Annotated[
    str, typer.Argument(metavar="RUN_OR_KEY", help="A run, by id or name, or a key; the beginning will do.")
]
Scan = Annotated[
    bool,
    typer.Option("--scan", help="Compare with every record of the task in the store, not only with its last runs'."),
]


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is to be explained.

    Attributes:
        store: Where its result is or was; None for a run without a key.
        found: What its record says.
        run: The run, if it was asked for by that.
    """

    store: ResultStore | None
    found: Lookup | None
    run: RunSummary | None = None


@app.command()
def explain(
    run_or_key: RunOrKey,
    *,
    storage: StorageOption = None,
    scan: Scan = False,
    as_json: AsJson = False,
) -> None:
    """Explain why a run used a result again or computed it, or why what is kept under a key was computed.

    Of a flow run, every run inside it is explained, a line each.

    For a miss, the nearest record is shown, and every part in which the keys differ: which part of which input, which
    function (as a diff), which global, version or parameter.
    """
    subject = _subject(run_or_key, storage)
    if subject.store is None and subject.run is not None and subject.run.kind == "flow":
        _explain_inside(subject.run, storage, as_json=as_json)
        return
    known = _explained(subject, scan=scan)
    if as_json:
        print_json(asdict(known))
        return
    for name, fact in _lines(known):
        show(Text(f"{name:<9} ", style="dim").append_text(fact if isinstance(fact, Text) else told(fact)))
    if known.outcome == "miss" and known.nearest is None:
        ok("there is no other record of this task to compare with")
    for one in known.differences:
        show(told(f"  {one}"))
        for line in _diff(one):
            show(line)


@app.command()
def why(
    run_or_key: Annotated[str, typer.Argument(help="A run, a key, or the name of a task: its last two keys, then.")],
    other: Annotated[str | None, typer.Argument(help="The run or key to compare with: the older one.")] = None,
    *,
    storage: StorageOption = None,
    as_json: AsJson = False,
) -> None:
    """Print one line for each part in which two runs or keys differ; of one run, from the nearest record."""
    if other is None:
        pair = _last_two(run_or_key, storage)
        if pair is None:
            found = _explained(_subject(run_or_key, storage), scan=False)
            _print_why(found.differences, found, as_json=as_json)
            return
    else:
        pair = (_record(run_or_key, storage), _record(other, storage))
    new, old = pair
    sources = kept_sources(settings.home_folder())
    _print_why(with_sources(differences(facts_of(old), facts_of(new)), sources.read), None, as_json=as_json)


def _explain_inside(run: RunSummary, storage: str | None, *, as_json: bool) -> None:
    """Explain every run inside a flow run, a line each."""
    history = RunHistory(default_path())
    inside = list(_inside(history.get(run.run_id)))
    known = [(one, _explained(_of_run(history, one, storage), scan=False)) for one in inside[:_INSIDE]]
    if as_json:
        print_json([asdict(found) | {"name": one.name, "run_id": one.run_id} for one, found in known])
        return
    for one, found in known:
        line = told(f"{one.name} ({one.run_id[:8]})  ")
        line.append_text(told(found.outcome, _STYLES.get(found.outcome, "yellow")))
        differing = "; ".join(map(str, found.differences[:_SHOWN]))
        more = f"; {len(found.differences) - _SHOWN} more" if len(found.differences) > _SHOWN else ""
        reason = found.why if found.key else found.why.partition(":")[0]
        show(line.append_text(told(f": {differing or reason}{more}")))
    if len(inside) > _INSIDE:
        ok(f"and {len(inside) - _INSIDE:,} more; ask for one by its id, or for its task with `entrepot cache why TASK`")
    elif not inside:
        ok("nothing ran inside it")


def _inside(run: RunDetails) -> Iterator[RunDetails]:
    for child in run.children:
        yield child
        yield from _inside(child)


# --- what is meant ----------------------------------------------------------------------------------------------------


def _subject(wanted: str, storage: str | None) -> _Subject:
    """Return what is meant by an argument: a key, or else a run, or else the beginning of a key."""
    store = open_store(storage)
    exact = store.describe(wanted)
    if exact.outcome is not Outcome.MISS:
        return _Subject(store, exact)
    if _KEY.match(wanted):
        return _Subject(store, find(store, wanted))
    history = RunHistory(default_path())
    try:
        run = history.find(wanted)
    except RunNotFoundError as error:
        try:
            return _Subject(store, find(store, wanted))
        except MissingResultError:
            raise error from None
    return _of_run(history, run, storage)


def _of_run(history: RunHistory, run: RunSummary, storage: str | None) -> _Subject:
    used = key_of(history.path, run.run_id)
    if used is None:
        return _Subject(None, None, run)
    key, location = used
    store = open_store(storage)
    if storage is None:
        store = _store_at(location, store)
    return _Subject(store, store.describe(key), run)


def _store_at(location: str, default: ResultStore) -> ResultStore:
    """Return the store of a result: the default one if it is there, or the one at the place above it."""
    if location.startswith(f"{default.location.rstrip('/')}/"):
        return default
    root = re.sub(r"/(?:records|payloads|versions)/[^/]+/.*\Z", "", location)
    if root != location and (root.startswith("/") or "://" in root):
        return open_store(root)
    raise MissingResultError(
        f"the result of this run is in {location}, which is not in {default.location}; say with --storage which store"
        " that is"
    )


def _record(wanted: str, storage: str | None) -> Record:
    subject = _subject(wanted, storage)
    record = None if subject.found is None else subject.found.record
    if record is None:
        why_not = "it has no cache key" if subject.found is None else subject.found.detail
        raise MissingResultError(f"{wanted!r} cannot be compared: {why_not}")
    return record


def _last_two(task: str, storage: str | None) -> tuple[Record, Record] | None:
    """Return the records of the last two keys of a task, the newer first; None if no task has this name."""
    history = RunHistory(default_path())
    runs = history.list(kind=None, flow=task, limit=1)
    if not runs:
        return None
    store = open_store(storage)
    found: list[Record] = []
    for key in recent_keys(history.path, runs[0].key, limit=_RUNS):
        record = store.describe(key).record
        if record is not None and record.task.get("key") == runs[0].key:
            found.append(record)
        if len(found) == 2:  # noqa: PLR2004  a pair
            return found[0], found[1]
    raise MissingResultError(
        f"there are no two records of the task {task!r} in {store.location} to compare: it has run with"
        f" {len(found) or 'no'} key{'' if len(found) == 1 else 's'} of late"
    )


# --- what is said -----------------------------------------------------------------------------------------------------


def _explained(subject: _Subject, *, scan: bool) -> Explanation:
    run, store, found = subject.run, subject.store, subject.found
    if store is None or found is None:
        return _without_key(run)
    known = explain_record(
        store,
        found,
        home=settings.home_folder(),
        scan=scan,
        watched=lambda looks: watched(looks, "comparing records"),
    )
    if run is None:
        return known
    return explain_run(known, found.record, run.run_id, cached=run.state_name == "Cached")


def _without_key(run: RunSummary | None) -> Explanation:
    state = None if run is None else run.state_name
    if run is not None and run.state_type != "COMPLETED":
        why_not = f"the run is {state}: only what a completed run returns is kept"
    else:
        why_not = (
            "its result was not kept: no option asks for that (cache_policy, persist_result), or an input changed while"
            " it ran; its log says so, and `state.cache_explanation` in its process"
        )
    return Explanation("not kept", "", why_not, "" if run is None else run.key)


def _lines(known: Explanation) -> Iterator[tuple[str, Any]]:
    outcome = told(known.outcome, _STYLES.get(known.outcome, "yellow"))
    yield "Outcome", outcome.append_text(told(f": {known.why}"))
    if known.key:
        yield "Key", known.key
    if known.task:
        yield "Task", known.task
    if known.run:
        flow = known.run.get("flow_run_name")
        yield "Computed", f"by {run_text(known.run)}{f' in {flow}' if flow else ''}, {when(known.created)}"
    if known.location:
        yield "Where", known.location
    if known.nearest is not None:
        near = known.nearest
        yield "Nearest", f"{near.key} of {run_text(near.run)}, {when(near.created)}; {known.scanned:,} compared"


def _diff(one: Difference) -> Iterator[Text]:
    if one.note:
        yield told(f"    ({one.note})", "dim")
    for line in one.diff.splitlines():
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        yield told(f"    {line}", style)


def _print_why(found: "tuple[Difference, ...] | Any", known: Explanation | None, *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) | {"text": str(one)} for one in found])
        return
    for one in found:
        show(told(str(one)))
    if found:
        return
    if known is None:
        ok("they do not differ: the same call")
    else:
        ok(f"{known.outcome}: {known.why}")
