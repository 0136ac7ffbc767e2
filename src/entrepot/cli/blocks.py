"""`entrepot block`: types, and blocks that are saved sealed under a name."""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from entrepot.blocks import Block
from entrepot.blocks._lookups import shown
from entrepot.blocks._references import AnyReference
from entrepot.blocks.history import stored
from entrepot.blocks.preflight import refused_in
from entrepot.blocks.sources import variable_of
from entrepot.blocks.stores import Store, StoreName, buried, find_first, find_only
from entrepot.cli.asking import confirm
from entrepot.cli.block_fields import describe_fields, interactive
from entrepot.cli.block_files import apply, diff_, export, where_
from entrepot.cli.block_history import Name, history_, rollback_, show_stored
from entrepot.cli.block_listing import InStore, ls, within
from entrepot.cli.block_making import create, edit
from entrepot.cli.block_schema import doctor, migrate_
from entrepot.cli.block_trying import checked, has_a_check, need_references
from entrepot.cli.block_types import show_types, types
from entrepot.cli.importing import Modules, advice, import_code, import_modules
from entrepot.cli.options import AsJson, Yes, topic
from entrepot.cli.output import ok, print_json, show, span, table, told, warn
from entrepot.errors import (
    BlockNotFoundError,
    BlockSchemaError,
    OptionError,
    PluginError,
)
from entrepot.plugins import BLOCKS
from entrepot.plugins.discovery import OWN_DISTRIBUTION
from entrepot.protocols.documents import DocumentRef

__all__ = ["app"]

app = topic(
    "Typed configuration and credentials, kept sealed, loaded by name.",
    examples=(
        "  entrepot block types                                  which types there are\n"
        "  entrepot block types s3                               one of them: its fields, what it is for, its logo\n"
        "  entrepot block create secret my-api-key               asked for without echo\n"
        "  entrepot block create s3 prod --field bucket_path=my-bucket/results \\\n"
        "      --secret-env aws_access_key_id=AWS_ACCESS_KEY_ID \\\n"
        "      --secret-env aws_secret_access_key=AWS_SECRET_ACCESS_KEY\n"
        "  entrepot block create secret my-api-key -f value=env://API_KEY\n"
        "  pass show api-key | entrepot block create secret my-api-key --secret-from-stdin value\n"
        "  entrepot block edit s3/prod                           asked again, with what it has as defaults\n"
        "  entrepot block check s3/prod                          write, read and delete something there\n"
        "  entrepot block history s3/prod                        who saved which version, and when\n"
        "  entrepot block diff s3/prod 3 5                       what changed; secrets stay hidden\n"
        "  entrepot block rollback s3/prod 3                     version 3 again, as a new version\n"
        "  entrepot block ls --store team                        what the team shares (the setting blocks_team)\n"
        "  entrepot block doctor                                 does everything load with what is installed?\n"
        "  entrepot block migrate --all                          save anew what is of an older schema version\n"
        "  entrepot block export blocks.toml                     a file to review; secrets become references\n"
        "  entrepot block apply blocks.toml                      save what is new or changed in it\n"
        "  entrepot block register -m my_package.blocks\n"
    ),
)


app.command()(types)  # here, so that the help lists them in this place
app.command()(ls)


@app.command(name="show")
def show_(
    name: Name,
    *,
    version: Annotated[int | None, typer.Option(help="Which version; by default the newest.")] = None,
    store: InStore = None,
    module: Modules = None,
    as_json: AsJson = False,
) -> None:
    """Show a saved block; secrets are masked, references to them are not.

    One whose class is not installed is shown as it is stored.
    """
    import_modules(module)
    try:
        block = Block.load(name, version=version, store=store)
    except (PluginError, BlockSchemaError) as error:
        show_stored(stored(name, version, store), advice(str(error)), as_json=as_json)
        return
    variable = variable_of(block.get_block_type_slug(), name.rpartition("/")[2])
    if version is None and store is None and variable in os.environ:
        ok(f"from {variable}, which comes before what is saved")
    else:
        place, _ = find_first(Block, name, store)
        if place.kind == "team":
            ok(f"from the team's store, {place.documents.store.location}")
    for refused in refused_in(block):
        warn(str(refused))
    dumped = block.model_dump(mode="json", by_alias=True, fallback=str)
    values = _with_references(dumped, block.model_dump(by_alias=True))
    if as_json:
        print_json({"type": block.get_block_type_slug(), "fields": values})
        return
    show(Text(block.get_block_type_name(), style="bold"))
    show(
        table(
            ("Field", "Value", "What it is"),
            [
                (field.name, _shown(values.get(field.name)), told(field.description, "dim"))
                for field in describe_fields(type(block))
            ],
            keep=("Field",),
        )
    )


app.command()(create)
app.command()(edit)


@app.command()
def delete(
    name: Name,
    *,
    store: InStore = None,
    force: Annotated[
        bool, typer.Option("--force", help="Delete it although it is another keyring's, and what is left of it.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete a saved block with all its versions.

    Where both the team's store and one's own have it, --store says which one is meant. What is sealed under another
    keyring is somebody else's: in a shared store it is deleted with --force only.

    \b
    Examples:
      entrepot block delete s3/prod
      entrepot block delete s3/prod --store local --yes
      entrepot block delete s3/prod --force       also where nobody here can open it, or what was left of it
    """  # noqa: D301  click's mark for lines that are kept as they are
    place, ref = _to_delete(name, store, force=force)
    address = f"{ref.slug}/{ref.name}{within(place.kind, place.documents.store.location)}"
    if not force:
        place.documents.check_deletion(ref)
    if not yes:
        if not interactive():
            raise OptionError(f"{address} is not deleted: there is nobody to ask; --yes says so", option="--yes")
        who = " It goes for everyone who shares that store." if place.documents.is_shared else ""
        question = f"Delete {address} with all its versions? Blocks that refer to it stop working.{who}"
        if not confirm(question, default=False):
            ok("nothing was deleted")
            raise typer.Exit(1)
    Block.delete(f"{ref.slug}/{ref.name}", store=place.kind, force=force)
    ok(f"deleted {address}")


def _to_delete(name: str, store: StoreName | None, *, force: bool) -> tuple[Store, DocumentRef]:
    """Return what is meant: a block; by force a tombstone, too."""
    try:
        return find_only(Block, name, store)
    except BlockNotFoundError:
        gone = buried(Block, name, store) if force else None
        if gone is None:
            raise
        return gone


@app.command()
def check(name: Name, *, store: InStore = None, module: Modules = None) -> None:
    """Try what a saved block connects to, and look up the secrets that it refers to.

    \b
    Examples:
      entrepot block check s3/prod
      entrepot block check s3/prod --store local     one's own, although the team has one of that name
    """  # noqa: D301  click's mark for lines that are kept as they are
    import_modules(module)
    block = Block.load(name, store=store)
    refused = refused_in(block)
    for each in refused[1:]:
        warn(str(each))
    if refused:
        raise refused[0]
    count = need_references(block)
    references = f"{count} reference{'' if count == 1 else 's'} found" if count else ""
    if not has_a_check(block):
        kind = block.get_block_type_slug()
        ok(f"{name} loads; {references or 'nothing to test'} ({kind} has no check of its own)")
        return
    start = time.perf_counter()
    answer = checked(block, f"the check of {name}")
    took = span(timedelta(seconds=time.perf_counter() - start))
    ok(f"{name} works ({took})" + (f": {answer}" if answer else ""))


@app.command()
def register(
    *,
    module: Annotated[str | None, typer.Option("--module", "-m", help="A module to import.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="A Python file to run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Import a module or file of yours, and list the block types in it."""
    wanted = module or file
    if wanted is None or (module and file):
        raise OptionError("give a module (-m) or a file (-f)", option="--module")
    before = set(sys.modules)
    loaded = import_code(wanted)
    fresh = (set(sys.modules) - before) | {loaded.__name__}
    ours = loaded.__name__.partition(".")[0] == OWN_DISTRIBUTION  # else what it imports of us is not in it
    found = [
        entry
        for entry in BLOCKS.report()
        if entry.target.partition(":")[0] in fresh and (ours or entry.distribution != OWN_DISTRIBUTION)
    ]
    if not found:
        warn(f"{wanted} defines no block types: derive a class from entrepot.blocks.Block")
        raise typer.Exit(1)
    show_types(found, as_json=as_json)
    own = [entry for entry in found if not entry.distribution]
    if own and not as_json:
        lines = "\n".join(f'  {entry.name} = "{entry.target}"' for entry in own)
        ok(
            "\nThese types are good, and known to every program that imports them. To make them known by name wherever"
            " your\npackage is installed, this command included, add them to its pyproject.toml:\n\n"
            f'  [project.entry-points."{BLOCKS.group}"]\n{lines}'
        )


# Here, so that the help lists them after those above.
app.command(name="history")(history_)
app.command(name="diff")(diff_)
app.command(name="rollback")(rollback_)
app.command()(doctor)
app.command(name="migrate")(migrate_)
app.command()(apply)
app.command()(export)
app.command(name="where")(where_)


# --- parts ------------------------------------------------------------------------------------------------------------


def _with_references(told: Any, values: Any) -> Any:
    """Return a dump for JSON with references to secrets for their masks.

    Args:
        told: The dump.
        values: The same as Python's values.
    """
    if isinstance(values, AnyReference):
        return shown(values.reference)
    if isinstance(told, dict) and isinstance(values, dict) and len(told) == len(values):
        return {
            key: _with_references(each, value) for (key, each), value in zip(told.items(), values.values(), strict=True)
        }
    if isinstance(told, list) and isinstance(values, list | tuple) and len(told) == len(values):
        return [_with_references(each, value) for each, value in zip(told, values, strict=True)]
    return told


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else repr(value)
