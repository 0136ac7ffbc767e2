"""What a shell offers at TAB: names of block types, blocks and runs.

A person waits for it at every key press, so what is asked for most is answered here, before the command line is made,
and nothing is opened: types come from the metadata of packages, blocks from the listing of their store. Where that
cannot be had nothing is offered; a shell has no place for errors. What is offered is plain words: some shells evaluate
what they are told.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["answer", "block_names", "block_types", "run_names"]

_MOST: Final = 500  # names that are offered
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
    """Return the saved blocks that begin so, as `type/name`; where none does, the names alone that only one has."""
    try:
        from entrepot import home, settings  # noqa: PLC0415  as above
        from entrepot.blocks.document_store import StorageDocumentStore  # noqa: PLC0415  as above

        now = settings.current()
        spec = now.blocks_storage
        if spec is not None and spec.startswith("block://"):
            return []  # to load a block takes longer than a shell should wait
        storage = home.blocks_storage(now) if spec is None else home.store_at(spec)
        refs = list(StorageDocumentStore(storage).list())
    except Exception:  # noqa: BLE001  as above
        return []
    names = [ref.name for ref in refs]
    whole = _offered((f"{ref.slug}/{ref.name}" for ref in refs), incomplete)
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
        **{("block", command): block_names for command in _OF_BLOCKS},
        **{("runs", command): run_names for command in _OF_RUNS},
    }
)


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete) and _PLAIN.fullmatch(name)][:_MOST]


def _words() -> tuple[list[str], str]:
    """Return the words before the one that is completed, and that: as bash tells them, or zsh and fish."""
    given = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", ""))
    words = given.split()
    at = os.environ.get("COMP_CWORD", "")
    count = int(at) if at.isdecimal() else len(words) - (not given.endswith(" "))
    return words[:count], words[count] if 0 <= count < len(words) else ""
