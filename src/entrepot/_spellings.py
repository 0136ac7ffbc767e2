"""The ways in which one text can be spelled inside another, as patterns that find it there."""

import re
from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

__all__ = ["Needle", "spellings"]

_BASE64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]")  # no encoding of text changes these
_WINDOW: Final = 4
_LOWER: Final = frozenset("abcdefghijklmnopqrstuvwxyz")

# Text may be escaped again and again: a repr of JSON of a repr. Bounded, so that no text makes matching slow.
_ESCAPES: Final = r"\\{1,8}"
_AMPERSANDS: Final = "&(?:amp;){0,3}"
_PERCENT: Final = "%(?:25){0,2}"

_LETTERS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", "\a": "a", "\v": "v", "\0": "0"}
_ENTITIES: Final = {"<": ("lt", "#60", "#x3[cC]"), ">": ("gt", "#62", "#x3[eE]"), '"': ("quot", "#34", "#x22")} | {
    "'": ("apos", "#0?39", "#x27"),
    "+": ("#43", "#x2[bB]"),
    "=": ("#61", "#x3[dD]"),
    "/": ("#47", "#x2[fF]"),
    "`": ("#96", "#x60"),
}


class Needle:
    """One pattern, compiled when it is first needed.

    Args:
        units: The pattern of each character of the text that is looked for.
        grams: Runs of four characters of which one is in any text that the pattern matches; none where there is no
            such run.
    """

    __slots__ = ("_pattern", "_units", "grams")

    def __init__(self, units: Sequence[str], grams: Sequence[str]) -> None:
        self._units = units
        self._pattern: re.Pattern[str] | None = None
        self.grams = grams

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where it stands in a text, as (start, end); places may overlap."""
        pattern = self._pattern
        if pattern is None:
            # Looked at from every position: what overlaps an earlier place is found, too.
            pattern = self._pattern = re.compile(f"(?=({''.join(self._units)}))")
        return (match.span(1) for match in pattern.finditer(text))


def spellings(secret: str | bytes) -> Iterator[Needle]:
    """Yield what finds a text or bytes in other text: escaped, quoted, in hexadecimal, in base64."""
    data = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
    if isinstance(secret, str):
        yield _needle([_character(letter) for letter in secret])
    else:
        yield _needle([_character(chr(byte), bytes([byte])) for byte in data])
        if not data.isascii():
            with suppress(UnicodeDecodeError):
                yield _needle([_character(letter) for letter in data.decode()])
    yield _hexadecimal(data)
    for raw in _as_bytes(secret, data):
        for offset in range(3):
            yield _base64(raw, offset)


def _as_bytes(secret: str | bytes, data: bytes) -> list[bytes]:
    """Return the bytes that a secret may have been before base64; HTTP clients take Latin-1 where that is possible."""
    if isinstance(secret, str) and not secret.isascii():
        with suppress(UnicodeEncodeError):
            return [data, secret.encode("latin-1")]
    return [data]


def _needle(units: list[str]) -> Needle:
    merged: list[str] = []
    for unit, some in groupby(units):
        row = list(some)
        # A row of backslashes is one unit: each alone would match the others' copies, and there is no end to trying.
        merged += [_backslashes(len(row))] if unit == "\\" else row
    window = _window(merged)
    return Needle(merged, [] if window is None else [window])


def _window(units: Sequence[str]) -> str | None:
    """Return four characters in a row that are the same in every spelling, of those the rarest in common text."""
    best = None
    for start in range(len(units) - _WINDOW + 1):
        some = units[start : start + _WINDOW]
        if all(len(unit) == 1 or unit == r"\." for unit in some):
            found = "".join(unit[-1] for unit in some)
            rarity = sum(letter not in _LOWER for letter in found)
            if best is None or rarity > best[0]:
                best = (rarity, found)
    return None if best is None else best[1]


# --- characters -------------------------------------------------------------------------------------------------------


def _backslashes(count: int) -> str:
    return rf"(?:\\{{{count},{8 * count}}}|(?:{_PERCENT}5[cC]){{{count}}})"


def _character(letter: str, data: bytes | None = None) -> str:
    """Return a pattern of every spelling of one character."""
    if _PLAIN.match(letter):
        return re.escape(letter) if letter == "." else letter
    if letter == "\\":
        return letter  # until it is known how many there are
    if data is None:
        data = letter.encode("utf-8", "surrogatepass")
    code = ord(letter)
    ways = ["".join(_PERCENT + _any_case(f"{byte:02x}") for byte in data)]
    ways += [_AMPERSANDS + name + ";" for name in _ENTITIES.get(letter, ())]
    ways.append(_AMPERSANDS if letter == "&" else re.escape(letter))
    if letter == "\n":
        ways.append(r"\r\n")
    if letter == " ":
        ways += [r"\+", f"{_PERCENT}2[bB]"]
    if letter in "\"'/":
        ways.append(_ESCAPES + letter)
    if letter in _LETTERS:
        ways.append(_ESCAPES + _LETTERS[letter])
    if not letter.isprintable() or not letter.isascii() or letter in "<>&'\"+=`":
        ways += _by_number(code, data)
    return f"(?:{'|'.join(ways)})"


def _by_number(code: int, data: bytes) -> Iterator[str]:
    """Yield the escapes that name a character by its number, as JSON, `repr` and `ascii` do."""
    yield "".join(f"{_ESCAPES}x{_any_case(f'{byte:02x}')}" for byte in data)
    if code <= 0xFF:  # noqa: PLR2004  what one byte holds
        yield f"{_ESCAPES}x{_any_case(f'{code:02x}')}"
    if code <= 0xFFFF:  # noqa: PLR2004  what two bytes hold
        yield f"{_ESCAPES}u{_any_case(f'{code:04x}')}"
    else:
        high, low = divmod(code - 0x10000, 0x400)
        yield f"{_ESCAPES}u{_any_case(f'{0xD800 + high:04x}')}{_ESCAPES}u{_any_case(f'{0xDC00 + low:04x}')}"
    yield f"{_ESCAPES}U{_any_case(f'{code:08x}')}"


def _any_case(digits: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in digits)


# --- bytes ------------------------------------------------------------------------------------------------------------


def _hexadecimal(data: bytes) -> Needle:
    digits = data.hex()
    window = digits[:_WINDOW]
    return Needle([_any_case(digits)], list(dict.fromkeys([window, window.upper()])))


def _base64(data: bytes, offset: int) -> Needle:
    """Return what finds bytes in the base64 of longer bytes, in which they begin at a multiple of 3 and `offset`.

    A character holds 6 bits. One at the edge of the bytes has bits of its neighbours, too: any character that has ours
    may stand there.
    """
    encoded = b2a_base64(bytes(offset) + data, newline=False).decode()
    start, end = offset * 8, (offset + len(data)) * 8
    first, last = -(-start // 6), end // 6
    units = [_digit(letter) for letter in encoded[first:last]]
    window = _window(units)
    if start % 6:
        shared = 6 - start % 6
        value = _BASE64.index(encoded[first - 1]) % (1 << shared)
        units.insert(0, _class(digit for number, digit in enumerate(_BASE64) if number % (1 << shared) == value) + "?")
    if end % 6:
        shared = 6 - end % 6
        value = _BASE64.index(encoded[last]) >> shared
        units.append(_class(digit for number, digit in enumerate(_BASE64) if number >> shared == value) + "?")
    return Needle(units, [] if window is None else [window])


def _digit(letter: str) -> str:
    """Return the pattern of one digit of base64: the two last ones have other names in URLs, and may be quoted."""
    if letter == "+":
        return f"(?:[+-]|{_PERCENT}2[bB])"
    if letter == "/":
        return rf"(?:\\{{0,8}}/|_|{_PERCENT}2[fF])"
    return letter


def _class(digits: Iterator[str]) -> str:
    return f"(?:{'|'.join(map(_digit, digits))})"
