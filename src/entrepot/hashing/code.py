"""One digest for what a function does: equal digests mean that it would compute the same.

What counts: the compiled code of the function and of everything that it uses by name, as far as it is the user's own:
variables of enclosing functions, defaults, module-level names (only the attributes that are read, where `config.LIMIT`
is read from a module), functions, classes with their bases, methods and attributes, decorators with their arguments (a
wrapper is a function whose variables hold them), and imports inside functions. Names are looked up at every call:
what `LIMIT` is now decides, not what it was at import. Python itself counts by its minor version, an installed
distribution by name and version.

Dicts among all this count in order: a loop over them sees it. Among the inputs of a task they do not.

What does not count: comments, formatting, line numbers, code that is not used; docstrings and annotations of functions,
unless some of the code reads such things (it mentions `__doc__`, `get_type_hints`, `signature` or the like). In the
same way a name that a function got after it was written (`g.__name__ = "other"`) counts where code reads names.

The compiled code decides, not the source: it is what runs. A source file may have been edited since the import, may
hold several lambdas on one line, or may not exist (notebooks, `exec`). The price is that a change of Python's minor
version changes every digest, which it should; and that in about one of three thousand functions a reformatting that
joins or splits lines compiles to other instructions, and misses once.

Code that is looked up by computed names: `getattr(module, name)` counts the whole module, and so do `globals()`, `eval`
and `exec` that of the function; `import_module("name")` and `__import__("name")` count as the import statement does.

Outside of what can be seen: modules that are imported by a computed name, methods that the project put on a library's
class, files, clocks, environment variables, and what a library keeps in itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType, MappingProxyType
from weakref import WeakKeyDictionary

from entrepot.errors import UnhashableValueError
from entrepot.hashing._encoder import Refused
from entrepot.hashing._places import CodeRefused
from entrepot.hashing._plan import Plan
from entrepot.hashing._walker import CodeWalker
from entrepot.hashing.values import hash_parts

__all__ = ["CodeHash", "code_form", "hash_function", "known_function"]


@dataclass(frozen=True)
class CodeHash:
    """What a function does, for keys.

    Attributes:
        parts: By name: `code` is the function itself, `code:<module>:<name>` a function or class that it uses,
            `global:<module>.<name>`, `default:<function>.<name>` and `closure:<function>.<name>` what names stand for
            (a digest, or `@` and the label of code), `package:<name>` and `python` versions.
    """

    parts: Mapping[str, str]

    @cached_property
    def digest(self) -> str:
        """Of all parts: 64 hexadecimal digits, the same in every process."""
        return hash_parts(self.parts)


_FUNCTIONS = 2000
_PER_FUNCTION = 4
_known: WeakKeyDictionary[FunctionType, list[tuple[tuple[type, ...], Plan, CodeHash]]] = WeakKeyDictionary()
"""What is known of functions, with what it depends on: by the function and the classes asked for with it."""


def hash_function(fn: object, *, parameter: str = "task", classes: Iterable[type] = ()) -> CodeHash:
    """Return what a function does, as a digest and its parts.

    Args:
        fn: A function, method, partial, or any other callable.
        parameter: What the function is to the caller, for the error.
        classes: Further classes whose code counts: those of the objects that the function is called with.

    Raises:
        UnhashableValueError: If something that it uses has no stable identity; the error says what, and the ways out.
    """
    key = tuple(classes)
    known = known_function(fn, key)
    if known is not None:
        return known
    walker = CodeWalker()
    try:
        walker.walk(fn, key)
    except CodeRefused as refused:
        refusal = refused.refusal
        raise UnhashableValueError(
            f"no cache key can be made of the code of this {parameter}: {refused.where}{refusal.path} is "
            f"{refusal.kind}, {refusal.reason}. Give it a version (`version='1'` stands for the code), take "
            f"TASK_SOURCE out of the cache policy, or pass the object as an argument that the key leaves out "
            f"(`INPUTS - 'name'`).",
            parameter=refused.where,
            path=f"{refused.where}{refusal.path}",
        ) from None
    code_hash = CodeHash(MappingProxyType(walker.parts))
    if walker.plan.is_complete and type(fn) is FunctionType:
        _keep(fn, key, walker.plan, code_hash)
    return code_hash


def known_function(fn: object, classes: tuple[type, ...] = ()) -> CodeHash | None:
    """Return what `hash_function` returned before, if all that it looked at is as it was; None where it is to walk.

    No code of the user's is run.
    """
    if type(fn) is FunctionType:
        for kept, plan, code_hash in _known.get(fn, ()):
            if kept == classes and plan.holds(fn):
                return code_hash
    return None


def _keep(fn: FunctionType, classes: tuple[type, ...], plan: Plan, code_hash: CodeHash) -> None:
    if len(_known) >= _FUNCTIONS:
        _known.clear()
    others = [kept for kept in _known.get(fn, ()) if kept[0] != classes]
    _known[fn] = [(classes, plan, code_hash), *others[: _PER_FUNCTION - 1]]


def code_form(value: object) -> bytes:
    """Return the form of a function, class or module that stands among values.

    Raises:
        Refused: If something that it uses has no stable identity.
    """
    walker = CodeWalker()
    try:
        walker.walk(value, is_shown=True)
    except CodeRefused as refused:
        refusal = refused.refusal
        kind = f"a {type(value).__name__}"
        why = f"which uses {refused.where}{refusal.path}: {refusal.kind}, {refusal.reason}"
        raise Refused(kind, why, advice=refusal.advice if refusal.kind == "a File" else "") from None
    return walker.named("code", walker.encode(hash_parts(walker.parts)))
