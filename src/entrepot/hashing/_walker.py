"""The walk over everything that a function uses, and how all of it is written.

`_bytecode` says which names a function reads; `_names` looks them up, at every call, because they can be bound anew at
any time. What a name stands for is a value, written like any other; or code of the project, which is walked through
in turn; or something of Python or of an installed distribution, which counts by its version.

Functions and classes of the project are *nodes*: each is written once, under its label, and referred to by that label.
So recursion needs no care, and a part of the key that changes names the one thing that changed.
"""

import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from types import FunctionType, ModuleType
from typing import Any, Final

from entrepot.hashing._bytecode import Chain, annotated_facts, facts_of
from entrepot.hashing._bytes import text
from entrepot.hashing._callables import callable_form, is_at_its_name, library_closure
from entrepot.hashing._classes import annotations_of, class_form
from entrepot.hashing._encoder import OrderedEncoder, Refused
from entrepot.hashing._labels import class_label, function_label, module_label
from entrepot.hashing._names import follow, imported, read, read_module
from entrepot.hashing._origins import PYTHON, Origin, origin_of, origin_of_function, origin_of_module
from entrepot.hashing._places import CodeRefused, Place
from entrepot.hashing._plan import Plan
from entrepot.hashing._prose import is_prose_reader, prose_form

__all__ = ["CodeWalker"]

_VALUE: Final = b"entrepot-value-1"
_CONSTANT: Final = frozenset({int, str, bool, type(None), bytes})  # not float: two zeros are equal, and differ
_LONG: Final = 200  # characters of a constant, from which on its digest is not remembered
_MANY: Final = 4096

_digests: dict[tuple[type, object], str] = {}
"""Digests of small constants: most of what functions read from their modules."""


class CodeWalker(OrderedEncoder):
    """One walk. Not shared between threads.

    Attributes:
        parts: What was found, by name, as short text: digests of values, labels of code, versions.
        plan: What the walk depended on.
    """

    __slots__ = ("_has_code", "_met", "_queue", "_reads_names", "_reads_prose", "_root", "_seen", "parts", "plan")

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, str] = {"python": PYTHON}
        self.plan = Plan()
        self._has_code = False  # whether code, or an object of a class, was met since this was last reset
        self._root = ""
        self._queue: deque[tuple[Any, str]] = deque()
        self._seen: set[tuple[int, str, Chain]] = set()
        self._met: list[tuple[Any, str]] = []  # functions, methods included, and classes
        self._reads_names = False  # whether code reads what they are called
        self._reads_prose = False  # whether code reads what they say of themselves

    # --- the walk -----------------------------------------------------------------------------------------------------

    def walk(self, root: object, classes: Iterable[type] = (), *, is_shown: bool = False) -> None:
        """Fill `parts` with what `root` is and uses; "code" is `root` itself.

        Args:
            root: A function, or anything else that can be called.
            classes: Further classes whose code counts.
            is_shown: Whether code outside of this walk gets `root` itself, and may read what it is called.

        Raises:
            CodeRefused: If something that it uses has no stable identity.
        """
        form = self._tried(root, str(getattr(root, "__qualname__", type(root).__name__)))
        if self._queue and self._queue[0][0] is root and isinstance(root, FunctionType):
            self._root = self._queue[0][1]
        else:
            self.plan.give_up()
            self.parts["code"] = _digest(form)
        for cls in classes:
            self.code(cls)
        self._walk_queue()
        said = []
        while self._reads_prose and self._met:
            self.plan.give_up()
            said.append(self._met.pop())
            self._write_prose(*said[-1])
            self._walk_queue()
        for thing, label in [*said, *self._met] if self._reads_names or is_shown else ():
            if self._reads_names or thing is root:
                self._write_names(thing, label)

    def _walk_queue(self) -> None:
        while self._queue:
            node, label = self._queue.popleft()
            self._node(node, label)

    def nodes(self) -> Iterator[tuple[str, object]]:
        """Yield the functions and classes that were met, by the names of their parts."""
        for thing, label in self._labels.values():
            name = "code" if label == self._root else f"code:{label}"
            if name in self.parts:
                yield name, thing

    def _node(self, node: Any, label: str) -> None:
        if isinstance(node, FunctionType):
            self.parts["code" if label == self._root else f"code:{label}"] = facts_of(node.__code__).hexdigest
            self._surroundings(node, label)
        elif isinstance(node, type):
            self.plan.cls(node)
            self._met.append((node, label))
            try:
                self.parts[f"code:{label}"] = _digest(class_form(self, node, label))
            except Refused as refusal:
                raise CodeRefused(f"class {label.partition(':')[2]}", refusal) from None
        else:
            read_module(self, node, label)

    def _write_prose(self, thing: Any, label: str) -> None:
        """Write what a function or class says of itself."""
        annotated = b""
        if isinstance(thing, FunctionType):
            facts = annotated_facts(thing.__code__)
            annotated = facts.digest
            for name, chains in facts.globals:
                try:
                    read(self, thing.__globals__, name, chains, label)
                except CodeRefused:  # only an annotation can be the one that reads it: code was refused before
                    continue
        try:
            self.parts[f"prose:{label}"] = _digest(prose_form(self, thing, annotated))
        except Refused as refusal:
            raise CodeRefused(f"what {label.partition(':')[2]} says of itself", refusal) from None

    def _write_names(self, thing: Any, label: str) -> None:
        """Write what a function or class is called, as far as that is not where it was written."""
        self.plan.names(thing, is_root=label == self._root)
        said = {"__name__": thing.__name__, "__qualname__": thing.__qualname__, "__module__": thing.__module__}
        if isinstance(thing, FunctionType):
            written = thing.__code__.co_name, thing.__code__.co_qualname, thing.__globals__.get("__name__")
        else:  # the label says the rest
            written = thing.__qualname__.rpartition(".")[2], thing.__qualname__, thing.__module__
        for (name, now), then in zip(said.items(), written, strict=True):
            if now != then:
                stable = module_label(now) if name == "__module__" and isinstance(now, str) else now
                self.parts[f"attribute:{label}.{name}"] = _digest(self.encode(stable))

    def _tried(self, value: object, where: "str | Place") -> bytes:
        try:
            return self.held(value)
        except Refused as refusal:
            stand_in = self._by_name(value, where) if isinstance(where, Place) and not refusal.steps else None
            if stand_in is None:
                raise CodeRefused(str(where), refusal) from None
            return stand_in
        except RecursionError:
            raise CodeRefused(str(where), Refused("a structure", "which is nested too deeply")) from None

    def held(self, value: object) -> bytes:
        """Return the form of a value that stands under a name, and watch it."""
        self._has_code = False
        form = self.encode(value)
        self.plan.value(value, form, is_pure=not self._has_code)
        return form

    # --- functions ----------------------------------------------------------------------------------------------------

    def function(self, fn: FunctionType, label: str) -> bytes:
        """Return the form of a function that belongs to something larger; what it uses becomes parts of its own.

        Args:
            fn: The function.
            label: What it is called in this walk: no other function may be called so, or their parts would be one.
        """
        self._surroundings(fn, label)
        return b"@" + facts_of(fn.__code__).digest

    def _surroundings(self, fn: FunctionType, label: str) -> None:
        """Write everything that a function finds around it."""
        code, namespace = fn.__code__, fn.__globals__
        facts = facts_of(code)
        self.plan.function(fn, is_root=label == self._root)
        self._met.append((fn, label))
        self._reads_names |= facts.reads_names
        self._reads_prose |= facts.reads_prose
        self._defaults(fn, label)
        self._put_on(fn, label)
        for (name, chains), cell in zip(facts.free, fn.__closure__ or (), strict=True):
            place = Place(f"closure:{label}.{name}", "variable", name, label, namespace)
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                self.parts[place.part] = "missing"
                continue
            for chain in chains:
                follow(self, value, chain, place)
        for name, chains in facts.globals:
            read(self, namespace, name, chains, label)
        for one in facts.imports:
            imported(self, one, namespace, label)

    def _put_on(self, fn: FunctionType, label: str) -> None:
        """Write the attributes that were put on a function.

        Of one without an identity only its class counts here: decorators leave all kinds of things on functions that
        nobody reads. Code that reads it by name is refused there.
        """
        for name, value in vars(fn).items():
            if name == "__wrapped__":
                continue
            place = Place(f"attribute:{label}.{name}", "attribute", name, label, fn.__globals__)
            try:
                self.write(value, place)
            except CodeRefused:
                self.plan.give_up()
                self.parts[place.part] = f"a {class_label(type(value))}"

    def _defaults(self, fn: FunctionType, label: str) -> None:
        code, namespace = fn.__code__, fn.__globals__
        if fn.__defaults__:
            names = code.co_varnames[code.co_argcount - len(fn.__defaults__) : code.co_argcount]
            for name, value in zip(names, fn.__defaults__, strict=True):
                self.write(value, Place(f"default:{label}.{name}", "default", name, label, namespace))
        if fn.__kwdefaults__:
            for name in sorted(fn.__kwdefaults__):
                place = Place(f"default:{label}.{name}", "default", name, label, namespace)
                self.write(fn.__kwdefaults__[name], place)

    # --- what is written ----------------------------------------------------------------------------------------------

    def write(self, value: Any, place: Place) -> None:
        """Write what stands at a place.

        Raises:
            CodeRefused: If it has no stable identity.
        """
        kind = type(value)
        if kind in _CONSTANT:
            known = _digests.get((kind, value))
            if known is None:
                known = _digest(self.encode(value))
                if kind is not str or len(value) < _LONG:
                    if len(_digests) >= _MANY:
                        _digests.clear()
                    _digests[(kind, value)] = known
            self.parts[place.part] = known
            return
        if kind is FunctionType or kind is type:
            label = self._label_of_code(value)
            if label is not None:
                self.parts[place.part] = f"@{label}"
                return
        self.parts[place.part] = _digest(self._tried(value, place))

    def _by_name(self, value: Any, place: Place) -> bytes | None:
        """Return the form of an object that only its name can stand for, or None if no name does.

        A bare `object()` is a mark that is compared by identity: the module that holds it says which one it is. An
        object that a module of Python or of a distribution offers under the same name is theirs, like their functions.
        """
        self._has_code = True
        if type(value) is object:
            for name, held in place.namespace.items():
                if held is value:
                    return self.named("sentinel", text(f"{module_label(place.namespace['__name__'])}.{name}"))
        bound_to = type(getattr(value, "__self__", None))  # `from random import random` is a method of an object there
        owners = {type(value).__module__, getattr(value, "__module__", None), bound_to.__module__}
        tops = {owner.partition(".")[0] for owner in owners if isinstance(owner, str)}
        for full, module in list(sys.modules.items()):
            top = full.partition(".")[0]
            if top not in tops or not isinstance(module, ModuleType) or vars(module).get(place.name) is not value:
                continue
            if not self.is_library(module):
                continue
            return self.named("library", text(f"{top}:{place.name}"))
        return None

    def annotations(self, thing: Any, namespace: dict[str, Any]) -> list[tuple[str, bytes]]:
        """Return the annotations of a class or function; the names in those that are text are read as well."""
        return [(name, self.annotation(said, namespace)) for name, said in annotations_of(thing).items()]

    def annotation(self, said: Any, namespace: dict[str, Any]) -> bytes:
        """Return the form of an annotation; of objects in it without an identity, only that there are some."""
        try:
            if isinstance(said, str):
                for name, chains in _names_in(said):
                    if name in namespace:
                        read(self, namespace, name, chains, module_label(str(namespace.get("__name__", ""))) + ":")
            return self.encode(said)  # nothing that changes: the classes in it are watched on their own
        except (CodeRefused, Refused, RecursionError, SyntaxError, ValueError):
            self.plan.give_up()
            return self.named("annotation", text(class_label(type(said))))

    # --- code as a value ----------------------------------------------------------------------------------------------

    def instance_of(self, cls: type) -> bytes:
        """Return the form of the name of an object's class; the class's own code becomes a part."""
        self._has_code = True
        return text(self._label_of_code(cls) or class_label(cls))

    def code(self, value: object) -> bytes:
        """Return the form of a function, class or module: a label of the project's code, a name of others'."""
        self._has_code = True
        if isinstance(value, FunctionType | type):
            label = self._label_of_code(value)
            return self._library_code(value) if label is None else self.named("code", text(label))
        if isinstance(value, ModuleType):
            if self.is_library(value):
                return self.named("module", text(value.__name__))
            return self.named("code", text(self._queued(value, f"{module_label(value.__name__)}:")))
        return callable_form(self, value)

    def is_library_function(self, fn: FunctionType) -> bool:
        """Tell whether a function was written in Python's own modules or in a distribution's."""
        origin = origin_of_function(fn)
        self.library(origin)
        if origin.kind == "project":
            return False
        self._reads_prose |= is_prose_reader(fn)
        return True

    def _label_of_code(self, value: Any) -> str | None:
        """Return the label of a function or class of the project, or None if it is somebody else's."""
        if isinstance(value, type):
            origin = origin_of(value.__module__)
            if origin.kind != "project":
                self.library(origin)
                return None
            return self._queued(value, class_label(value))
        if self.is_library_function(value):
            return None
        return self._queued(value, function_label(value.__code__, value.__globals__.get("__name__", "")))

    def _queued(self, node: object, stem: str) -> str:
        known = self._labels.get(id(node))
        if known is not None:
            return known[1]
        label = self.label(node, stem)
        self._queue.append((node, label))
        return label

    def _library_code(self, value: Any) -> bytes:
        """Return the form of a function or class of Python or of a distribution: its name."""
        if isinstance(value, type):
            return self.named("library", text(class_label(value)))
        name = function_label(value.__code__, value.__globals__.get("__name__", ""))
        if not value.__closure__ or is_at_its_name(value):
            return self.named("library", text(name))
        self.plan.function(value, is_root=False)
        return self.container(value, library_closure)

    def is_library(self, module: ModuleType) -> bool:
        """Tell whether a module is one of Python or of a distribution."""
        origin = origin_of_module(module)
        self.library(origin)
        return origin.kind != "project"

    def is_new(self, namespace: Mapping[str, Any], name: str, chain: Chain) -> bool:
        """Tell whether this is the first time that this walk comes here."""
        seen = (id(namespace), name, chain)
        if seen in self._seen:
            return False
        self._seen.add(seen)
        return True

    def forget(self, namespace: Mapping[str, Any], name: str, chain: Chain) -> None:
        """Come here again, as if for the first time."""
        self._seen.discard((id(namespace), name, chain))

    def library(self, origin: Origin) -> None:
        """Take note of a distribution that is used."""
        if origin.kind == "package":
            self.parts[f"package:{origin.package}"] = origin.version


@lru_cache(maxsize=_MANY)
def _names_in(annotation: str) -> tuple[tuple[str, tuple[Chain, ...]], ...]:
    """Return the names that an annotation reads, which is kept as text, and what is read from each."""
    return facts_of(compile(annotation, "<annotation>", "eval")).globals


def _digest(form: bytes) -> str:
    return blake2b(form, digest_size=32, person=_VALUE).hexdigest()
