"""Digests of the parts of values, by path: what tells which part of an input differs from one call to another.

    outline({"input:rows": [{"a": 1}, {"a": 2}]}, key=...)

        input:rows             list[2]:
        input:rows[0]          dict[1]: #59d3...
        input:rows[0]['a']     int #0ce1...
        ...

Each entry says what kind of thing is there, and its keyed digest: `<kind>`, a colon if its parts follow one by one,
and ` #<12 hex digits>`. The digest of a whole input is left out, since the key holds it. A part is encoded as keys
encode values, so what makes no difference there makes none here. No value stands here in clear: kinds, lengths, shapes
and dtypes do, and the keys of dicts and the names of files (`File=rows.csv`) where they look like words that somebody
thought of. Of others there is a digest.

There are at most `ENTRIES` entries. A long list or array is told apart by ranges (`[128:256]`), and where it has at
most 1,024 items also by the bits of the index: `[bit 3=1]` is the digest of all items whose index has that bit. If a
single item changed, exactly one of each pair differs, and which ones they are spells its index.

Values that would take long to encode once more (see `LARGEST`) are not looked into; of pandas frames, every n-th row
is. So a column that is said to differ does, and one that differs in few rows only may not be named.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import PurePath
from typing import Any, Final

from entrepot._secrets import knows_secrets, mask
from entrepot._words import looks_like_words
from entrepot.hashing._encoder import ENCODERS, Encoder, Refused
from entrepot.hashing._objects import is_enum, state_names, state_of
from entrepot.hashing.files import Dir, File

__all__ = ["ENTRIES", "LARGEST", "outline"]

ENTRIES: Final = 64
"""At most so many, of all values together."""

LARGEST: Final = 8 << 20
"""What a value may cost that is looked into: a byte of text counts as 1, a Python object as 500, a number in a list as
50, and four bytes of an array or a frame as 1. So arrays of up to 32 MiB and structures of some 16,000 objects are."""

_OBJECT: Final = 500
_NUMBER: Final = 50  # they are written in one go
_FAST: Final = 4  # times as many bytes of arrays are hashed in the same time
_LEAST: Final = 8  # entries of each value, however many there are
_PINPOINTED: Final = 1024  # items of a sequence of which one that changed is found exactly
_RANGES: Final = 16
_NO_NUMBER_OF_ANYTHING: Final = 10_000  # numbers from here on may be somebody's: of an account, a telephone
_LONGEST_DTYPE: Final = 40
_LONGEST_SECRET: Final = 65_536
_TELLS: Final = frozenset("\"'({")  # a dtype's text with these goes on about what is in it
_PERSON: Final = b"entrepot-part-1"
_NUMBERS: Final = frozenset({type(None), bool, int, float, complex})
_SIZED: Final = frozenset({list, tuple, set, frozenset, dict})
_FILES: Final = frozenset({File, Dir})
_PLAIN: Final = _NUMBERS | {str, bytes}


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a value: the step that leads to it, and it."""

    step: str
    value: Any


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a value is made of.

    Attributes:
        parts: One by one; none where there are too many, or no parts to tell apart.
        sequence: The value itself, if parts of it can be cut out: `sequence[3:5]`.
    """

    parts: Sequence[_Part] = ()
    sequence: Any = None


_NO_PARTS: Final = _Parts()


def outline(
    values: Mapping[str, object],
    *,
    key: bytes,
    hidden: Collection[str] = (),
    stored: Collection[int] = (),
) -> dict[str, str]:
    """Return what tells the parts of values apart, by path.

    Args:
        values: By the name of the part of the cache key that they are: `input:rows`.
        key: 16 to 64 bytes; digests under another key cannot be compared with these.
        hidden: The names of those that are secrets: nothing but that is said of them.
        stored: The identities of objects whose digests are known: such objects are not read.
    """
    maker = _Outline(key, stored)
    inside = {name: value for name, value in values.items() if type(value) not in _PLAIN and name not in hidden}
    share = max(_LEAST, (ENTRIES - len(values)) // max(1, len(inside)))
    for name, value in values.items():
        if name in hidden:
            maker.entries[name] = "secret"
        elif name not in inside:
            maker.entries[name] = type(value).__name__
        else:
            maker.look_into(name, value, share)
            if len(maker.entries) > ENTRIES:  # all of its parts, or none: else a part would seem to be gone
                maker.forget_parts(name)
    return {mask(path): mask(text) for path, text in list(maker.entries.items())[:ENTRIES]}


class _Outline:
    """One outline under way."""

    def __init__(self, key: bytes, stored: Collection[int]) -> None:
        self._stored = stored
        self.entries: dict[str, str] = {}
        self._empty = blake2b(digest_size=6, key=key, person=_PERSON)
        self._encoder = Encoder()  # for scalars, which leave nothing in it

    def look_into(self, name: str, value: Any, share: int) -> None:
        kind = _kind(value)
        if id(value) in self._stored:
            self.entries[name] = kind
            return
        if _is_of(type(value), "pandas", "DataFrame"):
            self.entries[name] = kind
            self._frame(name, value, share - 1)
            return
        if _is_opaque(type(value)) or _cost(value, LARGEST) > LARGEST:
            self.entries[name] = kind
            return
        found = self._parts(value, share)
        left = share - len(found.parts)
        if found.sequence is not None and not found.parts:
            self.entries[name] = kind
            self._ranges(name, found.sequence, share)
            return
        self.entries[name] = f"{kind}:" if found.parts else kind
        for part in found.parts:
            below = _NO_PARTS
            is_whole = type(part.value) in _PLAIN or id(part.value) in self._stored or _is_opaque(type(part.value))
            if left > 0 and not is_whole:
                below = self._parts(part.value, left)
            path = name + part.step
            self._note(path, part.value, has_parts=bool(below.parts))
            left -= len(below.parts)
            for inner in below.parts:
                self._note(path + inner.step, inner.value)

    def forget_parts(self, name: str) -> None:
        """Leave of a value only what kind of thing it is."""
        kind = self.entries[name].removesuffix(":")
        while next(reversed(self.entries)) != name:
            self.entries.popitem()
        self.entries[name] = kind

    def _note(self, path: str, value: Any, *, has_parts: bool = False) -> None:
        cls = type(value)
        if cls in _NUMBERS:  # most parts are some: the quick way
            digest = self._hash(path, ENCODERS[cls](self._encoder, value))
            self.entries[path] = f"{cls.__name__} #{digest.hex()}"
            return
        kind = _kind(value)
        if _is_secret(value):
            self.entries[path] = "secret"
            return
        if _is_opaque(type(value)):
            self.entries[path] = kind  # its digest is in that of the whole
            return
        found = self._digest(path, value)
        self.entries[path] = f"{kind}{':' if has_parts else ''}{'' if found is None else f' #{found.hex()}'}"

    def _digest(self, path: str, value: Any) -> bytes | None:
        try:
            form = Encoder().encode(value)
        except (Refused, RecursionError):
            return None  # a part that stands for itself only inside the whole
        return self._hash(path, form)

    def _hash(self, path: str, form: bytes) -> bytes:
        """Return the digest of a form at a path: equal values at two places of a record do not show."""
        place = path.encode("utf-8", "surrogatepass")
        hasher = self._empty.copy()
        hasher.update(b"%d:" % len(place) + place + form)
        return hasher.digest()

    def _frame(self, name: str, value: Any, share: int) -> None:
        """Note the parts of a pandas frame; where it is large, those of a sample of its rows."""
        sample = value.iloc[:: -(-_cost(value, LARGEST) // LARGEST)]
        columns = [column.array for _, column in sample.items()]
        # `.columns` by itself would look like the whole of `.columns[0]`, ...
        for step, part in ((".keys()", value.columns), (".index", sample.index), (".attrs", value.attrs)):
            digest = self._digest(name + step, part)
            if digest is not None and (step != ".attrs" or part):
                kind = _kind(value.index if step == ".index" else part)
                self.entries[name + step] = f"{kind} #{digest.hex()}"
                share -= 1
        if len(columns) > share:
            self._ranges(f"{name}.columns", columns, share)
            return
        for position, (column, dtype) in enumerate(zip(columns, value.dtypes, strict=True)):
            path = f"{name}.columns[{position}]"
            digest = self._digest(path, column)
            if digest is not None:
                self.entries[path] = f"column[{_dtype(dtype)},{len(value)}] #{digest.hex()}"
        self.entries[name] += ":"

    # --- long sequences -----------------------------------------------------------------------------------------------

    def _ranges(self, name: str, items: Any, share: int) -> None:
        count = len(items)
        bits = (count - 1).bit_length()
        if count <= _PINPOINTED and 2 * bits + _LEAST <= share:
            digests = [self._digest(name, item) or b"" for item in items]
            share -= 2 * bits
            for bit in range(bits):
                groups: tuple[list[bytes], list[bytes]] = ([], [])
                for index, one in enumerate(digests):
                    groups[index >> bit & 1].append(one)
                for side, group in enumerate(groups):
                    path = f"{name}[bit {bit}={side}]"
                    self.entries[path] = f"#{self._hash(path, b''.join(group)).hex()}"
        size = -(-count // min(share, _RANGES))
        for start in range(0, count, size):
            end = min(start + size, count)
            path = f"{name}[{start}:{end}]"
            digest = self._digest(path, items[start:end])
            if digest is not None:
                self.entries[path] = f"#{digest.hex()}"

    # --- what values are made of --------------------------------------------------------------------------------------

    def _parts(self, value: Any, limit: int) -> _Parts:
        """Return the parts of a value, if they are at most so many."""
        cls = type(value)
        if cls is list or cls is tuple or _is_array(cls):
            if _is_array(cls) and value.ndim == 0:
                return _NO_PARTS
            if not 0 < len(value) <= limit:
                return _Parts(sequence=value if len(value) else None)
            return _Parts([_Part(f"[{index}]", item) for index, item in enumerate(value)], value)
        frame = _FRAMES.get(f"{cls.__module__.partition('.')[0]}.{cls.__name__}")
        if frame is not None:
            parts = list(frame(value))
        elif isinstance(value, dict):
            if len(value) > limit:
                return _NO_PARTS
            found = [_Part(self._key_step(key), item) for key, item in dict.items(value)]
            parts = sorted(found, key=lambda one: one.step)
        else:
            parts = [_Part(f".{name}", item) for name, item in sorted(_fields(value).items())]
        return _Parts(parts) if len(parts) <= limit else _NO_PARTS

    def _key_step(self, key: Any) -> str:
        """Return how the key of a dict stands in a path: in clear if it looks like a name, not like a value."""
        if type(key) is str:
            if looks_like_words(key) and mask(key) is key:
                return f"[{key!r}]"
        elif type(key) in {int, bool, type(None)} and abs(key or 0) < _NO_NUMBER_OF_ANYTHING:
            return f"[{key!r}]"
        digest = self._digest("{key}", key)
        return f"[{type(key).__name__} #{'' if digest is None else digest.hex()}]"


def _fields(value: Any) -> Mapping[str, Any]:
    """Return the fields of an instance of a class that has some."""
    cls = type(value)
    if cls in _FILES:
        return {}  # where they are does not count
    if isinstance(value, tuple):
        return dict(zip(getattr(cls, "_fields", ()), value, strict=False))
    is_model = _is_of(cls, "pydantic", "BaseModel")
    if not (is_model or hasattr(cls, "__dataclass_fields__") or hasattr(cls, "__attrs_attrs__")):
        return {}
    slots, cached = state_names(cls, above=sys.modules["pydantic"].BaseModel if is_model else object)
    return state_of(value, slots, cached)


def _pandas_series(value: Any) -> Iterator[_Part]:
    yield _Part(".name", value.name)
    yield _Part(".index", value.index)
    yield _Part(".values", value.array)


def _polars_frame(value: Any) -> Iterator[_Part]:
    yield _Part(".keys()", list(value.columns))
    for position, column in enumerate(value.get_columns()):
        yield _Part(f".columns[{position}]", column)


def _arrow_table(value: Any) -> Iterator[_Part]:
    yield _Part(".keys()", list(value.column_names))
    for position, column in enumerate(value.columns):
        yield _Part(f".columns[{position}]", column)


_FRAMES: Final[Mapping[str, Callable[[Any], Iterator[_Part]]]] = {
    "pandas.Series": _pandas_series,
    "polars.DataFrame": _polars_frame,
    "pyarrow.Table": _arrow_table,
}


# --- what is said of a value ------------------------------------------------------------------------------------------


def _kind(value: Any) -> str:
    """Return what a value is, without a space: its class, and its length or its shape and dtype."""
    cls = type(value)
    if cls in _SIZED:
        return f"{cls.__name__}[{len(value)}]"
    if cls in _FILES:
        return f"{cls.__name__}{_file_name(value)}"
    name = "".join(cls.__qualname__.split())
    if cls.__module__.startswith("pandas.") and name.endswith("Array"):
        name = "column"
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if _is_library(cls) and isinstance(shape, tuple) and shape:
        sizes = "x".join(map(str, shape))
        said = "" if dtype is None else f"{_dtype(dtype)}," if name != "DataFrame" else ""
        return f"{name}[{said}{sizes}]"
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"{name}[{len(value)}]"
    return name


def _file_name(value: File | Dir) -> str:
    """Return the name of a file or folder as it stands behind its kind; "" for one that may say what is nobody's."""
    name = PurePath(os.fsdecode(value.path)).name
    return f"={name}" if all(map(looks_like_words, name.split("."))) and mask(name) is name else ""


def _dtype(dtype: Any) -> str:
    """Return the name of a dtype; of one that names fields or categories, which are values, only what kind it is."""
    text = "_".join(str(dtype).split())
    if len(text) <= _LONGEST_DTYPE and not _TELLS.intersection(text):
        return text
    return type(dtype).__name__


def _is_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in {"numpy", "pandas", "polars", "pyarrow", "torch", "scipy"}


def _is_array(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "numpy" and cls.__name__ == "ndarray"


def _is_of(cls: type, package: str, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.partition(".")[0] == package for base in cls.__mro__)


def _is_opaque(cls: type) -> bool:
    """Tell whether instances of a class are not looked into: what they stand for is theirs to say; it may be secret."""
    return hasattr(cls, "__entrepot_key__") or is_enum(cls) or cls.__name__.startswith("Secret")


def _is_secret(value: Any) -> bool:
    if not knows_secrets():
        return False
    if type(value) is bytes:
        return len(value) <= _LONGEST_SECRET and _is_secret(value.decode("latin-1"))
    return type(value) is str and len(value) <= _LONGEST_SECRET and mask(value) is not value


def _cost(value: Any, limit: int) -> int:
    """Return about how many bytes there are to encode; where it is more than the limit, any number above it."""
    total = 0
    rest = [value]
    while rest and total <= limit:
        item = rest.pop()
        cls = type(item)
        total += _OBJECT
        if cls in _NUMBERS:
            continue
        if cls is str or cls is bytes:
            total += len(item)
        elif isinstance(item, list | tuple | set | frozenset | dict):
            if total + len(item) * _NUMBER > limit:
                return limit + 1
            items = item.values() if isinstance(item, dict) else item
            if _NUMBERS.issuperset(map(type, items)):
                total += len(item) * _NUMBER
            elif total + len(item) * _OBJECT > limit:
                return limit + 1
            else:
                rest.extend(items)
        elif _is_library(cls):
            total += _bytes_of(item) // _FAST
        elif not _is_opaque(cls):
            rest.extend(_fields(item).values())
    return total


def _bytes_of(value: Any) -> int:
    if hasattr(value, "memory_usage"):  # of pandas
        dtypes: Any = getattr(value, "dtypes", ())
        columns = dtypes if hasattr(dtypes, "__iter__") else [dtypes]
        objects = sum(str(dtype) in {"object", "str", "string"} for dtype in columns)
        used = value.memory_usage(deep=False)
        return int(getattr(used, "sum", lambda: used)()) + objects * len(value) * _OBJECT * _FAST
    if hasattr(value, "estimated_size"):  # of polars
        return int(value.estimated_size())
    size = int(getattr(value, "nbytes", 0) or 0)
    dtype = getattr(value, "dtype", None)
    return size + (int(value.size) * _OBJECT * _FAST if getattr(dtype, "kind", "") == "O" else 0)
