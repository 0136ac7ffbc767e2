"""Where the runs of one process meet that want the same result: a table of keys, and who computes each.

One of them leads. The others wait for its bell, and look again then.
"""

import os
import threading
from collections.abc import Callable

from entrepot._stops import Bell, wait_until
from entrepot.results.patience import Patience

__all__ = ["Seat"]


class _Entry:
    """One key that somebody in this process looks at."""

    __slots__ = ("bells", "ended", "leader", "users", "vain")

    def __init__(self) -> None:
        self.users = 0
        self.ended = 0  # how many have led
        self.vain = 0  # for how many computations that came to nothing those count
        self.leader: Seat | None = None
        self.bells: list[Bell] = []


_lock = threading.Lock()  # guards the table, and what is in it
# By what a place is called. Two threads may have opened it each for itself; and where two places have one name, to wait
# for an equal call in the other one costs time, and nothing else.
_entries: dict[tuple[str, str], _Entry] = {}


class Seat:
    """One run's place among those that want the same result.

    Args:
        place: The store and the path of the result.
        run_id: Of the run.
        describe: Returns the run, its process and the time, for people.

    Attributes:
        run_id: As given.
        bell: Rings when it may be time to look again.
        is_off: Whether it has been closed.
        who: Whom those who wait for this one wait for: the run itself, or another that this one waits for.
    """

    def __init__(self, place: tuple[str, str], run_id: str, describe: Callable[[], str]) -> None:
        self._place = place
        self._describe = describe
        self._entry: _Entry | None = None
        self._from = 0
        self.run_id = run_id
        self.bell = Bell()
        self.is_off = False
        self.who = ""

    def enter(self) -> int:
        """Note that this run looks at the key; return how many have led since somebody did."""
        with _lock:
            if self.is_off:
                return 0
            if self._entry is None:
                entry = _entries.setdefault(self._place, _Entry())
                entry.users += 1
                self._entry, self._from = entry, entry.vain
            return self._entry.ended

    @property
    def ended(self) -> int:
        """As `enter` returned it, now."""
        with _lock:
            return 0 if self._entry is None else self._entry.ended

    @property
    def vain(self) -> int:
        """For how many computations those count that came to nothing since this run entered."""
        with _lock:
            return 0 if self._entry is None else self._entry.vain - self._from

    def lead(self) -> "Seat | None":
        """Be the one in this process, unless there is one; return who is; None where this one is off."""
        with _lock:
            entry = self._entry
            if entry is None or self.is_off:
                return None
            if entry.leader is None:
                entry.leader = self
                self.who = self._describe()
            elif entry.leader is not self:
                entry.bells.append(self.bell)
            return entry.leader

    def wait(self, leader: "Seat | None", patience: Patience) -> None:
        """Wait until the one that leads does so no more, or this one is off.

        Raises:
            Exception: What patience raises when it ends.
        """
        entry = self._entry
        if entry is None or leader is None:
            return
        while not wait_until(
            lambda: self.is_off or self.bell not in entry.bells, self.bell, patience.most(), heeds=True
        ):
            patience.look(leader.who)

    def end(self, vain: int = 0) -> None:
        """Lead no more, tell those who wait, and leave.

        Args:
            vain: For how many computations that came to nothing it counts.
        """
        with _lock:
            entry = self._entry
            if entry is not None and entry.leader is self:
                entry.leader = None
                entry.ended += 1
                entry.vain += vain
                bells, entry.bells = entry.bells, []
                for bell in bells:
                    bell.ring()
        self.leave()

    def leave(self) -> None:
        """Look at the key no more."""
        with _lock:
            entry, self._entry = self._entry, None
            if entry is None:
                return
            if self.bell in entry.bells:
                entry.bells.remove(self.bell)
            entry.users -= 1
            if entry.users == 0 and _entries.get(self._place) is entry:
                del _entries[self._place]

    def close(self) -> None:
        """See that this one waits no more, and never again. `end` is still to be called."""
        with _lock:
            self.is_off = True
        self.bell.ring()


def _after_fork_in_child() -> None:
    """Wait for nobody who stayed in the parent."""
    global _lock  # noqa: PLW0603  another thread may have held it
    _lock = threading.Lock()
    _entries.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
