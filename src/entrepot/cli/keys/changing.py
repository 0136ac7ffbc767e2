"""`entrepot keys init|rotate|rewrap|disable|enable|destroy`: what changes the keyring, or what is sealed under it."""

import sys
from typing import Annotated

import typer

from entrepot import home, settings
from entrepot.blocks.stores import stores
from entrepot.cli.block_fields import interactive
from entrepot.cli.block_listing import InStore
from entrepot.cli.keys.topic import Storages, app, count_usage, purposes_of
from entrepot.cli.options import Yes
from entrepot.cli.output import ok, warn
from entrepot.cli.store.topic import progress_bar
from entrepot.errors import KeyringExistsError, OptionError
from entrepot.keys import rotating
from entrepot.keys.usage import Usage

__all__: list[str] = []

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as in `entrepot keys status`.")]
Purpose_ = Annotated[str, typer.Option("--purpose", help="Which key: block, result or all.")]
Force = Annotated[bool, typer.Option("--force", help="Do it although something needs the key.")]


@app.command(epilog="\b\nExamples:\n  entrepot keys init\n  ENTREPOT_KEY_PROVIDER=passphrase entrepot keys init\n")
def init() -> None:
    """Make a keyring where the key provider keeps it; else it is made on first need.

    None is made where something is sealed already that needs another one.
    """
    provider = home.key_provider()
    if provider.read() is not None:
        raise KeyringExistsError(f"there is a keyring at {provider.location} already", location=provider.location)
    ring = home.ring()
    ok(f"keyring {ring.ring_id} is made at {ring.location}; keep a copy in a safe: entrepot keys export FILE")


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys rotate                        new keys for blocks and results, and all blocks sealed anew\n"
        "  entrepot keys rotate --purpose block\n"
        "  entrepot keys rotate --stage-only           make the key, carry it to other machines, and then:\n"
        "  entrepot keys rotate --no-rewrap            use it for what is new\n"
    ),
)
def rotate(
    *,
    purpose: Purpose_ = "all",
    stage_only: Annotated[bool, typer.Option("--stage-only", help="Make the new key, and do not use it yet.")] = False,
    no_rewrap: Annotated[bool, typer.Option("--no-rewrap", help="Leave saved blocks under their old keys.")] = False,
) -> None:
    """Put a new key in the place of the primary one, and seal all saved blocks again under it.

    Programs that run need not be stopped. Stopped half-way, it goes on when it is run again. The old key stays enabled:
    results that were signed with it go on being used. A staged key that waits is the new one. Blocks of a team's store
    are left under their old key: see `entrepot keys rewrap --help`.
    """
    purposes = purposes_of(purpose)
    home.ring()  # where there is none yet, there is nothing to rotate: it is made, as on any first need
    provider = home.key_provider()
    ring = rotating.stage(provider, purposes)
    if stage_only:
        for key in ring.all_keys():
            if key.state == "staged" and key.purpose in purposes:
                ok(f"{key.purpose} key {key.id} is staged; to use it: entrepot keys rotate --purpose {key.purpose}")
        return
    for one in rotating.promote(provider, purposes):
        if one.new == one.old:
            ok(f"{one.purpose} key {one.new} is the primary one: another program rotated at the same time")
        else:
            ok(f"{one.purpose} key {one.new} is the primary one now, after {one.old}")
    if "block" in purposes and not no_rewrap:
        rewrap()


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys rewrap\n"
        "  entrepot keys rewrap --store team      once all who share that store have the new key\n"
    ),
)
def rewrap(*, store: InStore = None) -> None:
    """Seal every version of every saved block again that is not under the primary key.

    Blocks can be saved, loaded and deleted meanwhile. Stopped at any moment, it goes on when it is run again. Results
    stay as they are: the key of their time goes on verifying them. The team's store is done only with --store team:
    who has not got the new key by then can open nothing in it.
    """
    (place,) = stores(store or "local")[:1]
    try:
        with progress_bar(after=0) as told:  # of what changes keys one sees that it does
            found = rotating.rewrap(
                place.documents,
                lambda count, total: told("sealing", count, total),
                answers=place.kind == "local",
            )
    except KeyboardInterrupt:
        again = " --store team" if place.kind == "team" else ""
        ok(f"stopped; all opens as before, and what is left is sealed again by: entrepot keys rewrap{again}")
        raise
    for where, problem in found.problems.items():
        warn(f"{where} stays as it is: {problem}")
    location = place.documents.store.location
    ok(f"{found.done} of {found.seen} documents are sealed again; they are under key {found.key_id} now: {location}")
    if place.kind == "local" and settings.current().blocks_team not in {None, settings.current().blocks_storage}:
        ok(
            f"the team's store, {settings.current().blocks_team}, stays as it is: when all who share it have this"
            " keyring, run: entrepot keys rewrap --store team"
        )
    if found.problems:
        raise typer.Exit(1)


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys disable k0123456789abcdef\n"
        "  entrepot keys disable k0123456789abcdef --storage s3/prod   after a look into that store, too\n"
    ),
)
def disable(key: KeyId, *, storage: Storages = None, force: Force = False) -> None:
    """Take a key out of use: nothing is opened or verified with it, until it is enabled again.

    It is refused while a saved block, an answer or a result needs the key.
    """
    ring = rotating.disable(home.key_provider(), key, _usage(storage, force=force))
    ok(f"key {key} of keyring {ring.ring_id} is disabled; to undo that: entrepot keys enable {key}")


@app.command(epilog="\b\nExamples:\n  entrepot keys enable k0123456789abcdef\n")
def enable(key: KeyId) -> None:
    """Put a disabled key back into use; it opens what was made under it, and seals nothing new."""
    ring = rotating.enable(home.key_provider(), key)
    ok(f"key {key} of keyring {ring.ring_id} is enabled")


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys destroy k0123456789abcdef\n"
        "  entrepot keys destroy k0123456789abcdef --force --yes    results under it are computed again\n"
    ),
)
def destroy(key: KeyId, *, storage: Storages = None, force: Force = False, yes: Yes = False) -> None:
    """Forget a disabled key for good; only its id stays.

    Results that were made under it are misses then, and are computed again. Blocks that need it are lost: it is refused
    while there are any. Copies of the keyring elsewhere have the key still.
    """
    if not yes:
        if not interactive():
            raise OptionError(f"{key} is not destroyed: there is nobody to ask; --yes says so", option="--yes")
        typer.echo(f"Destroy {key} for good? [y/N] ", nl=False, err=True)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            ok("nothing was destroyed")
            raise typer.Exit(1)
    ring = rotating.destroy(home.key_provider(), key, _usage(storage, force=force))
    ok(f"key {key} of keyring {ring.ring_id} is destroyed")


def _usage(storage: list[str] | None, *, force: bool) -> Usage | None:
    return None if force else count_usage(home.ring(), storage)
