"""The root of the command line: what each command is called, and how errors end it.

A topic's module is imported when its command is run: `entrepot version` does not load what `entrepot block` needs.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from entrepot._version import __version__
from entrepot.errors import EntrepotError, OptionError, UnknownBlockTypeError

__all__ = ["app", "run"]

_TOPICS: Final = {
    "block": ("entrepot.cli.blocks", "Typed configuration and credentials, kept sealed, loaded by name."),
    "cache": ("entrepot.cli.cache", "Why results were used again or computed, and which are kept."),
    "check": ("entrepot.cli.check", "Whether the blocks that a program names, and their secrets, can be had."),
    "result": ("entrepot.cli.results", "What tasks returned, kept and used again."),
    "store": ("entrepot.cli.store", "Where results are kept: free room, check that all is whole, see what takes room."),
    "keys": ("entrepot.cli.keys", "The keys under which blocks are sealed and results are signed."),
    "runs": ("entrepot.cli.runs", "The history of flow runs and task runs."),
    "artifact": ("entrepot.cli.artifacts", "What runs left for people to look at: tables, notes, links, images."),
    "limit": ("entrepot.cli.limits", "How many may do something at a time, or how often."),
    "variable": ("entrepot.cli.variables", "Small values by name, for flows."),
    "compat": ("entrepot.cli.compat", "Which names of Prefect a code base uses, and what they are here."),
    "plugins": ("entrepot.cli.plugins", "What plugins are installed, whether they are sound, and how to write one."),
    "config": ("entrepot.cli.config", "Settings, and where their values come from."),
    "version": ("entrepot.cli.version", "This version, Python, the platform and the home folder."),
}


_NOT_YET: Final = "there are no deployments and workers yet; a flow runs where it is called: python flow.py"
_NO_SERVER: Final = "there is no server and no account; `python flow.py` runs a flow, `entrepot runs` shows what ran"
_ELSEWHERE: Final = {  # what who comes from Prefect types
    "cloud": _NO_SERVER,
    "concurrency-limit": "see `entrepot limit`",
    "deploy": _NOT_YET,
    "deployment": _NOT_YET,
    "flow": "see `entrepot runs`",
    "flow-run": "see `entrepot runs`",
    "gcl": "see `entrepot limit`",
    "global-concurrency-limit": "see `entrepot limit`",
    "init": _NOT_YET,
    "profile": "see `entrepot config`; another set of everything is another folder in ENTREPOT_HOME",
    "server": _NO_SERVER,
    "task-run": "see `entrepot runs`",
    "work-pool": _NOT_YET,
    "work-queue": _NOT_YET,
    "worker": _NOT_YET,
}


class _Root(TyperGroup):
    """Loads topics when they are called, and turns errors into one line and an exit code."""

    debug = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (_, help_) in _TOPICS.items():  # stand-ins, for the help and for suggestions
            self.commands[name] = TyperCommand(name, help=help_, rich_markup_mode=None)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  typer's signature
        """Return the real command."""
        if cmd_name not in _TOPICS:
            return None
        return typer.main.get_command(importlib.import_module(_TOPICS[cmd_name][0]).app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that arguments begin with; for one of Prefect's, say what there is in its place."""
        if args and args[0] in _ELSEWHERE:
            ctx.fail(f"No such command {args[0]!r}: {_ELSEWHERE[args[0]]}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  typer's signature
        """List the commands from the table above, so that the help loads none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_) for name, (_, help_) in _TOPICS.items()])

    def main(self, *args: Any, **options: Any) -> Any:
        """Run, and exit."""
        type(self).debug = False
        try:
            try:
                _check_text(sys.argv[1:] if options.get("args") is None else options["args"])
                super().main(*args, **options)
            finally:
                if sys.stdout is not None:  # it is where a shell has closed it: >&-
                    sys.stdout.flush()  # here, where a closed pipe can still be noticed
        except UnknownBlockTypeError as error:
            from entrepot.cli.importing import advice  # noqa: PLC0415  only this error needs it

            self._end(error, advice(str(error)))
        except EntrepotError as error:
            self._end(error, str(error))
        except BrokenPipeError:
            _close_quietly()
            sys.exit(1)  # as typer does where it notices first
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:  # noqa: BLE001  the last resort: say what to do about it
            self._end(error, f"this should not happen ({type(error).__name__}: {error})")

    def _end(self, error: BaseException, message: str) -> NoReturn:
        from entrepot.cli.output import clean  # noqa: PLC0415  it loads the tables, too

        lines = [message, *getattr(error, "__notes__", ())]
        typer.echo(f"error: {clean('; '.join(lines))}", err=True)
        if self.debug or os.environ.get("ENTREPOT_DEBUG"):
            traceback.print_exception(error)
        elif not isinstance(error, EntrepotError):
            typer.echo("run it again as `entrepot --debug ...` to see where, and report that", err=True)
        sys.exit(getattr(error, "exit_code", 1))  # a command may have said another one


app = typer.Typer(
    name="entrepot",
    cls=_Root,
    help="Sealed blocks, kept results and the history of runs.",
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot block create secret my-api-key      ask for a secret, and keep it sealed\n"
        "  entrepot block ls                            what is saved\n"
        "  entrepot block check s3/prod                 try a connection\n"
        "  entrepot check flow.py                       try the blocks and secrets that a program needs\n"
        "  entrepot result ls --limit 10                the newest results\n"
        "  entrepot runs --state failed                 what went wrong\n"
        "  entrepot runs show brave-otter               one run and everything inside it\n"
        "  entrepot config set results_storage s3/prod  keep results there from now on\n"
    ),
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(value: bool) -> None:  # noqa: FBT001  typer calls it so
    if value:
        typer.echo(f"entrepot {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an error.")] = False,
) -> None:
    """Sealed blocks, kept results and the history of runs."""
    _ = version
    if isinstance(ctx.command, _Root):
        type(ctx.command).debug = debug


def run() -> None:
    """Run the command line of this process, and exit."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # a shell has closed it: <&-, >&-
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115  open until the end
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter shows its number
    app(prog_name="entrepot")


def _check_text(arguments: Sequence[str]) -> None:
    """See that what was given is text, before any command hands it to a database, a key or a terminal.

    Python takes the bytes of arguments and variables that are no text in this locale for lone surrogates.

    Raises:
        OptionError: If an argument is none, or one of our variables.
    """
    given = [(f"argument {number}", text) for number, text in enumerate(arguments, start=1)]
    given += [(f"the variable {name}", text) for name, text in os.environ.items() if name.startswith("ENTREPOT_")]
    for what, text in given:
        place = next((place for place, letter in enumerate(text) if "\ud800" <= letter <= "\udfff"), None)
        if place is not None:
            # The text itself is not repeated: it may hold a secret.
            raise OptionError(
                f"{what} is no {sys.getfilesystemencoding().upper()} text: its character {place + 1} is the byte"
                f" 0x{ord(text[place]) & 0xFF:02x}; give text (names of files and folders have to be text, too)",
                option=what,
            )


def _close_quietly() -> None:
    """Let stdout go nowhere, so that the interpreter does not complain when it flushes it at its end."""
    try:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)
    except (OSError, ValueError):
        pass  # stdout is no file: a test's, say
