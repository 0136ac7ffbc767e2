"""`entrepot plugins ls` and `show`: which names there are, who claims them, and which cannot be used."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from entrepot.cli.options import AsJson
from entrepot.cli.output import cut, fitting, print_json, show, table, told, warn
from entrepot.cli.plugins.topic import app
from entrepot.plugins import PluginEntry
from entrepot.plugins.distributions import GROUPS, PluginDistribution, plugin_distribution
from entrepot.testing.registries import registry_for

__all__ = ["ls", "plugins", "show_one"]

_STYLES: Final = {
    "broken": "red",
    "conflict": "red",
    "denied": "yellow",
    "other API": "yellow",
    "loaded": "green",
    "available": "cyan",
}

_LONGEST: Final = 300  # characters of a text of somebody else

Load = Annotated[bool, typer.Option("--load", help="Import each one, to find those that are broken.")]


@app.callback()
def plugins(ctx: typer.Context, *, load: Load = False, as_json: AsJson = False) -> None:
    """List what is installed, and whose it is."""
    if ctx.invoked_subcommand is None:
        ls(load=load, as_json=as_json)


@app.command()
def ls(*, load: Load = False, as_json: AsJson = False) -> None:
    """List block types, serializers, hashers, task runners, key providers and sources of secrets, and whose they are.

    A state is `built-in`, `available` (not imported yet), `loaded`, `broken`, `conflict` (claimed twice), `denied` (by
    the settings plugins_allow, plugins_deny and plugins_strict), or `other API` (it needs another version of Entrepot).
    """
    entries = [entry for group in GROUPS for entry in registry_for(group).report(load=load)]
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    columns = ("Group", "Name", "Target", "Distribution", "State")
    rows = [(entry.group, entry.name, entry.target, _whose(entry), _state(entry)) for entry in entries]
    short = [(group.removeprefix("entrepot."), *rest) for group, *rest in rows]
    keep = ("Group", "Name", "State")
    show(fitting(table(columns, rows, keep=keep), table(columns, short, keep=keep, without=("Target",))))
    for entry in entries:
        if entry.detail:
            warn(f"{entry.group} {entry.name}: {entry.detail}")


@app.command("show")
def show_one(
    name: Annotated[str, typer.Argument(help="The name of a distribution.")], *, as_json: AsJson = False
) -> None:
    """Show what one distribution offers, by its entry points and its manifest; nothing of it is imported."""
    found = plugin_distribution(name)
    if as_json:
        print_json(_facts(found))
        return
    show(
        table(
            ("", ""),
            [
                ("Distribution", f"{found.name} {found.version}"),
                ("Allowed", told(f"no: {found.refusal}", "yellow") if found.refusal else told("yes", "green")),
                ("Manifest", found.trouble or (found.manifest.path if found.manifest else "none")),
                *(
                    (f"API of {group}", version)
                    for group, version in (found.manifest.api if found.manifest else {}).items()
                ),
                *_logos(found),
            ],
        ),
        "",
        table(
            ("Group", "Name", "Target", "State", "What it is"),
            [
                (group, entry.name, entry.target, _state(entry), _description(found, group, entry.name))
                for group in sorted(found.claims)
                for entry in registry_for(group).report()
                if entry.distribution == found.name
            ],
            keep=("Name", "State"),
        ),
    )
    for group, name_, schema in _schemas(found):
        show(
            Text("\n").append_text(told(f"{group} {name_}")),
            table(("Field", "Type", "Required", "Description"), _fields(schema), keep=("Field",)),
        )


def _whose(entry: PluginEntry) -> str:
    return f"{entry.distribution} {entry.version}".strip() or "this program"


def _state(entry: PluginEntry) -> Text:
    return told(entry.status, _STYLES.get(entry.status, ""))


def _description(found: PluginDistribution, group: str, name: str) -> str:
    entry = None if found.manifest is None else found.manifest.entry(group, name)
    return "" if entry is None else cut(entry.description, _LONGEST)


def _logos(found: PluginDistribution) -> Iterator[tuple[str, str]]:
    manifest = found.manifest
    for names in () if manifest is None else manifest.plugins.values():
        for name, entry in names.items():
            if manifest is not None and (logo := manifest.logo_of(entry)):
                yield f"Logo of {name}", cut(logo, _LONGEST)


def _schemas(found: PluginDistribution) -> list[tuple[str, str, Any]]:
    said = found.manifest.plugins if found.manifest is not None else {}
    return [(group, name, entry.schema) for group in said for name, entry in said[group].items() if entry.schema]


def _fields(schema: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return what to show of each field; anything may stand in a schema that no class made."""
    fields, required = _object(schema.get("properties")), schema.get("required")
    return [
        (
            field,
            cut(_kind(said), _LONGEST),
            "yes" if isinstance(required, list) and field in required else "",
            cut(str(_object(said).get("description", "")), _LONGEST),
        )
        for field, said in fields.items()
    ]


def _kind(schema: object) -> str:
    said = _object(schema)
    options, ref, kind = said.get("anyOf"), said.get("$ref"), said.get("type", "any")
    if isinstance(options, list) and options:
        return " or ".join(map(_kind, options))
    if isinstance(ref, str):
        kind = ref.rpartition("/")[2]  # a name, and nothing that would be fetched
    shown = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)
    return f"{shown} (secret)" if said.get("format") == "password" else shown


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _facts(found: PluginDistribution) -> dict[str, Any]:
    manifest = None
    if found.manifest is not None:
        manifest = json.loads(json.dumps(asdict(found.manifest), default=str))
    return {
        "name": found.name,
        "version": found.version,
        "refusal": found.refusal,
        "trouble": found.trouble,
        "manifest": manifest,
        "plugins": [
            asdict(entry)
            for group in sorted(found.claims)
            for entry in registry_for(group).report()
            if entry.distribution == found.name
        ],
    }
