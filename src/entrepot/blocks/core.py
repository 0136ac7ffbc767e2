"""`Block`: typed configuration that is saved sealed, under a name, and loaded by it.

Defining a block class registers its slug and touches nothing else: keyring, storage and ciphers are loaded by the first
save or load.
"""

import inspect
from collections.abc import Generator, Mapping
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self, SupportsIndex, TypeAlias, cast

from pydantic import PrivateAttr
from pydantic.fields import ModelPrivateAttr

from entrepot._names import check_name, slugify
from entrepot.blocks._annotations import facts_of
from entrepot.blocks._fingerprint import fingerprint_of
from entrepot.blocks._hidden import hide_defaults
from entrepot.blocks._model import DiscreetModel
from entrepot.blocks.fields import holds_secret
from entrepot.blocks.migrations import check_migrations
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

if TYPE_CHECKING:
    from entrepot.blocks.history import BlockVersion
    from entrepot.blocks.stores import StoreName

__all__ = ["Block"]

_Names: TypeAlias = list[str]  # up here: in the class, `list` is a method
_Versions: TypeAlias = "list[BlockVersion]"
_Refs: TypeAlias = list[DocumentRef]
_Store: TypeAlias = "StoreName | None"


class _OriginBox:
    """Holds where a block was saved. All are equal: blocks are equal if their fields are, wherever they come from."""

    __slots__ = ("value",)

    def __init__(self, value: object = None) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OriginBox)

    def __hash__(self) -> int:
        return 0

    def __reduce__(self) -> tuple[type[Self], tuple[object]]:
        return type(self), (self.value,)

    def __copy__(self) -> Self:
        return self  # never changed, only replaced

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Block(DiscreetModel):
    """A named, typed piece of configuration: credentials, an address, a connection.

    Derive from it, annotate fields (`SecretStr` and `SecretBytes` for secrets), and save instances under names::

        class Database(Block):
            host: str
            password: SecretStr

        Database(host="db.example.com", password="...").save("warehouse")
        Database.load("warehouse").password.get_secret_value()

    Saved blocks are sealed under the keyring; each save is a new version, and what was saved stays. Secrets show
    nowhere else: not in prints, logs, errors, dumps, JSON or pickles.

    Class attributes:
        _block_type_name: The name for people; by default the class's name.
        _block_type_slug: The name for programs, unique among installed blocks; by default made of the class's name.
        _description: What it is for; by default the first paragraph of the docstring.
        _documentation_url: Where to read more.
        _logo_url: A picture for user interfaces.
        _block_capabilities: What it can do, as words (`write-path`); those of base classes are added.
        _schema_version: Raise it when fields change so that what was saved before no longer fits, and say with
            `@migrates(from_version=...)` how the old fields become the new ones.
        _stands_for: Secrets that a validator takes in the place of fields, such as a URL: `{"url": ("host", "port")}`.
    """

    _block_type_name: ClassVar[str | None] = None
    _block_type_slug: ClassVar[str | None] = None
    _description: ClassVar[str | None] = None
    _documentation_url: ClassVar[Any] = None
    _logo_url: ClassVar[Any] = None
    _block_capabilities: ClassVar[Any] = ()
    _block_schema_capabilities: ClassVar[Any] = ()  # the name that it has in Prefect
    _schema_version: ClassVar[int] = 1
    _stands_for: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})

    _origin: _OriginBox = PrivateAttr(default=_OriginBox())

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Register the class under its slug, unless it is abstract or a generic one with its types filled in."""
        super().__pydantic_init_subclass__(**kwargs)
        version = _fact(cls, "_schema_version")
        if version is not None and "_schema_version" not in cls.__dict__:
            type.__setattr__(cls, "_schema_version", version)  # it was annotated without ClassVar: see `_fact`
        check_migrations(cls)
        hide_defaults(cls)
        slug = cls.get_block_type_slug()
        if not inspect.isabstract(cls) and not cls.__pydantic_generic_metadata__["origin"]:
            BLOCKS.register(slug, cls)

    # --- the type -----------------------------------------------------------------------------------------------

    @classmethod
    def get_block_type_slug(cls) -> str:
        """Return the name of this type for programs.

        Raises:
            InvalidNameError: If it cannot be one.
        """
        generic = cast("type[Block] | None", cls.__pydantic_generic_metadata__["origin"])
        if generic is not None:
            return generic.get_block_type_slug()
        slug = _fact(cls, "_block_type_slug") or slugify(str(_fact(cls, "_block_type_name") or cls.__name__))
        return check_name(slug or cls.__name__, what="block type slug (set _block_type_slug)")

    @classmethod
    def get_block_type_name(cls) -> str:
        """Return the name of this type for people."""
        return str(_fact(cls, "_block_type_name") or cls.__name__)

    @classmethod
    def get_description(cls) -> str | None:
        """Return what this type is for, or None: `_description`, or the first paragraph of the docstring."""
        said = _fact(cls, "_description")
        text = inspect.cleandoc(str(said) if said is not None else cls.__dict__.get("__doc__") or "")
        return text if said is not None else " ".join(text.partition("\n\n")[0].split()) or None

    @classmethod
    def get_documentation_url(cls) -> str | None:
        """Return where to read more, or None."""
        url = _fact(cls, "_documentation_url")
        return None if url is None else str(url)

    @classmethod
    def get_logo_url(cls) -> str | None:
        """Return where a picture of this type is, or None."""
        url = _fact(cls, "_logo_url")
        return None if url is None else str(url)

    @classmethod
    def get_block_capabilities(cls) -> frozenset[str]:
        """Return what this type and its bases can do, as words."""
        names = ("_block_capabilities", "_block_schema_capabilities")
        each = [_fact(base, name) for base in cls.__mro__ for name in names]
        return frozenset(str(word) for words in each for word in words or ())

    @classmethod
    def get_block_schema_fingerprint(cls) -> str:
        """Return 16 hex digits that tell sets of fields apart; titles, descriptions and defaults are not in them."""
        known: str | None = cls.__dict__.get("__entrepot_fingerprint__")
        if known is None:
            known = fingerprint_of(cls)
            type.__setattr__(cls, "__entrepot_fingerprint__", known)
        return known

    @classmethod
    def register_type_and_schema(cls) -> None:
        """Do nothing, as code written for Prefect asks for it: a class is known from where it is defined."""

    def __await__(self) -> Generator[Any, None, Self]:
        """Return this block: code written for Prefect says `await Secret.load(name)`."""
        yield from ()
        return self

    # --- saved blocks -------------------------------------------------------------------------------------------

    def save(self, name: str, *, overwrite: bool = False) -> DocumentRef:
        """Save this block under a name, sealed and durable; return which version that is.

        Nested blocks that were saved, and not changed since, are kept as references; others are kept inside.

        Args:
            name: 1 to 100 characters of a-z, 0-9, - and _.
            overwrite: Whether to add a version where a block of this type and name is saved already.

        Raises:
            BlockExistsError: If there is one, without `overwrite`; or if other writers kept winning.
            InvalidNameError: If the name may not be one.
            SecretMaskError: If a secret is the mask that stands for secrets.
            SerializationError: If a field cannot be kept.
            KeyringError: If the keyring cannot be used.
            StorageError: If the documents cannot be reached or written.
        """
        return _saving().save(self, name, overwrite=overwrite)  # type: ignore[no-any-return]

    @classmethod
    def load(cls, name: str, *, version: int | None = None, store: _Store = None) -> Self:
        """Return a block: of the environment (`ENTREPOT_BLOCK__TYPE__NAME`) if that gives one, else a saved one.

        What was saved under an older schema version goes through the migrations of the class; nothing stored changes.

        Args:
            name: The name of a block of this type; or `slug/name`. `Block.load` takes a bare name as well, if only one
                block of any type has it.
            version: Which saved version; by default the newest. Blocks that it refers to are always the newest.
            store: "team" or "local": only what is saved there; by default the first of them that has it.

        Raises:
            BlockNotFoundError: If there is none, or no such version; the message offers what is near.
            AmbiguousBlockNameError: If blocks of several types have that name.
            BlockSchemaError: If what was saved does not fit the class.
            UnknownBlockTypeError: If no installed or imported class has the slug.
            IntegrityError: If the document was altered or moved, or a newer one that was seen here was taken away.
            UnknownKeyError: If it was sealed under a key that the keyring does not have.
            StorageError: If the documents cannot be reached.
        """
        if version is None and store is None:
            return _saving().load(cls, name)  # type: ignore[no-any-return]
        return _history().load(cls, name, version, store)  # type: ignore[no-any-return]

    @classmethod
    def delete(cls, name: str, *, store: _Store = None, force: bool = False) -> None:
        """Remove a saved block with all its versions.

        Args:
            name: As for `load`.
            store: Where: "team" or "local"; by default where it is, if it is in one of them only.
            force: Do so in a shared store with what is another keyring's, too.

        Raises:
            BlockNotFoundError: If there is none.
            AmbiguousBlockNameError: If blocks of several types have that name, or both stores have it.
            UnknownKeyError: If it is another keyring's, in a shared store.
        """
        _history().delete(cls, name, store, force=force)

    @classmethod
    def history(cls, name: str, *, store: _Store = None) -> _Versions:
        """Return every version of a saved block, oldest first: when, by whom, from where, with what.

        A version that cannot be opened is there with the reason.

        Args:
            name: As for `load`.
            store: Where: "team" or "local"; by default the first of them that has it.

        Raises:
            BlockNotFoundError: If there is none.
            AmbiguousBlockNameError: If blocks of several types have that name.
        """
        return _history().history(cls, name, store)  # type: ignore[no-any-return]

    @classmethod
    def rollback(cls, name: str, version: int, *, store: _Store = None) -> DocumentRef:
        """Save the content of an older version as a new one; return which version that is. History stays.

        Args:
            name: As for `load`.
            version: The one whose content is wanted again.
            store: Where: "team" or "local"; by default where it is, if it is in one of them only.

        Raises:
            BlockNotFoundError: If there is no such block or version.
            AmbiguousBlockNameError: If both stores have it.
            BlockExistsError: If another program saved the block at the same time.
            IntegrityError: If that version was altered or moved.
            UnknownKeyError: If it was sealed under a key that the keyring does not have.
        """
        return _history().rollback(cls, name, version, store)  # type: ignore[no-any-return]

    @classmethod
    def exists(cls, name: str) -> bool:
        """Say whether `load` has a block of this name: saved, or given (of any type, on `Block` itself)."""
        return _saving().exists(cls, name)  # type: ignore[no-any-return]

    @classmethod
    def names(cls) -> _Names:
        """Return the names of the saved blocks of this type, sorted; on `Block` itself, `slug/name` of all."""
        own = None if cls is Block or inspect.isabstract(cls) else cls.get_block_type_slug()
        return [f"{ref.slug}/{ref.name}" if own is None else ref.name for ref in cls.list()]

    @classmethod
    def list(cls) -> _Refs:
        """Return the newest version of each saved block of this type (of all, on `Block` itself), unopened."""
        return _saving().refs(cls)  # type: ignore[no-any-return]

    def check(self) -> str:
        """Test what this block connects to; return what was found, for people ("" where there is nothing to test).

        Raises:
            EntrepotError: If it does not work; the message says what to do.
        """
        return ""

    async def asave(self, name: str, *, overwrite: bool = False) -> DocumentRef:
        """Do as `save`, off the event loop."""
        return await _in_thread(self.save, name, overwrite=overwrite)  # type: ignore[no-any-return]

    @classmethod
    async def aload(cls, name: str, *, version: int | None = None, store: _Store = None) -> Self:
        """Do as `load`, off the event loop."""
        return await _in_thread(cls.load, name, version=version, store=store)  # type: ignore[no-any-return]

    @classmethod
    async def adelete(cls, name: str, *, store: _Store = None, force: bool = False) -> None:
        """Do as `delete`, off the event loop."""
        await _in_thread(cls.delete, name, store=store, force=force)

    @classmethod
    async def ahistory(cls, name: str, *, store: _Store = None) -> _Versions:
        """Do as `history`, off the event loop."""
        return await _in_thread(cls.history, name, store=store)  # type: ignore[no-any-return]

    @classmethod
    async def arollback(cls, name: str, version: int, *, store: _Store = None) -> DocumentRef:
        """Do as `rollback`, off the event loop."""
        return await _in_thread(cls.rollback, name, version, store=store)  # type: ignore[no-any-return]

    @classmethod
    async def aexists(cls, name: str) -> bool:
        """Do as `exists`, off the event loop."""
        return await _in_thread(cls.exists, name)  # type: ignore[no-any-return]

    @classmethod
    async def anames(cls) -> _Names:
        """Do as `names`, off the event loop."""
        return await _in_thread(cls.names)  # type: ignore[no-any-return]

    @classmethod
    async def alist(cls) -> _Refs:
        """Do as `list`, off the event loop."""
        return await _in_thread(cls.list)  # type: ignore[no-any-return]

    async def acheck(self) -> str:
        """Do as `check`, off the event loop."""
        return await _in_thread(self.check)  # type: ignore[no-any-return]

    # --- elsewhere ----------------------------------------------------------------------------------------------

    def __entrepot_key__(self) -> tuple[str, object]:
        """Return what this block stands for in cache keys: slug and fields, secrets as keyed digests.

        The digests are made under a key of the ring: who sees a cache key cannot try out secrets against it.
        """
        from entrepot.blocks._identity import identity  # noqa: PLC0415  as in `_saving`

        return identity(self)

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> Any:
        """Pickle; a block with secrets is sealed, so that it opens only where the keyring is."""
        secret = any(field.secret for field in facts_of(type(self)).fields.values())
        if secret or holds_secret(self):
            from entrepot.blocks._pickling import seal_pickle  # noqa: PLC0415  as in `_saving`

            return _open_pickle, (type(self), seal_pickle(self))
        return super().__reduce_ex__(protocol)


def _open_pickle(cls: type[Block], sealed: bytes) -> Block:
    """Return a pickled block; pickles name this function."""
    from entrepot.blocks._pickling import open_pickle  # noqa: PLC0415  as in `_saving`

    return open_pickle(cls, sealed)


def _saving() -> ModuleType:
    from entrepot.blocks import _saving  # noqa: PLC0415  ciphers, keyring and storage only where something is saved

    return _saving


def _history() -> ModuleType:
    from entrepot.blocks import history  # noqa: PLC0415  as above

    return history


async def _in_thread(call: Any, /, *args: Any, **options: Any) -> Any:
    import asyncio  # noqa: PLC0415  who gets here has imported it already

    return await asyncio.to_thread(call, *args, **options)


def _fact(cls: type, name: str) -> Any:
    """Return a class attribute of this very class, or None."""
    if name in cls.__dict__:
        return cls.__dict__[name]
    # `_block_type_slug: str = "..."`, without ClassVar, has become a private attribute of pydantic's.
    private = getattr(cls, "__private_attributes__", {}).get(name)
    inherited = any(getattr(base, "__private_attributes__", {}).get(name) is private for base in cls.__bases__)
    return private.default if isinstance(private, ModelPrivateAttr) and not inherited else None


def _check_class(slug: str, claimed: object) -> None:
    """Refuse what claims a slug but is no block class, or has another slug."""
    if not (isinstance(claimed, type) and issubclass(claimed, Block)):
        raise TypeError(f"it is no subclass of entrepot.blocks.core.Block but {type(claimed).__name__}")
    if claimed.get_block_type_slug() != slug:
        raise ValueError(f"{claimed.__qualname__} has the slug {claimed.get_block_type_slug()!r}: that is its name")


BLOCKS.set_check(_check_class)
