"""What a code object does, and which names it reads: the part of code hashing that never changes while we run.

The compiled code is hashed, not the source. It is what runs: it cannot be out of date like a file that was edited after
the import, it is there for lambdas, `exec`, notebooks and interactive sessions, and it says nothing of comments, line
numbers and formatting. It is normalised first: constants by value (a docstring is a constant that nothing loads), names
by name, jumps by the instruction that they reach in the end, and no instructions that only carry line numbers. What it
depends on is the compiler: the version of Python is a part of every key that covers code.
"""

import dis
import itertools
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from types import CodeType
from typing import Any, Final, TypeAlias

from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder
from entrepot.hashing._layout import JUMPS, Layout
from entrepot.hashing._prose import mentions_names, mentions_prose, without_annotations

__all__ = ["Chain", "CodeFacts", "ImportedName", "annotated_facts", "facts_of"]

Chain: TypeAlias = tuple[str, ...]
"""Attributes read from a name one after another: `config.limits.low` gives `("limits", "low")`, a bare name ()."""


@dataclass(frozen=True, slots=True)
class ImportedName:
    """What an import statement inside a function binds.

    Attributes:
        module: As written: `pandas`, or the part after the dots.
        level: How many dots.
        name: What `from module import name` takes, or None for `import module`.
        chains: What is read from it.
    """

    module: str
    level: int
    name: str | None
    chains: tuple[Chain, ...]


@dataclass(frozen=True)
class CodeFacts:
    """What can be known of a code object without running it.

    Attributes:
        digest: Of what it does, the functions and classes inside it included.
        globals: The global names that it reads, and what is read from each.
        free: The same for variables of enclosing functions.
        imports: What its import statements bind, and what it imports by calls with a name that stands there.
        reads_names: Whether it mentions a way to read what functions and classes are called.
        reads_prose: Whether it mentions a way to read the annotations or docstrings of functions.
    """

    digest: bytes
    globals: tuple[tuple[str, tuple[Chain, ...]], ...]
    free: tuple[tuple[str, tuple[Chain, ...]], ...]
    imports: tuple[ImportedName, ...]
    reads_names: bool
    reads_prose: bool

    @cached_property
    def hexdigest(self) -> str:
        """The digest as text."""
        return self.digest.hex()


_known: dict[int, tuple["weakref.ref[CodeType]", CodeFacts]] = {}


def facts_of(code: CodeType) -> CodeFacts:
    """Return the facts of a code object; the second time they are only looked up."""
    key = id(code)
    known = _known.get(key)
    if known is not None and known[0]() is code:
        return known[1]
    facts = _Reader(code).facts()
    # By identity: comparing code objects compares all of their constants.
    _known[key] = (weakref.ref(code, lambda _: _known.pop(key, None)), facts)
    return facts


def annotated_facts(code: CodeType) -> CodeFacts:
    """Return the facts of a code object together with the annotations of the functions inside it."""
    return _Reader(code, is_annotated=True).facts()


_NO_MEANING: Final = frozenset({"NOP", "EXTENDED_ARG", "CACHE", "RESUME", "NOT_TAKEN"})
_PROSE: Final = frozenset(
    {"__doc__", "__firstlineno__", "__static_attributes__"}
)  # what class bodies note of themselves
_ATTRIBUTES: Final = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_GLOBALS: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_DEREFS: Final = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_IMPORTERS: Final = frozenset({"import_module", "__import__"})
_CONSTANTS: Final = frozenset(dis.hasconst)
_FLAGS: Final = 0x3AC  # *args, **kwargs, generator, coroutine, iterable coroutine, asynchronous generator

_Reads: TypeAlias = dict[str, set[Chain]]


class _Reader:
    """Reads one code object and those inside it."""

    def __init__(self, code: CodeType, *, is_annotated: bool = False) -> None:
        self.code = code
        steps = _meaningful(dis.get_instructions(code))
        self.steps = steps if is_annotated else without_annotations(steps)
        self._inner = [
            _Reader(const, is_annotated=is_annotated) for const in code.co_consts if isinstance(const, CodeType)
        ]
        self._by_code = {id(reader.code): reader for reader in self._inner}

    def facts(self) -> CodeFacts:
        reads: _Reads = {}
        for reader in self.everything():
            _merge(reads, reader.globals())
        free = self.free()
        return CodeFacts(
            digest=self.digest(),
            globals=tuple((name, _shortest(reads[name])) for name in sorted(reads)),
            free=tuple((name, _shortest(free.get(name) or {()})) for name in self.code.co_freevars),
            imports=tuple(self._all_imports()),
            reads_names=any(mentions_names(reader.steps) for reader in self.everything()),
            reads_prose=any(mentions_prose(reader.steps) for reader in self.everything()),
        )

    def everything(self) -> Iterator["_Reader"]:
        yield self
        for reader in self._inner:
            yield from reader.everything()

    # --- what is read -------------------------------------------------------------------------------------------------

    def globals(self) -> _Reads:
        return self._reads(_GLOBALS)

    def _reads(self, opnames: frozenset[str]) -> _Reads:
        reads: _Reads = {}
        for position, step in enumerate(self.steps):
            if step.opname in opnames:
                reads.setdefault(step.argval, set()).add(self._chain(position))
        return reads

    def _chain(self, position: int) -> Chain:
        """Return the attributes that the instructions after this one read, one from the other."""
        chain = []
        for step in self.steps[position + 1 :]:
            if step.opname not in _ATTRIBUTES:
                break
            chain.append(step.argval)
        return tuple(chain)

    def free(self) -> _Reads:
        """Return what is read from variables of functions around this one, by it and by the functions inside it."""
        names = set(self.code.co_freevars)
        reads = {name: chains for name, chains in self._reads(_DEREFS).items() if name in names}
        for reader in self._inner:
            _merge(reads, {name: chains for name, chains in reader.free().items() if name in names})
        return reads

    def _locals(self) -> _Reads:
        """Return what is read from this function's own variables, by it and by the functions inside it."""
        reads: _Reads = {}
        for position, step in enumerate(self.steps):
            if step.opname.startswith("LOAD_FAST") or step.opname in _DEREFS or step.opname in _GLOBALS:
                reads.setdefault(step.argval, set()).add(self._chain(position))
        for reader in self._inner:
            _merge(reads, reader.free())
            _merge(reads, reader.globals())  # `global name` followed by an import
        return reads

    def _all_imports(self) -> Iterator[ImportedName]:
        for reader in self.everything():
            yield from reader.imports()
            yield from reader.imports_by_call()

    def imports_by_call(self) -> Iterator[ImportedName]:
        """Yield what is imported by `import_module("name")` and `__import__("name")`."""
        for position, step in enumerate(self.steps[:-2]):
            name = self.steps[position + 1]
            if name.opname == "PUSH_NULL":  # from Python 3.13 on
                name = self.steps[position + 2]
            is_import = isinstance(step.argval, str) and step.argval in _IMPORTERS
            if not is_import or name.opname != "LOAD_CONST" or not _is_path(name.argval):
                continue
            call = next((n for n in range(position + 2, len(self.steps)) if self.steps[n].opname == "CALL"), position)
            # `__import__("a.b")` returns a.
            bound = name.argval if step.argval == "import_module" else name.argval.partition(".")[0]
            if bound != name.argval:
                yield ImportedName(name.argval, 0, None, ())
            yield ImportedName(bound, 0, None, (self._chain(call),))

    def imports(self) -> Iterator[ImportedName]:
        reads: _Reads | None = None
        for position, step in enumerate(self.steps):
            if step.opname != "IMPORT_NAME":
                continue
            reads = self._locals() if reads is None else reads
            level, names = self.steps[position - 2].argval, self.steps[position - 1].argval
            after = self.steps[position + 1 :]
            if names:
                for name, bound in zip(names, _stores(after, len(names)), strict=False):
                    yield ImportedName(step.argval, level, name, _shortest(reads.get(bound) or {()}))
                continue
            # `import a.b` binds a; `import a.b as c` takes b from a before it binds c.
            inside = [one.argval for one in _until_store(after) if one.opname == "IMPORT_FROM"]
            bound = next(_stores(after, 1), "")
            chains = _shortest(reads.get(bound) or {()})
            if inside or "." not in step.argval:
                yield ImportedName(step.argval, level, None, chains)
            else:
                top, *below = step.argval.split(".")
                yield ImportedName(step.argval, level, None, ((),) if () in chains else ())
                yield ImportedName(top, level, None, tuple(chain for chain in chains if chain) or (tuple(below),))

    # --- what it does -------------------------------------------------------------------------------------------------

    def digest(self) -> bytes:
        code = self.code
        encoder = Encoder()
        count = code.co_argcount + code.co_kwonlyargcount
        count += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)  # *args and **kwargs have names, too
        head = (
            code.co_name,
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_flags & _FLAGS,
            code.co_varnames[:count],
        )
        layout = Layout(self.steps)
        digest = blake2b(encoder.encode(head), digest_size=32, person=b"entrepot-code-1")
        for step in layout.steps:
            digest.update(text(layout.name(step)) + self._argument(step, layout, encoder))
        for entry in dis.Bytecode(code).exception_entries:  # type: ignore[attr-defined]  # not in the stubs
            ends = [layout.number(offset) for offset in (entry.start, entry.end, entry.target)]
            digest.update(encoder.encode([*ends, entry.depth, entry.lasti]))
        return digest.digest()

    def _argument(self, step: dis.Instruction, layout: Layout, encoder: Encoder) -> bytes:
        argument: Any = step.argval
        if step.opcode in _CONSTANTS:
            return self._constant(self.code.co_consts[step.arg or 0], encoder)  # `dis` shows only some of them
        if step.opcode in JUMPS:
            return encoder.encode(layout.number(layout.target(argument)))
        if isinstance(argument, str) or (isinstance(argument, tuple) and all(isinstance(one, str) for one in argument)):
            return encoder.encode(argument)  # names: their numbers depend on what else the function mentions
        return encoder.encode(step.arg)

    def _constant(self, value: object, encoder: Encoder) -> bytes:
        if isinstance(value, CodeType):
            reader = self._by_code.get(id(value)) or _Reader(value)
            return b"@" + reader.digest()
        return encoder.encode(value)


def _meaningful(steps: Iterable[dis.Instruction]) -> list[dis.Instruction]:
    """Return the instructions that do something, without what class bodies note of themselves."""
    kept: list[dis.Instruction] = []
    for step in itertools.chain.from_iterable(map(_singles, steps)):
        if step.opname in _NO_MEANING:
            continue
        if step.opname == "STORE_NAME" and step.argval in _PROSE and kept and _loads_constant(kept[-1]):
            kept.pop()
            continue
        kept.append(step)
    return kept


def _singles(step: dis.Instruction) -> list[dis.Instruction]:
    """Return an instruction for each variable, where the compiler has put two that stood on one line into one."""
    names = step.argval
    if not isinstance(names, tuple) or "_FAST_" not in step.opname:
        return [step]
    kinds = [f"{kind}_FAST" for kind in step.opname.split("_") if kind in {"LOAD", "STORE"}]
    return [
        step._replace(opname=kind, opcode=dis.opmap[kind], argval=name, argrepr=name)
        for kind, name in zip(kinds, names, strict=True)
    ]


def _loads_constant(step: dis.Instruction) -> bool:
    return step.opname in {"LOAD_CONST", "LOAD_SMALL_INT", "LOAD_CONST_IMMORTAL"}


def _is_path(name: object) -> bool:
    return isinstance(name, str) and all(part.isidentifier() for part in name.split("."))


def _until_store(steps: Iterable[dis.Instruction]) -> Iterator[dis.Instruction]:
    for step in steps:
        if step.opname.startswith("STORE_"):
            return
        yield step


def _stores(steps: Iterable[dis.Instruction], count: int) -> Iterator[str]:
    """Yield the names that the next stores bind."""
    for step in steps:
        if step.opname.startswith("STORE_"):
            yield step.argval
            count -= 1
            if not count:
                return


def _merge(into: _Reads, more: _Reads) -> None:
    for name, chains in more.items():
        into.setdefault(name, set()).update(chains)


def _shortest(chains: set[Chain]) -> tuple[Chain, ...]:
    """Return chains in order, without those that start with another one: what is read whole is not looked into."""
    kept: list[Chain] = []
    for chain in sorted(chains):
        if not any(chain[: len(shorter)] == shorter for shorter in kept):
            kept.append(chain)
    return tuple(kept)
