"""What a log record says: its text, of which run it is, and no secrets."""

import contextlib
import logging
import sys
import traceback
from typing import Final

from entrepot._secrets import knows_secrets, mask
from entrepot.context import RunContext
from entrepot.logging.loggers import FLOW_RUNS, TASK_RUNS, context_facts

__all__ = ["mask_record", "say_failure", "source_of", "stamp", "text_of"]

_PLAIN: Final = logging.Formatter()
_OF_RUNS: Final = frozenset({FLOW_RUNS.name, TASK_RUNS.name})
_ID: Final = 8  # characters that tell runs apart, and that `entrepot runs` takes


def text_of(record: logging.LogRecord) -> str:
    """Return the message, and below it the traceback and the stack where there are some. Nothing is masked.

    Raises:
        Exception: What the formatting of the message raises, while no secret is known.
    """
    text = _message_of(record)[0]
    if record.exc_info and not record.exc_text:
        record.exc_text = _PLAIN.formatException(record.exc_info)  # kept there, as every formatter does
    if record.exc_text:
        text = f"{text}\n{record.exc_text}"
    if record.stack_info:
        text = f"{text}\n{record.stack_info}"
    return text


def _message_of(record: logging.LogRecord) -> tuple[str, bool]:
    """Return the message, and whether its arguments fit it.

    Where they do not, logging itself would print both, and the traceback of whatever is being handled, as they are: so
    once a secret is known, this is a message.
    """
    try:
        return record.getMessage(), True
    except Exception:
        if not knows_secrets():
            raise
    said = "arguments that cannot be shown"
    with contextlib.suppress(Exception):  # of an object's own repr
        said = repr(record.args)
    return f"{record.msg} (the arguments do not fit this message: {said})", False


def _tells_nothing() -> bool:
    """Return whether no secret is in the errors that are being handled, which logging tells with one of its own."""
    told = traceback.format_exc()
    return mask(told) is told


def source_of(record: logging.LogRecord) -> str:
    """Return who speaks: `Task run 'extract-1' (3f2a1b9c)`, with the logger behind it if that is not the run's own."""
    facts = record.__dict__
    if "run_kind" not in facts:
        return record.name
    source = f"{str(facts['run_kind']).title()} run {facts.get('run_name')!r} ({str(facts.get('run_id'))[:_ID]})"
    return source if record.name in _OF_RUNS else f"{source} [{record.name}]"


def stamp(record: logging.LogRecord, context: RunContext) -> None:
    """Let a record that does not say of which run it is be of this one."""
    if "run_kind" not in record.__dict__:  # not "run_id": other libraries have runs, too
        record.__dict__.update(context_facts(context))


def mask_record(record: logging.LogRecord) -> bool:
    """Mask the secrets in a record, in place; a filter, for handlers whose formatter is not ours.

    Message, traceback and stack are masked where a secret is in them, and are as they were where none is. A message
    that is masked has no arguments any more, a masked traceback no exception: only its text. What a record carries
    besides (`extra`) is not looked at.

    Returns:
        True: the record goes on.
    """
    if not knows_secrets():
        return True
    try:
        message, fits = _message_of(record)
        masked = mask(message)
        if masked is not message or not (fits or _tells_nothing()):
            record.msg, record.args = masked, ()
        if record.exc_info:
            text = record.exc_text or _PLAIN.formatException(record.exc_info)
            masked = mask(text)
            if masked is not text:
                record.exc_info, record.exc_text = None, masked
        elif record.exc_text:
            record.exc_text = mask(record.exc_text)
        if record.stack_info:
            record.stack_info = mask(record.stack_info)
    except Exception:  # noqa: BLE001  an exception whose traceback cannot be written: the handlers say so
        return True
    return True


def say_failure(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Tell on standard error that a record could not be handled: as logging does, but once a secret is known, masked.

    The error that is told has the one in its context that the program was handling when it logged.
    """
    if not knows_secrets():
        handler.handleError(record)
    elif logging.raiseExceptions and sys.stderr is not None:
        told = traceback.format_exc()
        text = f"--- Logging error ---\n{told}Logged at {record.pathname}:{record.lineno}\nMessage: {record.msg!r}\n"
        with contextlib.suppress(Exception):  # it is broken itself, perhaps
            sys.stderr.write(mask(text))
