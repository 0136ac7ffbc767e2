"""Saved blocks in a local home: `python blocks.py [PYTHON_WITH_PREFECT]`.

Given are medians: `Secret.load` in a process that has loaded it before (`load_milliseconds`; and
`load_cpu_milliseconds`, by time of the processor, which a busy machine spoils less); whole processes that load
one secret, print its length and exit, from `fork` to `wait` (`process_seconds`, and by time of the processor
`process_cpu_seconds`), beside an interpreter that does nothing (`interpreter_seconds`); a listing of 10,000 documents
(`list_seconds`), of which every tenth has three versions. With the interpreter of an environment that has Prefect also
the same process there (`prefect_seconds`): it starts Prefect's own server, as a laptop does, with a home that has its
database already.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from _measure import give, rounds

import entrepot
from entrepot import home
from entrepot.blocks import Block, Secret, StorageDocumentStore
from entrepot.protocols.documents import DocumentRef
from entrepot.storage import LocalStorage

LOADS = 200
PROCESSES = 15
DOCUMENTS = 10_000

LOAD = "from entrepot.blocks import Secret; print(len(Secret.load('api-key').get()))"
PREFECT_SAVE = "from prefect.blocks.system import Secret; Secret(value='of the benchmark').save('api-key')"
PREFECT_LOAD = "from prefect.blocks.system import Secret; print(len(Secret.load('api-key').get()))"


def processes(python: str, program: str, count: int, **environment: str) -> tuple[float, float]:
    """Return the median seconds of processes, and the median seconds of processor time."""
    whole, cpu = [], []
    for _ in range(count + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([python, "-c", program], check=True, capture_output=True, env={**os.environ, **environment})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole.append(time.perf_counter() - start)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(whole[1:]), median(cpu[1:])


def fill(folder: Path) -> None:
    """Write documents as a store has them; their bytes are never read by a listing."""
    for number in range(DOCUMENTS):
        for version in range(1, 4 if number % 10 == 0 else 2):
            path = folder / f"secret/name-{number}/{version:08d}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"{}")


def main() -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ENTREPOT_HOME"] = folder
        source = str(Path(entrepot.__file__).parents[1])
        Secret(value="of the benchmark").save("api-key")

        def many() -> None:
            for _ in range(LOADS):
                Secret.load("api-key")

        load = rounds({"load": many}, count=9)["load"] / LOADS
        before = time.process_time()
        many()
        load_cpu = (time.process_time() - before) / LOADS
        seconds, cpu = processes(sys.executable, LOAD, PROCESSES, PYTHONPATH=source)
        nothing, _ = processes(sys.executable, "pass", PROCESSES)
        fill(home.home_path() / "blocks")
        store = StorageDocumentStore(LocalStorage(home.home_path() / "blocks"))
        found: list[DocumentRef] = []

        def listing() -> None:
            found[:] = store.list()

        listed = rounds({"store": listing, "names": Block.list}, count=5)
        assert len(found) == DOCUMENTS + 1
        figures = {
            "load_milliseconds": round(1000 * load, 3),
            "load_cpu_milliseconds": round(1000 * load_cpu, 3),
            "process_seconds": round(seconds, 3),
            "process_cpu_seconds": round(cpu, 3),
            "interpreter_seconds": round(nothing, 3),
            "list_seconds": round(listed["store"], 3),
            "list_blocks_seconds": round(listed["names"], 3),
        }
    if len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as folder:
            environment = {"PREFECT_HOME": folder, "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
            subprocess.run(
                [sys.argv[1], "-c", PREFECT_SAVE], check=True, capture_output=True, env={**os.environ, **environment}
            )
            theirs, _ = processes(sys.argv[1], PREFECT_LOAD, 3, **environment)
        figures |= {"prefect_seconds": round(theirs, 2), "times_faster": round(theirs / seconds, 1)}
    give(**figures, load_average=round(os.getloadavg()[0], 1))


if __name__ == "__main__":
    main()
