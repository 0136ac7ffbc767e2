"""Run every benchmark and print one table: Entrepot beside its peers and the limits of the machine.

    make bench                                                 without Prefect and redun
    make bench PREFECT=/venv/bin/python REDUN=/venv/bin/python     with them, each in an environment of its own
    python benchmarks/run.py --quick                           small sizes, for a machine in use
    python benchmarks/run.py --only large --json FILE          some cases; the figures as data
    python benchmarks/run.py --json FILE --resume              those that are not in the file yet

Every case runs in a process of its own, with a home of its own. Contenders take turns, round by round, and medians are
given, so that a noisy machine is noisy for all; read the ratios. A peer that is not there, or fails, is a word in its
cell; a case that fails is a line that says so.
"""

import argparse
import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from table import Row, markdown, printed

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES = Path(__file__).parent / "cases"
NOT_THERE: Final = "not installed"
Figures = dict[str, float]
PREFECT_TASKS = 1000  # it takes minutes for more


class CaseError(Exception):
    """A case, or a peer's part of one, did not come to its end."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Attributes:
        prefect: The Python of an environment that has Prefect.
        redun: The same for redun.
        is_quick: Whether sizes are for a machine in use.
        patience: Seconds that one process may take.
    """

    prefect: str | None
    redun: str | None
    is_quick: bool
    patience: float

    def sized(self, full: Any, quick: Any) -> Any:
        """Return the one or the other."""
        return quick if self.is_quick else full


@contextmanager
def environment() -> "Iterator[dict[str, str]]":
    """Give the environment of a case: nothing of Entrepot's or Prefect's but an empty home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENTREPOT_", "PREFECT_"))}
    home = tempfile.mkdtemp(prefix="entrepot-bench-home-")
    quiet = {
        "ENTREPOT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "DO_NOT_TRACK": "1",
    }
    try:
        yield {
            **kept,
            **quiet,
            "ENTREPOT_HOME": f"{home}/entrepot",
            "PREFECT_HOME": f"{home}/prefect",
            "TMPDIR": home,  # whatever a case leaves, even when it is stopped, is gone with it
        }
    finally:
        shutil.rmtree(home, ignore_errors=True)


def case(plan: Plan, python: str, name: str, *arguments: object) -> list[Figures]:
    """Run one case and return its figures, a line of its output each.

    Raises:
        CaseError: If it fails, or takes too long.
    """
    command = [python, str(CASES / name), *map(str, arguments)]
    with environment() as variables:
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, env=variables, check=False, timeout=plan.patience
            )
        except subprocess.TimeoutExpired:
            raise CaseError(f"not done in {plan.patience:g} s") from None
        except OSError as error:
            raise CaseError(str(error)) from None
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not lines:
        said = [line for line in ran.stderr.splitlines() if line.strip()]
        raise CaseError((said or [f"it ended with {ran.returncode}"])[-1][:200])
    return [json.loads(line) for line in lines]


def peer(plan: Plan, python: str | None, name: str, *arguments: object) -> Figures | str:
    """Run a peer's case and return its figures, or why there are none."""
    if python is None:
        return NOT_THERE
    try:
        return case(plan, python, name, *arguments)[-1]
    except CaseError as error:
        return f"failed: {str(error)[:100]}"


def cell(figures: Figures | str, key: str) -> float | str:
    """Return a peer's figure, or why there is none."""
    return figures if isinstance(figures, str) else figures[key]


def named(figures: Mapping[str, float], kind: str, names: tuple[str, ...], scale: float = 1) -> dict[str, float | str]:
    """Return the figures `kind_name` by name."""
    return {name: figures[f"{kind}_{name}"] * scale if f"{kind}_{name}" in figures else NOT_THERE for name in names}


def whole_process(commands: dict[str, list[str]], count: int) -> dict[str, float | str]:
    """Return the median milliseconds of whole processes, in turns."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    failed: dict[str, float | str] = {}
    with environment() as variables:
        for turn in range(count + 1):
            for name, command in commands.items():
                if name in failed:
                    continue
                start = time.perf_counter()
                ran = subprocess.run(command, check=False, capture_output=True, env=variables)
                if ran.returncode:
                    failed[name] = "failed"
                elif turn:
                    times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(values) for name, values in times.items() if values} | failed


def startup(plan: Plan) -> list[Row]:
    """Return the rows about new processes."""
    me, count = sys.executable, plan.sized(11, 3)
    imports = whole_process(
        {
            "python": [me, "-c", "pass"],
            "entrepot": [me, "-c", "from entrepot import flow, task"],
            "joblib": [me, "-c", "import joblib"],
            "diskcache": [me, "-c", "import diskcache"],
            **({"redun": [plan.redun, "-c", "import redun"]} if plan.redun else {}),
            **({"Prefect": [plan.prefect, "-c", "from prefect import flow, task"]} if plan.prefect else {}),
        },
        count,
    )
    first = str(CASES / "first_flow.py")
    flows = whole_process({"entrepot": [me, first, "entrepot"]}, count)
    if plan.prefect:
        flows |= whole_process({"Prefect": [plan.prefect, first, "prefect"]}, plan.sized(3, 1))
    bare = imports.pop("python")
    beyond = {
        name: value - bare if not isinstance(value, str) and not isinstance(bare, str) else value
        for name, value in imports.items()
    }
    own, own_flow = beyond.pop("entrepot"), flows.pop("entrepot")
    if isinstance(own, str) or isinstance(own_flow, str):
        raise CaseError("Entrepot does not start")
    return [
        Row("import, beyond Python's own start", "ms", own, beyond),
        Row("first flow in a new process", "ms", own_flow, flows),
    ]


def small(plan: Plan) -> list[Row]:
    """Return the rows about small values."""
    (ours,) = case(plan, sys.executable, "small.py", *plan.sized((300, 9), (100, 3)))
    prefect = peer(plan, plan.prefect, "prefect_small.py", *plan.sized((100, 3), (20, 1)))
    redun = peer(plan, plan.redun, "redun_small.py", *plan.sized((300, 3), (50, 1)))

    def others(kind: str) -> dict[str, float | str]:
        return {"Prefect": cell(prefect, kind), "redun": cell(redun, kind)}

    hit = ours["hit_entrepot"] / ours["hit_joblib"] if "hit_joblib" in ours else None
    return [
        Row(
            "a task call, with history",
            "µs",
            ours["call_task"],
            others("call"),
            {"a plain call": ours["call_function"]},
            target=200,
        ),
        Row(
            "small miss, durable on return (joblib, diskcache: not synced)",
            "µs",
            ours["miss_entrepot"],
            {**named(ours, "miss", ("joblib", "diskcache")), **others("miss")},
            {"raw write + fsyncs": ours["miss_raw"]},
            ours["miss_entrepot"] / ours["miss_raw"],
            "raw",
        ),
        Row(
            "small hit, verified",
            "µs",
            ours["hit_entrepot"],
            {**named(ours, "hit", ("joblib", "diskcache")), **others("hit")},
            {"raw read": ours["hit_raw"]},
            hit,
            "joblib",
            target=0.7,
        ),
    ]


def mapped(plan: Plan) -> list[Row]:
    """Return the rows about many trivial tasks."""
    rows = []
    for count in plan.sized((100, 1000, 10_000, 100_000), (100, 1000)):
        (ours,) = case(plan, sys.executable, "mapped.py", "entrepot", count)
        (bare,) = case(plan, sys.executable, "threads.py", count)
        theirs: Figures | str = f"not asked beyond {PREFECT_TASKS:,}"
        if count <= plan.sized(PREFECT_TASKS, 100) or plan.prefect is None:
            theirs = peer(plan, plan.prefect, "mapped.py", "prefect", count)
        for kind in ("called", "submitted", "mapped"):
            target = {"called": 200.0, "mapped": 250.0}.get(kind)
            others = {"Prefect": cell(theirs, kind)}
            limits = {"concurrent.futures": ours["pool"]}
            rows.append(Row(f"{count:,} trivial tasks {kind}", "µs a task", ours[kind], others, limits, target=target))
        held = cell(theirs, "held_bytes")
        rows.append(
            Row(
                f"{count:,} finished mapped tasks, futures kept",
                "KB a task",
                ours["held_bytes"] / 1024,
                {"Prefect": held if isinstance(held, str) else held / 1024},
                {"concurrent.futures": bare["held_bytes"] / 1024},
                target=3,
            )
        )
    return rows


def large(plan: Plan, megabytes: int) -> list[Row]:
    """Return the rows about large values."""
    (figures,) = case(plan, sys.executable, "large.py", megabytes, plan.sized(7 if megabytes < 1000 else 5, 2))  # noqa: PLR2004
    rows = []
    for kind, what, target in (
        ("write", "stored (raw: write + fsync)", 1.25),
        ("read", "loaded, verified (raw: read)", 1.15),
    ):
        own, raw = figures[f"{kind}_entrepot"], figures[f"{kind}_raw"]
        busy = figures[f"{kind}_cpu_entrepot"] / figures[f"{kind}_cpu_raw"]
        peers = named(figures, kind, ("joblib", "diskcache"), 1000)
        limits: dict[str, float | str] = {"raw": raw * 1000}
        note = f"{busy:.2f}x raw by time of the processor"
        title = f"{megabytes:,} MB array {what}"
        rows.append(Row(title, "ms", own * 1000, peers, limits, own / raw, "raw", target=target, note=note))
    own, raw = figures["read_mapped"], figures["read_raw"]
    title = f"{megabytes:,} MB array mapped, verified (raw: read)"
    rows.append(Row(title, "ms", own * 1000, {}, {"raw": raw * 1000}, own / raw, "raw", target=1))
    for kind, what in (("write", "stored"), ("read", "loaded")):
        title = f"peak memory beyond the array of {megabytes:,} MB, {what}"
        rows.append(Row(title, "MB", figures[f"{kind}_peak_mb"], target=32))
    return rows


def objects(plan: Plan) -> list[Row]:
    """Return the rows about an S3 server."""
    (figures,) = case(plan, sys.executable, "objects.py", *plan.sized((256, 1000), (32, 200)))
    rows = []
    small, megabytes = f"{figures['small']:,.0f} small results", f"{figures['megabytes']:,.0f} MB array"
    for kind, what, target in (
        ("put", f"{small} to S3, 16 at once", 1.25),
        ("get", f"{small} back, verified", 1.25),
        ("large_put", f"{megabytes} to S3", None),
        ("large_get", f"{megabytes} back, verified", None),
    ):
        own, raw = figures[f"{kind}_entrepot"], figures[f"{kind}_s3fs"]
        limits = named(figures, kind, ("s3fs", "obstore"), 1000)
        rows.append(Row(what, "ms", own * 1000, {}, limits, own / raw, "s3fs", target=target))
    for kind, what in (("put", "sent"), ("get", "fetched")):
        rows.append(Row(f"peak memory beyond that array, {what}", "MB", figures[f"{kind}_peak_mb"], target=32))
    return rows


def hashing(plan: Plan) -> list[Row]:
    """Return the rows about the digests of large frames."""
    megabytes = plan.sized(1000, 200)
    (figures,) = case(plan, sys.executable, "hashing.py", megabytes, plan.sized(3, 1))
    titles = {
        "columns": (f"{megabytes:,} MB frame of floats hashed", 2.0),
        "rows": (f"{megabytes:,} MB frame made from rows hashed", 2.0),
        "objects": ("2,000,000 texts, as objects, hashed", None),
        "texts": ("2,000,000 texts, as pandas keeps them, hashed", None),
    }
    rows = []
    for name, (title, target) in titles.items():
        note = f"{figures[f'{name}_gb_cpu_s']:.2f} a core; {figures[f'{name}_peak_mb']:.0f} MB beyond the frame"
        rows.append(Row(title, "GB/s", figures[f"{name}_gb_s"], target=target, at_least=True, note=note))
    return rows


def sizes(plan: Plan) -> list[Row]:
    """Return the rows about a store as it grows."""
    counts = plan.sized((1000, 10_000, 100_000, 1_000_000), (1000, 10_000))
    found = case(plan, sys.executable, "store_sizes.py", *counts)
    first, rows = found[0], []
    for one in found:
        count = f"{one['records']:,.0f} records"
        ratio = one["hit_us"] / first["hit_us"]
        rows.append(
            Row(f"look-up of one of {count}", "µs", one["hit_us"], ratio=ratio, against="the first", target=1.5)
        )
    for kind, what in (
        ("ls", "`cache ls` of {}, a process"),
        ("gc_dry", "`store gc --dry-run` of {}"),
        ("gc", "`store gc` of {}, one in a hundred goes"),
    ):
        for one in found:
            busy = one[f"{kind}_cpu_s"] / one["records"] * 1e6
            note = f"{busy:,.0f} µs of the processor a record; {one[f'{kind}_mb']:.1f} MB of memory"
            if kind == "ls":
                note += f"; first lines after {one['ls_first_20_s']:.2f} s"
            rows.append(Row(what.format(f"{one['records']:,.0f} records"), "s", one[f"{kind}_s"], note=note))
    return rows


def blocks(plan: Plan) -> list[Row]:
    """Return the rows about saved blocks, and about block types of plugins."""
    (saved,) = case(plan, sys.executable, "blocks.py", *([plan.prefect] if plan.prefect else []))
    (found,) = case(plan, sys.executable, "plugins.py")
    theirs, faster = saved.get("prefect_seconds", NOT_THERE), saved.get("times_faster")
    process = f"an interpreter that does nothing {saved['interpreter_seconds']:.3f}"
    look_up = f"{found['import_milliseconds']:.1f} to import, {found['look_up_milliseconds']:.1f} to look up"
    return [
        Row("`Block.load`, warm", "ms", saved["load_milliseconds"], target=0.5),
        Row(
            "a new process that loads one secret",
            "s",
            saved["process_seconds"],
            {"Prefect": theirs},
            target=0.35,
            note=process if faster is None else f"{faster:.0f}x faster than Prefect; {process}",
        ),
        Row("10,000 saved documents listed", "s", saved["list_seconds"], target=1),
        Row(
            f"one block type looked up among those of {found['distributions']:,.0f} distributions, from Python's start",
            "ms",
            found["milliseconds"],
            target=15,
            note=f"{look_up}; modules of plugins imported: {found['modules']:.0f}",
        ),
    ]


MEASURED: Final[dict[str, Callable[[Plan], list[Row]]]] = {
    "startup": startup,
    "small": small,
    "blocks": blocks,
    "objects": objects,
    "large": lambda plan: large(plan, 200),
    "huge": lambda plan: large(plan, plan.sized(2000, 500)),
    "hashing": hashing,
    "sizes": sizes,
    "tasks": mapped,
}


def measured(plan: Plan, name: str) -> dict[str, Any]:
    """Run one case, and return its rows with when, and how busy the machine was; of one that fails, a row of that."""
    before, start = os.getloadavg()[0], time.perf_counter()
    try:
        rows = MEASURED[name](plan)
    except CaseError as error:
        rows = [Row(f"case {name}", "", None, note=str(error))]
    return {
        "rows": [row.as_data() for row in rows],
        "at": f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M}Z",
        "load": [round(before, 1), round(os.getloadavg()[0], 1)],
        "seconds": round(time.perf_counter() - start),
        "quick": plan.is_quick,
    }


def heading(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what the table is of."""
    where = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    days = sorted({one["at"].partition(" ")[0] for one in found.values()})
    loads = [load for one in found.values() for load in one["load"]]
    return f"{where}; {' to '.join(dict.fromkeys((days[0], days[-1])))}; load {min(loads)} to {max(loads)}"


def main() -> None:
    """Measure, print, and save what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefect", help="the Python of an environment that has Prefect")
    parser.add_argument("--redun", help="the Python of an environment that has redun")
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds, for a machine in use")
    parser.add_argument("--only", action="append", choices=list(MEASURED), help="a case to run; may be repeated")
    parser.add_argument("--patience", type=float, default=3600, help="seconds that one process may take")
    parser.add_argument("--json", type=Path, help="write the figures to this file, after every case")
    parser.add_argument("--resume", action="store_true", help="keep what the --json file has; run the other cases")
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    plan = Plan(options.prefect, options.redun, options.quick, options.patience)
    progress, found = Console(stderr=True), {}
    if options.resume and options.json and options.json.exists():
        kept = json.loads(options.json.read_text(encoding="utf-8"))
        found = {name: one for name, one in kept.items() if all(row["own"] is not None for row in one["rows"])}
    wanted = [name for name in MEASURED if name not in found and name in (options.only or MEASURED)]
    for number, name in enumerate(wanted, start=1):
        progress.print(f"{number}/{len(wanted)} {name} ...")
        found[name] = measured(plan, name)
        progress.print(f"    {found[name]['seconds']} s; load {' to '.join(map(str, found[name]['load']))}")
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not found:
        parser.error("there is nothing to measure")
    rows = [Row.of_data(row) for name in MEASURED if name in found for row in found[name]["rows"]]
    title = heading(found)
    Console(width=None if sys.stdout.isatty() else 200).print(printed(title, rows))
    if options.markdown:
        options.markdown.write_text(markdown(title, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
