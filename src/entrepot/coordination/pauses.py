"""What flow runs wait for somebody to say, and what was said: kept in `state.db`, so that it outlives their processes.

A question belongs to a line of runs that resume one another, by the id of the first of them (the root). Schemas and
answers are texts here; that answers are sealed is the business of those who write and read them.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol

from entrepot.coordination.database import reading, writing

__all__ = [
    "Claim",
    "Pause",
    "answer",
    "answered_roots",
    "ask",
    "ask_again",
    "exchange_answer",
    "find",
    "forget_answered",
    "list_answered",
    "list_open",
    "take",
    "withdraw",
]

_COLUMNS: Final = (
    "root_run_id, key, run_id, question, schema, message, asked, deadline, answer, answered, refused, taken"
)
_SELECT: Final = f"SELECT {_COLUMNS} FROM pauses WHERE"  # noqa: S608  our own texts
_THIS: Final = "root_run_id = ? AND key = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """One question of a flow run.

    Attributes:
        root_run_id: The first run of the line that asks.
        key: What it is called within that line: `pause-1`.
        run_id: The run that asked last.
        question: What tells it from other questions of the same line.
        schema: JSON Schema of the answer, as text; None where no input is waited for.
        message: What is waited for, for people.
        asked: When it was last asked.
        deadline: Until when an answer is taken; None for ever.
        answer: What was said, as its writer sealed it; None while nothing was.
        answered: When.
        refused: Why the flow refused the last answer, or None.
        taken: When the flow went on with the answer, or None.
    """

    root_run_id: str
    key: str
    run_id: str
    question: str
    schema: str | None
    message: str
    asked: datetime
    deadline: datetime | None
    answer: str | None = None
    answered: datetime | None = None
    refused: str | None = None
    taken: datetime | None = None


class Claim(Protocol):
    """Decides which of the questions that are written down already an asker may have."""

    def __call__(self, question: str, /, *, new: bool = False) -> bool:
        """Return whether the asker may have the question of this key, and take it then; a new one is always taken.

        Called inside a transaction: it must not wait.
        """
        ...


def ask(pause: Pause, claim: Claim, *, renew: bool = True) -> tuple[Pause, Pause | None]:
    """Write a question down, unless it was asked before; return it as it is now, and as it was found.

    A question is the same if `question` is, and if the caller may have it. One that was answered keeps its answer, if
    it is still put in the same words. A new one gets the next free key.

    Args:
        pause: The question. Its key, if not empty, is a wish.
        claim: Decides whether the caller may have a question that was asked before.
        renew: Whether a question that was asked before gets a new deadline.

    Raises:
        StorageError: If the file cannot be used.
    """
    with writing(durable=True) as connection:
        rows = connection.execute(f"{_SELECT} root_run_id = ? ORDER BY asked, key", (pause.root_run_id,))
        known = {found.key: found for found in map(_pause, rows)}
        for found in known.values():
            if found.question != pause.question or not claim(found.key):
                continue
            same = (found.schema, found.message) == (pause.schema, pause.message)
            asked = replace(pause, key=found.key, deadline=pause.deadline if renew or not same else found.deadline)
            if same and found.answer is not None:
                return replace(asked, answer=found.answer, answered=found.answered), found
            connection.execute(
                f"UPDATE pauses SET run_id=?, schema=?, message=?, asked=?, deadline=?, answer=NULL, answered=NULL,"  # noqa: S608  our own texts
                f" taken=NULL WHERE {_THIS}",
                (*_asked(asked), asked.root_run_id, asked.key),
            )
            return asked, found
        asked = replace(pause, key=_free_key(pause.key, known))
        claim(asked.key, new=True)
        connection.execute(
            "INSERT INTO pauses (root_run_id, key, question, run_id, schema, message, asked, deadline)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (asked.root_run_id, asked.key, asked.question, *_asked(asked)),
        )
    return asked, None


def find(root_run_id: str, key: str) -> Pause | None:
    """Return a question as it is now, or None.

    Raises:
        StorageError: If the file cannot be read.
    """
    with reading() as connection:
        row = None if connection is None else connection.execute(f"{_SELECT} {_THIS}", (root_run_id, key)).fetchone()
    return None if row is None else _pause(row)


def list_open() -> Sequence[Pause]:
    """Return the questions that nobody has answered, oldest first, whether or not somebody still waits.

    Raises:
        StorageError: If the file cannot be read.
    """
    with reading() as connection:
        rows = [] if connection is None else connection.execute(f"{_SELECT} answer IS NULL ORDER BY asked, key")
        return [_pause(row) for row in rows]


def list_answered() -> Sequence[Pause]:
    """Return the questions that somebody has answered, oldest first.

    Raises:
        StorageError: If the file cannot be read.
    """
    with reading() as connection:
        rows = [] if connection is None else connection.execute(f"{_SELECT} answer IS NOT NULL ORDER BY asked, key")
        return [_pause(row) for row in rows]


def exchange_answer(pause: Pause, said: str) -> bool:
    """Put the same answer, sealed anew, in the place of the one that was read; return False if that is gone.

    Raises:
        StorageError: If the file cannot be used.
    """
    with writing(durable=True) as connection:
        changed = connection.execute(
            f"UPDATE pauses SET answer=? WHERE {_THIS} AND answer=?",  # noqa: S608  our own texts
            (said, pause.root_run_id, pause.key, pause.answer),
        )
        return changed.rowcount > 0


def answer(pause: Pause, said: str, when: datetime) -> bool:
    """Keep an answer; return False if the question was answered, changed or withdrawn meanwhile.

    Args:
        pause: The question, as the one who answers saw it.
        said: The answer.
        when: Now.

    Raises:
        StorageError: If the file cannot be used.
    """
    with writing(durable=True) as connection:
        changed = connection.execute(
            f"UPDATE pauses SET answer=?, answered=?, refused=NULL, taken=NULL WHERE {_THIS} AND answer IS NULL"  # noqa: S608  our own texts
            " AND question=? AND schema IS ? AND message=?",
            (said, _text(when), pause.root_run_id, pause.key, pause.question, pause.schema, pause.message),
        )
        return changed.rowcount > 0


def take(pause: Pause, when: datetime) -> None:
    """Note that the flow went on with the answer.

    Raises:
        StorageError: If the file cannot be used.
    """
    with writing() as connection:
        connection.execute(
            f"UPDATE pauses SET taken=? WHERE {_THIS} AND answer IS NOT NULL",  # noqa: S608  our own texts
            (_text(when), pause.root_run_id, pause.key),
        )


def ask_again(pause: Pause, refused: str | None = None) -> None:
    """Put a question back as it was asked, without the answer that it got, and say why that was refused.

    Raises:
        StorageError: If the file cannot be used.
    """
    with writing(durable=True) as connection:
        connection.execute(
            "INSERT INTO pauses (root_run_id, key, question, run_id, schema, message, asked, deadline, refused)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (root_run_id, key) DO UPDATE SET"
            " question=excluded.question, run_id=excluded.run_id, schema=excluded.schema, message=excluded.message,"
            " asked=excluded.asked, deadline=excluded.deadline, refused=excluded.refused, answer=NULL, answered=NULL,"
            " taken=NULL",
            (pause.root_run_id, pause.key, pause.question, *_asked(pause), refused),
        )


def withdraw(pause: Pause) -> bool:
    """Forget a question that nobody has answered; return whether that is so.

    Raises:
        StorageError: If the file cannot be used.
    """
    with writing() as connection:
        gone = connection.execute(
            f"DELETE FROM pauses WHERE {_THIS} AND run_id = ? AND answer IS NULL",  # noqa: S608  our own texts
            (pause.root_run_id, pause.key, pause.run_id),
        )
        return gone.rowcount > 0


def answered_roots() -> Sequence[tuple[str, datetime]]:
    """Return the lines of runs that have answered questions, each with the time of its last answer.

    Raises:
        StorageError: If the file cannot be read.
    """
    query = "SELECT root_run_id, max(answered) FROM pauses WHERE answer IS NOT NULL GROUP BY root_run_id"
    with reading() as connection:
        rows = [] if connection is None else connection.execute(query)
        return [(root_run_id, datetime.fromisoformat(answered)) for root_run_id, answered in rows]


def forget_answered(root_run_id: str, before: datetime, *, is_dry: bool = False) -> int:
    """Forget the answered questions of a line of runs that is over; return how many there are.

    Args:
        root_run_id: The first run of the line.
        before: What was answered later stays.
        is_dry: Only count them.

    Raises:
        StorageError: If the file cannot be used.
    """
    which = "FROM pauses WHERE root_run_id = ? AND answer IS NOT NULL AND answered <= ?"
    given = (root_run_id, _text(before))
    if not is_dry:
        with writing() as connection:
            return connection.execute(f"DELETE {which}", given).rowcount
    with reading() as view:
        found = None if view is None else view.execute(f"SELECT count(*) {which}", given).fetchone()
    return 0 if found is None else int(found[0])


def _free_key(wish: str, known: Container[str]) -> str:
    if wish and wish not in known:
        return wish
    number = 2 if wish else 1
    while (key := f"{wish or 'pause'}-{number}") in known:
        number += 1
    return key


def _asked(pause: Pause) -> tuple[str | None, ...]:
    deadline = None if pause.deadline is None else _text(pause.deadline)
    return (pause.run_id, pause.schema, pause.message, _text(pause.asked), deadline)


def _pause(row: Sequence[Any]) -> Pause:
    root_run_id, key, run_id, question, schema, message, asked, deadline, said, answered, refused, taken = row
    return Pause(
        root_run_id=root_run_id,
        key=key,
        run_id=run_id,
        question=question,
        schema=schema,
        message=message,
        asked=datetime.fromisoformat(asked),
        deadline=_moment(deadline),
        answer=said,
        answered=_moment(answered),
        refused=refused,
        taken=_moment(taken),
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")  # all of one length: text order is time order


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
