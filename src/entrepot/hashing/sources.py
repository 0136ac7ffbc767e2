"""The source of what a function uses, by the digest that its key has of it: what a difference in code is shown with.

The digest is of the compiled code, since that is what runs (`_bytecode`). The file may have been edited since it was
imported, so its text is compiled again, and only taken where that gives the same digest. Where it does not, or there is
no file, the instructions stand for the source: there is always something to compare.
"""

import dis
import inspect
import linecache
import sys
import textwrap
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, Final

from entrepot.hashing._bytecode import facts_of
from entrepot.hashing._labels import module_label
from entrepot.hashing._places import CodeRefused
from entrepot.hashing._walker import CodeWalker

__all__ = ["sources_of"]

_CODE: Final = "code:"
_LARGEST_FILE: Final = 1 << 20  # characters: compiling more takes too long for what it is good for


def sources_of(fn: object, parts: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of functions and classes by the digests that stand for them in a key.

    Args:
        fn: The function that the key is of.
        parts: Of the key.
    """
    wanted = {name: digest for name, digest in parts.items() if name == "code" or name.startswith(_CODE)}
    walker = CodeWalker()
    try:
        walker.walk(fn)
    except CodeRefused:
        return {}
    nodes = dict(walker.nodes())
    compiled: dict[str, dict[tuple[str, int], CodeType]] = {}
    found = {}
    for name, digest in wanted.items():
        node = nodes.get(name)
        if node is None:  # the class of an argument: no walk from the function leads there
            node = _by_label(name.removeprefix(_CODE))
        if isinstance(node, FunctionType) and facts_of(node.__code__).hexdigest == digest:
            found[digest] = _source(node.__code__, compiled) or _instructions(node.__code__)
        elif isinstance(node, type):
            found[digest] = _class_source(node, compiled)
    return {digest: text for digest, text in found.items() if text}


def _by_label(label: str) -> object:
    """Return what is called so, if it is where its name says."""
    module, _, path = label.partition(":")
    found: object = next((one for name, one in list(sys.modules.items()) if module_label(name) == module), None)
    for name in path.split("."):
        found = inspect.getattr_static(found, name, None)
    return found


def _source(code: CodeType, compiled: dict[str, dict[tuple[str, int], CodeType]]) -> str:
    """Return the text that a code object was made from, or "" where that is not sure."""
    file = code.co_filename
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    if file not in compiled:
        text = "".join(lines)
        compiled[file] = dict(_codes(text, file)) if 0 < len(text) <= _LARGEST_FILE else {}
    there = compiled[file].get((code.co_qualname, code.co_firstlineno))
    if there is None or facts_of(there).digest != facts_of(code).digest:
        return ""
    return _block(lines, code.co_firstlineno)


def _block(lines: list[str], first: int) -> str:
    try:
        return textwrap.dedent("".join(inspect.getblock(lines[first - 1 :])))
    except (SyntaxError, IndentationError):
        return ""


def _codes(text: str, file: str) -> Iterator[tuple[tuple[str, int], CodeType]]:
    try:
        rest = [compile(text, file, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):
        return
    while rest:
        code = rest.pop()
        yield (code.co_qualname, code.co_firstlineno), code
        rest.extend(const for const in code.co_consts if isinstance(const, CodeType))


def _instructions(code: CodeType) -> str:
    """Return what a code object does, one instruction a line; names and constants, no places in memory."""
    lines = [f"# the source of {code.co_qualname} is not at hand; its instructions:"]
    for step in dis.get_instructions(code):
        said = f"<code of {step.argval.co_qualname}>" if isinstance(step.argval, CodeType) else step.argrepr
        if step.opname not in {"CACHE", "NOP", "RESUME"}:
            lines.append(f"{step.opname} {said}".rstrip())
    return "\n".join([*lines, ""])


def _class_source(cls: type, compiled: dict[str, dict[tuple[str, int], CodeType]]) -> str:
    """Return the text of a class, if that of its methods is what runs."""
    methods: list[Any] = [value for value in vars(cls).values() if isinstance(value, FunctionType)]
    own = [fn.__code__ for fn in methods if fn.__code__.co_qualname.startswith(f"{cls.__qualname__}.")]
    if any(not _source(code, compiled) for code in own if not code.co_filename.startswith("<")):
        return ""
    try:
        return textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError, SyntaxError):
        return ""
