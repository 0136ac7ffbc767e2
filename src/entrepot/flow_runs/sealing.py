"""Answers as they are kept: sealed, and bound to the run, the question and the very words that were answered.

So a secret in an answer lies nowhere in clear, and who can write the file but does not have the keyring can neither
answer, nor move an answer to another question, nor let people answer other words than the flow's.
"""

import hashlib

from entrepot import home
from entrepot.coordination.pauses import Pause
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import Place, reseal, seal, unseal

__all__ = ["open_answer", "reseal_answer", "seal_answer"]


def seal_answer(pause: Pause, said: str) -> str:
    """Return an answer, sealed under the home's keyring, which is made where there is none.

    Args:
        pause: The question, as the one who answers saw it.
        said: JSON.

    Raises:
        KeyringError: If the keyring cannot be used.
    """
    return seal(home.ring(), memoryview(said.encode()), place=_place(pause)).decode("ascii")


def open_answer(pause: Pause, sealed: str) -> str:
    """Return what was said.

    Args:
        pause: The question, as the flow asked it.
        sealed: The answer, as it was found.

    Raises:
        IntegrityError: If it was altered, or is the answer to something else.
        UnknownKeyError: If it is sealed under a key that the home's keyring does not have.
        KeyringError: If the keyring cannot be used.
    """
    return unseal(
        home.ring(), sealed.encode("utf-8", "replace"), place=_place(pause), location=_location(pause)
    ).decode()


def reseal_answer(ring: Keyring, pause: Pause, other: Keyring | None = None) -> str | None:
    """Return the answer of a question, sealed under the primary key; None if it is, or if there is none.

    Args:
        ring: The home's keyring.
        pause: The question, as it is kept.
        other: Another keyring: None is returned for what that has not sealed.

    Raises:
        IntegrityError: As `open_answer`.
        UnknownKeyError: As `open_answer`.
    """
    if pause.answer is None:
        return None
    sealed = pause.answer.encode("utf-8", "replace")
    fresh = reseal(ring, sealed, place=_place(pause), location=_location(pause), other=other)
    return None if fresh is None else fresh.decode("ascii")


def _location(pause: Pause) -> str:
    return f"the answer to {pause.key} of run {pause.root_run_id}"


def _place(pause: Pause) -> Place:
    words = hashlib.sha256()
    for text in (pause.schema or "", pause.message):
        words.update(len(text.encode()).to_bytes(8, "big") + text.encode())
    return {
        "kind": "entrepot/answer/1",
        "run": pause.root_run_id,
        "key": pause.key,
        "question": pause.question,
        "words": words.hexdigest(),
    }
