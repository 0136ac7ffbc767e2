"""Asking a person for the fields of a block until it is to be saved: for `entrepot block create|edit`."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import typer
from pydantic import ValidationError

from entrepot._names import check_name
from entrepot._text import reason
from entrepot.blocks import Block, _saving
from entrepot.blocks._plain import Change
from entrepot.blocks.documents import current_documents
from entrepot.blocks.fields import reasons
from entrepot.cli.asking import HINT, Check, ask_for_fields, ask_line, tell
from entrepot.cli.block_fields import FieldInfo, build_block, covered, describe_fields, describe_wholes
from entrepot.cli.block_history import show_changes
from entrepot.cli.block_trying import summarise, try_connection
from entrepot.cli.output import ok
from entrepot.errors import EntrepotError, InvalidNameError

__all__ = ["ask_name", "ask_until_right", "introduce", "leave", "saving_nothing", "with_blocks"]

_TRIES: Final = 5
_INTERRUPTED: Final = 130  # as a shell says of a program that Ctrl-C has ended
_REFERENCE: Final = "block://"


def ask_name() -> str:
    """Ask for the name of a block until it can be one."""
    while True:
        name = ask_line("name: ").strip()
        try:
            return check_name(name)
        except InvalidNameError as error:
            tell(str(error))


def introduce(cls: type[Block], fields: Sequence[FieldInfo]) -> None:
    """Tell what a type is for, and how questions are answered."""
    said = cls.get_description() or ""
    tell(f"{cls.get_block_type_name()}: {said.splitlines()[0]}" if said else cls.get_block_type_name(), "")
    if len(fields) > 1:
        tell(HINT, "")
    ok("")


def ask_until_right(
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
    with saving_nothing():
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
                leave()
            ok("")


def with_blocks(fields: Sequence[FieldInfo], answers: Mapping[str, object]) -> dict[str, object]:
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
            return cls(**with_blocks(fields, answers))
        except ValidationError as error:
            for each in reasons(error):
                tell(each)
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
            cls(**with_blocks(fields, {**answers, field.name: value}))
        except ValidationError as error:
            return [
                ": ".join(filter(None, [".".join(map(str, detail["loc"][1:])), _reason(detail["msg"])]))
                for detail in error.errors(include_input=False, include_url=False, include_context=False)
                if detail["loc"][:1] == (field.name,) or (parts and (not detail["loc"] or detail["loc"][0] in parts))
            ]
        except EntrepotError as error:
            return [str(error)]
        except Exception:  # noqa: BLE001  a validator of the whole that does not expect fields to be missing yet
            return []
        return []

    return check


def _reason(message: str) -> str:
    return reason(message).partition(", unable to parse")[0]


@contextlib.contextmanager
def saving_nothing() -> Iterator[None]:
    """Say on Ctrl-C that nothing was saved."""
    try:
        yield
    except KeyboardInterrupt:
        ok("\nnothing was saved")
        raise typer.Exit(_INTERRUPTED) from None


def leave() -> None:
    """End with exit code 1 and nothing saved.

    Raises:
        typer.Exit: Always.
    """
    ok("nothing was saved")
    raise typer.Exit(1)
