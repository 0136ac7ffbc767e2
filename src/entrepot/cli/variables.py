"""`entrepot variable`: small values by name, for flows."""

import json
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import cut, ok, print_json, show, table, when
from entrepot.coordination.database import default_path
from entrepot.coordination.variables import read_variable, read_variables
from entrepot.errors import SerializationError, VariableNotFoundError
from entrepot.variables import Variable

__all__ = ["app"]

_WIDTH: Final = 60

app = topic(
    "Small values by name, for flows. They are no place for secrets.",
    examples=(
        "  entrepot variable set region eu-west-1\n"
        "  entrepot variable set limits '{\"rows\": 500}' --json-value --tag nightly\n"
        "  entrepot variable set region us-east-1 --overwrite\n"
        "  entrepot variable get region\n"
        "  entrepot variable ls\n"
        "  entrepot variable unset region\n"
    ),
)

Name = Annotated[str, typer.Argument(help="The variable.")]


@app.command()
def ls(*, as_json: AsJson = False) -> None:
    """List variables."""
    found = read_variables()
    if as_json:
        print_json([asdict(one) for one in found])
        return
    if not found:
        ok(f"no variables in {default_path()}")
        return
    show(
        table(
            ("Name", "Value", "Tags", "Updated"),
            [(one.name, cut(_shown(one.value), _WIDTH), ", ".join(one.tags), when(one.updated)) for one in found],
            keep=("Name", "Updated"),
        )
    )


@app.command()
def get(name: Name, *, as_json: AsJson = False) -> None:
    """Print the value of a variable: a text as it is, anything else as JSON."""
    found = read_variable(name)
    if found is None:
        raise _not_found(name)
    if as_json:
        print_json(asdict(found))
    elif isinstance(found.value, str):
        typer.echo(found.value)
    else:
        print_json(found.value)


@app.command(name="set")
def set_(
    name: Annotated[str, typer.Argument(help="1 to 100 characters of a-z, 0-9, - and _.")],
    value: Annotated[str, typer.Argument(help="A text; with --json-value, JSON.")],
    *,
    json_value: Annotated[bool, typer.Option("--json-value", help="The value is JSON, not a text.")] = False,
    tag: Annotated[list[str] | None, typer.Option("--tag", "-t", help="What to file it under; repeatable.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Give one that is there another value.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set a variable."""
    kept = Variable.set(name, _parsed(name, value) if json_value else value, tag, overwrite=overwrite)
    if as_json:
        print_json(asdict(kept))
    else:
        ok(f"{kept.name} is set")


@app.command()
def unset(name: Name, *, as_json: AsJson = False) -> None:
    """Remove a variable."""
    if not Variable.unset(name):
        raise _not_found(name)
    if as_json:
        print_json({"name": name, "removed": True})
    else:
        ok(f"{name} is removed")


def _parsed(name: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise SerializationError(
            f"the value of the variable {name!r} is no JSON ({error}); quote texts as '\"text\"', or leave --json-value"
            " out",
            serializer="json",
            path="value",
        ) from None


def _not_found(name: str) -> VariableNotFoundError:
    known = ", ".join(one.name for one in read_variables()) or "none"
    return VariableNotFoundError(
        f"there is no variable {name!r}; set: {known}; set it: entrepot variable set {name} VALUE", name=name
    )


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
