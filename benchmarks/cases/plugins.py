"""One block type looked up where 300 distributions have plugins, in new processes: by hand, `python plugins.py`.

Each distribution has a metadata folder and a module, in a folder on `sys.path`. Given are medians of 15 processes: from
the start of the interpreter's own work to the class (`milliseconds`), of that the import of `entrepot.plugins`
(`import_milliseconds`), and the look-up with the plugin's module (`look_up_milliseconds`); and the same by time of the
processor, which a busy machine spoils less. All is compiled before, as it is from the second start of a program on:
`PYTHONDONTWRITEBYTECODE`, where it is set, is not passed on. `with_manifests_milliseconds` is the whole (and
`with_manifests_cpu_milliseconds`) where each of the distributions has a manifest.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import entrepot

DISTRIBUTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
PROCESSES = 15

PROGRAM = """
import sys, time
sys.path[:] = [{plugins!r}, *(entry for entry in sys.path if "site-packages" not in entry), {entrepot!r}]
start, cpu = time.perf_counter(), time.process_time()
from entrepot.plugins import BLOCKS
imported, imported_cpu = time.perf_counter(), time.process_time()
BLOCKS.get("acme-{middle}")
found, found_cpu = time.perf_counter(), time.process_time()
modules = [name for name in sys.modules if name.startswith("acme_")]
print(found - start, imported - start, found - imported, found_cpu - cpu, found_cpu - imported_cpu, len(modules))
"""


def install(folder: Path, *, manifests: bool) -> None:
    """Write the distributions."""
    for number in range(DISTRIBUTIONS):
        package = folder / f"acme_{number}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("class Acme: ...\n")
        info = folder / f"acme_{number}-1.{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{number}\nVersion: 1.{number}\n")
        points = f"[entrepot.blocks]\nacme-{number} = acme_{number}:Acme\n"
        if manifests:
            points += f"[entrepot.manifest]\nacme-{number} = acme_{number}\n"
            block = {f"acme-{number}": {"target": f"acme_{number}:Acme", "description": "A block."}}
            manifest = {"format": 1, "api": {"entrepot.blocks": 1}, "plugins": {"entrepot.blocks": block}}
            (package / "entrepot-manifest.json").write_text(json.dumps(manifest))
        (info / "entry_points.txt").write_text(points)


def measured(folder: Path, *, manifests: bool) -> list[list[float]]:
    """Return the figures of each process; the first compiles, and does not count."""
    install(folder / "site", manifests=manifests)
    program = PROGRAM.format(
        plugins=str(folder / "site"), entrepot=str(Path(entrepot.__file__).parents[1]), middle=DISTRIBUTIONS // 2
    )
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(folder / "compiled"), "ENTREPOT_HOME": str(folder / "home")}
    runs = []
    for _ in range(PROCESSES + 1):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        runs.append([float(figure) for figure in done.stdout.split()])
    return runs[1:]


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        runs = measured(Path(folder) / "plain", manifests=False)
        with_manifests = measured(Path(folder) / "manifests", manifests=True)
    names = (
        "milliseconds",
        "import_milliseconds",
        "look_up_milliseconds",
        "cpu_milliseconds",
        "look_up_cpu_milliseconds",
    )
    figures = {name: median(runs, place) for place, name in enumerate(names)}
    figures["with_manifests_milliseconds"] = median(with_manifests, 0)
    figures["with_manifests_cpu_milliseconds"] = median(with_manifests, 3)
    print(json.dumps({**figures, "distributions": DISTRIBUTIONS, "modules": runs[-1][-1]}))


def median(runs: list[list[float]], place: int) -> float:
    """Return the median of one figure in milliseconds."""
    return round(1000 * statistics.median(run[place] for run in runs), 2)


if __name__ == "__main__":
    main()
