"""The canonical form of a value: tagged, length-prefixed bytes, and the walk over the value that writes them.

Equal forms mean equal values of equal types. Every form says where it ends, so that one written after another can be
told apart again: `["ab", "c"]` never looks like `["a", "bc"]`. A form that would be longer than `INLINE` bytes is
replaced by its BLAKE3 digest; the rule looks at the content only, so the same value always takes the same way.

    N T F           None, True, False                  s<n>: S          text as UTF-8: as it is, or its digest
    i<n>; I<n>:     int of 64 bits, longer int         b<n>: B          bytes: as they are, or their digest
    d<8> c<d><d>    float, complex (one NaN, two zeros)
    [<n>: (<n>:     list, tuple                        [q [d [s (q ...  the same, of 16 or more int64, floats, texts
    {<n>: <<n>:     set, frozenset: items sorted by their form
    m<n>:           dict: keys and values, sorted by key
    M<n>:           the same in the order of insertion, where it belongs to code
    o<name>(<n>:    anything else: a name for the kind of thing, and n parts
    ^<n>;           the n-th container outwards from here: a structure that contains itself
    #<32>           the BLAKE3 digest of a form that is longer than INLINE
"""

import builtins
import struct
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

from entrepot.hashing._bytes import INLINE, bulk, bytes_form, pack, stream, text
from entrepot.hashing._labels import class_label

__all__ = ["ENCODERS", "Encoder", "Encoding", "OrderedEncoder", "Refused"]

Encoding: TypeAlias = Callable[["Encoder", Any], bytes]
"""Writes the form of a value of one exact type."""

_PACKED = 16  # from this length on, lists and tuples of only int64, floats or texts are written in one go
_CHUNK = 4096  # items of a long container that are joined at a time
_REMEMBERED = 256  # forms shorter than this are cheaper written again than remembered
_TANGLED = 100_000  # containers written inside open cycles, before a structure counts as too tangled
_INT64 = 1 << 63
_NEVER = 1 << 62  # deeper than any structure
_ONE_NAN = float("nan")
_DOUBLE = struct.Struct("<d")
_NAN = b"d" + _DOUBLE.pack(_ONE_NAN)
_SHOWN = 40  # characters of a dict key in a path


class Refused(Exception):  # noqa: N818  a signal inside this package; callers get UnhashableValueError
    """A part of a value has no stable identity.

    Args:
        kind: What it is, with an article: "a sqlite3.Connection".
        reason: Why it has no identity, as a relative clause: "which has no stable identity".
        cause: What the user's own code raised, where that is why.
        advice: What to do, in the place of what can be done about any value: "check the path". Where it has "{path}",
            the way to the value is put.
    """

    def __init__(self, kind: str, reason: str, *, cause: BaseException | None = None, advice: str = "") -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason
        self.cause = cause
        self.advice = advice
        self.steps: list[str] = []

    def inside(self, step: str) -> "Refused":
        """Say where in the enclosing value it was: `[3]`, `.conn`."""
        self.steps.append(step)
        return self

    @property
    def type_name(self) -> str:
        """The name of its class, or "Type" where no function could be registered for it."""
        module, _, name = self.kind.partition(" ")[2].rpartition(".")
        is_class = isinstance(vars(builtins).get(name), type) and name != "object"  # of Python itself
        return name if name.isidentifier() and (module or is_class) else "Type"

    @property
    def path(self) -> str:
        """The steps from the outermost value inwards."""
        return "".join(reversed(self.steps))


class Encoder:
    """One walk over one value. Not shared between threads.

    Attributes:
        classes: The classes of the objects met that are no plain data of Python itself, in the order met.
    """

    __slots__ = ("_labels", "_lowest", "_memo", "_open", "_sorting", "_stems", "_tangle", "classes")

    def __init__(self) -> None:
        self.classes: dict[type, None] = {}
        self._labels: dict[int, tuple[object, str]] = {}  # what things are called in this walk
        self._stems: dict[str, tuple[int, bool]] = {}  # how many are called so, and whether one of them was sorted
        self._sorting = 0  # inside how many containers whose order is being made
        self._open: dict[int, int] = {}  # containers on the way from the root to here: id -> depth
        self._memo: dict[int, tuple[object, bytes]] = {}  # keeps the object, so that its id stays its own
        self._lowest = _NEVER  # the outermost depth that a back reference reached since the open container began
        self._tangle = 0

    # --- the ways in --------------------------------------------------------------------------------------------------

    def encode(self, value: object) -> bytes:
        """Return the form of a value.

        Raises:
            Refused: If a part of it has no stable identity.
        """
        encoding = ENCODERS.get(type(value))
        if encoding is None:
            self._note_library(type(value))
            from entrepot.hashing._kinds import find_encoding  # noqa: PLC0415  loads when the first rare kind is met

            encoding = find_encoding(value)
        return encoding(self, value)

    def _note_library(self, cls: type) -> None:
        """Take note of a class of a library: its methods may be all that a task uses of it, and count by version."""
        top = cls.__module__.partition(".")[0]
        if top != "entrepot" and top not in sys.stdlib_module_names:
            self.classes[cls] = None

    def key(self, value: object) -> bytes:
        """Return the form of a value by which it is sorted among others: an item of a set, a key of a dict."""
        self._sorting += 1
        try:
            return self.encode(value)
        finally:
            self._sorting -= 1

    def label(self, thing: object, stem: str) -> str:
        """Return what a class or function is called in this walk: its stem, numbered where several share it.

        Raises:
            Refused: If the number would depend on the order of a set.
        """
        known = self._labels.get(id(thing))
        if known is not None:
            return known[1]
        count, sorted_before = self._stems.get(stem, (0, False))
        if count and (sorted_before or self._sorting):
            raise Refused(f"one of several things called {stem}", "which have no order in a set (use a list)")
        self._stems[stem] = (count + 1, sorted_before or self._sorting > 0)
        label = f"{stem}#{count}" if count else stem
        self._labels[id(thing)] = (thing, label)  # keeps it alive, so that its id stays its own
        return label

    def instance_of(self, cls: type) -> bytes:
        """Return the form of the name of an object's class, and take note of the class."""
        self.classes[cls] = None
        return text(self.label(cls, class_label(cls)))

    def code(self, value: object) -> bytes:
        """Return the form of a function, class or module: of what it does, not of where it is."""
        from entrepot.hashing.code import code_form  # noqa: PLC0415  code.py stands on this module

        known = self._memo.get(id(value))
        if known is None:
            known = self._memo[id(value)] = (value, code_form(value))
        return known[1]

    # --- what encodings are made of -----------------------------------------------------------------------------------

    def named(self, name: str, *parts: bytes) -> bytes:
        """Return the form of a thing of a named kind, made of the forms of its parts."""
        return self.close(b"o" + text(name) + b"(%d:" % len(parts) + b"".join(parts))

    def close(self, form: bytes) -> bytes:
        """Return a form, or its digest if it is long."""
        return form if len(form) <= INLINE else b"#" + bulk(form)

    def attributes(self, state: Mapping[str, Any]) -> bytes:
        """Return the form of an object's attributes by name; refusals say `.name`."""
        parts = [b"m%d:" % len(state)]
        name = ""
        try:
            for name in sorted(state):
                parts.append(text(name))
                parts.append(self.encode(state[name]))
        except Refused as refusal:
            raise refusal.inside(f".{name}") from None
        return self.close(b"".join(parts))

    def part(self, step: str, value: object) -> bytes:
        """Return the form of one part; refusals say `step`."""
        try:
            return self.encode(value)
        except Refused as refusal:
            raise refusal.inside(step) from None

    def container(self, value: Any, write: Encoding) -> bytes:
        """Write a thing that may contain itself, and only once however often it is referred to."""
        key = id(value)
        depth = self._open.get(key)
        if depth is not None:
            self._lowest = min(self._lowest, depth)
            return b"^%d;" % (len(self._open) - depth)
        known = self._memo.get(key)
        if known is not None:
            return known[1]
        depth = len(self._open)
        outer, self._lowest = self._lowest, _NEVER
        self._open[key] = depth
        try:
            form = write(self, value)
        finally:
            del self._open[key]
        if self._lowest >= depth:  # it refers to nothing outside itself: its form holds wherever it stands
            self._lowest = outer
            if len(form) >= _REMEMBERED:
                self._memo[key] = (value, form)
        else:
            self._lowest = min(self._lowest, outer)
            self._tangle += 1
            if self._tangle > _TANGLED:
                raise Refused("a structure", f"which has more than {_TANGLED:,} ways through its cycles")
        return form

    # --- containers ---------------------------------------------------------------------------------------------------

    def sequence(self, tag: bytes, items: "list[Any] | tuple[Any, ...]") -> bytes:
        """Return the form of items in order."""
        count = len(items)
        if count >= _PACKED:
            packed = pack(items)
            if packed is not None:
                return self.close(tag + packed)
        parts = [tag + b"%d:" % count]
        if count > _CHUNK:
            return stream(self._chunks(items, parts))
        self._items(items, parts, 0)
        return self.close(b"".join(parts))

    def _chunks(self, items: "list[Any] | tuple[Any, ...]", parts: list[bytes]) -> Iterator[bytes]:
        for start in range(0, len(items), _CHUNK):
            self._items(items[start : start + _CHUNK], parts, start)
            yield b"".join(parts)
            parts.clear()

    def _items(self, items: Iterable[Any], parts: list[bytes], first: int) -> None:
        before = len(parts)
        encoders = ENCODERS
        try:
            for item in items:
                encoding = encoders.get(type(item))
                parts.append(encoding(self, item) if encoding is not None else self.encode(item))
        except Refused as refusal:
            raise refusal.inside(f"[{first + len(parts) - before}]") from None

    def unordered(self, tag: bytes, items: Collection[Any]) -> bytes:
        """Return the form of items whose order does not count."""
        try:
            forms = sorted([self.key(item) for item in items])
        except Refused as refusal:
            raise refusal.inside("{...}") from None
        return self.close(tag + b"%d:" % len(forms) + b"".join(forms))

    def mapping(self, items: Mapping[Any, Any]) -> bytes:
        """Return the form of keys and values; the order of insertion does not count."""
        parts = [b"m%d:" % len(items)]
        if len(items) > _CHUNK:
            return stream(self._pair_chunks(items, parts))
        keys = self._sorted_keys(items)
        encoders = ENCODERS
        key: object = None
        try:
            for form, key in keys:
                item = items[key]
                encoding = encoders.get(type(item))
                parts.append(form)
                parts.append(encoding(self, item) if encoding is not None else self.encode(item))
        except Refused as refusal:
            raise refusal.inside(f"[{_shown(key)}]") from None
        return self.close(b"".join(parts))

    def _pair_chunks(self, items: Mapping[Any, Any], parts: list[bytes]) -> Iterator[bytes]:
        for form, key in self._sorted_keys(items):
            parts.append(form)
            parts.append(self.part(f"[{_shown(key)}]", items[key]))
            if len(parts) > _CHUNK:
                yield b"".join(parts)
                parts.clear()
        yield b"".join(parts)

    def _sorted_keys(self, items: Mapping[Any, Any]) -> Iterable[tuple[bytes, Any]]:
        if all(type(key) is str for key in items):
            return [(text(key), key) for key in sorted(items)]
        try:
            keys = [(self.key(key), key) for key in items]
        except Refused as refusal:
            raise refusal.inside("{keys}") from None
        keys.sort(key=lambda pair: pair[0])
        if any(one[0] == two[0] for one, two in pairwise(keys)):
            # Several keys of one form (NaN objects) would keep the order of insertion: their values decide.
            keys.sort(key=lambda pair: (pair[0], self.encode(items[pair[1]])))
        return keys


class OrderedEncoder(Encoder):
    """A walk over what code finds around it: the order in which a dict was filled counts, as a loop over it sees it."""

    __slots__ = ()

    def attributes(self, state: Mapping[str, Any]) -> bytes:
        """Return the form of an object's attributes in order; refusals say `.name`."""
        parts = [b"M%d:" % len(state)]
        for name, item in state.items():
            parts += [text(name), self.part(f".{name}", item)]
        return self.close(b"".join(parts))

    def mapping(self, items: Mapping[Any, Any]) -> bytes:
        """Return the form of keys and values in order."""
        parts = [b"M%d:" % len(items)]
        if len(items) > _CHUNK:
            return stream(self._pair_chunks(items, parts))
        for chunk in self._pair_chunks(items, parts):
            return self.close(chunk)
        return self.close(b"".join(parts))

    def _sorted_keys(self, items: Mapping[Any, Any]) -> Iterable[tuple[bytes, Any]]:
        return [(self.part("{keys}", key), key) for key in items]


def _shown(key: object) -> str:
    """Return a key for a path in a message: short, and never an object's own idea of itself."""
    if type(key) in {str, int, bool, float, type(None)}:
        shown = repr(key)
        return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 3] + "..."
    return f"<{type(key).__name__}>"


# --- the plain types ------------------------------------------------------------------------------------------------


def _none(_: Encoder, __: None) -> bytes:
    return b"N"


def _bool(_: Encoder, value: bool) -> bytes:  # noqa: FBT001  the signature of every encoding
    return b"T" if value else b"F"


def _int(_: Encoder, value: int) -> bytes:
    if -_INT64 <= value < _INT64:
        return b"i%d;" % value
    return b"I" + bytes_form(value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def _float(_: Encoder, value: float) -> bytes:
    return b"d" + _DOUBLE.pack(value) if value == value else _NAN  # noqa: PLR0124  NaN is what differs from itself


def _complex(encoder: Encoder, value: complex) -> bytes:
    return b"c" + _float(encoder, value.real) + _float(encoder, value.imag)


def _str(_: Encoder, value: str) -> bytes:
    return text(value)


def _bytes(_: Encoder, value: bytes) -> bytes:
    return bytes_form(value)


def _list_form(encoder: Encoder, value: list[Any]) -> bytes:
    return encoder.sequence(b"[", value)


def _list(encoder: Encoder, value: list[Any]) -> bytes:
    return encoder.container(value, _list_form)


def _tuple_form(encoder: Encoder, value: tuple[Any, ...]) -> bytes:
    return encoder.sequence(b"(", value)


def _tuple(encoder: Encoder, value: tuple[Any, ...]) -> bytes:
    return encoder.container(value, _tuple_form)


def _set(encoder: Encoder, value: set[Any]) -> bytes:
    return encoder.unordered(b"{", value)


def _frozenset(encoder: Encoder, value: frozenset[Any]) -> bytes:
    return encoder.unordered(b"<", value)


def _dict_form(encoder: Encoder, value: dict[Any, Any]) -> bytes:
    return encoder.mapping(value)


def _dict(encoder: Encoder, value: dict[Any, Any]) -> bytes:
    return encoder.container(value, _dict_form)


ENCODERS: dict[type, Encoding] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    complex: _complex,
    str: _str,
    bytes: _bytes,
    list: _list,
    tuple: _tuple,
    set: _set,
    frozenset: _frozenset,
    dict: _dict,
}
"""How to write a value of the plain types, by its exact type. `_kinds` finds the others."""
