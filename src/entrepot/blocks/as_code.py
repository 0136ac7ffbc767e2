"""Blocks as files that a team reviews: what a file would change, saving it, and writing one from what is saved.

A file holds no secret. In the place of one stands a reference. Those to variables and files (`env://NAME`,
`file:///run/secrets/x`) are looked up when the file is applied, unless it is applied `live`; others stay references. In
the place of a nested block stands `block://type/name`. What neither TOML nor YAML has a word for, in a field that takes
anything, stands as in the sealed body: `{"$type" = "tuple", "value" = [...]}`. Each block says of
which schema version it is (`"$schema_version" = 2`), so that a later class brings it up to date, as what is saved.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from entrepot._names import check_name
from entrepot.blocks import _saving
from entrepot.blocks._annotations import facts_of
from entrepot.blocks._encoding import encode_fields
from entrepot.blocks._files import SCHEMA_VERSION, Fields, FileBlocks
from entrepot.blocks._lookups import shown
from entrepot.blocks._plain import Change, compare, fields_of
from entrepot.blocks._references import resolve
from entrepot.blocks._written import ANYTHING, Writer, make_block, variables_in
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.blocks.history import read_body
from entrepot.errors import (
    BlockFileError,
    BlockNotFoundError,
    BlockSchemaError,
    EntrepotError,
    IntegrityError,
    PluginError,
    SerializationError,
)
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = ["Exported", "Planned", "apply", "export", "plan"]

_BLOCK: Final = "block://"

Step: TypeAlias = Literal["create", "change", "same", "unknown"]


@dataclass(frozen=True, slots=True)
class Planned:
    """What a file says of one block, beside what is saved.

    Attributes:
        slug: The block type.
        name: The block's name.
        step: What applying the file does; "unknown" where all that can be compared is the same, and there is more.
        changes: For "change", what is not the same; secrets are masked. What cannot be compared is there with the kind
            "unknown".
        block: The block as the file has it; for "same", the saved one.
        saved: The version that is there now.
    """

    slug: str
    name: str
    step: Step
    changes: tuple[Change, ...]
    block: Block
    saved: DocumentRef | None


@dataclass(frozen=True, slots=True)
class Exported:
    """Saved blocks as they go into a file.

    Attributes:
        blocks: Fields by type and name, with references for secrets, and the schema version of each.
        variables: The references' variables, and whose secrets those are: `S3_PROD_KEY` is `s3/prod: key`.
        as_stored: Blocks whose class is not here, or does not take them: they are written as they are stored.
    """

    blocks: FileBlocks
    variables: dict[str, str]
    as_stored: tuple[str, ...]


# --- from a file ------------------------------------------------------------------------------------------------------


def plan(blocks: FileBlocks, *, live: bool = False, lacking: list[str] | None = None) -> list[Planned]:
    """Return what applying a file does, those first that others refer to; nothing is saved.

    Args:
        blocks: What the file says.
        live: Whether references to variables and files stay references, too.
        lacking: If given, a reference that leads to no secret is no error: the reason gets here, and the plan is one to
            look at, but not to apply.

    Raises:
        BlockFileError: If a field is unknown, a secret is in clear, a reference cannot be resolved, a value is refused,
            or blocks of the file refer to each other in a circle.
        BlockSchemaError: If one of them was saved by a newer class than the one that is here.
        UnknownBlockTypeError: If no installed or imported class has a slug.
    """
    if not live and lacking is None:
        _check_variables(blocks)
    planner = _Planner(blocks, current_documents(), live=live, lacking=lacking)
    for slug, name in blocks:
        planner.block(slug, name, ())
    return list(planner.done.values())


def apply(planned: Iterable[Planned]) -> Iterator[tuple[Planned, DocumentRef | None]]:
    """Save what a plan changes, one after another; yield each step, with the version that was made if any.

    Raises:
        BlockExistsError: If another program saved one of the blocks since the plan was made.
    """
    for each in planned:
        if each.step == "same":
            yield each, None
        elif each.saved is None:
            yield each, each.block.save(each.name)
        else:
            yield each, _saving.save_over(each.block, each.saved, current_documents())


def _check_variables(blocks: FileBlocks) -> None:
    """Refuse what refers to variables that are not set: all of them at once, so that they can be set at once."""
    problems = []
    for (slug, name), fields in blocks.items():
        try:
            cls: type[Block] = BLOCKS.get(slug)
        except PluginError:
            continue  # it is said where the block is made
        for path, reference in variables_in(cls, fields):
            try:
                resolve(reference, where=f"{slug}/{name}: {path}")
            except BlockFileError as error:
                problems.append(str(error))
    if problems:
        raise BlockFileError("; ".join(problems), path="")


class _Planner:
    """Makes the blocks of a file, each once, with those inside that it refers to."""

    def __init__(self, blocks: FileBlocks, documents: BlockDocuments, *, live: bool, lacking: list[str] | None) -> None:
        self._live = live
        self._lacking = lacking
        self._unread: set[str] = set()
        self._blocks = blocks
        self._documents = documents
        self.done: dict[tuple[str, str], Planned] = {}
        self._addresses: dict[int, tuple[str, str]] = {}  # of the blocks in it, which it keeps alive

    def block(self, slug: str, name: str, within: tuple[str, ...]) -> Block:
        address = f"{slug}/{name}"
        if address in within:
            raise BlockFileError(f"{address} refers to itself ({' in '.join([address, *within])})", path="")
        known = self.done.get((slug, name))
        if known is not None:
            return known.block
        if (slug, name) not in self._blocks:
            check_name(slug, what=f"block type (in {_BLOCK}{address})")
            check_name(name, what=f"block name (in {_BLOCK}{address})")
            return _saving.load_inner(slug, name, self._documents)
        cls: type[Block] = BLOCKS.get(slug)

        def inner(other: str) -> Block:
            inner_slug, _, inner_name = other.partition("/")
            return self.block(inner_slug, inner_name, (address, *within))

        made = make_block(
            cls, self._blocks[slug, name], where=address, inner=inner, lookup=None if self._live else self._look_up
        )
        self.done[slug, name] = planned = self._compare(slug, name, made)
        self._addresses[id(planned.block)] = slug, name
        return planned.block

    def _compare(self, slug: str, name: str, made: Block) -> Planned:
        try:
            ref = self._documents.latest(slug, name)
        except BlockNotFoundError:
            return Planned(slug, name, "create", (), made, None)
        try:
            saved = _saving.load_newest(self._documents.believe(ref), self._documents)
        except EntrepotError as error:
            if isinstance(error, BlockSchemaError) and (error.saved_version or 0) > (error.class_version or 0):
                raise  # an older program would take back what a newer one has saved
            # Damaged, or of an older schema: what the file says takes its place, and it stays as history.
            return Planned(slug, name, "change", (), made, ref)
        before, after = (encode_fields(each, self._reference) for each in (saved, made))
        changes = tuple(each for each in map(self._as_known, compare(before, after)) if each.kind != "unchanged")
        if before == after and not changes:
            return Planned(slug, name, "same", (), saved, ref)
        step: Step = "unknown" if changes and all(each.kind == "unknown" for each in changes) else "change"
        return Planned(slug, name, step, changes, made, ref)

    def _look_up(self, reference: str, *, where: str) -> str | None:
        try:
            return resolve(reference, where=where)
        except BlockFileError as error:
            if self._lacking is None:
                raise
            self._lacking.append(str(error))
            self._unread.add(shown(reference))
            return None

    def _as_known(self, change: Change) -> Change:
        """Return a change, or that it cannot be known, since the file refers to a secret which is not there."""
        unread = change.secret and change.kind != "added" and str(change.after) in self._unread
        return replace(change, kind="unknown") if unread else change

    def _reference(self, block: Block) -> tuple[str, str] | None:
        known = self._addresses.get(id(block))
        return _saving.reference_in(self._documents)(block) if known is None else known


# --- to a file --------------------------------------------------------------------------------------------------------


def export(refs: Iterable[DocumentRef]) -> Exported:
    """Return saved blocks as they go into a file: no secret is in it, but a reference to a variable for each.

    Raises:
        IntegrityError: If one was altered or moved.
        UnknownKeyError: If one was sealed under a key that the keyring does not have.
    """
    documents = current_documents()
    blocks: FileBlocks = {}
    variables: dict[str, str] = {}
    as_stored: list[str] = []
    for listed in refs:
        ref = documents.believe(listed)
        address = f"{ref.slug}/{ref.name}"
        writer = Writer(address, variables)
        try:
            block = _saving.load_newest(ref, documents)
        except (PluginError, BlockSchemaError, SerializationError):
            as_stored.append(address)
            blocks[ref.slug, ref.name] = _as_stored(ref, writer, documents)
        else:
            blocks[ref.slug, ref.name] = _written(block, address, writer, documents)
    return Exported(blocks, variables, tuple(as_stored))


def _as_stored(ref: DocumentRef, writer: Writer, documents: BlockDocuments) -> Fields:
    body, header = read_body(ref, documents)
    fields = fields_of(body)
    written = {name: writer.value(each, ANYTHING, (name,)) for name, each in fields.items()}
    version = header.get("schema_version", 1)
    if not isinstance(version, int):  # its class is not here to refuse it
        raise IntegrityError(
            f"{ref} in {documents.store.location} says no schema version: another program sealed it",
            location=documents.store.location,
        )
    return _with_version(version, written, f"{ref.slug}/{ref.name}")


def _with_version(version: int, fields: Fields, address: str) -> Fields:
    if SCHEMA_VERSION in fields:
        raise BlockFileError(f"{address} has a field {SCHEMA_VERSION}, and a file has another use for it", path="")
    return {SCHEMA_VERSION: version, **fields}


def _written(block: Block, address: str, writer: Writer, documents: BlockDocuments) -> Fields:
    """Return the fields of a block as people write them; those that would not come back so, with their tags."""

    def inner(other: str) -> Block:
        slug, _, name = other.partition("/")
        return _saving.load_inner(slug, name, documents)

    reference = _saving.reference_in(documents)
    cls = type(block)
    facts = facts_of(cls).fields
    optional = {name for name, info in cls.model_fields.items() if info.default is None}
    fields = {
        name: value
        for name, value in fields_of(encode_fields(block, reference)).items()
        if value is not None or name not in optional
    }
    written = {name: writer.value(value, facts.get(name, ANYTHING), (name,)) for name, value in fields.items()}
    try:
        made = make_block(cls, written, where=address, inner=inner, clear=True, lookup=writer.lookup)
        again = fields_of(encode_fields(made, reference))
    except EntrepotError:
        again = {}
    exact = {
        name: written[name] if again.get(name) == value else writer.value(value, ANYTHING, (name,))
        for name, value in fields.items()
    }
    return _with_version(cls._schema_version, exact, address)
