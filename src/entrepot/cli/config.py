"""`entrepot config`: settings, and where their values come from."""

import os
from dataclasses import asdict
from typing import Annotated, Final

import typer

from entrepot import settings
from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import ok, print_json, show, table, told, warn
from entrepot.errors import ConfigurationError

__all__ = ["app"]

_STORES: Final = ("blocks_storage", "blocks_team", "results_storage")
_OURS: Final = ("block", "file", "local", "memory")  # protocols that need no library

app = topic(
    "Settings, and where their values come from.",
    examples=(
        "  entrepot config view\n"
        "  entrepot config set results_persist true\n"
        "  entrepot config set ENTREPOT_RESULTS_STORAGE=s3/prod\n"
        "  entrepot config unset results_storage\n"
    ),
)


@app.command()
def view(*, as_json: AsJson = False) -> None:
    """Show every setting: its value, where that comes from, and what it does."""
    rows = settings.view()
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    show(
        table(
            ("Name", "Value", "Source", "What it does"),
            [(row.name, _shown(row.value), told(row.source, "dim"), told(row.doc, "dim")) for row in rows],
            keep=("Name",),
        )
    )


@app.command(name="set")
def set_(
    name: Annotated[str, typer.Argument(help="The setting, or its variable; or NAME=VALUE.")],
    value: Annotated[str | None, typer.Argument(help="Its value.")] = None,
) -> None:
    """Keep a setting in the settings file of the home folder."""
    if value is None:
        name, mark, value = name.partition("=")
        if not mark:
            raise ConfigurationError(f"give a value: entrepot config set {name} VALUE", setting=name)
    path = settings.set_value(name, value)
    setting = settings.setting_named(name)
    ok(f"{setting.name} is set in {path}")
    protocol, is_url, _ = value.partition("://")
    if setting.name in _STORES and is_url and protocol not in _OURS:
        from entrepot.storage.files import why_unknown  # noqa: PLC0415  fsspec, only for those who name a URL

        why = why_unknown(protocol)
        if why:
            warn(f"{value} cannot be opened: {why}")
    if os.environ.get(setting.variable):
        warn(f"here the variable {setting.variable} is set too, and it wins")


@app.command()
def unset(name: Annotated[str, typer.Argument(help="The setting, or its variable.")]) -> None:
    """Remove a setting from the settings file: its default holds again."""
    if settings.unset_value(name):
        ok(f"{name} is removed from {settings.config_path()}")
    else:
        ok(f"{name} was not set in {settings.config_path()}")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
