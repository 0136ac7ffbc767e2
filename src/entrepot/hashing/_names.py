"""What the names that a function reads stand for now, and what is read from that.

`_bytecode` says which names are read, and which attributes of them one after another; `_walker` writes what is found.
"""

import builtins
import sys
from collections.abc import Mapping
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from entrepot._sentinels import MISSING
from entrepot.hashing._bytecode import Chain, ImportedName
from entrepot.hashing._callables import is_pythons_own
from entrepot.hashing._classes import plain_attribute
from entrepot.hashing._imports import absolute_name, module_or_origin
from entrepot.hashing._labels import class_label, module_label
from entrepot.hashing._origins import Origin, is_projects
from entrepot.hashing._places import CodeRefused, Place

if TYPE_CHECKING:
    from entrepot.hashing._walker import CodeWalker

__all__ = ["follow", "imported", "read", "read_module"]

_PLAIN: Final = frozenset({int, str, bool, type(None), bytes, float, complex})
_OF_IMPORT: Final = frozenset(
    # What the import system notes of a module: where it was found, and by whom.
    f"__{name}__"
    for name in ("builtins", "cached", "doc", "file", "loader", "name", "package", "path", "spec")
)
_BUILTINS: Final = {name: value for name, value in vars(builtins).items() if is_pythons_own(name, value)}
_READ_ALL: Final = frozenset({"globals", "eval", "exec"})
"""Built-in functions through which code reads any name of its module."""


def read(walker: "CodeWalker", namespace: dict[str, Any], name: str, chains: tuple[Chain, ...], label: str) -> None:
    """Look up a global name, and what is read from it.

    Args:
        walker: The walk.
        namespace: Where the name is looked up.
        name: The name.
        chains: What is read from what it stands for.
        label: Of the function that reads it.

    Raises:
        CodeRefused: If what is found has no stable identity.
    """
    value = namespace.get(name, MISSING)
    if value is MISSING and hasattr(builtins, name):
        walker.plan.read(namespace, name, value)
        built_in = vars(builtins)[name]
        walker.plan.read(vars(builtins), name, built_in)
        if _BUILTINS.get(name, MISSING) is not built_in:  # somebody put it there
            read(walker, vars(builtins), name, chains, label)
        elif name in _READ_ALL:
            _read_all(walker, namespace, label)
        return
    place: Place | None = None
    for chain in chains:
        if not walker.is_new(namespace, name, chain):
            continue
        if place is None:
            walker.plan.read(namespace, name, value)
            module = namespace.get("__name__", "")
            space = walker.label(namespace, module_label(module))
            place = Place(f"global:{space}.{name}", "global", name, label, namespace)
        try:
            _found(walker, value, chain, place)
        except CodeRefused:
            walker.forget(namespace, name, chain)  # whoever takes a refusal may not speak for the next one
            raise


def _found(walker: "CodeWalker", value: Any, chain: Chain, place: Place) -> None:
    """Write what a global name stands for, or what is read from it."""
    if value is MISSING:
        walker.plan.give_up()  # it may appear among the built-in names
        walker.parts[place.part] = "missing"
    elif place.name == "__name__":
        walker.write(module_label(value), place)
    elif chain:
        follow(walker, value, chain, place)
    else:
        walker.write(value, place)


def read_module(walker: "CodeWalker", module: ModuleType, label: str) -> None:
    """Look up everything that a module holds.

    Raises:
        CodeRefused: If something that it holds has no stable identity.
    """
    walker.plan.give_up()  # names may be added
    for name in sorted(vars(module)):
        if name not in _OF_IMPORT:
            read(walker, vars(module), name, ((),), label)


def _read_all(walker: "CodeWalker", namespace: dict[str, Any], label: str) -> None:
    """Look up every name of a function's own module: which ones it reads is only decided while it runs.

    Of what has no identity only the class counts: most of it is not read, and a refusal would be for nothing.
    """
    if not walker.is_new(namespace, "", ()):
        return
    walker.plan.give_up()
    for name in sorted(key for key in namespace if isinstance(key, str) and key not in _OF_IMPORT):
        try:
            read(walker, namespace, name, ((),), label)
        except CodeRefused:
            space = walker.label(namespace, module_label(namespace.get("__name__", "")))
            walker.parts[f"global:{space}.{name}"] = f"a {class_label(type(namespace[name]))}"


def follow(walker: "CodeWalker", value: Any, chain: Chain, place: Place) -> None:
    """Go from a value along attributes as far as it is sure what they give; write what is there.

    Raises:
        CodeRefused: If what is there has no stable identity.
    """
    is_from_library = False
    for attribute in chain:
        if isinstance(value, ModuleType):
            is_from_library = walker.is_library(value)
            if is_from_library:
                below = _from_library(walker, value, attribute, place)
                if below is MISSING:
                    return
                value = below
                continue
            namespace = vars(value)
            space = walker.label(namespace, module_label(value.__name__))
            place = place.at(f"global:{space}.{attribute}", attribute, namespace)
            value = _attribute_of_module(value, attribute)
            walker.plan.read(namespace, attribute, value)  # what a module makes up when asked never holds
            if value is MISSING:
                walker.parts[place.part] = "missing"
                return
            continue
        if type(value) is FunctionType and attribute in vars(value):
            walker.write(value, place)
            below = vars(value)[attribute]
        else:
            below = plain_attribute(value, attribute)
            if below is MISSING:
                break
        _watch(walker, value, attribute)
        place = place.at(f"{place.part}.{attribute}", attribute)
        value = below
    if not (is_from_library and isinstance(value, ModuleType) and walker.is_library(value)):
        walker.write(value, place)


def _from_library(walker: "CodeWalker", module: ModuleType, attribute: str, place: Place) -> Any:
    """Return a module that a library's module holds; write what is plain, and what the project put there."""
    value = vars(module).get(attribute, MISSING)
    walker.plan.read(vars(module), attribute, value)
    if isinstance(value, ModuleType):
        return value
    is_planted = isinstance(value, FunctionType | type) and is_projects(value)
    is_plain = type(value) in _PLAIN and attribute not in _OF_IMPORT and place.kind != "import"
    if is_plain or is_planted:
        walker.write(value, place.at(f"global:{module_label(module.__name__)}.{attribute}", attribute))
    return MISSING


def _watch(walker: "CodeWalker", value: Any, attribute: str) -> None:
    """Watch an attribute of a class; those of objects would need their classes watched as well."""
    if not isinstance(value, type):
        walker.plan.give_up()
        return
    walker.plan.inherited(value, attribute)


def imported(walker: "CodeWalker", one: ImportedName, namespace: Mapping[str, Any], label: str) -> None:
    """Look up what an import statement inside a function binds; modules of the project are imported for it.

    Raises:
        CodeRefused: If what is found has no stable identity.
    """
    name = absolute_name(one.module, one.level, namespace)
    module = _module(walker, name)
    chains = one.chains if one.name is None else [(one.name, *chain) for chain in one.chains]
    if module is None:
        other = sys.modules.get(name)
        if not isinstance(other, ModuleType):
            return
        # Somebody else's: only what the project put there counts, as it is not there before the module is loaded.
        place = Place(f"global:{module_label(name)}", "import", name, label, vars(other))
        for chain in chains:
            if chain:
                follow(walker, other, chain, place)
        return
    place = Place(f"global:{module_label(name)}", "global", name, label, vars(module))
    for chain in chains:
        if chain and _attribute_of_module(module, chain[0]) is MISSING:
            _module(walker, f"{name}.{chain[0]}")
        follow(walker, module, chain, place)


def _module(walker: "CodeWalker", name: str) -> ModuleType | None:
    """Return a module of the project by name; None for those of others, which only count by their version."""
    walker.plan.read(sys.modules, name, sys.modules.get(name, MISSING))
    found = module_or_origin(name)
    if isinstance(found, str):
        walker.plan.give_up()
        walker.parts[f"import:{name}"] = found
        return None
    if isinstance(found, Origin):
        walker.library(found)
        return None
    return None if walker.is_library(found) else found


def _attribute_of_module(module: ModuleType, name: str) -> Any:
    found = getattr(module, name, MISSING)
    return sys.modules.get(f"{module.__name__}.{name}", MISSING) if found is MISSING else found
