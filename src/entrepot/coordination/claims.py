"""Claims on limits in the shared file: how they are made, granted and given back. Every function is one transaction.

Whoever finds no room looks whether those in the way still live (see `coordination.liveness`), so that what the dead
held is free at once; what a stopped process holds is free when its lease has ended. A lease that has ended while nobody
came for the slots goes on when its process does.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.coordination.database import reading, writing
from entrepot.coordination.deciding import Claim, Limit, Verdict, decide
from entrepot.coordination.leases import drop_dead, drop_expired_claims, has_swept
from entrepot.coordination.limits import keep_level, limits_by_name
from entrepot.coordination.liveness import forget, is_proven_dead, process_token
from entrepot.errors import LimitError

__all__ = ["Answer", "Request", "Standing", "attempt", "standings", "withdraw"]

WAITING_SECONDS: Final = 15.0
"""How long a place in the queue is kept for somebody who does not ask again."""

_NONE: Final[frozenset[str]] = frozenset()
_ENOUGH: Final = 10  # claims ahead that are looked at first


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants.

    Attributes:
        claim_id: A new one; the same in every attempt.
        wants: How many slots of which limits.
        rate: Whether they come back by themselves, and are not held.
        seconds: For how long a lease is given and renewed.
        around: The claims that the code around holds.
        run_id: The run that asks, or None.
        run_name: Its name.
    """

    claim_id: str
    wants: Mapping[str, int]
    rate: bool = False
    seconds: float = 30.0
    around: Sequence[str] = ()
    run_id: str | None = None
    run_name: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A claim as people see it.

    Attributes:
        claim_id: Tells it from every other.
        slots: How many of the limit that was asked about.
        granted: Whether it holds them, or waits.
        process_id: Whose it is.
        host: The machine, or container, of that process.
        run_id: The run that made it, or None.
        run_name: Its name.
        since: When it began to hold, or to wait, in UTC.
    """

    claim_id: str
    slots: int
    granted: bool
    process_id: int
    host: str
    run_id: str | None
    run_name: str | None
    since: datetime

    def __str__(self) -> str:
        run = f" (run {self.run_name!r})" if self.run_name else ""
        return f"process {self.process_id}{run}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt came to.

    Attributes:
        granted: Whether the slots are the caller's now, or nothing limits it.
        limited: The limits that count for it; none where no limit of these names is set, or active.
        seconds: When there will be room, where that is known.
        number: Its place: lower ones came earlier; None where nothing limits it.
        ahead: How many go first; where they are many, those who wait for other limits are counted, too.
        short: The limits that have no room, each with how many slots it has, and if that was asked for, who holds some.
    """

    granted: bool
    limited: Sequence[str] = ()
    seconds: float | None = None
    number: int | None = None
    ahead: int = 0
    short: Mapping[str, tuple[int, Sequence[Standing]]] = field(default_factory=dict)


def attempt(path: Path, request: Request, *, explain: bool = True, clock: Clock = SYSTEM_CLOCK) -> Answer:
    """Take the slots if they are free and it is the claim's turn; else take, or keep, its place in the queue.

    Args:
        path: The file.
        request: What is wanted.
        explain: Whether the answer names those who hold slots that are in the way.
        clock: Tells the time.

    Raises:
        LimitError: If it wants more than there are, or the rate of a limit that has none. It does not wait then.
        StorageError: If the file cannot be used.
    """
    home = path.parent
    token = process_token(home)
    gone: list[str] = []
    with writing(path) as connection:
        now = clock.monotonic()  # inside: others may have had the file for a while
        limits = limits_by_name(connection)
        limited = [name for name in request.wants if name in limits and limits[name].active]
        refusal = _refusal(request, [limits[name] for name in limited])
        if refusal is not None or not limited:
            _delete(connection, request.claim_id)
            verdict, number = Verdict(granted=True), None
        else:
            claim = _in_queue(connection, request, token, now, clock.now())
            number = claim.number
            verdict = _decided(connection, claim, limits, now)
            if not verdict.granted or not has_swept(home, token):
                if not verdict.granted:
                    drop_expired_claims(connection, limited, now)
                gone = drop_dead(connection, home, token)
                verdict = _decided(connection, claim, limits, now)
            if verdict.granted:
                _grant(connection, request, [limits[name] for name in limited], now, clock.now())
        ahead = verdict.ahead if number is None or verdict.ahead < _ENOUGH else _place(connection, number)
        short = {
            name: (limits[name].slots, _standings(connection, name, granted=True) if explain else [])
            for name in verdict.short
        }
    for dead in gone:
        forget(home, dead)
    if refusal is not None:
        raise refusal
    return Answer(verdict.granted, limited, verdict.seconds, number, ahead, short)


def withdraw(path: Path, claim_id: str) -> bool:
    """Give back what a claim holds, or its place in the queue; return whether it was still there."""
    with writing(path) as connection:
        return _delete(connection, claim_id)


def standings(path: Path, *, clock: Clock = SYSTEM_CLOCK) -> dict[str, list[Standing]]:
    """Return who holds slots of each limit or waits for some, in the order in which they came.

    Those are left out whose process is dead or whose lease has ended: what they hold is free for whoever comes.
    """
    found: dict[str, list[Standing]] = {}
    with reading(path) as connection:
        if connection is None:
            return found
        processes = dict(
            connection.execute("SELECT claim_id, process FROM claims WHERE expires > ?", (clock.monotonic(),))
        )
        names = [row[0] for row in connection.execute("SELECT DISTINCT name FROM claimed ORDER BY name")]
        for name in names:
            found[name] = [one for one in _standings(connection, name) if one.claim_id in processes]
    dead = {token for token in set(processes.values()) if is_proven_dead(path.parent, token)}
    return {name: [one for one in all_ if processes[one.claim_id] not in dead] for name, all_ in found.items()}


# --- rows -------------------------------------------------------------------------------------------------------------


def _refusal(request: Request, limits: Iterable[Limit]) -> LimitError | None:
    for limit in limits:
        wanted = request.wants[limit.name]
        if request.rate and limit.decay <= 0:
            return LimitError(
                f"the limit {limit.name!r} has no rate: its slots do not come back by themselves; use concurrency(),"
                f" or give it one: entrepot limit set {limit.name} --decay-per-second 1",
                name=limit.name,
            )
        if 0 < limit.slots < wanted:
            return LimitError(
                f"{wanted} slots of {limit.name!r} were asked for, and it has {limit.slots}; ask for fewer, or raise"
                f" it: entrepot limit set {limit.name} --limit {wanted}",
                name=limit.name,
            )
    return None


def _in_queue(connection: sqlite3.Connection, request: Request, token: str, now: float, time: datetime) -> Claim:
    """Return the claim in its place, which is the last one if it had none; the place is kept for a while longer."""
    row = connection.execute("SELECT number FROM claims WHERE claim_id = ?", (request.claim_id,)).fetchone()
    if row is not None:
        number = row[0]
        connection.execute("UPDATE claims SET expires = ? + seconds WHERE number = ?", (now, number))
    else:
        number = connection.execute(
            "INSERT INTO claims (claim_id, granted, rate, process, process_id, host, run_id, run_name, around, since,"
            " expires, seconds) VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                request.claim_id,
                request.rate,
                token,
                os.getpid(),
                os.uname().nodename,
                request.run_id,
                request.run_name,
                json.dumps(list(request.around)),
                time.isoformat(),
                now + WAITING_SECONDS,
                WAITING_SECONDS,
            ),
        ).lastrowid
        connection.executemany(
            "INSERT INTO claimed VALUES (?, ?, ?)",
            [(name, request.claim_id, slots) for name, slots in request.wants.items()],
        )
    return Claim(request.claim_id, number, request.wants, around=frozenset(request.around))


def _grant(
    connection: sqlite3.Connection, request: Request, limits: Iterable[Limit], now: float, time: datetime
) -> None:
    if request.rate:
        for limit in limits:
            keep_level(connection, limit.taken(request.wants[limit.name], now))
        _delete(connection, request.claim_id)
    else:
        connection.execute(
            "UPDATE claims SET granted = 1, since = ?, seconds = ?, expires = ? WHERE claim_id = ?",
            (time.isoformat(), request.seconds, now + request.seconds, request.claim_id),
        )


def _delete(connection: sqlite3.Connection, claim_id: str) -> bool:
    return connection.execute("DELETE FROM claims WHERE claim_id = ?", (claim_id,)).rowcount > 0


def _decided(connection: sqlite3.Connection, claim: Claim, limits: Mapping[str, Limit], now: float) -> Verdict:
    """Decide about a claim, from no more rows than that takes.

    The first who wait say enough where there is no room even after them: whoever else is ahead only takes more. Not so
    for a claim of code that holds some already, which may pass over any of them.
    """
    rows = "SELECT claim_id, number, granted, around, name, slots FROM claims JOIN claimed USING (claim_id) WHERE"
    if claim.around:
        return decide(claim, _claims(connection.execute(f"{rows} 1")), limits, now)
    out = connection.execute(
        "SELECT name, sum(slots) FROM claims CROSS JOIN claimed USING (claim_id) WHERE granted = 1 GROUP BY name"
    )
    holding = Claim("", 0, dict(out), granted=True)  # which of them hold what says nothing here
    names = ", ".join("?" * len(claim.wants))
    mine = f"EXISTS (SELECT 1 FROM claimed WHERE claimed.claim_id = claims.claim_id AND name IN ({names}))"  # noqa: S608
    some = f"SELECT claim_id FROM claims WHERE granted = 0 AND number < ? AND {mine} ORDER BY number LIMIT ?"  # noqa: S608
    for limit in (_ENOUGH, 10 * _ENOUGH, -1):
        first = _claims(connection.execute(f"{rows} claim_id IN ({some})", (claim.number, *claim.wants, limit)))
        verdict = decide(claim, [holding, *first], limits, now)
        if not verdict.granted or len(first) < limit:
            break
    return verdict


def _place(connection: sqlite3.Connection, number: int) -> int:
    """Return how many wait that came earlier, for whatever limits."""
    before = "SELECT count(*) FROM claims WHERE granted = 0 AND number < ?"
    return int(connection.execute(before, (number,)).fetchone()[0])


def _claims(rows: Iterable[tuple[str, int, int, str, str, int]]) -> list[Claim]:
    wants: dict[str, dict[str, int]] = {}
    facts = {}
    for claim_id, number, granted, around, name, slots in rows:
        wants.setdefault(claim_id, {})[name] = slots
        facts[claim_id] = (number, bool(granted), around)
    return [
        Claim(claim_id, number, wants[claim_id], granted, frozenset(json.loads(around)) if around != "[]" else _NONE)
        for claim_id, (number, granted, around) in facts.items()
    ]


def _standings(connection: sqlite3.Connection, name: str, *, granted: bool = False) -> list[Standing]:
    """Return who holds slots of a limit, and unless only those are asked for, who waits for some."""
    rows = connection.execute(
        "SELECT claim_id, slots, granted, process_id, host, run_id, run_name, since"
        " FROM claims CROSS JOIN claimed USING (claim_id) WHERE granted >= ? AND name = ? ORDER BY number",
        (granted, name),
    )
    return [
        Standing(
            claim_id=row[0],
            slots=row[1],
            granted=bool(row[2]),
            process_id=row[3],
            host=row[4],
            run_id=row[5],
            run_name=row[6],
            since=datetime.fromisoformat(row[7]),
        )
        for row in rows
    ]
