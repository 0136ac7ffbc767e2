"""Run every benchmark and print one table: Entrepot beside its peers and the limits of the machine.

    make bench                                    without Prefect
    make bench PREFECT=/path/to/venv/bin/python   with it, in an environment of its own

Every case runs in a process of its own, with a home of its own. Contenders take turns, round by round, and medians are
given, so that a noisy machine is noisy for all; read the ratios.
"""

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

CASES = Path(__file__).parent / "cases"
Figures = dict[str, float]
PREFECT_TASKS = 1000  # it takes minutes for more


def environment() -> dict[str, str]:
    """Return the environment of a case: nothing of Entrepot's or Prefect's but an empty home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENTREPOT_", "PREFECT_"))}
    home = tempfile.mkdtemp(prefix="entrepot-bench-home-")
    quiet = {"ENTREPOT_LOGGING_LEVEL": "ERROR", "PREFECT_LOGGING_LEVEL": "ERROR", "DO_NOT_TRACK": "1"}
    return {**kept, **quiet, "ENTREPOT_HOME": f"{home}/entrepot", "PREFECT_HOME": f"{home}/prefect"}


def case(python: str, name: str, *arguments: str) -> Figures:
    """Run one case and return its figures."""
    command = [python, str(CASES / name), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if ran.returncode:
        raise SystemExit(f"{name} failed:\n{ran.stderr[-2000:]}")
    figures: Figures = json.loads(ran.stdout.splitlines()[-1])
    return figures


def whole_process(commands: dict[str, list[str]], count: int) -> Figures:
    """Return the median milliseconds of whole processes, in turns."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    homes = {name: environment() for name in commands}
    for turn in range(count + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=homes[name])
            if turn:
                times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def startup(prefect: str | None) -> list[list[str]]:
    """Return the rows about new processes."""
    me = sys.executable
    imports = {
        "python": [me, "-c", "pass"],
        "entrepot": [me, "-c", "from entrepot import flow, task"],
        "joblib": [me, "-c", "import joblib"],
    }
    flows = {"entrepot": [me, str(CASES / "first_flow.py"), "entrepot"]}
    if prefect:
        imports["prefect"] = [prefect, "-c", "from prefect import flow, task"]
        flows["prefect"] = [prefect, str(CASES / "first_flow.py"), "prefect"]
    import_ms = whole_process(imports, 11)
    flow_ms = whole_process({"entrepot": flows["entrepot"]}, 11)
    if prefect:
        flow_ms |= whole_process({"prefect": flows["prefect"]}, 3)
    bare = import_ms["python"]
    return [
        [
            "import, beyond Python's own start (ms)",
            f"{import_ms['entrepot'] - bare:.0f}",
            f"joblib {import_ms['joblib'] - bare:.0f}"
            + (f", Prefect {import_ms['prefect'] - bare:.0f}" if prefect else ""),
            "",
        ],
        [
            "first flow in a new process (ms)",
            f"{flow_ms['entrepot']:.0f}",
            f"Prefect {flow_ms['prefect']:.0f}" if prefect else "",
            f"{flow_ms['prefect'] / flow_ms['entrepot']:.0f}x faster than Prefect" if prefect else "",
        ],
    ]


def small(prefect: str | None) -> list[list[str]]:
    """Return the rows about small values."""
    ours = case(sys.executable, "small.py")
    theirs = case(prefect, "prefect_small.py") if prefect else {}

    def row(title: str, kind: str, target: str) -> list[str]:
        peers = [f"{name} {ours[f'{kind}_{name}']:.0f}" for name in ("joblib", "diskcache") if f"{kind}_{name}" in ours]
        key = {"call": "call_task"}.get(kind, f"{kind}_prefect")
        peers += [f"Prefect {theirs[key]:.0f}"] if key in theirs else []
        own = ours["call_task"] if kind == "call" else ours[f"{kind}_entrepot"]
        verdict = f"{own / ours[f'{kind}_joblib']:.2f}x joblib" if f"{kind}_joblib" in ours else target
        return [title, f"{own:.0f}", ", ".join(peers), verdict]

    return [
        row("a task call, with history (µs; target 200)", "call", f"a plain call: {ours['call_function']:.2f}"),
        row("cache miss, small value, durable (µs)", "miss", ""),
        row("cache hit, small value, verified (µs; target joblib's)", "hit", ""),
        ["`Secret.load`, warm (µs)", f"{ours['block_load']:.0f}", "", ""],
    ]


def mapped(prefect: str | None, counts: list[int]) -> list[list[str]]:
    """Return the rows about many trivial tasks."""
    rows = []
    for count in counts:
        ours = case(sys.executable, "mapped.py", "entrepot", str(count))
        theirs = case(prefect, "mapped.py", "prefect", str(count)) if prefect and count <= PREFECT_TASKS else {}
        for kind in ("called", "submitted", "mapped"):
            target = {"called": "; target 200", "mapped": "; target 250"}.get(kind, "")
            peers = f"concurrent.futures {ours['pool']:.0f}" + (f", Prefect {theirs[kind]:.0f}" if theirs else "")
            verdict = f"{theirs[kind] / ours[kind]:.0f}x faster than Prefect" if theirs else ""
            rows.append([f"{count:,} trivial tasks {kind} (µs a task{target})", f"{ours[kind]:.0f}", peers, verdict])
        bare = case(sys.executable, "threads.py", str(count))
        peer = f"concurrent.futures {bare['held_bytes'] / 1024:.1f}"
        peer += f", Prefect {theirs['held_bytes'] / 1024:.1f}" if theirs else ""
        title = f"{count:,} finished mapped tasks, futures kept (KB a task; target 3)"
        rows.append([title, f"{ours['held_bytes'] / 1024:.1f}", peer, ""])
    return rows


def large(megabytes: int) -> list[list[str]]:
    """Return the rows about large values."""
    figures = case(sys.executable, "large.py", str(megabytes))

    def row(kind: str) -> list[str]:
        own, raw = figures[f"{kind}_entrepot"], figures[f"{kind}_raw"]
        verb = {"write": "stored (raw: write + fsync)", "read": "loaded (raw: read)"}[kind]
        peers = ", ".join(f"{name} {figures[f'{kind}_{name}'] * 1000:.0f}" for name in ("joblib", "diskcache"))
        title = f"{megabytes} MB array {verb} (ms; target 1.4x raw)"
        return [title, f"{own * 1000:.0f}", f"raw {raw * 1000:.0f}, {peers}", f"{own / raw:.2f}x raw"]

    peaks = f"{figures['write_peak_mb']:.0f} stored, {figures['read_peak_mb']:.0f} loaded"
    return [row("write"), row("read"), ["peak memory beyond the array (MB; target 32)", peaks, "", ""]]


def main() -> None:
    """Measure, print, and save what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefect", help="the Python of an environment that has Prefect")
    parser.add_argument("--megabytes", type=int, default=200, help="the size of the large array")
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    console = Console()
    with console.status("new processes"):
        rows = startup(options.prefect)
    with console.status("small values"):
        rows += small(options.prefect)
    with console.status("many tasks"):
        rows += mapped(options.prefect, [100, 1000, 10_000, 100_000])
    with console.status("a large array"):
        rows += large(options.megabytes)
    where = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    title = f"{where}, {dt.datetime.now(dt.UTC):%Y-%m-%d}"
    heads = ["what", "Entrepot", "beside it", "ratio"]
    table = Table(*heads, title=title)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    if options.markdown:
        lines = [" | ".join(cells).join(["| ", " |"]) for cells in [heads, ["---"] * 4, *rows]]
        options.markdown.write_text(f"{title}\n\n" + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
