"""`entrepot cache explain` and `entrepot cache why`: what made a run compute, or not."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from entrepot import settings
from entrepot.cli.cache.filters import watched
from entrepot.cli.cache.places import Stores
from entrepot.cli.cache.topic import app
from entrepot.cli.known import nearest_names
from entrepot.cli.options import AsJson
from entrepot.cli.output import fact, ok, print_json, show, told, when
from entrepot.cli.records import StorageOption, find
from entrepot.engine.accounts import kept_sources
from entrepot.engine.explaining import BY_NOW, explain_record, explain_run
from entrepot.errors import MissingResultError, RunNotFoundError
from entrepot.results.explain import Difference, Explanation, Near, differences, facts_of, run_text, with_sources
from entrepot.results.lookup import Lookup, Outcome
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.runs import RunDetails, RunHistory, RunSummary, default_path
from entrepot.runs.keyed import key_of, recent_keys

__all__ = ["explain", "why"]

_KEY: Final = re.compile(r"(?:[ec][0-9]{1,3}-[0-9a-f]{5}|fn/|name/|run/|transaction/|sha256:)")
_ID: Final = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.ASCII)
_STYLES: Final = {"hit": "green", "damaged": "red", "unknown key": "red", "unreachable": "red", "failed": "red"}
_LABEL: Final = 9  # characters
_INSIDE: Final = 100  # runs inside a flow run that are explained
_SHOWN: Final = 3  # differences of each
_NAMES: Final = 1000  # newest runs, by whose tasks a name that is none is corrected
_RUNS: Final = 100  # newest runs of a task, in which `why` looks for two keys

RunOrKey = Annotated[
    str,
    typer.Argument(
        metavar="RUN_OR_KEY",
        help="A run, by id or name, or a key; the beginning will do. Or the name of a task: its newest run, then.",
    ),
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

    Of a flow run, every run inside it is explained, a line each; of a task, its newest run.

    For a miss, the nearest record is shown, and every part in which the keys differ: which part of which input, which
    function (as a diff), which global, version or parameter.
    """
    stores = Stores(storage)
    subject = _subject(run_or_key, stores)
    if subject.store is None and subject.run is not None and subject.run.kind == "flow":
        _explain_inside(subject.run, stores, as_json=as_json)
        return
    known = _explained(subject, scan=scan)
    if as_json:
        print_json(asdict(known) | _named(subject.run))
        return
    if subject.run is not None:
        fact("Run", f"{subject.run.name} ({subject.run.run_id}) of {subject.run.definition}", _LABEL)
    for name, said in _lines(known):
        fact(name, said, _LABEL)
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
    """Print one line for each part in which two runs or keys differ; of one run, from the nearest record.

    What is compared with what is said first, on stderr.
    """
    stores = Stores(storage)
    if other is None:
        pair = _last_two(run_or_key, stores)
        if pair is None:
            found = _explained(_subject(run_or_key, stores), scan=False)
            compared = "" if found.nearest is None else f"compared with the nearest record, {_made(found.nearest)}"
            _print_why(found.differences, compared, found, as_json=as_json)
            return
        new, old, newest = pair
    else:
        new, old, newest = _record(run_or_key, stores), _record(other, stores), None
    sources = kept_sources(settings.home_folder())
    found_all = with_sources(differences(facts_of(old), facts_of(new)), sources.read)
    _print_why(found_all, _compared(new, old, newest), None, as_json=as_json)


def _explain_inside(run: RunSummary, stores: Stores, *, as_json: bool) -> None:
    """Explain every run inside a flow run, a line each."""
    history = RunHistory(default_path())
    inside = list(_inside(history.get(run.run_id)))
    known = [(one, _explained(_of_run(history, one, stores), scan=False)) for one in inside[:_INSIDE]]
    if as_json:
        print_json([asdict(found) | _named(one) for one, found in known])
        return
    for one, found in known:
        line = told(f"{one.definition or '?'}: {one.name} ({one.run_id[:8]})  ")
        show(line.append_text(_verdict(found, briefly=True)))
    if len(inside) > _INSIDE:
        ok(f"and {len(inside) - _INSIDE:,} more; ask for one by its id, or for its task with `entrepot cache why TASK`")
    elif not inside:
        ok("nothing ran inside it")


def _named(run: RunSummary | None) -> dict[str, str]:
    """Return which run is explained, for programs; nothing where a key is."""
    return {} if run is None else {"name": run.name, "run_id": run.run_id, "definition": run.definition}


def _inside(run: RunDetails) -> Iterator[RunDetails]:
    for child in run.children:
        yield child
        yield from _inside(child)


# --- what is meant ----------------------------------------------------------------------------------------------------


def _subject(wanted: str, stores: Stores) -> _Subject:
    """Return what is meant by an argument: a key, or else a run, or else the beginning of a key."""
    store = stores.default()
    exact = store.describe(wanted)
    if exact.outcome is not Outcome.MISS:
        return _Subject(store, exact)
    if _KEY.match(wanted):
        return _Subject(store, find(store, wanted))
    history = RunHistory(default_path())
    try:
        run = history.find(wanted)
    except RunNotFoundError as error:
        with contextlib.suppress(MissingResultError):
            return _Subject(store, find(store, wanted))
        newest = history.list(kind=None, flow=wanted, limit=1)
        if not newest:
            near = nearest_names(wanted, {one.definition for one in history.list(kind=None, limit=_NAMES)})
            if not near:
                raise
            raise RunNotFoundError(f"{error}{near} (a task)", run_id=wanted) from None
        run = newest[0]
    return _of_run(history, run, stores)


def _of_run(history: RunHistory, run: RunSummary, stores: Stores) -> _Subject:
    used = key_of(history.path, run.run_id)
    if used is None:
        return _Subject(None, None, run)
    key, location = used
    store = stores.at(location)
    return _Subject(store, store.describe(key), run)


def _record(wanted: str, stores: Stores) -> Record:
    subject = _subject(wanted, stores)
    record = None if subject.found is None else subject.found.record
    if record is None:
        why_not = "it has no cache key" if subject.found is None else subject.found.detail
        raise MissingResultError(f"{wanted!r} cannot be compared: {why_not}")
    return record


def _last_two(task: str, stores: Stores) -> tuple[Record, Record, RunSummary] | None:
    """Return the records of the last two keys of a task, the newer first, and its newest run; None if there is none."""
    history = RunHistory(default_path())
    runs = history.list(kind=None, flow=task, limit=1)
    if not runs:
        return None
    store = stores.default()
    found: list[Record] = []
    for key in recent_keys(history.path, runs[0].key, limit=_RUNS):
        record = store.describe(key).record
        if record is not None and record.task.get("key") == runs[0].key:
            found.append(record)
        if len(found) == 2:  # noqa: PLR2004  a pair
            return found[0], found[1], runs[0]
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
    was_cached = run.state_name == "Cached"
    return explain_run(known, found.record, run.run_id, cached=was_cached, began=run.created, ended=run.ended)


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


def _verdict(known: Explanation, *, briefly: bool = False) -> Text:
    """Return the outcome and why: in brief, of a miss the first parts that differ."""
    why = known.why if known.key or not briefly else known.why.partition(":")[0]
    if briefly:
        why = _ID.sub(r"\1", why.partition(BY_NOW)[0])
    if briefly and known.outcome == "miss" and known.differences:
        more = len(known.differences) - _SHOWN
        why = "; ".join(map(str, known.differences[:_SHOWN])) + (f"; {more} more" if more > 0 else "")
    why = why.removeprefix(f"{known.outcome} ")  # "expired: expired at ..."
    return told(known.outcome, _STYLES.get(known.outcome, "yellow")).append_text(told(f": {why}"))


def _lines(known: Explanation) -> Iterator[tuple[str, Any]]:
    yield "Outcome", _verdict(known)
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


def _made(one: Record | Near) -> str:
    """Return by which run a record was made, and when."""
    run_id = one.run.get("id", "")
    short = {**one.run, "id": run_id[:8]} if _ID.fullmatch(run_id) else one.run
    return f"{run_text(short)}, {when(one.created)}"


def _compared(new: Record, old: Record, newest: RunSummary | None) -> str:
    """Return what is compared with what; `newest` is the newest run of a task of which that are the last two keys."""
    pair = f"{_made(new)}, with the older {_made(old)}"
    if newest is None:
        return f"compared: {pair}"
    said = f"compared: the last two keys of {newest.definition}: {pair}"
    if newest.state_name == "Cached":
        said = f"the newest run, {newest.name}, was a hit; {said}"
    around = new.run.get("flow_run_id")
    if around and around == old.run.get("flow_run_id"):
        said += f"; both are calls in the flow run {new.run.get('flow_run_name') or around}"
    return said


def _print_why(found: Sequence[Difference], compared: str, known: Explanation | None, *, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) | {"text": str(one)} for one in found])
        return
    if found and compared:
        ok(compared)
    for one in found:
        show(told(str(one)))
    for one in found:
        if one.kind == "flow run" and one.note:
            ok(one.note)
    if found:
        return
    if known is None:
        ok("they do not differ: the same call")
    else:
        ok(f"{known.outcome}: {known.why}")
