"""`entrepot keys status` and `entrepot keys doctor`: what is sealed under which key, and what is wrong."""

import dataclasses
from typing import Any

import typer

from entrepot import home, settings
from entrepot._text import counted
from entrepot.blocks.stores import stores
from entrepot.cli.keys.topic import Storages, app, count_usage, result_storages
from entrepot.cli.options import AsJson
from entrepot.cli.output import fitting, ok, print_json, show, table, told, warn, when
from entrepot.cli.store.topic import progress_bar
from entrepot.crypto.keyring import Key, Keyring
from entrepot.keys.doctor import examine
from entrepot.keys.usage import Usage

__all__: list[str] = []

_STYLES = {"enabled": "green", "staged": "cyan", "disabled": "yellow", "destroyed": "red"}


@app.command(
    epilog=("\b\nExamples:\n  entrepot keys status\n  entrepot keys status --storage s3/prod --json\n"),
)
def status(*, storage: Storages = None, as_json: AsJson = False) -> None:
    """Show each key, and how many versions of blocks, answers and objects of result stores need it.

    Looked at are the saved blocks, those of the team's store too (blocks_team), and the stores of results: the one of
    the settings, the one in the home, and those that are named here. --json says how many are in which.
    """
    provider = home.key_provider()
    ring = home.ring() if provider.read() is not None else None
    usage = count_usage(ring, storage)
    keys = [_facts(key, ring, usage) for key in ring.all_keys()] if ring is not None else []
    known = {key["id"] for key in keys}
    missing = [
        {"id": key_id, **_counts(usage, key_id), "first": usage.first(key_id)}
        for key_id in usage.places
        if key_id not in known
    ]
    if as_json:
        facts: dict[str, Any] = {"location": provider.location, "ring": None, "epoch": None}
        if ring is not None:
            facts |= {"ring": ring.ring_id, "epoch": ring.epoch}
        print_json(facts | {"keys": keys, "missing": missing})
        return
    if ring is None:
        todo = "and what is here needs one: entrepot keys import FILE" if missing else "it is made on first need"
        ok(f"there is no keyring at {provider.location}; {todo}")
    else:
        _show_keys(keys, usage)
        ok(f"keyring {ring.ring_id}, epoch {ring.epoch}, at {ring.location}")
    for one in missing:
        where = "is not in the keyring, and is" if ring is not None else "is"
        warn(f"key {one['id']} {where} needed, as by {one['first']}: entrepot keys doctor")


@app.command(epilog="\b\nExamples:\n  entrepot keys doctor\n  entrepot keys doctor --storage s3/prod --json\n")
def doctor(*, storage: Storages = None, as_json: AsJson = False) -> None:
    """Look for what is wrong with the keys, and say which command mends it. Nothing is changed.

    Looked at are permissions and links, whether each key is what it says it is, whether the key provider answers, and
    whether blocks and results need keys that are not there. Exits with 1 if there is a problem.
    """
    with progress_bar() as progress:
        found = examine(home.key_provider, stores, lambda: result_storages(storage), progress)
    problems = [finding for finding in found.findings if finding.level == "problem"]
    if as_json:
        print_json(
            {
                "location": found.location,
                "ring": None if found.ring is None else found.ring.ring_id,
                "findings": [dataclasses.asdict(finding) for finding in found.findings],
            }
        )
    else:
        if found.findings:
            rows = [
                (told(one.what, "red" if one.level == "problem" else "cyan"), one.detail, told(one.command, "bold"))
                for one in found.findings
            ]
            show(table(("What", "Detail", "What to do"), rows, keep=("What",)))
        ok(f"{counted(len(problems), 'problem')} with the keys at {found.location or 'the key provider'}")
    if problems:
        raise typer.Exit(1)


def _show_keys(keys: list[dict[str, Any]], usage: Usage) -> None:
    rows = [
        (
            key["id"],
            key["purpose"],
            told(f"{key['state']}, primary" if key["primary"] else key["state"], _STYLES[key["state"]]),
            when(key["created"]),
            usage.count_in(key["id"], "local"),
            usage.count_in(key["id"], "team"),
            key["answers"],
            key["results"],
            len(key["stores"]),
        )
        for key in keys
    ]
    columns = ("Key", "Purpose", "State", "Created", "Blocks", "Team", "Answers", "Results", "Stores")
    alone = () if settings.current().blocks_team else ("Team",)
    fewer = (alone, (*alone, "Stores"), (*alone, "Stores", "Created"), (*alone, "Stores", "Created", "Answers"))
    show(fitting(*(table(columns, rows, keep=("Key", "State"), without=some) for some in fewer)))


def _facts(key: Key, ring: Keyring, usage: Usage) -> dict[str, Any]:
    return {
        "id": key.id,
        "purpose": key.purpose,
        "state": key.state,
        "primary": ring.primary(key.purpose).id == key.id,
        "created": key.created,
        **_counts(usage, key.id),
        "stores": usage.stores(key.id),
    }


def _counts(usage: Usage, key_id: str) -> dict[str, Any]:
    counts: dict[str, Any] = {what: usage.count(key_id, what) for what in ("blocks", "answers", "results")}
    facts = ("what", "where", "store", "count")
    places = [{name: getattr(place, name) for name in facts} for place in usage.places.get(key_id, ())]
    return {**counts, "places": places}
