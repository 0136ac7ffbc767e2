"""What the topics share: options that mean the same everywhere, and how a topic's application is made."""

from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

__all__ = ["AsJson", "Yes", "topic"]

_WHOLE: Final = 1000  # characters: no first sentence is longer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class _Topic(TyperGroup):
    """Lists its commands with the whole of their first sentence, on as many lines as that takes."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the section of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(limit=_WHOLE))
                    for name in self.list_commands(ctx)
                    if (command := self.get_command(ctx, name)) is not None and not command.hidden
                ]
            )


def topic(help_: str, *, examples: str = "", lists: bool = False) -> typer.Typer:
    """Return the application of a topic.

    Args:
        help_: What it is about.
        examples: Lines of commands with what they do.
        lists: Whether the topic does something when called without a command.
    """
    return typer.Typer(
        cls=_Topic,
        help=help_,
        epilog=f"\b\nExamples:\n{examples}" if examples else None,
        no_args_is_help=not lists,
        invoke_without_command=lists,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
