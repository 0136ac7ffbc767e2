"""What the topics share: options that mean the same everywhere, and how a topic's application is made."""

from typing import Annotated

import typer

__all__ = ["AsJson", "Yes", "topic"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def topic(help_: str, *, examples: str = "", lists: bool = False) -> typer.Typer:
    """Return the application of a topic.

    Args:
        help_: What it is about.
        examples: Lines of commands with what they do.
        lists: Whether the topic does something when called without a command.
    """
    return typer.Typer(
        help=help_,
        epilog=f"\b\nExamples:\n{examples}" if examples else None,
        no_args_is_help=not lists,
        invoke_without_command=lists,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
