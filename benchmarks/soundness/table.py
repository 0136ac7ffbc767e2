"""Put the pairs of the soundness suite to Entrepot and to other engines, and print a Markdown table of how they do.

    python benchmarks/soundness/table.py \
        --peer prefect=/venvs/prefect/bin/python --peer joblib=/venvs/joblib/bin/python \
        --peer redun=/venvs/redun/bin/python --peer hamilton=/venvs/hamilton/bin/python

Each peer stands with the interpreter that it is installed for, together with numpy, pandas, pydantic and attrs. Every
project lies in the same folder for both sides, as an edit would leave it. Each side is a process of its own under its
own hash seed. An engine that finds the entry of the first side for the second has taken the two for one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from entrepot_test_pairs import Pair, all_pairs, write_side  # noqa: E402  found by the line above

NAMES = {"entrepot": "Entrepot", "prefect": "Prefect", "joblib": "joblib", "redun": "redun", "hamilton": "Hamilton"}
VERDICTS = ("right", "wrong hit", "false miss", "refused", "not asked")
_MINUTES = 15


def ask(engine: str, python: str, folders: tuple[Path, Path], seed: int) -> dict[str, Any]:
    """Return an engine's answers to one side."""
    projects, store = folders
    answers = store.parent / f"{store.name}-{seed}.json"
    environment = os.environ | {
        "PYTHONHASHSEED": str(seed),
        "PYTHONPATH": str(ROOT / "src") if engine == "entrepot" else "",
        "ENTREPOT_HOME": str(store / "home"),
        "PREFECT_HOME": str(store / "home"),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "HAMILTON_TELEMETRY_ENABLED": "false",
    }
    command = [python, str(Path(__file__).with_name("sides.py")), engine, str(projects), str(store), str(answers)]
    subprocess.run(command, env=environment, check=True, timeout=_MINUTES * 60, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads(answers.read_text(encoding="utf-8"))
    return found


def verdict(pair: Pair, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return how an engine did with a pair."""
    if "skipped" in before or "skipped" in after:
        return "not asked"
    if "refused" in before or "refused" in after:
        return "refused"
    is_same = before["token"] == after["token"]
    if is_same == (pair.must == "agree"):
        return "right"
    return "wrong hit" if is_same else "false miss"


def judged(pairs: Sequence[Pair], engines: Mapping[str, str]) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    """Return every engine's verdicts in the order of the pairs, and what was installed for it."""
    sides: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        projects = Path(scratch) / "projects"
        for seed, side in enumerate(("before", "after"), start=1):
            shutil.rmtree(projects, ignore_errors=True)
            for number, pair in enumerate(pairs):
                write_side(projects / f"{number:04}", getattr(pair, side))
            sides.append(
                {
                    engine: ask(engine, python, (projects, Path(scratch) / engine), seed)
                    for engine, python in engines.items()
                }
            )
    before, after = sides
    verdicts = {
        engine: [
            verdict(pair, before[engine]["answers"][f"{number:04}"], after[engine]["answers"][f"{number:04}"])
            for number, pair in enumerate(pairs)
        ]
        for engine in engines
    }
    return verdicts, {engine: before[engine]["versions"] for engine in engines}


def cell(verdicts: Sequence[str]) -> str:
    """Return a chapter's verdicts for one engine: how many are right, and what the others are."""
    count = Counter(verdicts)
    asked = len(verdicts) - count["not asked"]
    if not asked:
        return "-"
    others = [f"{count[name]} {name}" for name in VERDICTS[1:4] if count[name]]
    return f"{count['right']}" + (f" ({', '.join(others)})" if others else "")


def table(pairs: Sequence[Pair], verdicts: Mapping[str, Sequence[str]], versions: Mapping[str, Any]) -> str:
    """Return the tables, as Markdown."""
    engines = list(verdicts)
    titles = [f"{NAMES[engine]} {_version(versions[engine])}" for engine in engines]
    lines = [f"| | {' | '.join(titles)} |", f"|---|{'---:|' * len(engines)}"]
    counts = {engine: Counter(verdicts[engine]) for engine in engines}
    lines += [f"| {name} | {' | '.join(str(counts[engine][name]) for engine in engines)} |" for name in VERDICTS]
    lines += ["", f"| pairs about | pairs | {' | '.join(NAMES[engine] for engine in engines)} |"]
    lines.append(f"|---|---:|{'---|' * len(engines)}")
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        chosen = [number for number, pair in enumerate(pairs) if pair.kind == kind]
        cells = [cell([verdicts[engine][number] for number in chosen]) for engine in engines]
        lines.append(f"| {kind} | {len(chosen)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _version(versions: Mapping[str, str]) -> str:
    name = next(name for name in versions if name not in {"python", "numpy", "pandas", "pydantic", "attrs"})
    return versions[name]


def main() -> None:
    """Ask, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help=", ".join(NAMES))
    parser.add_argument("--verdicts", type=Path, metavar="FILE", help="write each pair's verdicts, as JSON")
    options = parser.parse_args()
    engines = {"entrepot": sys.executable} | dict(one.split("=", 1) for one in options.peer)
    pairs = all_pairs()
    verdicts, versions = judged(pairs, engines)
    print(table(pairs, verdicts, versions))
    print("\nInstalled:", *(f"\n{NAMES[engine]}: {versions[engine]}" for engine in engines))
    if options.verdicts:
        named = {
            pair.title: {engine: verdicts[engine][number] for engine in engines} for number, pair in enumerate(pairs)
        }
        options.verdicts.write_text(json.dumps(named, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
