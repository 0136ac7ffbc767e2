"""The names that a store knows, for who mistyped one: of tasks, of flows, of tags."""

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from entrepot.results.lookup import Lookup

__all__ = ["KnownNames", "nearest_names"]

_MOST: Final = 10_000  # of one kind; who has more tasks than that has made names for them
_SHOWN: Final = 3
_FEW: Final = 8


class KnownNames:
    """Takes note of the names that results go by, as they are looked through."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._names: dict[str, set[str]] = {"task": set(), "flow": set(), "tag": set()}

    def noted(self, looks: Iterable[Lookup]) -> Iterator[Lookup]:
        """Yield results, and take note of their names."""
        for found in looks:
            record = found.record
            if record is not None:
                self._add("task", record.task.get("name", ""))
                self._add("flow", record.about.get("flow", ""))
                for note in record.about:
                    if note.startswith("tag:"):
                        self._add("tag", note.removeprefix("tag:"))
                if len(self._keys) < _MOST:
                    self._keys.add(record.task.get("key", ""))
            yield found

    def hint(self, *, task: str | None, flow: str | None, tags: Collection[str]) -> str:
        """Return what may have been meant instead of names that no result goes by; "" if all are known.

        Args:
            task: The name or key of a task that was asked for.
            flow: The name of a flow that was.
            tags: The tags that were.
        """
        asked = [("task", task), ("flow", flow), *(("tag", tag) for tag in tags)]
        said = []
        for kind, name in asked:
            known = self._names[kind]
            if name is None or name in known or (kind == "task" and name in self._keys):
                continue
            near = nearest_names(name, known)
            if not near and 0 < len(known) <= _FEW:
                near = f"; known: {', '.join(sorted(known))}"
            said.append(f"no result is of {'a' if kind == 'tag' else 'the'} {kind} {name!r}{near}")
        return "; ".join(said)

    def _add(self, kind: str, name: str) -> None:
        if name and len(self._names[kind]) < _MOST:
            self._names[kind].add(name)


def nearest_names(wanted: str, known: Collection[str]) -> str:
    """Return a hint at the known names that come nearest to one, for the end of a message; "" if none is near."""
    low = {name.lower(): name for name in sorted(known)}
    asked = wanted.lower()
    near = [name for lowered, name in low.items() if asked in lowered][:_SHOWN] if asked else []
    near = near or [low[found] for found in get_close_matches(asked, list(low), n=_SHOWN)]
    if not near:
        return ""
    *first, last = map(repr, near)
    return f"; did you mean {', '.join(first)}{' or ' if first else ''}{last}?"
