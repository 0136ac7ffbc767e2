"""The topic `entrepot store`, and what its commands share."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from entrepot.cli.options import topic
from entrepot.cli.waiting import PATIENCE, shown_after

__all__ = ["Told", "app", "progress_bar"]

app = topic(
    "Where results are kept: free room, check that all is whole, see what takes room.",
    examples=(
        "  entrepot store gc --dry-run                       what a collection would remove, by task\n"
        "  entrepot store gc                                 remove what nobody needs any more\n"
        "  entrepot store gc --older-than 30d --task train   and the results of one task after a month\n"
        "  entrepot store gc --max-size 50GB                 and the least recently used beyond a size\n"
        "  entrepot store verify                             read everything again, and report damage\n"
        "  entrepot store stats --storage s3/prod            counts and bytes in another store\n"
    ),
)


class Told:
    """Shows how far something is, on a terminal; elsewhere it is quiet.

    Args:
        progress: The bar.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._what = ""
        self._task = progress.add_task("", total=None)

    def __call__(self, what: str, count: int, total: int | None = None) -> None:
        """Say that so much is done, of so much where that is known."""
        if what != self._what:
            self._what = what
            self._progress.reset(self._task, description=what, total=total)
        self._progress.update(self._task, completed=count, total=total)


@contextmanager
def progress_bar(after: float = PATIENCE) -> Iterator[Told]:
    """Show a bar on stderr while something is done, if that is a terminal, and it takes more than so many seconds."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown_after(bar, after) as progress:
        yield Told(progress)
