"""A disk that forgets: which folders a power cut may leave, for each moment of what a program did to a folder.

`Disk` records the system calls below one folder while the real program makes them on a real file system. From the
record it says which states POSIX allows after a crash at each moment:

- What was written to a file since its last fsync may be there, or missing, or there in part: cut at any multiple of
  512 bytes, or with zeros where some of its 512-byte sectors should be.
- Each name in a folder may be any of what it was since the last fsync of that folder, whatever became of its other
  names: renames may come in any order, half of one may come, and a file may have its name before it has its bytes.

That is weaker than what the usual file systems promise, so what survives it survives them. Of too many states, some
are drawn (by a seed), always among them: all is lost, all is kept, and just one thing is lost or kept.
"""

import functools
import itertools
import os
import random
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest

__all__ = ["Crash", "Died", "Disk", "Tree", "lay_out"]

SECTOR = 512
Tree: TypeAlias = tuple[tuple[str, bytes | None], ...]
"""What a folder holds: sorted pairs of path and content; None for a folder."""


class Died(BaseException):
    """The process is gone: nothing that it would still do reaches the disk."""


@dataclass(slots=True)
class File:
    durable: bytes = b""
    content: bytes = b""


@dataclass(slots=True)
class Folder:
    names: dict[str, list["File | Folder | None"]] = field(default_factory=dict)
    """Of each name all that it was since the folder was synced, the latest last; None for absent."""

    def get(self, name: str) -> "File | Folder | None":
        return self.names.get(name, [None])[-1]

    def set(self, name: str, what: "File | Folder | None") -> None:
        self.names.setdefault(name, [None]).append(what)


@dataclass(frozen=True, slots=True)
class Crash:
    """A state that a power cut may leave, and what the program had said until then.

    Attributes:
        tree: What is on the disk.
        said: What was acknowledged.
        at: How many system calls that change something were made.
    """

    tree: Tree
    said: tuple[Any, ...]
    at: int


class Disk:
    """The record of one folder.

    Args:
        root: The folder. All that is in it counts as durable.
        most: How many states of one moment are tried, at most.
        seed: Of the draw among more of them.
        links: Whether the file system has hard links.
    """

    def __init__(self, root: Path, *, most: int, seed: int = 0, links: bool = True) -> None:
        self.root = root
        self.calls = 0
        self.dies_at: int | None = None
        self._most = most
        self._dice = random.Random(seed)
        self._links = links
        self._lock = threading.RLock()
        self._said: list[Any] = []
        self._seen: dict[tuple[Tree, tuple[Any, ...]], int] = {}
        self._descriptors: dict[int, tuple[File | Folder, tuple[int, int]]] = {}
        self._top = self._loaded(root)

    def say(self, what: Any) -> None:
        """Acknowledge something: what a crash finds from now on has to hold it."""
        with self._lock:
            self._said.append(what)
            self._note()

    def forget(self) -> None:
        """Begin to count here: what could be found at earlier moments is of no interest. The page cache stays."""
        self._seen.clear()
        self.calls = 0
        self._note()

    def crashes(self) -> Iterator[Crash]:
        """Yield the states that differ."""
        for (tree, said), at in self._seen.items():
            yield Crash(tree, said, at)

    @contextmanager
    def recording(self) -> Iterator["Disk"]:
        """Record what this process does below the folder; at the call `dies_at` it dies."""
        self._note()
        with pytest.MonkeyPatch.context() as patch:
            for name in _CALLS:
                patch.setattr(os, name, functools.partial(self._called, name, getattr(os, name)))
            patch.setattr("entrepot.storage._renameat2.rename_exclusively", self._rename_exclusively)
            yield self
        self._descriptors.clear()

    # --- what the program does --------------------------------------------------------------------------------------

    def _called(self, name: str, real: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with self._lock:
            if self.dies_at is not None and self.calls >= self.dies_at:
                if name == "close":
                    return real(*args)  # the system does that for the dead, too
                raise Died
            self._gather()
            return getattr(self, f"_{name}")(real, *args, **options)

    def _open(self, real: Callable[..., int], path: Any, flags: int, mode: int = 0o777, *, dir_fd: Any = None) -> int:
        place = self._place(path, dir_fd)
        known = None if place is None else self._at(place)
        descriptor = real(path, flags, mode, dir_fd=dir_fd)
        self._descriptors.pop(descriptor, None)  # of one that was closed where we cannot see it
        if place is None:
            return descriptor
        assert not (flags & os.O_TRUNC and known), "the model knows no file that is cut short"
        if known is None:
            known = File()
            self._folder(place).set(place[-1], known)
            self._happened()
        status = os.fstat(descriptor)
        self._descriptors[descriptor] = (known, (status.st_dev, status.st_ino))
        return descriptor

    def _close(self, real: Callable[..., None], descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
        real(descriptor)

    def _write(self, real: Callable[..., int], descriptor: int, data: Any) -> int:
        written = real(descriptor, data)
        self._gather()
        return written

    _writev = _write

    def _fsync(self, _real: Callable[..., None], descriptor: int) -> None:
        os.fstat(descriptor)  # a descriptor it must be; nothing has to reach the disk below
        what = self._descriptors.get(descriptor, (None,))[0]
        if isinstance(what, File):
            what.durable = what.content
        elif isinstance(what, Folder):
            what.names = {name: was[-1:] for name, was in what.names.items() if was[-1] is not None}
        if what is not None:
            self._happened()

    def _mkdir(self, real: Callable[..., None], path: Any, mode: int = 0o777, *, dir_fd: Any = None) -> None:
        place = self._place(path, dir_fd)
        real(path, mode, dir_fd=dir_fd)
        self._put(place, Folder())

    def _link(
        self,
        real: Callable[..., None],
        src: Any,
        dst: Any,
        *,
        src_dir_fd: Any = None,
        dst_dir_fd: Any = None,
        **rest: Any,
    ) -> None:
        old, new = self._place(src, src_dir_fd), self._place(dst, dst_dir_fd)
        if old is not None and not self._links:
            raise PermissionError(1, "no hard links here")
        real(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **rest)
        self._put(new, None if old is None else self._at(old))

    def _replace(
        self, real: Callable[..., None], src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None
    ) -> None:
        old, new = self._place(src, src_dir_fd), self._place(dst, dst_dir_fd)
        real(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self._moved(old, new)

    _rename = _replace

    def _unlink(self, real: Callable[..., None], path: Any, *, dir_fd: Any = None) -> None:
        place = self._place(path, dir_fd)
        real(path, dir_fd=dir_fd)
        self._put(place, None)

    _remove = _rmdir = _unlink

    def _rename_exclusively(self, source: int, old: str, folder: int, new: str) -> None:
        with self._lock:
            places = self._place(old, source), self._place(new, folder)
            assert places[0] is not None
            assert places[1] is not None
            if self._at(places[1]) is not None:
                raise FileExistsError(17, "taken", new)
            os.replace(old, new, src_dir_fd=source, dst_dir_fd=folder)  # itself recorded

    # --- the model --------------------------------------------------------------------------------------------------

    def _moved(self, old: list[str] | None, new: list[str] | None) -> None:
        if old is not None and new is not None:
            self._folder(new).set(new[-1], self._at(old))
            self._put(old, None)

    def _put(self, place: list[str] | None, what: File | Folder | None) -> None:
        if place is not None:
            self._folder(place).set(place[-1], what)
            self._happened()

    def _gather(self) -> None:
        """Take in what was written by calls that are not made through `os` (Python's own files)."""
        for descriptor, (what, identity) in list(self._descriptors.items()):
            if not isinstance(what, File):
                continue
            try:
                status = os.fstat(descriptor)
            except OSError:
                status = None
            if status is None or (status.st_dev, status.st_ino) != identity:
                del self._descriptors[descriptor]  # closed without our knowing
            elif status.st_size != len(what.content):
                with open(f"/proc/self/fd/{descriptor}", "rb") as file:  # noqa: PTH123  `Path` opens by the same call
                    what.content = file.read()
                self._happened()

    def _place(self, path: Any, dir_fd: int | None) -> list[str] | None:
        """Return the names that lead to a path, from the root; None for what is elsewhere."""
        if dir_fd is None:
            full = os.path.abspath(os.fspath(path))  # noqa: PTH100  links stay: the real call follows them
        else:
            full = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), os.fspath(path))  # noqa: PTH115, PTH118  text
        inside = os.path.relpath(full, self.root)
        return None if inside.startswith("..") else [] if inside == "." else inside.split("/")

    def _at(self, place: list[str]) -> File | Folder | None:
        what: File | Folder | None = self._top
        for name in place:
            if not isinstance(what, Folder):
                return None
            what = what.get(name)
        return what

    def _folder(self, place: list[str]) -> Folder:
        folder = self._at(place[:-1])
        assert isinstance(folder, Folder)
        return folder

    def _loaded(self, path: Path) -> Folder:
        folder = Folder()
        for entry in path.iterdir():
            if entry.is_dir():
                folder.names[entry.name] = [self._loaded(entry)]
            else:
                data = entry.read_bytes()
                folder.names[entry.name] = [File(data, data)]
        return folder

    # --- what a crash may leave -------------------------------------------------------------------------------------

    def _happened(self) -> None:
        self.calls += 1
        self._note()

    def _note(self) -> None:
        """Note the states that a crash at this moment may leave."""
        choices: list[tuple[Any, list[Any]]] = []
        self._open_questions(self._top, choices, set())
        said = tuple(self._said)
        for picks in self._picks([len(options) for _, options in choices]):
            answers = {key: options[pick] for (key, options), pick in zip(choices, picks, strict=True)}
            self._seen.setdefault((tuple(sorted(_tree(self._top, "", answers))), said), self.calls)

    def _open_questions(self, folder: Folder, choices: list[tuple[Any, list[Any]]], known: set[int]) -> None:
        """Collect what is not decided: names, and contents of files, with the answers, the old first, the new last."""
        for name, was in folder.names.items():
            options = list({id(what): what for what in was}.values())
            if was[-1] is not options[-1]:  # it came back to what it was before: then that is the newest
                options = [*(what for what in options if what is not was[-1]), was[-1]]
            if len(options) > 1:
                choices.append(((id(folder), name), options))
            for what in options:
                if id(what) in known:
                    continue
                known.add(id(what))
                if isinstance(what, Folder):
                    self._open_questions(what, choices, known)
                elif what is not None and what.content != what.durable:
                    choices.append((id(what), _tears(what.durable, what.content)))

    def _picks(self, sizes: list[int]) -> Iterator[tuple[int, ...]]:
        total = 1
        for size in sizes:
            total *= size
        if total <= self._most:
            yield from itertools.product(*map(range, sizes))
            return
        lost, kept = [0] * len(sizes), [size - 1 for size in sizes]
        picks = {tuple(lost), tuple(kept)}
        for number, size in enumerate(sizes):
            for base in (lost, kept):
                for pick in {0, size // 2, size - 1}:
                    picks.add((*base[:number], pick, *base[number + 1 :]))
        while len(picks) < self._most:
            picks.add(tuple(self._dice.randrange(size) for size in sizes))
        yield from sorted(picks)


_CALLS = (
    *("close", "fsync", "link", "mkdir", "open", "remove", "rename", "replace", "rmdir", "unlink", "write", "writev"),
    *("fdatasync", "ftruncate", "pwrite", "pwritev", "symlink", "truncate", "copy_file_range", "sendfile"),
)


def _unknown(_disk: Disk, real: Callable[..., Any], *args: Any, **_options: Any) -> None:
    raise AssertionError(f"the model does not know {real} of {args}: teach it")


for _name in _CALLS:
    if not hasattr(Disk, f"_{_name}"):
        setattr(Disk, f"_{_name}", _unknown)


def _tears(old: bytes, new: bytes) -> list[bytes]:
    """Return what may be in a file whose content was `old` when it was synced and is `new` now."""
    found = [old]
    edges = range(SECTOR, len(new), SECTOR)
    found += [new[:edge] for edge in edges]
    grown = old + bytes(len(new) - len(old)) if len(new) > len(old) else new
    found.append(grown)  # it has its new size, and none of its bytes yet
    for edge in (0, *edges):
        found.append(new[:edge] + grown[edge : edge + SECTOR] + new[edge + SECTOR :])  # one sector is missing
        found.append(grown[:edge] + new[edge : edge + SECTOR] + grown[edge + SECTOR :])  # one sector is there
    found.append(new)
    last = {data: number for number, data in enumerate(found)}
    return sorted(last, key=lambda data: (data == new, data != old, last[data]))


def _tree(folder: Folder, start: str, answers: dict[Any, Any]) -> Iterator[tuple[str, bytes | None]]:
    for name, was in folder.names.items():
        what = answers.get((id(folder), name), was[-1])
        path = f"{start}{name}"
        if isinstance(what, Folder):
            yield path, None
            yield from _tree(what, f"{path}/", answers)
        elif what is not None:
            yield path, answers.get(id(what), what.content)


def lay_out(tree: Tree, folder: Path) -> None:
    """Make a folder hold a tree, and nothing else; all of it durable, and as private as what writes it makes it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for path, data in tree:
        place = f"{folder}/{path}"
        if data is None:
            os.mkdir(place, 0o700)  # noqa: PTH102  thousands of times
            continue
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)
