"""Computes parts of keys, and keys, by docs/format.md alone: `keys.py < values`, a Python literal on each line."""

import ast
import hashlib
import json
import struct
import sys

from blake3 import blake3

LONGEST = 65_536


def short(tag: bytes, long_tag: bytes, data: bytes) -> bytes:
    return b"%s%d:%s" % (tag, len(data), data) if len(data) <= LONGEST else long_tag + blake3(data).digest()


def closed(form: bytes) -> bytes:
    return form if len(form) <= LONGEST else b"#" + blake3(form).digest()


def text(value: str) -> bytes:
    return short(b"s", b"S", value.encode("utf-8", "surrogatepass"))


def number(value: float) -> bytes:
    return b"d" + struct.pack("<d", value) if value == value else b"d\0\0\0\0\0\0\xf8\x7f"  # noqa: PLR0124


def integer(value: int) -> bytes:
    if -(1 << 63) <= value < 1 << 63:
        return b"i%d;" % value
    return b"I" + short(b"b", b"B", value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))


def row(tag: bytes, items: "list[object] | tuple[object, ...]") -> bytes:
    kinds, count = {type(item) for item in items}, len(items)
    if count >= 16 and kinds == {int} and all(-(1 << 63) <= item < 1 << 63 for item in items):
        return closed(tag + b"q%d:" % count + struct.pack(f"<{count}q", *items))
    if count >= 16 and kinds == {float}:
        return closed(tag + b"d%d:" % count + b"".join(number(item)[1:] for item in items))
    if count >= 16 and kinds == {str}:
        lengths = struct.pack(f"<{count}q", *map(len, items))
        return closed(tag + b"s%d:" % count + short(b"b", b"B", lengths) + text("".join(items)))
    return closed(tag + b"%d:" % count + b"".join(map(form, items)))


def form(value: object) -> bytes:
    kind = type(value)
    if kind is set or kind is frozenset:
        tag = b"{" if kind is set else b"<"
        return closed(tag + b"%d:" % len(value) + b"".join(sorted(map(form, value))))
    if kind is dict:
        is_text = {*map(type, value)} == {str}
        order = (lambda key: key.encode("utf-8", "surrogatepass")) if is_text else form
        pairs = sorted((order(key), form(item), form(key)) for key, item in value.items())
        return closed(b"m%d:" % len(value) + b"".join(key + item for _, item, key in pairs))
    simple = {
        type(None): lambda _: b"N",
        bool: lambda value: b"T" if value else b"F",
        int: integer,
        float: number,
        complex: lambda value: b"c" + number(value.real) + number(value.imag),
        str: text,
        bytes: lambda value: short(b"b", b"B", value),
        list: lambda value: row(b"[", value),
        tuple: lambda value: row(b"(", value),
    }
    return simple[kind](value)


def shared(value: object) -> str:
    met, around, found, count = {}, set(), [], 0

    def visit(item: object) -> bool:
        nonlocal count
        kind = type(item)
        if kind not in {list, tuple, dict, set} or id(item) in around:
            return id(item) in around
        count += 1
        if id(item) in met:
            found.extend([f"{count}={met[id(item)]}"] if met[id(item)] else [])
            count -= not met[id(item)]
            return bool(met[id(item)])
        mine, changes = count, kind is not tuple
        around.add(id(item))
        for inner in in_order(item) if kind is dict else [] if kind is set else item:
            changes = visit(inner) or changes
        around.discard(id(item))
        count = count if changes else mine - 1
        met[id(item)] = mine if changes else 0
        return changes

    visit(value)
    return ",".join(found)


def in_order(value: dict[object, object]) -> list[object]:
    is_text = {*map(type, value)} <= {str}
    order = (lambda key: key.encode("utf-8", "surrogatepass")) if is_text else form
    return [value[key] for key in sorted(value, key=order)]


def part(value: object) -> str:
    written, marks = form(value), shared(value)
    if marks:
        written = closed(b"o" + text("shared") + b"(2:" + written + text(marks))
    return hashlib.blake2b(written, digest_size=32, person=b"entrepot-value-1").hexdigest()


def key(parts: dict[str, str]) -> str:
    written = "".join(f"{len(name)}:{name}{len(parts[name])}:{parts[name]}" for name in sorted(parts))
    data = written.encode("utf-8", "surrogatepass")
    return "e1-" + hashlib.blake2b(data, digest_size=32, person=b"entrepot-parts-1").hexdigest()


if __name__ == "__main__":
    for line in sys.stdin:
        value = ast.literal_eval(line)
        answer = key(value) if "parts" in sys.argv else part(value)
        print(json.dumps(answer))  # noqa: T201  its answer
