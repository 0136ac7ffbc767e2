"""`entrepot version`."""

import json
import platform

import typer

from entrepot import settings
from entrepot._version import __version__
from entrepot.cli.options import AsJson, topic

__all__ = ["app"]

app = topic("This version, Python, the platform and the home folder.")


@app.command()
def version(*, as_json: AsJson = False) -> None:
    """Print this version, Python's, the platform and the home folder."""
    facts = {
        "entrepot": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "home": str(settings.home_folder()),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))  # without the module for tables: this is to be quick
        return
    for name, value in facts.items():
        typer.echo(f"{name:<9} {value}")
