"""The application of `entrepot runs`; the modules beside this one give it its commands."""

from entrepot.cli.options import topic

__all__ = ["app"]

app = topic(
    "The history of flow runs and task runs.",
    examples=(
        "  entrepot runs                           the newest flow runs\n"
        "  entrepot runs --state failed            what went wrong\n"
        "  entrepot runs --kind task --limit 50    task runs, too\n"
        "  entrepot runs show 3f2a                 by the beginning of an id, or by name\n"
        "  entrepot runs show brave-otter --json\n"
        "  entrepot runs graph brave-otter --open  a picture of it\n"
        "  entrepot runs logs brave-otter --follow\n"
        "  entrepot runs waiting                   those that wait for people\n"
        "  entrepot runs answer brave-otter        asks for each field\n"
        "  entrepot runs answer 3f2a ok=yes        answers at once\n"
    ),
    lists=True,
)
