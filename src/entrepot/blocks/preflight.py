"""Which blocks a program names, as far as its source says, and whether they and their secrets can be had."""

import ast
import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from entrepot.blocks._inputs import references_in
from entrepot.blocks._lookups import shown
from entrepot.blocks._references import refusal
from entrepot.blocks.core import Block
from entrepot.errors import EntrepotError, ForeignReferenceError

__all__ = ["Checked", "Named", "Resolved", "examine", "named_in", "refused_in", "resolved_in"]

_LOADS: Final = frozenset({"load", "aload"})
_URL: Final = "block://"
_NAME_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Named:
    """A block that a program names.

    Attributes:
        cls: The class that loads it.
        name: As `cls.load` takes it.
        where: Where it is named: `flow.py:12`.
    """

    cls: type[Block]
    name: str
    where: str

    @property
    def address(self) -> str:
        """The block, for people: `s3/prod`; its name alone, where only the look-up can tell its type."""
        return self.name if "/" in self.name or self.cls is Block else f"{self.cls.get_block_type_slug()}/{self.name}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of one reference to a secret.

    Attributes:
        field: Where it stands in its block: `headers.Authorization`.
        reference: It, for people.
        detail: Why the secret cannot be had, and what to do; "" if it can.
    """

    field: str
    reference: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one block.

    Attributes:
        address: Which.
        where: The places that name it.
        detail: Why it does not load, and what to do; "" if it does.
        references: What became of the references in it.
    """

    address: str
    where: tuple[str, ...]
    detail: str = ""
    references: tuple[Resolved, ...] = field(default=())

    @property
    def fine(self) -> bool:
        """Whether the block loads and each of its secrets can be had."""
        return not self.detail and not any(each.detail for each in self.references)


# --- finding ----------------------------------------------------------------------------------------------------------


def named_in(source: str, file: str, namespace: Mapping[str, object]) -> Iterator[Named]:
    """Yield the blocks that a source names: by `X.load("name")`, or in a text that begins with `block://`.

    Names that are put together when the program runs are not seen.

    Args:
        source: Python.
        file: Its name, for people.
        namespace: The names of the module, as they are once it is imported; may be empty.

    Raises:
        SyntaxError: If it is none.
    """
    tree = ast.parse(source)
    imported = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            cls, name = _block_class(node.func, namespace, imported), _first_text(node)
            if cls is not None and name is not None:
                yield Named(cls, name, f"{file}:{node.lineno}")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(_URL):
            parts = node.value.removeprefix(_URL).split("/")
            if len(parts) >= _NAME_PARTS and all(parts[:_NAME_PARTS]):
                yield Named(Block, "/".join(parts[:_NAME_PARTS]), f"{file}:{node.lineno}")


def _first_text(call: ast.Call) -> str | None:
    given = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "name")]
    return next((each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)), None)


def _block_class(
    called: ast.expr, namespace: Mapping[str, object], imported: Mapping[str, Callable[[], object]]
) -> type[Block] | None:
    """Return the class of `Class.load`, if that is a class of blocks."""
    if not isinstance(called, ast.Attribute) or called.attr not in _LOADS:
        return None
    path: list[str] = []
    place = called.value
    while isinstance(place, ast.Attribute):
        path.insert(0, place.attr)
        place = place.value
    if not isinstance(place, ast.Name):
        return None
    found: object = namespace.get(place.id)
    if found is None and place.id in imported:
        found = imported[place.id]()
    for step in path:
        found = getattr(found, step, None)
    return found if isinstance(found, type) and issubclass(found, Block) else None


def _imported(tree: ast.AST) -> dict[str, Callable[[], object]]:
    """Return what gets the objects that import statements name, those inside functions too.

    Only our own modules are imported for that; others count if they are imported already.
    """
    found: dict[str, Callable[[], object]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                found[each.asname or each.name] = _getter(node.module, each.name)
    return found


def _getter(module: str, name: str) -> Callable[[], object]:
    def get() -> object:
        if module.partition(".")[0] == "entrepot":
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        with contextlib.suppress(Exception):  # a lazy attribute of somebody's module
            return getattr(sys.modules.get(module), name, None)
        return None

    return get


# --- trying -----------------------------------------------------------------------------------------------------------


def examine(named: Sequence[Named], held: Mapping[str, Block] | None = None) -> Iterator[Checked]:
    """Load each block and look up each of its references; no secret is given back.

    Args:
        named: Blocks by name; those that are named twice are tried once.
        held: Blocks that are not loaded by name but made in the program, by where they are.
    """
    places: dict[tuple[type[Block], str], list[str]] = {}
    for each in named:
        where = places.setdefault((each.cls, each.name), [])
        where += [each.where] if each.where not in where else []
    done: dict[str, Checked] = {}
    for (cls, name), where in places.items():
        checked = _by_name(Named(cls, name, ""), tuple(where))
        known = done.get(checked.address)
        if known is not None and known.detail == checked.detail:
            checked = Checked(known.address, (*known.where, *where), known.detail, known.references)
        done[checked.address] = checked
    yield from done.values()
    for place, block in (held or {}).items():
        yield Checked(type(block).get_block_type_slug(), (place,), "", resolved_in(block))


def refused_in(block: Block) -> list[ForeignReferenceError]:
    """Return why references in a block are not followed here, since it is of a shared store; nobody is asked."""
    found = (refusal(reference) for _, reference in references_in(block))
    return [each for each in found if each is not None]


def _by_name(named: Named, where: tuple[str, ...]) -> Checked:
    try:
        block: Any = named.cls.load(named.name)
    except EntrepotError as error:
        return Checked(named.address, where, "; ".join([str(error), *getattr(error, "__notes__", ())]))
    address = named.address if "/" in named.address else f"{type(block).get_block_type_slug()}/{named.name}"
    return Checked(address, where, "", resolved_in(block))


def resolved_in(block: Block) -> tuple[Resolved, ...]:
    """Return what becomes of each reference in a block: it is looked up, and what it gives is not kept."""
    found = []
    for path, reference in references_in(block):
        detail = ""
        try:
            reference.get_secret_value()
        except EntrepotError as error:
            detail = str(error)
        found.append(Resolved(path, shown(reference.reference), detail))
    return tuple(found)
