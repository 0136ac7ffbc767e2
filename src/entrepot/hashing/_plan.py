"""What a walk looked at, so that the next one can be spared if all of it is still the same.

A walk over a function and its helpers costs a microsecond or two for each thing it meets. To see that nothing changed
costs a tenth of that: every name still stands for the very same object, and the objects are ones that cannot change;
values that can (lists, dicts) are written again and compared. Whatever a plan cannot watch makes it give up, and then
every call walks.
"""

from abc import get_cache_token
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import WRAPPER_ASSIGNMENTS
from itertools import repeat
from operator import attrgetter, is_
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

from entrepot._sentinels import MISSING
from entrepot.hashing._encoder import OrderedEncoder, Refused
from entrepot.hashing._labels import is_runnable

__all__ = ["OF_WRAPPERS", "Plan", "never_changes"]

_IMMUTABLE: Final = frozenset({int, float, str, bytes, bool, complex, type(None), type(...)})
OF_WRAPPERS: Final = frozenset({*WRAPPER_ASSIGNMENTS, "__wrapped__", "cache_parameters"})
"""What functools itself puts on each wrapper."""
_OF_TYPES: Final = frozenset({ClassMethodDescriptorType, MethodDescriptorType, WrapperDescriptorType})
_code_of = attrgetter("__code__")
_defaults_of = attrgetter("__defaults__")
_kwdefaults_of = attrgetter("__kwdefaults__")
_contents_of = attrgetter("cell_contents")
_attributes_of = attrgetter("__dict__")
_value_of = attrgetter("_value_")
_names_of = attrgetter("__name__", "__qualname__", "__module__")


def never_changes(value: object) -> bool:
    """Tell whether an object is the same as long as it is the very same object.

    Functions, classes and modules count as such: what can change in them is watched on its own.
    """
    kind = type(value)
    if kind in _IMMUTABLE or kind is FunctionType or kind in _OF_TYPES or isinstance(value, type | ModuleType):
        return True
    if kind is BuiltinFunctionType:
        return value.__self__ is None or isinstance(value.__self__, ModuleType | type)  # type: ignore[attr-defined]
    if kind.__name__ == "_lru_cache_wrapper":
        return True
    return is_runnable(kind) and not hasattr(kind, "__entrepot_code__")  # that method may give another answer


@dataclass(slots=True)
class _Space:
    """Names of one namespace."""

    namespace: Mapping[str, Any]
    names: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class _Functions:
    """Functions, and what they were made of."""

    functions: list[FunctionType] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)
    defaults: list[Any] = field(default_factory=list)
    kwdefaults: list[Any] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # of attributes

    def is_same(self, function: FunctionType) -> bool:
        """Return whether a function is made of the same; there is only one."""
        return (
            function.__code__ is self.codes[0]
            and function.__defaults__ is self.defaults[0]
            and function.__kwdefaults__ is self.kwdefaults[0]
            and len(function.__dict__) == self.counts[0]
        )

    def are_same(self, functions: "list[FunctionType]") -> bool:
        return (
            all(map(is_, map(_code_of, functions), self.codes))
            and all(map(is_, map(_defaults_of, functions), self.defaults))
            and all(map(is_, map(_kwdefaults_of, functions), self.kwdefaults))
            and list(map(len, map(_attributes_of, functions))) == self.counts
        )


class Plan:
    """The list of what a walk depended on.

    It does not hold the function that the walk started from, nor values of enclosing functions that could be large or
    hold it: those functions go when their owner lets go of them.

    Attributes:
        is_complete: Whether all of it can be watched.
    """

    __slots__ = (
        "_abstract",
        "_cells",
        "_classes",
        "_contents",
        "_helpers",
        "_lines",
        "_member_counts",
        "_member_values",
        "_members",
        "_named",
        "_names",
        "_pure",
        "_root",
        "_root_names",
        "_spaces",
        "is_complete",
    )

    def __init__(self) -> None:
        self.is_complete = True
        self._abstract: object = None  # changes whenever a class is registered with any abstract one
        self._spaces: dict[int, _Space] = {}
        self._root = _Functions()
        self._helpers = _Functions()
        self._cells: list[CellType] = []
        self._contents: list[Any] = []
        self._classes: list[tuple[type, type, tuple[type, ...], tuple[str, ...]]] = []
        self._lines: list[tuple[type, tuple[type, ...]]] = []
        self._members: list[Any] = []  # of enumerations, with their values and how many attributes they have
        self._member_values: list[Any] = []
        self._member_counts: list[int] = []
        self._named: list[Any] = []  # functions and classes, with what they are called
        self._names: list[tuple[Any, ...]] = []
        self._root_names: tuple[Any, ...] | None = None
        self._pure: list[tuple[Any, bytes]] = []

    # --- during the walk ----------------------------------------------------------------------------------------------

    def give_up(self) -> None:
        """Something was looked at that cannot be watched."""
        self.is_complete = False

    def read(self, namespace: Mapping[str, Any], name: str, value: object) -> None:
        """A name was looked up; `MISSING` says that it was not there."""
        space = self._spaces.get(id(namespace))
        if space is None:
            space = self._spaces[id(namespace)] = _Space(namespace)
        space.names.append(name)
        space.values.append(value)

    def function(self, fn: FunctionType, *, is_root: bool) -> None:
        """A function was written: its code, its defaults, and the variables around it."""
        self._made_of(fn, self._root if is_root else self._helpers)
        if not is_root:
            self._helpers.functions.append(fn)
        for name, value in vars(fn).items():
            self.read(vars(fn), name, value)
            if not (type(value) in _IMMUTABLE or name == "__wrapped__" or _is_of_module(value)):
                self.give_up()
        for cell in fn.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not assigned yet, but it may be soon
                self.give_up()
                return
            is_light = type(content) in _IMMUTABLE or isinstance(content, ModuleType)
            if not (is_light or _is_of_module(content)):
                self.give_up()
            self._cells.append(cell)
            self._contents.append(content)

    def generated(self, fn: FunctionType) -> None:
        """A function that Python made from the fields of a class was looked at: what is in it changes with them."""
        self._made_of(fn, self._helpers)
        self._helpers.functions.append(fn)

    def _made_of(self, fn: FunctionType, into: _Functions) -> None:
        into.codes.append(fn.__code__)
        into.defaults.append(fn.__defaults__)
        into.kwdefaults.append(fn.__kwdefaults__)
        into.counts.append(len(vars(fn)))
        if fn.__kwdefaults__ is not None:
            code = fn.__code__
            for name in code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]:
                self.read(fn.__kwdefaults__, name, fn.__kwdefaults__.get(name, MISSING))

    def names(self, thing: FunctionType | type, *, is_root: bool) -> None:
        """What a function or class is called was looked at."""
        if is_root:
            self._root_names = _names_of(thing)
        else:
            self._named.append(thing)
            self._names.append(_names_of(thing))

    def member(self, member: Any) -> None:
        """A member of an enumeration was written; its attributes are said on their own."""
        self._members.append(member)
        self._member_values.append(member._value_)
        self._member_counts.append(len(vars(member)))

    def cls(self, cls: type) -> None:
        """A class was written, with everything in its namespace."""
        namespace = vars(cls)
        self._classes.append((cls, type(cls), cls.__bases__, tuple(namespace)))
        for name, value in namespace.items():
            self.read(namespace, name, value)

    def inherited(self, cls: type, name: str) -> None:
        """An attribute was looked up in a class and in all that it inherits from."""
        self._lines.append((cls, cls.__mro__))
        for base in cls.__mro__:
            self.read(vars(base), name, vars(base).get(name, MISSING))

    def abstract_class(self) -> None:
        """A class was written that others can be registered with."""
        self._abstract = get_cache_token()

    def value(self, value: object, form: bytes, *, is_pure: bool) -> None:
        """A value was written; `is_pure` says that there was no code in it, and no object of a class."""
        if type(value).__name__ == "_lru_cache_wrapper":
            for name, put in vars(value).items():
                self.read(vars(value), name, put)
                if not (type(put) in _IMMUTABLE or name in OF_WRAPPERS):
                    self.give_up()
        if never_changes(value):
            return
        if is_pure:
            self._pure.append((value, form))
        else:
            self.give_up()

    # --- later --------------------------------------------------------------------------------------------------------

    def holds(self, root: FunctionType) -> bool:
        """Tell whether everything is as it was."""
        if (
            any(cls.__mro__ is not line for cls, line in self._lines)
            or self._abstract not in (None, get_cache_token())
            or not self._root.is_same(root)
            or (self._helpers.functions and not self._helpers.are_same(self._helpers.functions))
            or (self._members and not self._are_members())
            or (self._names and list(map(_names_of, self._named)) != self._names)
            or (self._root_names is not None and _names_of(root) != self._root_names)
        ):
            return False
        for space in self._spaces.values():
            if not all(map(is_, map(space.namespace.get, space.names, repeat(MISSING)), space.values)):
                return False
        for cls, kind, bases, names in self._classes:
            if type(cls) is not kind or cls.__bases__ is not bases or tuple(vars(cls)) != names:
                return False
        try:
            if not all(map(is_, map(_contents_of, self._cells), self._contents)):
                return False
            return all(OrderedEncoder().encode(value) == form for value, form in self._pure)
        except (ValueError, Refused, RecursionError):  # a variable was deleted, or a value is no longer what it was
            return False

    def _are_members(self) -> bool:
        return (
            all(map(is_, map(_value_of, self._members), self._member_values))
            and list(map(len, map(_attributes_of, self._members))) == self._member_counts
        )


def _is_of_module(content: object) -> bool:
    """Tell whether this is a function or class that its module keeps anyway, and that holds no variables."""
    if type(content) is FunctionType:
        return content.__closure__ is None
    return isinstance(content, type) and "<locals>" not in content.__qualname__
