"""Where blocks are looked up: the environment first, then what is put in between, a team's documents, then one's own.

`ENTREPOT_BLOCK__S3__PROD='{"bucket_path": "..."}'` gives the block `s3/prod`: for containers, which have variables and
no store. Type and name are written in capitals, with `_` for `-`. The value is a JSON object of fields; secrets may be
in it as they are, or as references.
"""

import contextlib
import contextvars
import functools
import json
import os
import sys
from collections.abc import Hashable, Iterator
from typing import Final, Protocol

from entrepot import settings
from entrepot.blocks._decoding import quietly
from entrepot.blocks._lookups import made_for
from entrepot.blocks._written import make_block
from entrepot.blocks.core import Block
from entrepot.errors import BlockFileError
from entrepot.plugins import BLOCKS

__all__ = [
    "PREFIX",
    "BlockSource",
    "EnvironmentBlocks",
    "capitals",
    "chain_for",
    "is_opening",
    "opening_documents",
    "sources",
    "use_sources",
    "variable_of",
]

PREFIX: Final = "ENTREPOT_BLOCK__"

_reading: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("entrepot_variables_read", default=())


class BlockSource(Protocol):
    """A place where blocks are looked up by type and name. Nothing is saved there."""

    @property
    def location(self) -> str:
        """What it is, for people."""
        ...

    def has(self, slug: str, name: str) -> bool:
        """Say whether a block is there; it is not opened."""
        ...

    def slugs(self, name: str) -> list[str]:
        """Return the types of the blocks that are there under this name, sorted; none is opened."""
        ...

    def get(self, slug: str, name: str) -> Block | None:
        """Return a block, or None where there is none.

        Raises:
            EntrepotError: If there is one, and it cannot be given.
        """
        ...


class EnvironmentBlocks:
    """Blocks of the variables `ENTREPOT_BLOCK__<TYPE>__<NAME>`."""

    @property
    def location(self) -> str:
        """What it is, for people."""
        return "the environment"

    def has(self, slug: str, name: str) -> bool:
        """Say whether a variable gives a block."""
        return variable_of(slug, name) in os.environ

    def slugs(self, name: str) -> list[str]:
        """Return the types of the blocks that variables give under this name, sorted."""
        end = f"__{capitals(name)}"
        if not any(each.startswith(PREFIX) and each.endswith(end) for each in os.environ):
            return []  # the usual case: no list of types is needed
        return [slug for slug in BLOCKS.names() if self.has(slug, name)]

    def get(self, slug: str, name: str) -> Block | None:
        """Return the block that a variable gives, or None where it is not set.

        Raises:
            BlockFileError: If its value does not make one; the message names the variable and the fields, no values.
            UnknownBlockTypeError: If no installed or imported class has the slug.
        """
        if not self.has(slug, name):
            return None
        variable = variable_of(slug, name)
        within = _reading.get()
        if variable in within:
            raise BlockFileError(
                f"{variable} contains itself ({' in '.join((variable, *reversed(within)))}): write one of them out",
                path=variable,
            )
        token = _reading.set((*within, variable))
        try:
            made = quietly(functools.partial(_read, BLOCKS.get(slug), variable))
        finally:
            _reading.reset(token)
        if isinstance(made, Block):
            return made
        raise made if isinstance(made, BlockFileError) else BlockFileError(f"{variable}: {made}", path=variable)


def variable_of(slug: str, name: str) -> str:
    """Return the variable that gives a block."""
    return f"{PREFIX}{capitals(slug)}__{capitals(name)}"


def capitals(name: str) -> str:
    """Return a type or a name as it stands in a variable."""
    return name.upper().replace("-", "_")


def _read(cls: type[Block], variable: str) -> Block:
    try:
        fields = json.loads(os.environ[variable])
    except ValueError as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "somewhere"
        raise BlockFileError(f"{variable} is no JSON: look at {where} of its value", path=variable) from None
    if not isinstance(fields, dict):
        raise BlockFileError(f'{variable} is no JSON object of fields, as in {{"value": ...}}', path=variable)
    return make_block(cls, fields, where=variable, inner=Block.load, clear=True, lookup=None)


# --- the chain --------------------------------------------------------------------------------------------------------

_between: contextvars.ContextVar[tuple[BlockSource, ...]] = contextvars.ContextVar("entrepot_sources", default=())
_opening: contextvars.ContextVar[bool] = contextvars.ContextVar("entrepot_opening_documents", default=False)
_ENVIRONMENT: Final = EnvironmentBlocks()


def is_opening() -> bool:
    """Say whether documents are being opened here by what a block says of them: it is looked up outside of them."""
    return _opening.get()


@contextlib.contextmanager
def opening_documents() -> Iterator[None]:
    """Let `is_opening` hold inside a `with`; what is made there is this user's own."""
    token = _opening.set(True)
    try:
        with made_for():
            yield
    finally:
        _opening.reset(token)


def sources(now: settings.Settings | None = None) -> tuple[BlockSource, ...]:
    """Return where blocks are looked up before the documents, in that order.

    Args:
        now: The settings, where the caller has read them.

    Raises:
        EntrepotError: If the documents that the setting `blocks_team` names cannot be opened.
    """
    now = now or settings.current()
    if now.blocks_team is None:
        return (_ENVIRONMENT, *_between.get())
    from entrepot.blocks import teams  # noqa: PLC0415  it loads blocks, which are looked up here

    return (_ENVIRONMENT, *_between.get(), *teams.of_the_setting(now))


class _Same:
    """Is equal to the same object only, whatever that says of itself, and keeps it: its id stays its own."""

    __slots__ = ("thing",)

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    def __hash__(self) -> int:
        return id(self.thing)


def chain_for(slug: str, name: str = "") -> Hashable:
    """Return what tells one chain of places from another, for what was looked up in it: it is equal for the same."""
    now = settings.current()
    given = variable_of(slug, name) in os.environ
    if is_opening():  # in the folder of the home, whatever is chosen
        return now.home, now.key_provider, given
    documents = sys.modules.get("entrepot.blocks.documents")  # who chose some has loaded it; others need no ciphers
    chosen = None if documents is None else documents.chosen_documents()
    between = tuple(map(_Same, _between.get()))
    return now.home, now.blocks_storage, now.blocks_team, now.key_provider, _Same(chosen), between, given


@contextlib.contextmanager
def use_sources(*between: BlockSource) -> Iterator[None]:
    """Look blocks up in other places as well, after the environment and before the documents, inside a `with`.

    Args:
        between: In their order; `StoredBlocks` makes one of the documents of a team.
    """
    token = _between.set(between)
    try:
        yield
    finally:
        _between.reset(token)
