"""Which results are meant: by task, flow, tag, age and size. Records are looked at one by one, none is held."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from entrepot._amounts import SPANS, bytes_of, seconds_of
from entrepot._clock import SYSTEM_CLOCK
from entrepot.cli.known import KnownNames
from entrepot.cli.waiting import shown_after
from entrepot.errors import OptionError
from entrepot.results.lookup import Lookup

__all__ = ["Wanted", "filtered", "watched"]

T = TypeVar("T")

_OPTIONS: Final = {
    "task": (str | None, typer.Option("--task", "-t", help="Of the task (or flow) of this name or key.")),
    "flow": (str | None, typer.Option("--flow", "-f", help="Computed in a run of the flow of this name.")),
    "tag": (list[str] | None, typer.Option("--tag", help="Of runs with this tag; several: with all of them.")),
    "older_than": (str | None, typer.Option("--older-than", help=f"Kept longer ago: {SPANS}.")),
    "newer_than": (str | None, typer.Option("--newer-than", help="Kept since then: 90s, 15m, 12h, 7d, 2w.")),
    "larger_than": (str | None, typer.Option("--larger-than", help="Of more bytes: 512MiB, 50GB.")),
    "smaller_than": (str | None, typer.Option("--smaller-than", help="Of fewer bytes: 512MiB, 50GB.")),
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What results have to be; None where anything will do.

    Attributes:
        task: The name or the key of their task or flow.
        flow: The name of the flow that they were computed in.
        tags: All of them.
        until: Kept before.
        since: Kept after.
        above: Of more bytes.
        below: Of fewer bytes.
    """

    task: str | None = None
    flow: str | None = None
    tags: tuple[str, ...] = ()
    until: datetime | None = None
    since: datetime | None = None
    above: int | None = None
    below: int | None = None

    @classmethod
    def of_options(
        cls,
        now: datetime,
        *,
        task: str | None,
        flow: str | None,
        tag: list[str] | None,
        older_than: str | None,
        newer_than: str | None,
        larger_than: str | None,
        smaller_than: str | None,
    ) -> "Wanted":
        """Return what the options of a command ask for.

        Raises:
            OptionError: If one of them is not understood.
        """
        older, newer = _amount(older_than, seconds_of, "--older-than"), _amount(newer_than, seconds_of, "--newer-than")
        return cls(
            task,
            flow,
            tuple(tag or ()),
            None if older is None else now - timedelta(seconds=older),
            None if newer is None else now - timedelta(seconds=newer),
            _amount(larger_than, bytes_of, "--larger-than"),
            _amount(smaller_than, bytes_of, "--smaller-than"),
        )

    def hint(self, known: KnownNames) -> str:
        """Return, for the end of a message, what may have been meant by names that no result goes by; else ""."""
        hint = known.hint(task=self.task, flow=self.flow, tags=self.tags)
        return f": {hint}" if hint else ""

    @property
    def is_anything(self) -> bool:
        """Whether no filter was given."""
        return self == Wanted()

    def takes(self, found: Lookup) -> bool:
        """Tell whether a result is meant; one whose record does not say what it is, only where anything is."""
        record = found.record
        if record is None:
            return self.is_anything
        return (
            (self.task is None or self.task in {record.task.get("name"), record.task.get("key")})
            and (self.flow is None or self.flow == record.about.get("flow"))
            and all(f"tag:{tag}" in record.about for tag in self.tags)
            and (self.until is None or record.created < self.until)
            and (self.since is None or record.created > self.since)
            and (self.above is None or record.size > self.above)
            and (self.below is None or record.size < self.below)
        )


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say which results are meant; it takes them as `Wanted`, its first argument."""
    first, *others = signature(command).parameters.values()
    types = get_type_hints(command, include_extras=True)
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
        for name, (kind, option) in _OPTIONS.items()
    ]
    others = [other.replace(annotation=types[other.name]) for other in others]
    positional = [other for other in others if other.kind is not Parameter.KEYWORD_ONLY]
    named = [other for other in others if other.kind is Parameter.KEYWORD_ONLY]
    shown = [*positional, *named[:1], *added, *named[1:]]  # after --storage

    def called(*args: object, **options: Any) -> None:
        now = SYSTEM_CLOCK.now()
        wanted = Wanted.of_options(now, **{name: options.pop(name) for name in _OPTIONS})
        command(*args, **{first.name: wanted}, **options)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__annotations__ = {one.name: one.annotation for one in shown}
    called.__signature__ = Signature(shown)  # type: ignore[attr-defined]  # what typer reads
    return called


def _amount(given: str | None, read: Callable[[str], int], option: str) -> int | None:
    if given is None:
        return None
    try:
        return read(given)
    except ValueError as error:
        raise OptionError(f"{option}: {error}", option=option) from None


def watched(items: Iterable[T], doing: str) -> Iterator[T]:
    """Yield items, and count them on the terminal while that lasts; elsewhere nothing is shown."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    console = Console(stderr=True)
    with shown_after(Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())) as bar:
        task = bar.add_task(doing, total=None)
        for item in items:
            bar.advance(task)
            yield item
