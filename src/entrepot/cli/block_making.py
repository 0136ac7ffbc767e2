"""`entrepot block create|edit`: fields from options or a person, looked at, tried, and saved."""

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated

import typer

from entrepot._names import check_name
from entrepot.blocks import Block, _saving
from entrepot.blocks._encoding import encode_fields
from entrepot.blocks._inputs import references_in
from entrepot.blocks._plain import Change, compare
from entrepot.blocks.documents import current_documents, use_documents
from entrepot.blocks.stores import Store, find_only
from entrepot.cli.asking import confirm, tell
from entrepot.cli.block_asking import ask_name, ask_until_right, introduce, leave, saving_nothing, with_blocks
from entrepot.cli.block_fields import (
    FieldInfo,
    build_block,
    covered,
    describe_fields,
    describe_wholes,
    interactive,
    read_options,
)
from entrepot.cli.block_history import Name, show_changes
from entrepot.cli.block_listing import InStore, SaveIn, own_unless_told, warn_of_hiding, within
from entrepot.cli.block_trying import need_connection
from entrepot.cli.completing import block_types
from entrepot.cli.importing import Modules, import_modules
from entrepot.cli.output import ok, warn
from entrepot.errors import BlockExistsError, EntrepotError, OptionError
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = ["create", "edit"]


_Plain = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        "-f",
        metavar="NAME=VALUE",
        help="A field that holds no secret; or a reference: name=env://NAME, name=block://TYPE/NAME.",
    ),
]
_FromEnv = Annotated[list[str] | None, typer.Option(metavar="NAME=VARIABLE", help="Take a field from the environment.")]
_FromFile = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATH", help="Take a field from a file, without its last line end."),
]
_FromStdin = Annotated[
    str | None, typer.Option(metavar="NAME", help="Take this field from stdin, without its last line end.")
]
_Tested = Annotated[
    bool | None,
    typer.Option("--check/--no-check", help="Test the connection first. By default where somebody is asked."),
]


def create(
    type_: Annotated[
        str,
        typer.Argument(metavar="TYPE", help="The block type: see `entrepot block types`.", autocompletion=block_types),
    ],
    name: Annotated[str | None, typer.Argument(help="What to save it as: a-z, 0-9, - and _.")] = None,
    *,
    field: _Plain = None,
    secret_env: _FromEnv = None,
    secret_file: _FromFile = None,
    secret_from_stdin: _FromStdin = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Save a new version where there is one.")] = False,
    store: SaveIn = None,
    check: _Tested = None,
    module: Modules = None,
) -> None:
    """Save a block. Without options each field is asked for, secrets without echo.

    With options only what must be there besides is asked for. It is saved among one's own blocks, but with --store
    team.

    \b
    Examples:
      entrepot block create s3
      entrepot block create s3 prod --field bucket_path=my-bucket/results
      pass show api-key | entrepot block create secret my-api-key --secret-from-stdin value
      entrepot block create warehouse main -m my_package.blocks     a type of a module of yours
      entrepot block create s3 prod --store team                    for everyone who shares the team's store
    """  # noqa: D301  click's mark for lines that are kept as they are
    import_modules(module)
    cls: type[Block] = BLOCKS.get(type_)
    asks = interactive() and secret_from_stdin is None
    if name is None:
        if not interactive():
            raise OptionError(f"give a name: entrepot block create {type_} NAME", option="name")
        with saving_nothing():
            name = ask_name()
    check_name(name)
    place = own_unless_told(store)
    expected = None if overwrite else _to_save_over(f"{type_}/{name}", place, asks=asks)
    wholes = [each for each, _ in describe_wholes(cls).values()]
    fields = describe_fields(cls)
    answers = read_options(
        [*fields, *wholes],
        plain=field or (),
        from_env=secret_env or (),
        from_file=secret_file or (),
        from_stdin=secret_from_stdin,
    )
    known = {*answers, *covered(cls, answers)}
    wanted = [each for each in fields if each.name not in known and (each.required or not answers)] if asks else []
    if wanted and not answers:
        wanted = [*wholes, *wanted]
    if wanted:
        _tell_for_whom(f"{type_}/{name} is to be", place)
        introduce(cls, wanted)
        with use_documents(place.documents):  # the blocks that it is to refer to are there
            block = ask_until_right(cls, fields, wanted, answers, check=check is not False)
    else:
        _check_complete(fields, known, type_)
        with use_documents(place.documents):  # as above
            block = build_block(cls, with_blocks(fields, answers))
        _tell_for_whom(f"{type_}/{name} is to be", place)
        if check:
            need_connection(block)
    place = own_unless_told(store)  # anew: keys may have been rotated while somebody typed
    with use_documents(place.documents) as documents:
        if expected is None:
            ref = block.save(name, overwrite=overwrite)
        else:
            ref = _saving.save_over(block, expected, documents)
    _tell_what_is_missing(block)
    _tell_saved(ref, cls, place)
    _warn_of_ones_own(ref, place)


def edit(
    name: Name,
    *,
    field: _Plain = None,
    secret_env: _FromEnv = None,
    secret_file: _FromFile = None,
    secret_from_stdin: _FromStdin = None,
    unset: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Take a field's default again.")] = None,
    store: InStore = None,
    check: _Tested = None,
    module: Modules = None,
) -> None:
    """Change a saved block. Without options each field is asked for, and Enter keeps what it is.

    What changed is shown, and saved as a new version, unless somebody else has saved one meanwhile. Where nothing
    changed nothing is saved. Where both the team's store and one's own have the block, --store says which is meant.

    \b
    Examples:
      entrepot block edit s3/prod
      entrepot block edit s3/prod --field region_name=eu-central-1 --unset endpoint_url
    """  # noqa: D301  as above
    import_modules(module)
    place, found = find_only(Block, name, store)
    with use_documents(place.documents) as documents:
        ref = documents.believe(found)
        block = _saving.load_newest(ref, documents)
        changed = read_options(
            describe_fields(type(block)),
            plain=field or (),
            from_env=secret_env or (),
            from_file=secret_file or (),
            from_stdin=secret_from_stdin,
        )
        _tell_for_whom(f"{ref.slug}/{ref.name} is", place)
        made = _edited(block, ref, changed, unset or (), check=check)
    if made is not None:
        _tell_saved(made, type(block), place)


def _edited(
    block: Block, ref: DocumentRef, changed: Mapping[str, object], unset: Sequence[str], *, check: bool | None
) -> DocumentRef | None:
    documents = current_documents()
    cls = type(block)
    fields = describe_fields(cls)
    answers = _answers(block, fields, changed, unset)
    asks = not changed and not unset
    if asks and not interactive():
        raise OptionError(
            "there is no terminal to ask at: say what to change, as --field name=value, --secret-env name=VARIABLE,"
            " --secret-file name=PATH, --secret-from-stdin name or --unset name",
            option="--field",
        )

    def changes_to(made: Block, block: Block = block) -> list[Change]:
        before, after = (encode_fields(each, _saving.reference_in(documents)) for each in (block, made))
        return [each for each in compare(before, after) if each.kind != "unchanged"]

    if asks:
        introduce(cls, fields)
        made = ask_until_right(cls, fields, fields, answers, check=check is not False, old=changes_to)
    else:
        made = build_block(cls, with_blocks(fields, answers))
    changes = changes_to(made)
    if not changes:
        ok(f"nothing changed: {ref.slug}/{ref.name} stays as it is, version {ref.version}")
        return None
    if not asks:
        show_changes(changes, ("Was", "Is now"))
        if check:
            need_connection(made)
    saved = _saved_over(made, ref, changes_to if asks else None)
    _tell_what_is_missing(made)
    return saved


def _saved_over(made: Block, ref: DocumentRef, changes: Callable[[Block, Block], list[Change]] | None) -> DocumentRef:
    """Save a block as the version after another; where somebody else has done so meanwhile, ask whether over theirs.

    Args:
        made: The block.
        ref: That version.
        changes: Gives what is not the same in the first of two blocks; None where there is nobody to ask.

    Raises:
        BlockExistsError: If somebody else has, and there is nobody to ask.
        typer.Exit: If it is not to be saved.
    """
    documents = current_documents()
    while True:
        try:
            return _saving.save_over(made, ref, documents)
        except BlockExistsError as error:
            address = f"{ref.slug}/{ref.name}"
            error.add_note(f"entrepot block history {address} says who, and entrepot block diff {address} what")
            if changes is None:
                raise
            tell("; ".join([str(error), *error.__notes__]), "")
        ref = documents.believe(documents.latest(ref.slug, ref.name))
        theirs = _saving.load_newest(ref, documents)
        show_changes(changes(made, theirs), ("Theirs", "Yours"), err=True)
        with saving_nothing():
            if not confirm(f"Save yours over version {ref.version}?", default=False):
                leave()


# --- parts ------------------------------------------------------------------------------------------------------------


def _answers(
    block: Block, fields: Sequence[FieldInfo], changed: Mapping[str, object], unset: Sequence[str]
) -> dict[str, object]:
    """Return what a block was made of, with what options say of it."""
    answers = _values(block)
    for each in unset:
        if each not in {one.name for one in fields} or each in changed:
            raise OptionError(f"--unset {each}: there is no such field, or it is given, too", option="--unset")
        answers.pop(each, None)
    return {**answers, **changed}


def _values(block: Block) -> dict[str, object]:
    """Return what a block was made of, by the names under which its class takes it."""
    values = {info.alias or name: getattr(block, name) for name, info in type(block).model_fields.items()}
    return values | (block.model_extra or {})


def _to_save_over(address: str, place: Store, *, asks: bool) -> DocumentRef | None:
    """Return the version that a new block is to be saved over, if a person says so; None where there is none.

    That one and no other: somebody may save the block while this one is typed.

    Raises:
        BlockExistsError: If there is one, and nobody to ask.
        typer.Exit: If it is not to be saved.
    """
    slug, _, name = address.partition("/")
    saved = place.documents.store.latest(slug, name)  # not `exists`: a variable may give it, and be outlived
    if saved is None or saved.deleted:
        return None
    where = within(place.kind, place.documents.store.location)
    if not asks:
        raise BlockExistsError(
            f"there is a block {address} already{where}; --overwrite saves a new version of it", name=address
        )
    with saving_nothing():
        if not confirm(f"There is a block {address} already{where}. Save a new version of it?", default=False):
            leave()
    return saved


def _tell_for_whom(what: str, place: Store) -> None:
    if place.kind == "team":
        tell(f"{what} in {place}: what is saved is for everyone who shares it", "")


def _warn_of_ones_own(ref: DocumentRef, place: Store) -> None:
    """Warn of a block of one's own that what was saved for the team hides from now on."""
    if place.kind != "team":
        return
    with contextlib.suppress(EntrepotError):  # it is saved; what is wrong with one's own is for who loads it
        own = own_unless_told(None).documents.store
        hidden = None if own.location == place.documents.store.location else own.latest(ref.slug, ref.name)
        if hidden is not None and not hidden.deleted:
            warn(f"there is a {ref.slug}/{ref.name} among your own blocks, too: the team's comes first from now on")


def _check_complete(fields: Sequence[FieldInfo], given: Collection[str], slug: str) -> None:
    """Refuse what lacks a field, where there is nobody to ask for it."""
    missing = [field for field in fields if field.required and field.name not in given]
    if missing:
        ways = [
            f"--secret-env {field.name}=VARIABLE" if field.secret else f"--field {field.name}=..." for field in missing
        ]
        raise OptionError(
            f"a block of the type {slug} needs {', '.join(field.name for field in missing)}, and there is no terminal"
            f" to ask at; give {' '.join(ways)}",
            option=missing[0].name,
        )


def _tell_what_is_missing(block: Block) -> None:
    """Warn of references to variables and files that lead to no secret here; others take a server to ask."""
    for _, reference in references_in(block):
        if reference.reference.startswith(("env://", "file://")):
            try:
                reference.get_secret_value()
            except EntrepotError as error:
                warn(f"a reference is looked up when it is used, and as things are here {error}")


def _tell_saved(ref: DocumentRef, cls: type[Block], place: Store) -> None:
    is_hidden = warn_of_hiding([ref], place.documents)
    how = "" if is_hidden else f"; {cls.__name__}.load({ref.name!r}) gives it back"
    where = within(place.kind, place.documents.store.location)
    tell(f"saved {ref.slug}/{ref.name}, version {ref.version}{where}{how}", "")
