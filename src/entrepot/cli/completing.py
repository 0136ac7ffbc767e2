"""What a shell offers at TAB: names of block types, blocks and runs.

A person waits for it at every key press, so what is asked for most is answered here, before the command line is made,
and nothing is opened: types come from the metadata of packages, blocks from the listing of their stores. Where that
cannot be had nothing is offered; a shell has no place for errors. What is offered is plain words: some shells evaluate
what they are told.

A store on another machine, or one that a block describes, is listed by a process of its own, which is killed when it
takes too long: a thread that waits for a network cannot be, and would keep the shell waiting at the end.
"""

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess

__all__ = ["answer", "block_names", "block_types", "list_store", "run_names"]

_MOST: Final = 500  # names that are offered
_PATIENCE: Final = 3.0  # seconds in which a store on another machine has to answer
_NEAR: Final = ("file://", "local://", "memory://")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_ZSH: Final = "complete_zsh"
_BASH: Final = "complete_bash"
_FISH: Final = "complete_fish"


def answer() -> bool:
    """Answer a shell that completes a name; return False if it asks nothing, or something else.

    The rest (commands, options) is completed by the command line itself.
    """
    instruction = os.environ.get("_ENTREPOT_COMPLETE", "")
    if instruction not in {_BASH, _ZSH, _FISH}:
        return False
    words, incomplete = _words()
    finder = _FINDERS.get(tuple(words[1:]))
    if finder is None or incomplete.startswith("-"):
        return False
    names = finder(incomplete)
    if instruction == _FISH and os.environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args":
        sys.exit(0 if names else 1)  # it asks first whether it will be offered anything
    if instruction == _ZSH:
        offered = "\n".join(f'"{name}"' for name in names)
        print(f"_arguments '*: :(({offered}))'" if names else "")  # noqa: T201  the shell reads it
    else:
        print("\n".join(names))  # noqa: T201  as above
    return True


def block_types(incomplete: str) -> list[str]:
    """Return the types that begin so."""
    try:
        from entrepot.plugins import BLOCKS  # noqa: PLC0415  only a shell that completes pays for it

        return _offered(BLOCKS.names(), incomplete)
    except Exception:  # noqa: BLE001  see above
        return []


def block_names(incomplete: str) -> list[str]:
    """Return the blocks of the team and one's own that begin so, as `type/name`; else the names that only one has."""
    try:
        found = _saved()
    except Exception:  # noqa: BLE001  as above
        return []
    names = [each.partition("/")[2] for each in found]
    whole = _offered(found, incomplete)
    return whole or _offered((name for name in names if names.count(name) == 1), incomplete)


def run_names(incomplete: str) -> list[str]:
    """Return the names of the newest flow runs that begin so."""
    try:
        from entrepot.runs import RunHistory, default_path  # noqa: PLC0415  as above

        found = RunHistory(default_path()).list(limit=_MOST)
        return _offered((run.name or "" for run in found), incomplete)
    except Exception:  # noqa: BLE001  as above
        return []


_OF_BLOCKS: Final = ("show", "edit", "check", "delete", "history", "diff", "rollback", "where")
_OF_RUNS: Final = ("show", "graph", "logs", "answer", "resume", "rerun")
_FINDERS: Final[Mapping[tuple[str, ...], Callable[[str], list[str]]]] = MappingProxyType(
    {
        ("block", "create"): block_types,
        ("block", "types"): block_types,
        **{("block", command): block_names for command in _OF_BLOCKS},
        **{("runs", command): run_names for command in _OF_RUNS},
    }
)


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete) and _PLAIN.fullmatch(name)][:_MOST]


def _saved() -> list[str]:
    """Return `type/name` of what is in the stores that answer in time, each once, sorted."""
    from entrepot import settings  # noqa: PLC0415  only a shell that completes pays for it

    now = settings.current()
    specs = dict.fromkeys([now.blocks_storage, *([] if now.blocks_team is None else [now.blocks_team])])
    slow = [spec for spec in specs if spec is not None and "://" in spec and not spec.startswith(_NEAR)]
    until = time.monotonic() + _PATIENCE
    running = [_start(spec) for spec in slow]
    found = {each for spec in specs if spec not in slow for each in list_store(spec)}
    for process in running:
        found.update(_said(process, until))
    return sorted(found)


def list_store(spec: str | None) -> list[str]:
    """Return `type/name` of what is saved in the store that a setting names; None stands for a folder of the home."""
    from entrepot import home, settings  # noqa: PLC0415  as above

    now = settings.current()
    try:
        if spec is not None and spec.startswith("block://"):
            from entrepot.blocks.shared import documents_at  # noqa: PLC0415  it opens a block: in another process

            return [f"{ref.slug}/{ref.name}" for ref in documents_at(spec, now).store.list()]
        from entrepot.blocks.document_store import StorageDocumentStore  # noqa: PLC0415  as above

        storage = home.blocks_storage(now) if spec is None else home.store_at(spec)
        return [f"{ref.slug}/{ref.name}" for ref in StorageDocumentStore(storage).list()]
    except Exception:  # noqa: BLE001  as above; another store may have something to offer
        return []


def _start(spec: str) -> "subprocess.Popen[str]":
    import subprocess  # noqa: PLC0415  only who has such a store pays for it

    code = "import sys; from entrepot.cli.completing import list_store as ls; print(*ls(sys.stdin.read()), sep=chr(10))"
    process = subprocess.Popen(  # noqa: S603  this interpreter; -P: what lies where somebody presses TAB is not imported
        [sys.executable, "-P", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    if process.stdin is not None:  # not an argument: the URL may have a password in it
        with contextlib.suppress(OSError), process.stdin:
            process.stdin.write(spec)
        process.stdin = None
    return process


def _said(process: "subprocess.Popen[str]", until: float) -> list[str]:
    """Return the lines that a process prints by then; one that is late is killed."""
    import subprocess  # noqa: PLC0415  as above

    try:
        return process.communicate(timeout=max(until - time.monotonic(), 0))[0].split()
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return []


def _words() -> tuple[list[str], str]:
    """Return the words before the one that is completed, and that: as bash tells them, or zsh and fish."""
    given = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", ""))
    words = given.split()
    at = os.environ.get("COMP_CWORD", "")
    count = int(at) if at.isdecimal() else len(words) - (not given.endswith(" "))
    return words[:count], words[count] if 0 <= count < len(words) else ""
