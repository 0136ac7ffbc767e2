"""`entrepot config`: settings, and where their values come from."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from entrepot import settings
from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import ok, print_json, show, table, told, warn
from entrepot.errors import ConfigurationError, UnknownNameError
from entrepot.plugins import KEY_PROVIDERS

__all__ = ["app"]

_STORES: Final = ("blocks_storage", "blocks_team", "results_storage")
_FOR_EVERY_FOLDER: Final = ("blocks_storage", "blocks_team")
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
    setting = settings.setting_named(name)
    if setting.name in _FOR_EVERY_FOLDER:
        _check_whole(setting.name, value)
    path = settings.set_value(name, value)
    ok(f"{setting.name} is set in {path}")
    protocol, is_url, _ = value.partition("://")
    if setting.name in _STORES and is_url and protocol not in _OURS:
        from entrepot.storage.files import why_unknown  # noqa: PLC0415  fsspec, only for those who name a URL

        why = why_unknown(protocol)
        if why:
            warn(f"{value} cannot be opened: {why}")
    if setting.name == "key_provider":
        _check_provider(value)
    if os.environ.get(setting.variable):
        warn(f"here the variable {setting.variable} is set too, and it wins")


@app.command()
def unset(name: Annotated[str, typer.Argument(help="The setting, or its variable.")]) -> None:
    """Remove a setting from the settings file: its default holds again."""
    if settings.unset_value(name):
        ok(f"{name} is removed from {settings.config_path()}")
    else:
        ok(f"{name} was not set in {settings.config_path()}")


def _check_whole(name: str, value: str) -> None:
    """Refuse a relative path: the settings file is read wherever a program is started."""
    if value and ":/" not in value and not Path(value).expanduser().is_absolute():
        raise ConfigurationError(
            f"{name}: {value!r} is another folder in each working folder, and the settings file holds in all of them:"
            f" write the whole path, as {str(Path(value).absolute())!r}",
            setting=name,
        )


def _check_provider(value: str) -> None:
    """Warn of a key provider that is not here: everything that needs a key would fail."""
    try:
        KEY_PROVIDERS.check(value.partition("?")[0].partition(":")[0])
    except UnknownNameError as error:
        warn(f"nothing can be opened: {error}")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
