"""What functions and classes say of themselves: annotations, docstrings, and which classes a class has below it.

It is no part of what they do, unless code reads it. Code that does gets the function from anywhere: by name, from a
table, as an argument. So where any code of a walk mentions one of the ways to read it, what all say counts.
"""

import dis
from collections.abc import Iterable, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from entrepot.hashing._bytes import text
from entrepot.hashing._origins import is_projects

if TYPE_CHECKING:
    from entrepot.hashing._walker import CodeWalker

__all__ = ["is_prose_reader", "mentions_names", "mentions_prose", "prose_form", "without_annotations"]

_READERS: Final = frozenset(
    {
        "__annotations__",
        "__doc__",
        "__signature__",
        "__subclasses__",
        "get_annotations",
        "get_type_hints",
        "getdoc",
        "getfullargspec",
        "signature",
    }
)
_NAMES: Final = frozenset({"__module__", "__name__", "__qualname__"})
_MODULES: Final = frozenset({"annotationlib", "inspect", "typing", "typing_extensions"})
_READS: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_CONST"})
_LOADS: Final = _READS | {"LOAD_GLOBAL", "LOAD_NAME", "IMPORT_FROM"}
_ANNOTATIONS: Final = 0x04  # of MAKE_FUNCTION: there are some
_CLOSURE: Final = 0x08  # of MAKE_FUNCTION: there are variables of enclosing functions
_TUPLES: Final = frozenset({"BUILD_TUPLE", "LOAD_CONST"})


def mentions_prose(steps: Iterable[dis.Instruction]) -> bool:
    """Tell whether instructions mention a way to read annotations or docstrings."""
    return any(step.opname in _LOADS and isinstance(step.argval, str) and step.argval in _READERS for step in steps)


def mentions_names(steps: Iterable[dis.Instruction]) -> bool:
    """Tell whether instructions mention a way to read what functions and classes are called."""
    return any(step.opname in _READS and isinstance(step.argval, str) and step.argval in _NAMES for step in steps)


def is_prose_reader(fn: FunctionType) -> bool:
    """Tell whether a library's function reads what others say of themselves, whatever it is called here."""
    return fn.__name__ in _READERS and fn.__module__ in _MODULES


def prose_form(walker: "CodeWalker", thing: Any, annotated: bytes) -> bytes:
    """Return the form of what a function or class says of itself.

    Args:
        walker: The walk.
        thing: The function or class.
        annotated: The digest of its code with the annotations of functions inside it.
    """
    if isinstance(thing, type):  # whose fields count anyway
        below: list[type] = type.__subclasses__(thing)
        forms = [walker.encode([cls for cls in below if is_projects(cls)])]
    else:
        forms = [text(name) + form for name, form in walker.annotations(thing, thing.__globals__)]
    return walker.named("prose", walker.encode(thing.__doc__), annotated, *forms)


def without_annotations(steps: Sequence[dis.Instruction]) -> list[dis.Instruction]:
    """Return instructions without those that make the annotations of functions which are defined inside.

    A decorator may read them at once, so those of a decorated function stay.
    """
    kept: list[dis.Instruction] = []
    for number, step in enumerate(steps):
        if step.opname == "SET_FUNCTION_ATTRIBUTE" and step.arg == _ANNOTATIONS:  # from Python 3.13 on
            if _is_taken_back(kept, steps[number + 1 :]):
                continue
        elif step.opname == "MAKE_FUNCTION" and (step.arg or 0) & _ANNOTATIONS:
            is_stored = number + 1 < len(steps) and steps[number + 1].opname.startswith("STORE_")
            last = len(kept) - 2  # before the code itself
            if (step.arg or 0) & _CLOSURE:
                last = _start(kept, last) - 1
            first = _start(kept, last) if is_stored and last >= 0 and kept[last].opname in _TUPLES else -1
            if first >= 0:
                del kept[first : last + 1]
                flags = (step.arg or 0) & ~_ANNOTATIONS
                kept.append(step._replace(arg=flags, argval=flags))
                continue
        kept.append(step)
    return kept


def _is_taken_back(kept: list[dis.Instruction], after: Sequence[dis.Instruction]) -> bool:
    """Remove what makes the annotations of the function that was just made; return whether that was done."""
    then = next((step.opname for step in after if step.opname != "SET_FUNCTION_ATTRIBUTE"), "")
    made = len(kept) - 1
    while made >= 0 and kept[made].opname == "SET_FUNCTION_ATTRIBUTE":
        made -= 1
    if not then.startswith("STORE_") or made < 0 or kept[made].opname != "MAKE_FUNCTION":
        return False
    last = made - 2  # before the code itself
    if made < len(kept) - 1:  # its closure, which was made after them
        last = _start(kept, last) - 1
    first = _start(kept, last) if last >= 0 and kept[last].opname in _TUPLES else -1
    if first >= 0:
        del kept[first : last + 1]
    return first >= 0


def _start(steps: Sequence[dis.Instruction], last: int) -> int:
    """Return where the instructions begin that put what instruction `last` leaves on the stack, or -1."""
    missing = 1
    for number in range(last, -1, -1):
        step = steps[number]
        if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
            return -1
        missing -= dis.stack_effect(step.opcode, step.arg if step.opcode >= dis.HAVE_ARGUMENT else None)
        if missing == 0:
            return number
    return -1
