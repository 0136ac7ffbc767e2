"""`entrepot plugins`: which names there are, who claims them, and which are broken."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import print_json, show, table, told, warn
from entrepot.plugins import BLOCKS, HASHERS, KEY_PROVIDERS, SERIALIZERS, TASK_RUNNERS

__all__ = ["app"]

_STYLES: Final = {"broken": "red", "conflict": "red", "loaded": "green", "available": "cyan"}

app = topic(
    "Block types, serializers and task runners that are installed.",
    examples="  entrepot plugins --load       import each, to find the broken ones\n",
    lists=True,
)


@app.callback()
def plugins(
    *,
    load: Annotated[bool, typer.Option("--load", help="Import each one, to find those that are broken.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the block types, serializers and task runners that are installed, and whose they are."""
    groups = (BLOCKS, HASHERS, KEY_PROVIDERS, SERIALIZERS, TASK_RUNNERS)
    entries = [entry for names in groups for entry in names.report(load=load)]
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    show(
        table(
            ("Group", "Name", "Target", "Distribution", "Status"),
            [
                (
                    entry.group,
                    entry.name,
                    entry.target,
                    f"{entry.distribution} {entry.version}".strip() or "this program",
                    told(entry.status, _STYLES.get(entry.status, "")),
                )
                for entry in entries
            ],
            keep=("Group", "Name", "Status"),
        )
    )
    for entry in entries:
        if entry.detail:
            warn(f"{entry.group} {entry.name}: {entry.detail}")
