"""LocalStorage when the process is killed and when the disk is full, for real."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.errors import StorageFullError
from entrepot.storage import LocalStorage

# Writes numbered objects for ever: `put` over "same" and `create` of new ones, telling each that it was promised.
_WRITER = """
import itertools, sys
from entrepot.storage import LocalStorage
storage = LocalStorage(sys.argv[1])
sizes = [0, 1, 4095, 4096, 65536, 262143, 262144, 262145, 3_000_000]
for number in itertools.count(int(sys.argv[2])):
    size = sizes[number % len(sizes)]
    content = [b"%020d" % number, b"x" * size, b"%020d" % number]
    storage.put("same", content)
    storage.create(f"new/{number % 3}/{number}", content)
    print(number, flush=True)
"""


def number_of(content: bytes) -> int:
    """Check that an object is whole, and say which it is."""
    assert len(content) >= 40
    assert content[:20] == content[-20:]
    assert set(content[20:-20]) <= set(b"x")
    return int(content[:20])


def test_a_process_killed_while_writing_leaves_whole_objects_and_all_that_it_promised(tmp_path: Path) -> None:
    root = tmp_path / "root"
    storage = LocalStorage(root)
    randomness = random.Random(2)
    promised: list[int] = []
    for _ in range(12):
        start = max(promised, default=0) + 1000
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(root), str(start)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        # So that it is killed while it writes, not while it starts.
        promised += [int(writer.stdout.readline()) for _ in range(randomness.randint(1, 3))]
        time.sleep(randomness.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        promised += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        writer.wait()
        assert number_of(bytes(storage.get("same"))) >= max(promised)
        there = {number_of(bytes(storage.get(info.path))) for info in storage.list("new")}
        assert there >= set(promised)
    assert len(promised) > 12
    left = [path for path in root.rglob(".tmp-*") if path.stat().st_nlink == 1]
    assert len(left) <= 12  # what a killed writer had begun; no listing shows it
    assert not [info for info in storage.list() if ".tmp-" in info.path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("only root can make a small disk")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    made = subprocess.run(command, check=False, capture_output=True)
    if made.returncode != 0:
        pytest.skip("this root may not mount anything")
    yield folder
    subprocess.run([shutil.which("umount") or "umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_loses_nothing(small_disk: Path) -> None:
    storage = LocalStorage(small_disk / "root")
    storage.put("a/b", b"old" * 1000)
    for write in (lambda: storage.put("a/b", bytes(2_000_000)), lambda: storage.create("a/c", [bytes(700_000)] * 3)):
        with pytest.raises(StorageFullError, match="free some room") as caught:
            write()
        assert caught.value.location == str(small_disk / "root")
    assert storage.get("a/b") == b"old" * 1000
    assert [info.path for info in storage.list()] == ["a/b"]
    assert not list(small_disk.rglob(".tmp-*"))
    storage.put("a/b", bytes(500_000))
    assert storage.stat("a/b").size == 500_000


def test_a_limit_on_the_size_of_files_is_said_and_loses_nothing(tmp_path: Path) -> None:
    script = (
        "import sys, signal; from entrepot.storage import LocalStorage; from entrepot.errors import StorageFullError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "storage = LocalStorage(sys.argv[1]); storage.put('a', b'old')\n"
        "try: storage.put('a', [bytes(60_000)] * 3)\n"
        "except StorageFullError as error: print(type(error).__name__, storage.get('a'))"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-B", "-c", script, str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, preexec_fn=limit)
    assert done.stdout == "StorageFullError b'old'\n", done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a"]
