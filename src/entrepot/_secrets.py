"""Secrets that this process has in its hands, and text in which they are masked, however they are spelled there.

Blocks tell their secrets here. Before text is shown or kept, `mask` replaces each of them: as it is, escaped (as in
JSON, HTML or a `repr`), URL-quoted, in hexadecimal, and in base64 of whatever it is a part of. What is not found: a
secret that was cut, split over lines by somebody else, compressed or encrypted.
"""

import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn, SupportsIndex, TypeAlias

from entrepot._spellings import Needle, spellings

__all__ = [
    "LIMIT",
    "MASK",
    "SHORTEST",
    "SHORTEST_PART",
    "disguised",
    "forget_secrets",
    "knows_secrets",
    "mask",
    "mask_all",
    "mask_within",
    "remember_secret",
    "telling_of_secrets",
]

MASK: Final = "**********"
"""What stands for a secret wherever it could be seen."""

SHORTEST: Final = 4
"""Shorter secrets (in characters) are not masked: they are in half of all lines by chance."""

SHORTEST_PART: Final = 8
"""Shorter lines, paths, values of a secret that has several of them (a key file, a URL, JSON) are masked as a part of
the whole only."""

LIMIT: Final = 1000
"""So many secrets are remembered, the newest."""

_LONGEST: Final = 65_536  # characters of a secret: more is a file, and nobody prints it by mistake
_MOST_PARTS: Final = 200
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:([^/?#@\s]*)@)?[^/?#\s]*([^?#\s]*)(?:\?([^#\s]*))?")
_ENDS: Final = re.compile(r"[&;]")

_Gram: TypeAlias = tuple[str, str, str, str]


class _Index:
    """How the known secrets are found.

    Attributes:
        grams: Four characters that stand in a needle, whatever its spelling; any other text is left alone quickly.
        always: Needles that have no such four characters.
    """

    __slots__ = ("always", "grams")

    def __init__(self, needles: Iterable[Needle]) -> None:
        self.grams: dict[_Gram, list[Needle]] = {}
        self.always: list[Needle] = []
        for needle in needles:
            if not needle.grams:
                self.always.append(needle)
            for gram in needle.grams:
                self.grams.setdefault((gram[0], gram[1], gram[2], gram[3]), []).append(needle)


class _Known:
    """The secrets, newest last. It neither prints nor pickles what it holds."""

    __slots__ = ("index", "listeners", "lock", "secrets", "watches")

    def __init__(self) -> None:
        self.secrets: dict[str | bytes, list[Needle] | None] = {}  # needles are made when text is first looked at
        self.index: _Index | None = None
        self.lock = threading.RLock()  # a signal may come while it is held, and its handler may log
        self.watches = False  # the hooks for uncaught errors
        self.listeners: tuple[Callable[[str | bytes], object], ...] = ()

    def __repr__(self) -> str:
        return f"<{len(self.secrets)} secrets>"

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> NoReturn:
        raise TypeError("secrets that a process knows stay in it")

    def add(self, secret: str | bytes) -> None:
        with self.lock:
            if secret in self.secrets:
                self.secrets[secret] = self.secrets.pop(secret)  # it is among the newest again
                return
            self.secrets[secret] = None
            if len(self.secrets) > LIMIT:
                del self.secrets[next(iter(self.secrets))]
            self.index = None
            watched, self.watches = self.watches, True
        if not watched:
            from entrepot._uncaught import mask_uncaught  # noqa: PLC0415  only a process that knows a secret needs it

            mask_uncaught(mask)
        for listener in self.listeners:
            listener(secret)

    def clear(self) -> None:
        with self.lock:
            self.secrets.clear()
            self.index = None

    def current_index(self) -> _Index:
        index = self.index
        if index is None:
            with self.lock:
                for secret, needles in list(self.secrets.items()):
                    if needles is None:
                        self.secrets[secret] = list(_needles(secret))
                index = self.index = _Index(needle for some in self.secrets.values() for needle in some or ())
        return index


_known = _Known()


def _after_fork_in_child() -> None:
    _known.lock = threading.RLock()  # another thread may have held it, and is not here to give it back


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def remember_secret(value: object) -> None:
    """Have a secret masked from now on in everything that goes through `mask`.

    Args:
        value: Text or bytes; of a mapping, its values; of another collection, its members. Anything else is no secret
            that could be found in text, and is ignored; so is what is shorter than 4 characters.
    """
    if isinstance(value, str):
        text = value.strip()  # the end of a line, read from a file with it, is none of the secret
        if SHORTEST <= len(text) <= _LONGEST and text.strip("*"):
            _known.add(text)
    elif isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value).strip()
        if SHORTEST <= len(data) <= _LONGEST:
            _known.add(data)
    else:
        for part in _leaves(value):
            remember_secret(part)


@contextmanager
def telling_of_secrets(listener: Callable[[str | bytes], object]) -> Iterator[None]:
    """Call a function with each secret that is new here while the body runs: for the process that this one works for.

    What that process shows of this one's errors and log lines, it could not mask without.
    """
    _known.listeners = (*_known.listeners, listener)
    try:
        yield
    finally:
        _known.listeners = tuple(other for other in _known.listeners if other is not listener)


def forget_secrets() -> None:
    """Forget every secret: nothing is masked until others are told."""
    _known.clear()


def knows_secrets() -> bool:
    """Return whether there is anything to mask."""
    return bool(_known.secrets)


def mask(text: str) -> str:
    """Return text with every known secret in it replaced by a mask; the very same object where there is none.

    It costs next to nothing while no secret is known, and else some 30 ns a character, however many there are.
    """
    if not _known.secrets:
        return text
    index = _known.current_index()
    if not index.always and index.grams.keys().isdisjoint(zip(text, text[1:], text[2:], text[3:], strict=False)):
        return text
    return _masked(text, index)


def disguised(text: str) -> str:
    """Return a text that is to be a key, which is kept and shown; where a known secret is in it, a digest of it."""
    if mask(text) is text:
        return text
    import hashlib  # noqa: PLC0415  only such a text pays for it

    return f"secret:{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def mask_all(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Return texts by name with every known secret in them masked; the names are not looked at."""
    return {name: mask(text) for name, text in texts.items()} if _known.secrets else texts


def mask_within(value: Any) -> Any:
    """Return a JSON value with every known secret in its texts masked; in JSON as text, a mask could tear its marks."""
    if not _known.secrets:
        return value
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(key) if isinstance(key, str) else key: mask_within(member) for key, member in value.items()}
    return [mask_within(member) for member in value] if isinstance(value, list | tuple) else value


def _masked(text: str, index: _Index) -> str:
    present = index.grams.keys() & set(zip(text, text[1:], text[2:], text[3:], strict=False))
    needles = {id(needle): needle for gram in present for needle in index.grams[gram]}
    # All are looked for in the text as it was: a mask in the place of one must not tear another that overlaps it.
    places = sorted(place for needle in [*needles.values(), *index.always] for place in needle.places(text))
    parts = []
    done = 0
    for start, end in places:
        if start >= done:
            parts += [text[done:start], MASK]
        done = max(done, end)
    return "".join([*parts, text[done:]]) if places else text


def _needles(secret: str | bytes) -> Iterator[Needle]:
    """Yield what finds a secret, and the parts of it that are secrets by themselves."""
    yield from spellings(secret)
    text = secret.decode("utf-8", "replace") if isinstance(secret, bytes) else secret
    found: dict[str, None] = {}
    for part in _parts(text):
        if part != text and len(part) >= SHORTEST and len(found) < _MOST_PARTS:
            found[part] = None
    for part in found:
        yield from spellings(part)


def _parts(text: str, depth: int = 2) -> Iterator[str]:
    """Yield what is a secret by itself in a secret of several parts: JSON, lines, a URL, a query."""
    if text.startswith(("{", "[")) and depth:
        import json  # noqa: PLC0415  only such a secret pays for it

        with suppress(ValueError, RecursionError):
            for part in _leaves(json.loads(text)):
                if isinstance(part, str):
                    yield part
                    yield from _parts(part, depth - 1)
            return
    lines = [line.strip() for line in text.splitlines()]
    yield from (line for line in lines if len(line) >= SHORTEST_PART and not line.startswith("-----"))  # PEM's frame
    url = _URL.match(text)
    if url is not None:
        password = (url[1] or "").partition(":")[2]
        yield from (_unquoted(part) for part in (password, url[2]) if len(part) >= SHORTEST_PART or part is password)
        text = url[3] or ""
    for pair in _ENDS.split(text):  # a query, or a connection string
        value = pair.partition("=")[2]
        if len(value) >= SHORTEST_PART:
            yield _unquoted(value)


def _unquoted(text: str) -> str:
    from urllib.parse import unquote  # noqa: PLC0415  as above

    return unquote(text)  # its quoted form is one of the spellings of this


def _leaves(value: object, depth: int = 20) -> Iterator[str | bytes]:
    """Yield the texts in a value of several parts that are long enough to be secrets on their own; no keys."""
    if isinstance(value, str | bytes):
        if len(value) >= SHORTEST_PART:
            yield value
    elif isinstance(value, Mapping):
        for each in value.values() if depth else ():
            yield from _leaves(each, depth - 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value if depth else ():
            yield from _leaves(each, depth - 1)
