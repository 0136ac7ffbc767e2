"""The claims that this process holds, and the thread that renews them: one, and only while there are any.

No holder judges by a clock whether it still holds its claim: the store does, by the condition of each write.
"""

import atexit
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from entrepot.crypto.keyring import Keyring
from entrepot.errors import IntegrityError, ObjectChangedError, ObjectNotFoundError, StorageFullError, UnknownKeyError
from entrepot.protocols.storage import DeletesIf, SwapsConditionally
from entrepot.results.claims import Claim, is_claim, open_claim, seal_claim
from entrepot.results.record import MAX_RECORD_SIZE

__all__ = ["Lease", "give_back", "is_being_given_back", "renew_from_now_on"]

_logger = logging.getLogger("entrepot.results")

_BEATS: Final = 3  # in the time that a claim may stay as it is
_TRIES: Final = 3
_LAST: Final = 2.0  # seconds that the end of the process waits for claims to be given back


class Lease:
    """One claim, held.

    Args:
        storage: Where it is.
        path: The place of the record.
        claim: As it is there.
        tag: Of what is there; None if the claim may be there or not, since nobody said.
        standing: The record that was there before.
        keys: Returns the ring.
        restores: Whether that record is put back as it was if nothing comes of the claim: it can still be used.

    Attributes:
        standing: As given.
        vain: How many computations it counts as, for those who wait, if nothing comes of it.
        lost: Whether another object was found in its place.
        done: Whether the record took its place.
    """

    def __init__(
        self,
        storage: SwapsConditionally,
        path: str,
        claim: Claim,
        tag: str | None,
        *,
        standing: bytes,
        keys: Callable[[], Keyring],
        restores: bool = False,
    ) -> None:
        self._storage = storage
        self._path = path
        self._claim = claim
        self._tag = tag
        self.standing = standing
        self._keys = keys
        self._restores = restores
        self.vain = 1
        self._lock = threading.Lock()
        self.lost = False
        self.done = False
        self.due = time.monotonic() + claim.seconds / _BEATS

    @property
    def holder(self) -> str:
        """The id of who holds it."""
        return self._claim.holder

    def renew(self) -> None:
        """Change the claim, so that others see that its holder lives.

        Raises:
            StorageError: If the store does not answer; it may be renewed, or not.
        """
        self.due = time.monotonic() + self._claim.seconds / _BEATS
        if not self._lock.acquire(blocking=False):
            return  # its record is on the way: others are not to wait for that
        try:
            if self.done or self.lost:
                return
            self._claim = replace(self._claim, beat=self._claim.beat + 1)
            self._swap(seal_claim(self._claim, self._keys(), path=self._path, standing=self.standing))
        finally:
            self._lock.release()

    def commit(self, sealed: bytes) -> bool:
        """Put the record in the place of the claim, if that is still there; return whether it is in.

        Raises:
            StorageError: If the store does not answer; it can be tried again.
        """
        with self._lock:
            if not self.done and not self.lost:
                self.done = self._swap(sealed)
            return self.done

    def give_back(self) -> None:
        """Say that nothing comes of it, or put the record back that was there before.

        Raises:
            StorageError: If the store does not answer.
        """
        with self._lock:
            if self.done or self.lost:
                return
            old = self._claim
            freed = Claim("", old.fence, 0, old.seconds, "", old.run, old.vain + self.vain, old.who)
            restored = self._restores and self.standing
            try:
                self._swap(restored or seal_claim(freed, self._keys(), path=self._path, standing=self.standing))
            except StorageFullError:
                if self.standing or not isinstance(self._storage, DeletesIf):
                    raise
                # To take it away needs no room, and nobody waits then for somebody who gave up.
                with contextlib.suppress(ObjectNotFoundError):
                    found = bytes(self._storage.get_tagged(self._path)[0])
                    if self._is_ours(found):
                        self._storage.delete_if(self._path, found)
            self.lost = True  # nothing of this holder's comes after it

    def disown(self) -> None:
        """Never write again: this is a copy of the process that holds it, and not that process."""
        self._lock = threading.Lock()  # a thread that stayed behind may have held the other
        self.lost = True

    def _swap(self, data: bytes) -> bool:
        """Replace what is there, if it is this holder's; return whether it was."""
        for _ in range(_TRIES):
            if self._tag is not None:
                with contextlib.suppress(ObjectChangedError):
                    self._tag = self._storage.swap(self._path, data, self._tag)
                    return True
            # A write whose answer was lost, and which was repeated, says that of the object that it wrote.
            try:
                content, tag = self._storage.get_tagged(self._path, limit=MAX_RECORD_SIZE)
            except (ObjectNotFoundError, IntegrityError, UnknownKeyError):
                break
            found = bytes(content)
            if found == data:
                self._tag = tag
                return True
            if not self._is_ours(found):
                break
            self._tag = tag
        self.lost = True
        return False

    def _is_ours(self, data: bytes) -> bool:
        if not is_claim(data):
            return False
        try:
            claim = open_claim(data, self._keys(), path=self._path, location=self._path)
        except (IntegrityError, UnknownKeyError):
            return False
        return claim is not None and claim.holder == self._claim.holder


class _Heart:
    def __init__(self) -> None:
        self._bell = threading.Condition()
        self._held: set[Lease] = set()
        self._returned: list[Lease] = []
        self._returning: set[str] = set()  # the holders of those, until the store has answered
        self._thread: threading.Thread | None = None

    def add(self, lease: Lease) -> None:
        with self._bell:
            self._held.add(lease)
            self._wake()

    def give_back(self, lease: Lease) -> None:
        with self._bell:
            self._held.discard(lease)
            if not lease.done and not lease.lost:
                self._returned.append(lease)
                self._returning.add(lease.holder)
                self._wake()

    def is_returning(self, holder: str) -> bool:
        with self._bell:
            return holder in self._returning

    def disown_all(self) -> None:
        for lease in (*self._held, *self._returned):
            lease.disown()

    def give_all_back(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._bell:
            self._returned += self._held
            self._held.clear()
            thread = self._thread
            self._bell.notify()
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="entrepot-flights", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # too late in the life of the process: others wait until the claim counts as left
                self._thread = None
        else:
            self._bell.notify()

    def _work(self) -> None:
        while True:
            with self._bell:
                self._held = {lease for lease in self._held if not lease.done and not lease.lost}
                if not self._returned and not self._held:
                    self._thread = None
                    return
                now = time.monotonic()
                if not self._returned and (first := min(lease.due for lease in self._held)) > now:
                    self._bell.wait(first - now)
                    continue
                returned, self._returned = self._returned, []
                due = [lease for lease in self._held if lease.due <= now]
            for lease in returned:
                _try(lease.give_back, "given back; others wait until it counts as left behind")
                with self._bell:
                    self._returning.discard(lease.holder)
            for lease in due:
                _try(lease.renew, "renewed, and may be lost")


def _try(act: Callable[[], None], what: str) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001  the other claims are renewed whatever one store's library raises
        _logger.warning("the claim on a result could not be %s: %s", what, error)


_heart = _Heart()


def renew_from_now_on(lease: Lease) -> None:
    """Renew a lease until its record is in, it is lost, or it is given back."""
    _heart.add(lease)


def give_back(lease: Lease) -> None:
    """Give a lease back before long, unless its record is in; this does not wait for the store."""
    _heart.give_back(lease)


def is_being_given_back(holder: str) -> bool:
    """Return whether a claim is about to be given back by this process."""
    return _heart.is_returning(holder)


def _at_exit() -> None:
    _heart.give_all_back(_LAST)


def _after_fork_in_child() -> None:
    """Hold nothing: the thread, and what it renews, stayed in the parent.

    A task that forks may end in the child as well, by `sys.exit` say: what that gives back would be the parent's.
    """
    global _heart  # noqa: PLW0603  begun anew
    _heart.disown_all()
    _heart = _Heart()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
