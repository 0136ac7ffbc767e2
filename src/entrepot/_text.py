"""Text for people: what was stored or given cannot steer a terminal, fits a line, and says times in words."""

import re
from datetime import timedelta

__all__ = ["clean", "counted", "cut", "reason", "span", "spoken"]

_PREFIXES = ("Value error, ", "Assertion failed, ")  # pydantic's, before what a validator of somebody's says


def clean(text: str) -> str:
    """Return text with everything spelled out that is neither printable nor a line end or a tab."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def cut(text: str, length: int) -> str:
    """Return text as one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 3] + "..."


def counted(number: int, thing: str) -> str:
    """Return a number of things: `1 block`, `2 blocks`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def reason(message: str) -> str:
    """Return what a validator said, without what pydantic puts before it."""
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return message


def spoken(name: str) -> str:
    """Return the name of a state as words in a sentence: `AwaitingRetry` is `awaiting retry`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def span(length: timedelta | None) -> str:
    """Return a span of time, short: `1.5 ms`, `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 12 min`."""
    if length is None:
        return ""
    seconds = length.total_seconds()
    if seconds < 0.9995:  # noqa: PLR2004  else it would be shown as 1000 ms
        return f"{seconds * 1000:.{1 if 0 < seconds < 0.00995 else 0}f} ms"  # noqa: PLR2004  the last that is below 10.0
    if seconds < 59.95:  # noqa: PLR2004  else it would be shown as 60.0 s
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004  an hour
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
