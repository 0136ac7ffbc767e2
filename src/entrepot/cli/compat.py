"""`entrepot compat`: what a code base uses of Prefect, and what that is here."""

from pathlib import Path
from typing import Annotated

import typer

from entrepot.cli.options import AsJson, topic
from entrepot.compat.check import check
from entrepot.compat.report import as_json as json_of
from entrepot.compat.report import as_lines

__all__ = ["app"]

app = topic(
    "Which names of Prefect a code base uses, and what they are here.",
    examples=(
        "  entrepot compat flows/                    each name: the same, different, or absent and why\n"
        "  python -m entrepot.compat flows/etl.py    run a script that was written for Prefect\n"
    ),
)


@app.command()
def compat(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders to look at.", exists=True)],
    *,
    as_json: AsJson = False,
) -> None:
    """List the names of Prefect that code uses; exit code 1 if some of them are not here."""
    report = check(paths)
    for line in (json_of if as_json else as_lines)(report):
        typer.echo(line)
    if not report.fits:
        raise typer.Exit(1)
