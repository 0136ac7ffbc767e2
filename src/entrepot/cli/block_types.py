"""`entrepot block types`: which block types there are, and what one of them is, with its fields and its logo."""

from typing import Annotated, Any, Final

import typer

from entrepot.blocks import Block
from entrepot.cli.block_fields import FieldInfo, describe_fields
from entrepot.cli.completing import block_types
from entrepot.cli.importing import Modules, import_modules
from entrepot.cli.options import AsJson
from entrepot.cli.output import cut, fitting, print_json, show, table, told, warn
from entrepot.errors import ConfigurationError, UnknownBlockTypeError
from entrepot.plugins import BLOCKS, PluginEntry
from entrepot.plugins.manifest import manifest_of

__all__ = ["show_types", "types"]

_WIDTH: Final = 60


def types(
    type_: Annotated[
        str | None,
        typer.Argument(metavar="[TYPE]", help="Only this one, with its fields.", autocompletion=block_types),
    ] = None,
    *,
    module: Modules = None,
    as_json: AsJson = False,
) -> None:
    """List the block types that are installed; or show one, with its fields and where its logo is.

    \b
    Examples:
      entrepot block types
      entrepot block types s3
      entrepot block types warehouse -m my_package.blocks     a type of a module of yours
    """  # noqa: D301  click's mark for lines that are kept as they are
    import_modules(module)
    if type_ is None:
        show_types(BLOCKS.report(load=True), as_json=as_json)
        return
    BLOCKS.get(type_)  # raises, and says what is near or what is wrong with it
    claims = sorted((each for each in BLOCKS.report() if each.name == type_), key=lambda each: not each.usable)
    facts = _type_facts(claims[0])
    if claims[0].detail:  # it was loaded, and would not be any more
        warn(claims[0].detail)
    if as_json:
        print_json(facts)
    else:
        _show_type(facts)


def show_types(entries: list[PluginEntry], *, as_json: bool) -> None:
    """Print a list of block types."""
    facts = [_type_facts(entry) for entry in entries]
    if as_json:
        print_json(facts)
        return
    rows = [
        (
            one["slug"],
            cut(one["description"], 2 * _WIDTH),
            ", ".join(field["name"] for field in one["fields"] if field["required"]),
            told(_whose(one), "dim"),
        )
        for one in facts
    ]
    alike = ("From",) if len(set(map(_whose, facts))) == 1 else ()  # of one package: there is nothing to tell apart
    columns = ("Type", "What it is for", "Required fields", "From")
    tables = (table(columns, rows, keep=("Type",), without=some) for some in (alike, (*alike, "Required fields")))
    show(fitting(*tables))
    for entry in entries:
        if entry.detail:
            warn(entry.detail)


def _show_type(facts: dict[str, Any]) -> None:
    said = [
        ("Type", facts["slug"]),
        ("Name", facts["name"]),
        ("What it is for", facts["description"]),
        ("Read more", facts["documentation_url"]),
        ("Logo", facts["logo"]),
        ("Capabilities", ", ".join(facts["capabilities"])),
        ("Class", facts["target"]),
        ("From", _whose(facts)),
    ]
    show(table(("", ""), [(name, value) for name, value in said if value]), "")
    fields = [
        (
            field["name"],
            field["type"],
            "required" if field["required"] else "-" if field["default"] in {None, "None"} else field["default"],
            told(field["description"], "dim"),
        )
        for field in facts["fields"]
    ]
    columns = ("Field", "Type", "Default", "What it is")
    show(fitting(*(table(columns, fields, keep=("Field",), without=some) for some in ((), ("Type",)))))


def _whose(facts: dict[str, Any]) -> str:
    return f"{facts['distribution']} {facts['version']}".strip() or "this program"


def _type_facts(entry: PluginEntry) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "slug": entry.name,
        "name": entry.name,
        "description": "",
        "documentation_url": None,
        "logo": _declared_logo(entry),
        "capabilities": [],
        "fields": [],
        "target": entry.target,
        "distribution": entry.distribution,
        "version": entry.version,
        "status": entry.status,
        "detail": entry.detail,
    }
    if not entry.usable:
        return facts
    try:
        cls: type[Block] = BLOCKS.get(entry.name)
    except UnknownBlockTypeError:  # a class of this program that ended a moment ago
        return facts
    return facts | {
        "name": cls.get_block_type_name(),
        "description": cls.get_description() or "",
        "documentation_url": cls.get_documentation_url(),
        "logo": facts["logo"] or cls.get_logo_url(),
        "capabilities": sorted(cls.get_block_capabilities()),
        "fields": [_field_facts(field) for field in describe_fields(cls)],
    }


def _declared_logo(entry: PluginEntry) -> str | None:
    """Return the picture that a manifest names for a type: its path, or a URL; None where it names none."""
    try:
        manifest = manifest_of(entry.distribution) if entry.distribution else None
    except ConfigurationError:  # `entrepot plugins show` says what is wrong with it
        return None
    declared = None if manifest is None else manifest.entry(entry.group, entry.name)
    return None if manifest is None or declared is None else manifest.logo_of(declared)


def _field_facts(field: FieldInfo) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": field.type,
        "required": field.required,
        "secret": field.secret,
        "default": field.default,
        "description": field.description,
    }
