"""`entrepot block create|edit`: fields from options or a person, looked at, tried, and saved."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from entrepot._names import check_name
from entrepot.blocks import Block, _saving
from entrepot.blocks._encoding import encode_fields
from entrepot.blocks._plain import Change, compare
from entrepot.blocks.documents import current_documents, use_documents
from entrepot.blocks.sources import EnvironmentBlocks, variable_of
from entrepot.blocks.stores import find_only
from entrepot.blocks.teams import of_the_setting
from entrepot.cli.asking import HINT, Check, ask_for_fields, ask_line, confirm, tell
from entrepot.cli.block_fields import (
    FieldInfo,
    build_block,
    covered,
    describe_fields,
    describe_wholes,
    interactive,
    read_options,
    reasons,
)
from entrepot.cli.block_history import Name, show_changes
from entrepot.cli.block_listing import InStore
from entrepot.cli.block_trying import need_connection, summarise, try_connection
from entrepot.cli.completing import block_types
from entrepot.cli.importing import Modules, import_modules
from entrepot.cli.output import ok, warn
from entrepot.errors import BlockExistsError, EntrepotError, InvalidNameError, OptionError
from entrepot.plugins import BLOCKS
from entrepot.protocols.documents import DocumentRef

__all__ = ["create", "edit"]

_TRIES: Final = 5
_INTERRUPTED: Final = 130  # as a shell says of a program that Ctrl-C has ended
_REFERENCE: Final = "block://"
_PREFIXES: Final = ("Value error, ", "Assertion failed, ")  # pydantic's, before what a validator says

_Plain = Annotated[
    list[str] | None,
    typer.Option("--field", "-f", help="name=value, for fields that hold no secret; or name=env://NAME."),
]
_FromEnv = Annotated[list[str] | None, typer.Option(help="name=VARIABLE: take a field from the environment.")]
_FromFile = Annotated[
    list[str] | None, typer.Option(help="name=PATH: take a field from a file, without its last line end.")
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
    check: _Tested = None,
    module: Modules = None,
) -> None:
    """Save a block. Without options each field is asked for, secrets without echo.

    With options only what must be there besides is asked for.

    \b
    Examples:
      entrepot block create s3
      entrepot block create s3 prod --field bucket_path=my-bucket/results
      pass show api-key | entrepot block create secret my-api-key --secret-from-stdin value
      entrepot block create warehouse main -m my_package.blocks     a type of a module of yours
    """  # noqa: D301  click's mark for lines that are kept as they are
    import_modules(module)
    cls: type[Block] = BLOCKS.get(type_)
    asks = interactive() and secret_from_stdin is None
    if name is None:
        if not interactive():
            raise OptionError(f"give a name: entrepot block create {type_} NAME", option="name")
        with _saving_nothing():
            name = _ask_name()
    check_name(name)
    saved = current_documents().store.latest(type_, name)  # not `exists`: a variable may give it, and be outlived
    there, expected = saved is not None and not saved.deleted, None
    if there and not overwrite and asks:
        with _saving_nothing():
            if not confirm(f"There is a block {type_}/{name} already. Save a new version of it?", default=False):
                _leave()
        expected = saved  # that one and no other: somebody may save the block while this one is typed
    elif there and not overwrite:
        raise BlockExistsError(
            f"there is a block {type_}/{name} already; --overwrite saves a new version of it", name=f"{type_}/{name}"
        )
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
        _introduce(cls, wanted)
        block = _ask_until_right(cls, fields, wanted, answers, check=check is not False)
    else:
        _check_complete(fields, known, type_)
        block = build_block(cls, answers)
        if check:
            need_connection(block)
    if expected is None:
        ref = block.save(name, overwrite=overwrite)
    else:
        ref = _saving.save_over(block, expected, current_documents())
    _tell_saved(ref, cls)


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
        _edit(block, ref, changed, unset or (), check=check)


def _edit(
    block: Block, ref: DocumentRef, changed: Mapping[str, object], unset: Sequence[str], *, check: bool | None
) -> None:
    documents = current_documents()
    cls = type(block)
    fields = describe_fields(cls)
    answers = _values(block)
    for each in unset:
        if each not in {one.name for one in fields} or each in changed:
            raise OptionError(f"--unset {each}: there is no such field, or it is given, too", option="--unset")
        answers.pop(each, None)
    answers.update(changed)
    asks = not changed and not unset
    if asks and not interactive():
        raise OptionError(
            "there is no terminal to ask at: say what to change, as --field name=value, --secret-env name=VARIABLE,"
            " --secret-file name=PATH, --secret-from-stdin name or --unset name",
            option="--field",
        )
    before = encode_fields(block, _saving.reference_in(documents))

    def changes_to(made: Block) -> list[Change]:
        after = encode_fields(made, _saving.reference_in(documents))
        return [each for each in compare(before, after) if each.kind != "unchanged"]

    if asks:
        _introduce(cls, fields)
        made = _ask_until_right(cls, fields, fields, answers, check=check is not False, old=changes_to)
    else:
        made = build_block(cls, answers)
    changes = changes_to(made)
    if not changes:
        ok(f"nothing changed: {ref.slug}/{ref.name} stays as it is, version {ref.version}")
        return
    if not asks:
        show_changes(changes, ("Was", "Is now"))
        if check:
            need_connection(made)
    _tell_saved(_saving.save_over(made, ref, documents), cls)


# --- asking -----------------------------------------------------------------------------------------------------------


def _ask_name() -> str:
    while True:
        name = ask_line("name: ").strip()
        try:
            return check_name(name)
        except InvalidNameError as error:
            tell(str(error))


def _introduce(cls: type[Block], fields: Sequence[FieldInfo]) -> None:
    said = cls.get_description() or ""
    tell(f"{cls.get_block_type_name()}: {said.splitlines()[0]}" if said else cls.get_block_type_name(), "")
    if len(fields) > 1:
        tell(HINT, "")
    ok("")


def _ask_until_right(
    cls: type[Block],
    fields: Sequence[FieldInfo],
    wanted: Sequence[FieldInfo],
    answers: dict[str, object],
    *,
    check: bool,
    old: Callable[[Block], list[Change]] | None = None,
) -> Block:
    """Ask for fields, and show, try and ask about what they make, until it is to be saved.

    Args:
        cls: The type.
        fields: All its fields.
        wanted: Those to ask for.
        answers: What is known; filled.
        check: Whether to test the connection.
        old: Gives what changed, where there was a block before; if that is nothing, nothing is tried.

    Raises:
        typer.Exit: If it is not to be saved.
    """
    with _saving_nothing():
        while True:
            block = _ask_for_block(cls, fields, wanted, answers)
            changes = None if old is None else old(block)
            if changes == []:
                return block
            ok("")
            if changes is None:
                summarise(block, fields)
            else:
                show_changes(changes, ("Was", "Is now"), err=True)
            ok("")
            works = not check or try_connection(block)
            reply = _ask_what_next("Save it?" if works else "Save it all the same?", default="y" if works else "e")
            if reply == "y":
                return block
            if reply == "n":
                _leave()
            ok("")


def _ask_what_next(question: str, default: str) -> str:
    known = {"y": "y", "yes": "y", "n": "n", "no": "n", "e": "e", "edit": "e", "": default}
    shown = {"y": "[Y]es, [n]o, [e]dit", "e": "[y]es, [n]o, [E]dit"}[default]
    while True:
        text = ask_line(f"{question} {shown}: ").strip().lower()
        if text in known:
            return known[text]


def _ask_for_block(
    cls: type[Block], fields: Sequence[FieldInfo], wanted: Sequence[FieldInfo], answers: dict[str, object]
) -> Block:
    """Ask for fields until they make a block.

    Raises:
        BlockSchemaError: If they do not make one after some tries.
    """
    wholes = describe_wholes(cls)
    for _ in range(_TRIES):
        ask_for_fields([each for each in wanted if each.name in wholes], _checker(cls), answers)
        stood_for = covered(cls, answers)
        for name in stood_for:  # given before the whole was
            answers.pop(name, None)
        parts = [each for each in wanted if each.name not in wholes and each.name not in stood_for]
        ask_for_fields(parts, _checker(cls), answers)
        try:
            return cls(**_resolved(fields, answers))
        except ValidationError as error:
            for reason in reasons(error):
                tell(reason)
            wrong = {str(detail["loc"][0]) for detail in error.errors(include_input=False) if detail["loc"]}
            # A complaint about no field is about several at once: everything that was asked for is asked for again.
            wanted = [each for each in fields if each.name in wrong] or wanted
    return build_block(cls, answers)


def _checker(cls: type[Block]) -> Check:
    """Return what says what is wrong with an answer: the class itself, given the answers so far."""
    fields = describe_fields(cls)
    wholes = describe_wholes(cls)

    def check(field: FieldInfo, value: object, answers: Mapping[str, object]) -> list[str]:
        parts = wholes[field.name][1] if field.name in wholes else ()
        if parts:  # it takes the place of what was given for them
            answers = {name: each for name, each in answers.items() if name not in parts}
        try:
            cls(**_resolved(fields, {**answers, field.name: value}))
        except ValidationError as error:
            return [
                ": ".join(filter(None, [".".join(map(str, detail["loc"][1:])), _without_prefix(detail["msg"])]))
                for detail in error.errors(include_input=False, include_url=False, include_context=False)
                if detail["loc"][:1] == (field.name,) or (parts and (not detail["loc"] or detail["loc"][0] in parts))
            ]
        except EntrepotError as error:
            return [str(error)]
        except Exception:  # noqa: BLE001  a validator of the whole that does not expect fields to be missing yet
            return []
        return []

    return check


def _without_prefix(message: str) -> str:
    for prefix in _PREFIXES:
        message = message.removeprefix(prefix)
    return message.partition(", unable to parse")[0]


def _resolved(fields: Sequence[FieldInfo], answers: Mapping[str, object]) -> dict[str, object]:
    """Return answers with the blocks that they name.

    Raises:
        EntrepotError: If there is none of that name, or it cannot be loaded.
    """
    values = dict(answers)
    for field in fields:
        text = values.get(field.name)
        if field.block and isinstance(text, str) and text.startswith(_REFERENCE):
            slug, _, name = text.removeprefix(_REFERENCE).partition("/")
            check_name(slug, what="block type")
            check_name(name)
            values[field.name] = _saving.load_inner(slug, name, current_documents())
    return values


# --- parts ------------------------------------------------------------------------------------------------------------


def _values(block: Block) -> dict[str, object]:
    """Return what a block was made of, by the names under which its class takes it."""
    values = {info.alias or name: getattr(block, name) for name, info in type(block).model_fields.items()}
    return values | (block.model_extra or {})


def _check_complete(fields: Sequence[FieldInfo], given: Collection[str], slug: str) -> None:
    """Refuse what lacks a field, where there is nobody to ask for it."""
    missing = [field for field in fields if field.required and field.name not in given]
    if missing:
        ways = [
            f"--secret-env {field.name}=VARIABLE" if field.secret else f"--field {field.name}=..." for field in missing
        ]
        raise OptionError(
            f"a {slug} block needs {', '.join(field.name for field in missing)}, and there is no terminal to ask at;"
            f" give {' '.join(ways)}",
            option=missing[0].name,
        )


def _tell_saved(ref: DocumentRef, cls: type[Block]) -> None:
    if EnvironmentBlocks().has(ref.slug, ref.name):
        warn(f"the variable {variable_of(ref.slug, ref.name)} is set here and comes first: what was saved is hidden")
    with contextlib.suppress(EntrepotError):  # it is saved; that a team's store does not answer is for who loads it
        here = current_documents().store.location
        if any(team.location != here and team.has(ref.slug, ref.name) for team in of_the_setting()):
            warn("the store that blocks_team names has a block of that name and comes first: what was saved is hidden")
    tell(f"saved {ref.slug}/{ref.name}, version {ref.version}; {cls.__name__}.load({ref.name!r}) gives it back", "")


@contextlib.contextmanager
def _saving_nothing() -> Iterator[None]:
    """Say on Ctrl-C that nothing was saved."""
    try:
        yield
    except KeyboardInterrupt:
        ok("\nnothing was saved")
        raise typer.Exit(_INTERRUPTED) from None


def _leave() -> None:
    ok("nothing was saved")
    raise typer.Exit(1)
