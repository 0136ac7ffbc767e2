"""Blocks before they are saved: shown to a person, and tried."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from entrepot.blocks import Block
from entrepot.blocks.preflight import resolved_in
from entrepot.cli.asking import tell
from entrepot.cli.block_fields import FieldInfo
from entrepot.cli.output import show, table, told
from entrepot.errors import EntrepotError, SecretReferenceError

__all__ = ["checked", "has_a_check", "need_connection", "need_references", "summarise", "try_connection"]


def has_a_check(block: Block) -> bool:
    """Return whether there is anything that a block of this type could test."""
    return type(block).check is not Block.check


def need_references(block: Block) -> int:
    """Look up every reference in a block; return how many there are.

    Raises:
        SecretReferenceError: If one gives nothing; the message has them all.
    """
    found = resolved_in(block)
    bad = [each for each in found if each.detail]
    if bad:
        raise SecretReferenceError("; ".join(each.detail for each in bad), reference=bad[0].reference)
    return len(found)


def checked(block: Block, what: str) -> str:
    """Test what a block connects to; return what was found.

    Args:
        block: The block.
        what: What failed then, for the message: "the check of s3/prod".

    Raises:
        EntrepotError: If it does not work.
    """
    try:
        return block.check() or ""  # some types say what they found
    except EntrepotError:
        raise
    except Exception as error:
        raise EntrepotError(f"{what} failed: {type(error).__name__}: {error}") from error


def try_connection(block: Block) -> bool:
    """Test what a block connects to, and tell the person at the terminal; return whether it works."""
    if not has_a_check(block):
        return True
    try:
        with Console(stderr=True, highlight=False).status(Text("testing the connection ...")):
            found = checked(block, "the test")
    except EntrepotError as error:
        tell(f"warning: the connection does not work: {error}", "")
        return False
    _tell_working(found)
    return True


def need_connection(block: Block) -> None:
    """Look up a block's references, and test what it connects to.

    Raises:
        EntrepotError: If that does not work.
    """
    try:
        need_references(block)
        if has_a_check(block):
            _tell_working(checked(block, "the test"))
        else:
            tell(f"nothing to test: {block.get_block_type_slug()} has no check of its own", "")
    except EntrepotError as error:
        error.add_note("nothing was saved")
        raise


def summarise(block: Block, fields: Sequence[FieldInfo]) -> None:
    """Show what a block is; secrets are masked, and what is as by default is only named."""
    values = block.model_dump(mode="json", by_alias=True, fallback=str)
    given = block.model_dump(mode="json", by_alias=True, fallback=str, exclude_defaults=True)
    rows = [(each.name, _text(values[each.name])) for each in fields if each.name in given]
    show(table(("Field", "Value"), rows, keep=("Field",)), err=True)
    rest = [each.name for each in fields if each.name not in given]
    if rest:
        show(told(f"as by default: {', '.join(rest)}", "dim"), err=True)


def _tell_working(found: str) -> None:
    tell("the connection works" + (f": {found}" if found else ""), "")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else repr(value)
