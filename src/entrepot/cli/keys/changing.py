"""`entrepot keys init|rotate|rewrap|disable|enable|destroy`: what changes the keyring, or what is sealed under it."""

from typing import Annotated

import typer

from entrepot import home, settings
from entrepot.blocks.documents import current_documents
from entrepot.blocks.stores import stores
from entrepot.cli.block_listing import InStore
from entrepot.cli.keys.topic import Storages, app, ask, count_usage, purposes_of
from entrepot.cli.options import Yes
from entrepot.cli.output import ok, warn, warn_together
from entrepot.cli.store.topic import progress_bar
from entrepot.errors import KeyringExistsError
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
        "  entrepot keys rotate --stage-only           make the key, carry it to other machines (export, import)\n"
        "  entrepot keys rotate --yes                  and then use it, where a store is shared\n"
        "  entrepot keys rotate --no-rewrap            use it for what is new\n"
    ),
)
def rotate(
    *,
    purpose: Purpose_ = "all",
    stage_only: Annotated[bool, typer.Option("--stage-only", help="Make the new key, and do not use it yet.")] = False,
    no_rewrap: Annotated[bool, typer.Option("--no-rewrap", help="Leave saved blocks under their old keys.")] = False,
    yes: Yes = False,
) -> None:
    """Put a new key in the place of the primary one, and seal all saved blocks again under it.

    Programs that run need not be stopped. Stopped half-way, it goes on when it is run again. The old key stays enabled:
    results that were signed with it go on being used. A staged key that waits is the new one. Blocks of a team's store
    are left under their old key: see `entrepot keys rewrap --help`.

    Where blocks are saved in a store that others share, they need the new key before it is used: --stage-only, export,
    import, and then this, with --yes where nobody can be asked.
    """
    purposes = purposes_of(purpose)
    if "block" in purposes and not stage_only:
        _ask_of_sharers(yes=yes)
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
        rewrap(yes=True)


@app.command(
    epilog=(
        "\b\n"
        "Examples:\n"
        "  entrepot keys rewrap\n"
        "  entrepot keys rewrap --store team      once all who share that store have the new key\n"
    ),
)
def rewrap(*, store: InStore = None, yes: Yes = False) -> None:
    """Seal every version of every saved block again that is under an older key than the primary one.

    Blocks can be saved, loaded and deleted meanwhile. Stopped at any moment, it goes on when it is run again. Results
    stay as they are: the key of their time goes on verifying them. The team's store is done only with --store team:
    who has not got the new key by then can open nothing in it. Where others share the store, you are asked whether
    they have it; --yes says so.
    """
    (place,) = stores(store or "local")[:1]
    if place.documents.is_shared and not yes:
        key_id = home.ring().primary("block").id
        ask(
            f"The blocks in {place.documents.store.location} are shared: who has not got key {key_id} (entrepot keys"
            " export, import) can open nothing there from now on. Does everybody have it?",
            "nothing was sealed again",
        )
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
    warn_together(found.problems, "stays as it is", "stay as they are")
    location = place.documents.store.location
    ok(f"{found.done} of {found.seen} documents are sealed again; they are under key {found.key_id} now: {location}")
    if found.ahead:
        warn(
            f"{found.ahead} documents stay under a key that came after {found.key_id}: this copy of the keyring lags."
            " Bring an export from where that key was made (entrepot keys import FILE), or, if this is the newest copy,"
            " make a newer key: entrepot keys rotate"
        )
    if place.kind == "local" and settings.current().blocks_team not in {None, settings.current().blocks_storage}:
        ok(
            f"the team's store, {settings.current().blocks_team}, stays as it is: when all who share it have this"
            " keyring, run: entrepot keys rewrap --store team"
        )
    if found.problems or found.ahead:
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
        ask(f"Destroy {key} for good?", "nothing was destroyed")
    ring = rotating.destroy(home.key_provider(), key, _usage(storage, force=force))
    ok(f"key {key} of keyring {ring.ring_id} is destroyed")


def _ask_of_sharers(*, yes: bool) -> None:
    """Ask before a new key is used for blocks in a store that others share."""
    place = current_documents()
    if yes or not place.is_shared:
        return
    where, ring = place.store.location, home.ring()
    staged = [key.id for key in ring.all_keys() if key.purpose == "block" and key.state == "staged"]
    if staged:
        question = (
            f"The blocks in {where} are shared, and are going to be sealed under the staged key {staged[-1]}: who has"
            " not imported it can open nothing there any more. Has everybody?"
        )
    else:
        question = (
            f"The blocks in {where} are shared, and are going to be sealed under a new key that nobody else has:"
            " programs of others fail from then on. To carry it to them first: entrepot keys rotate --stage-only, then"
            " entrepot keys export FILE, on each machine entrepot keys import FILE, and then this again. Use a new key"
            " at once all the same?"
        )
    ask(question, "nothing was changed")


def _usage(storage: list[str] | None, *, force: bool) -> Usage | None:
    return None if force else count_usage(home.ring(), storage)
