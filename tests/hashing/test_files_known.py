"""The short cut for files that look as they did when they were read: it saves time, and is never wrong."""

import contextlib
import mmap
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import Dir, File
from entrepot.hashing import _contents, _known_files

SIZE = 300_000


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    """Return the sizes of the files that are really read."""
    found: list[int] = []
    read = _contents._read

    def counted(descriptor: int, size: int) -> bytes:
        found.append(size)
        return read(descriptor, size)

    monkeypatch.setattr(_contents, "_read", counted)
    return found


@pytest.fixture
def settled(monkeypatch) -> None:
    """Let files be remembered however young they are, and wherever they lie: what is tested is everything else."""
    monkeypatch.setattr(_known_files, "_SETTLED", -(10**18))
    monkeypatch.setattr(_known_files, "file_system", lambda _: "ext4")


@pytest.fixture
def large(tmp_path) -> Path:
    path = tmp_path / "data" / "large"
    path.parent.mkdir()
    path.write_bytes(b"a" * SIZE)
    return path


def place() -> Path:
    return Path(os.environ["ENTREPOT_HOME"]) / "files.db"


@pytest.mark.usefixtures("settled")
class TestShortCut:
    def test_a_file_that_has_not_changed_is_read_once(self, large, reads):
        first = File(large).digest
        assert File(large).digest == first
        assert reads == [SIZE]

    def test_that_holds_in_other_processes(self, large, reads):
        before = File(large).digest
        script = (
            "import sys\nfrom entrepot import File\nfrom entrepot.hashing import _contents, _known_files\n"
            "_known_files.file_system = lambda _: 'ext4'\n_contents._read = None\nprint(File(sys.argv[1]).digest)"
        )
        ran = subprocess.run([sys.executable, "-c", script, large], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == before

    def test_names_that_are_no_text_are_names_too(self, large, reads):
        odd = large.rename(os.fsdecode(os.fsencode(large) + b"\xff"))
        assert File(odd).digest == File(odd).digest
        assert reads == [SIZE]

    def test_files_in_folders_take_it_too(self, large, reads):
        assert Dir(large.parent).digest == Dir(large.parent).digest
        assert reads.count(SIZE) == 1

    def test_small_files_are_always_read(self, tmp_path, reads):
        (tmp_path / "small").write_bytes(b"x")
        assert File(tmp_path / "small").digest == File(tmp_path / "small").digest
        assert reads == [1, 1]
        assert not place().exists()

    def test_a_file_of_the_same_size_and_time_is_read_again_if_it_was_written_to(self, large, reads):
        before, look = File(large).digest, large.stat()
        large.write_bytes(b"b" * SIZE)
        os.utime(large, ns=(look.st_atime_ns, look.st_mtime_ns))
        assert File(large).digest != before
        assert reads == [SIZE, SIZE]

    def test_a_file_that_was_put_in_its_place_is_read(self, large, reads, tmp_path):
        before, look = File(large).digest, large.stat()
        other = tmp_path / "other"
        other.write_bytes(b"b" * SIZE)
        os.utime(other, ns=(look.st_atime_ns, look.st_mtime_ns))
        other.replace(large)
        assert File(large).digest != before

    def test_a_file_that_was_touched_is_read_again_and_is_the_same(self, large, reads):
        before = File(large).digest
        os.utime(large)
        assert File(large).digest == before
        assert reads == [SIZE, SIZE]

    def test_a_file_that_changes_while_it_is_read_is_not_remembered(self, large, monkeypatch):
        read = _contents._read

        def disturbed(descriptor: int, size: int) -> bytes:
            digest = read(descriptor, size)
            large.write_bytes(b"b" * SIZE)
            return digest

        monkeypatch.setattr(_contents, "_read", disturbed)
        before = File(large).digest
        monkeypatch.setattr(_contents, "_read", read)
        assert File(large).digest != before

    def test_a_link_that_leads_elsewhere_now_is_read(self, large, tmp_path):
        (tmp_path / "other").write_bytes(b"b" * SIZE)
        link = tmp_path / "link"
        link.symlink_to(large)
        before = File(link).digest
        link.unlink()
        link.symlink_to("other")
        assert File(link).digest != before

    def test_only_the_owner_can_read_what_is_remembered(self, large):
        File(large).digest  # noqa: B018  the reading is what counts
        assert place().stat().st_mode & 0o77 == 0

    def test_the_oldest_are_forgotten_where_there_are_many(self, tmp_path, monkeypatch, reads):
        monkeypatch.setattr(_known_files, "_MOST", 10)
        for n in range(12):
            (tmp_path / f"{n}").write_bytes(b"%d" % n * SIZE)
            File(tmp_path / f"{n}").digest  # noqa: B018  the reading is what counts
        with contextlib.closing(sqlite3.connect(place())) as connection:
            names = {Path(os.fsdecode(row[0])).name for row in connection.execute("SELECT path FROM files")}
        assert len(names) <= 10
        assert "11" in names
        assert "0" not in names

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: path.write_bytes(b"no database" * 1000),
            lambda path: path.write_bytes(b""),
            lambda path: path.unlink(),
            lambda path: (path.unlink(), path.mkdir()),
        ],
    )
    def test_where_it_is_lost_or_damaged_files_are_read(self, large, reads, spoil):
        before = File(large).digest
        for suffix in ("-wal", "-shm"):
            Path(f"{place()}{suffix}").unlink(missing_ok=True)
        spoil(place())
        assert [File(large).digest for _ in range(3)] == [before] * 3
        assert len(reads) >= 2

    def test_after_damage_it_is_made_anew(self, large, reads):
        File(large).digest  # noqa: B018  the reading is what counts
        place().write_bytes(b"no database" * 1000)
        assert File(large).digest == File(large).digest
        assert len(reads) == 2

    @pytest.mark.parametrize("column", ["digest", "look", "path"])
    def test_a_row_that_does_not_fit_is_not_believed(self, large, tmp_path, column):
        (tmp_path / "other").write_bytes(b"b" * SIZE)
        digest, other = File(large).digest, File(tmp_path / "other").digest
        with contextlib.closing(sqlite3.connect(place())) as connection, connection:
            if column == "path":
                connection.execute("DELETE FROM files WHERE path = ?", (os.fsencode(large),))
                connection.execute("UPDATE files SET path = ?", (os.fsencode(large),))
                connection.execute("UPDATE files SET look = ?", (str(_known_files.Look.of(large.stat())),))
            else:
                names = (os.fsencode(tmp_path / "other"), os.fsencode(large))
                from_other = f"SELECT {column} FROM files WHERE path = ?"
                connection.execute(f"UPDATE files SET {column} = ({from_other}) WHERE path = ?", names)
        assert (File(large).digest, File(tmp_path / "other").digest) == (digest, other)

    def test_many_threads_agree(self, large):
        found: list[str] = []
        threads = [threading.Thread(target=lambda: found.append(File(large).digest)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [File(large).digest] * 8

    def test_many_processes_agree(self, large):
        script = (
            "import sys\nfrom entrepot import File\nfrom entrepot.hashing import _known_files\n"
            "_known_files.file_system = lambda _: 'ext4'\n_known_files._SETTLED = -10**18\n"
            "print(*{File(sys.argv[1]).digest for _ in range(20)})"
        )
        command = [sys.executable, "-c", script, str(large)]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        assert {process.communicate()[0].strip() for process in processes} == {File(large).digest}
        assert not any(process.returncode for process in processes)


class TestWhenItIsNotTrusted:
    def test_a_young_file_is_not_remembered(self, large, reads):
        assert File(large).digest == File(large).digest
        assert reads == [SIZE, SIZE]

    def test_the_time_of_modification_alone_does_not_make_it_old(self, large, reads):
        os.utime(large, (1, 1))
        assert File(large).digest == File(large).digest
        assert reads == [SIZE, SIZE]

    def test_a_file_of_the_future_is_not_remembered(self, large, reads, monkeypatch):
        monkeypatch.setattr(_known_files, "file_system", lambda _: "ext4")
        os.utime(large, (time.time() + 1e6, time.time() + 1e6))
        assert not _known_files.Look.of(large.stat()).is_settled(time.time_ns() + 10**10)
        assert File(large).digest == File(large).digest
        assert reads == [SIZE, SIZE]

    @pytest.mark.usefixtures("settled")
    @pytest.mark.parametrize("kind", ["tmpfs", "nfs4", "overlay", "zfs", "fuse.sshfs", ""])
    def test_file_systems_that_do_not_note_every_change_are_not_trusted(self, large, reads, monkeypatch, kind):
        monkeypatch.setattr(_known_files, "file_system", lambda _: kind)
        assert File(large).digest == File(large).digest
        assert reads == [SIZE, SIZE]

    def test_file_systems_are_told_by_their_device(self):
        assert _known_files.file_system(Path("/proc").stat().st_dev) == "proc"
        assert _known_files.file_system(os.makedev(4000, 77)) == ""

    def test_a_change_through_memory_is_seen(self, large, monkeypatch):
        """Nothing is taken for granted here but the wait: wherever this runs, the file's digest is the right one."""
        monkeypatch.setattr(_known_files, "_SETTLED", 0)
        with large.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as memory:
            for turn in range(3):
                memory[turn * 5000] = ord("b")
                content = bytes(memory)
                time.sleep(0.02)  # longer than a tick of the kernel's clock: the file counts as settled
                wait_for_a_tick(large)
                for _ in range(2):
                    assert File(large).digest == _contents_of(content), f"turn {turn}"


def wait_for_a_tick(path: Path) -> None:
    """Wait until files get a later time than this one has, also where the kernel's clock is late."""
    probe = path.with_name("probe")
    while True:
        probe.touch()
        found = probe.stat().st_ctime_ns
        probe.unlink()
        if found > path.stat().st_ctime_ns:
            return
        time.sleep(0.001)


def _contents_of(content: bytes) -> str:
    from blake3 import blake3  # noqa: PLC0415  one line

    return blake3(content).hexdigest()


@pytest.mark.usefixtures("settled")
@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["write", "append", "replace", "restore", "touch", "rename", "map"]), max_size=6))
def test_whatever_happens_to_a_file_its_digest_is_that_of_its_content(tmp_path_factory, steps):
    base = tmp_path_factory.mktemp("law")
    path, other = base / "file", base / "other"
    path.write_bytes(b"a" * SIZE)
    for n, step in enumerate(steps):
        look = path.stat()
        fill = b"%d" % (n % 10)
        if step in {"write", "restore"}:
            path.write_bytes(fill * SIZE)
            if step == "restore":
                os.utime(path, ns=(look.st_atime_ns, look.st_mtime_ns))
        elif step == "append":
            with path.open("ab") as opened:
                opened.write(fill)
        elif step == "replace":
            other.write_bytes(fill * SIZE)
            other.replace(path)
        elif step == "touch":
            os.utime(path)
        elif step == "rename":
            path.rename(other)
            other.rename(path)
        else:
            with path.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as memory:
                memory[n] = fill[0]
        time.sleep(0.012)  # a tick of the kernel's clock: what comes sooner is what `_SETTLED` is there for
        wait_for_a_tick(path)
        assert File(path).digest == _contents_of(path.read_bytes())
