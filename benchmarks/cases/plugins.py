"""One block type looked up where 300 distributions have plugins, in new processes: by hand, `python plugins.py`.

Each distribution has a metadata folder and a module, in a folder on `sys.path`. Given are medians of 15 processes: from
the start of the interpreter's own work to the class (`milliseconds`), of that the import of `entrepot.plugins`
(`import_milliseconds`), and the look-up with the plugin's module (`look_up_milliseconds`); and the same by time of the
processor, which a busy machine spoils less.
"""

import json
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


def install(folder: Path) -> None:
    """Write the distributions."""
    for number in range(DISTRIBUTIONS):
        (folder / f"acme_{number}.py").write_text("class Acme: ...\n")
        info = folder / f"acme_{number}-1.{number}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{number}\nVersion: 1.{number}\n")
        (info / "entry_points.txt").write_text(f"[entrepot.blocks]\nacme-{number} = acme_{number}:Acme\n")


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        program = PROGRAM.format(
            plugins=folder, entrepot=str(Path(entrepot.__file__).parents[1]), middle=DISTRIBUTIONS // 2
        )
        runs = []
        for _ in range(PROCESSES + 1):
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
            runs.append([float(figure) for figure in done.stdout.split()])
    names = (
        "milliseconds",
        "import_milliseconds",
        "look_up_milliseconds",
        "cpu_milliseconds",
        "look_up_cpu_milliseconds",
    )
    figures = {
        name: round(1000 * statistics.median(run[place] for run in runs[1:]), 2) for place, name in enumerate(names)
    }
    print(json.dumps({**figures, "distributions": DISTRIBUTIONS, "modules": runs[-1][-1]}))


if __name__ == "__main__":
    main()
