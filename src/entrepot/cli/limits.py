"""`entrepot limit`: how many may do something at a time, or how often; who does, and who waits."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from entrepot._clock import SYSTEM_CLOCK
from entrepot.cli.options import AsJson, topic
from entrepot.cli.output import ok, print_json, show, table, told, warn, when
from entrepot.coordination.claims import Standing, standings, withdraw
from entrepot.coordination.database import default_path
from entrepot.coordination.deciding import Limit
from entrepot.coordination.limits import nearest, read_limits, remove_limit, set_limit
from entrepot.errors import LimitError, OptionError

__all__ = ["app"]

_SHOWN: Final = 3  # holders in one line

app = topic(
    "How many may do something at a time, or how often.",
    examples=(
        '  entrepot limit set db --limit 5               at most five inside `with concurrency("db")`\n'
        '  entrepot limit set api --limit 10 --decay-per-second 2    two calls of `rate_limit("api")` a second\n'
        "  entrepot limit set tag:heavy --limit 2        at most two task runs with the tag `heavy`\n"
        "  entrepot limit set db --inactive              limit nothing for now\n"
        "  entrepot limit ls                             what is in use, and who waits\n"
        "  entrepot limit show db\n"
        "  entrepot limit release db 4711                free what process 4711 holds\n"
        "  entrepot limit rm db\n"
    ),
)

Name = Annotated[str, typer.Argument(help="The limit.")]


@app.command()
def ls(*, as_json: AsJson = False) -> None:
    """List limits: how many slots they have, how many are in use, by whom, and how many wait."""
    found = read_limits()
    everybody = standings(default_path())
    if as_json:
        print_json([_facts(limit, everybody) for limit in found])
        return
    if not found:
        ok(f"no limits in {default_path()}; make one: entrepot limit set NAME --limit N")
        return
    rows = []
    for limit in found:
        holders, waiting = _split(limit, everybody)
        by = [str(one) for one in holders[:_SHOWN]] + (["..."] if len(holders) > _SHOWN else [])
        rows.append(
            (
                limit.name,
                limit.slots,
                f"{_in_use(limit, holders):g}",
                f"{limit.decay:g}/s" if limit.decay else "",
                len(waiting) or "",
                Text("yes") if limit.active else told("no", "yellow"),
                ", ".join(by),
            )
        )
    show(table(("Name", "Limit", "In use", "Rate", "Waiting", "Active", "By"), rows, keep=("Name",)))


@app.command(name="show")
def show_(name: Name, *, as_json: AsJson = False) -> None:
    """Show one limit: who holds slots of it, and who waits for some."""
    limit = _limit(name)
    everybody = standings(default_path())
    if as_json:
        print_json(_facts(limit, everybody))
        return
    holders, waiting = _split(limit, everybody)
    for label, value in (
        ("Limit", limit.name),
        ("Slots", limit.slots),
        ("In use", f"{_in_use(limit, holders):g}"),
        ("Rate", f"{limit.decay:g} slots come back in a second" if limit.decay else "-"),
        ("Active", "yes" if limit.active else "no"),
    ):
        show(Text(f"{label:<8} ", style="dim").append_text(told(value)))
    if holders or waiting:
        show("")
        show(
            table(
                ("Claim", "Slots", "", "Since", "Process", "Host", "Run"),
                [
                    (
                        one.claim_id[:8],
                        one.slots,
                        "holds" if one.granted else told("waits", "yellow"),
                        when(one.since),
                        one.process_id,
                        one.host,
                        one.run_name,
                    )
                    for one in (*holders, *waiting)
                ],
                keep=("Claim", "Since"),
            )
        )


@app.command(name="set")
def set_(
    name: Annotated[str, typer.Argument(help="The limit; tag:NAME is for task runs with the tag NAME.")],
    *,
    limit: Annotated[int | None, typer.Option("--limit", "-l", help="How many slots there are; 0: none.")] = None,
    decay: Annotated[
        float | None,
        typer.Option("--decay-per-second", help="How many slots come back by themselves in a second; 0: none."),
    ] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Whether it limits anything.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set a limit, or change what is given of one. It counts at once, in every process."""
    kept = set_limit(name, limit, slot_decay_per_second=decay, active=active)
    if as_json:
        print_json(_facts(kept, standings(default_path())))
        return
    rate = f"; they come back at {kept.decay:g} a second" if kept.decay else ""
    ok(f"{kept.name} has {kept.slots} slots{rate}" + ("" if kept.active else "; it is not active, and limits nothing"))


@app.command()
def rm(name: Name, *, as_json: AsJson = False) -> None:
    """Remove a limit. Whoever waits for it is let in."""
    _limit(name)
    removed = remove_limit(name)
    if as_json:
        print_json({"name": name, "removed": removed})
    else:
        ok(f"removed {name}: nothing is limited by it any more")


@app.command()
def release(
    name: Name,
    holder: Annotated[
        str | None, typer.Argument(help="Who holds them: a process id, a run, or the beginning of a claim.")
    ] = None,
    *,
    everybody: Annotated[bool, typer.Option("--all", help="Whoever holds some.")] = False,
    as_json: AsJson = False,
) -> None:
    """Free the slots of a holder. Its code goes on, and is told at its end that it lost them."""
    _limit(name)
    holders = [one for one in standings(default_path()).get(name, []) if one.granted]
    chosen = holders if holder is None else [one for one in holders if _is(one, holder)]
    if not chosen:
        raise LimitError(f"nobody{f' called {holder!r}' if holder else ''} holds slots of {name!r}", name=name)
    if len(chosen) > 1 and holder is None and not everybody:
        raise OptionError(
            f"{len(chosen)} hold slots of {name!r}: {', '.join(map(str, chosen))}; say which, or --all", option="--all"
        )
    freed = [one for one in chosen if withdraw(default_path(), one.claim_id)]
    if as_json:
        print_json([_person(one) for one in freed])
        return
    for one in freed:
        ok(f"freed {one.slots} slots of {name}, held by {one}")
    if freed:
        warn("the code that held them goes on")


def _limit(name: str) -> Limit:
    known = {limit.name: limit for limit in read_limits()}
    if name not in known:
        raise LimitError(f"there is no limit {name!r}; {nearest(name, known)}", name=name)
    return known[name]


def _split(limit: Limit, everybody: Mapping[str, Sequence[Standing]]) -> tuple[list[Standing], list[Standing]]:
    found = everybody.get(limit.name, [])
    return [one for one in found if one.granted], [one for one in found if not one.granted]


def _in_use(limit: Limit, holders: Sequence[Standing]) -> float:
    return round(sum(one.slots for one in holders) + limit.level_now(SYSTEM_CLOCK.monotonic()), 1)


def _is(one: Standing, word: str) -> bool:
    return word in {str(one.process_id), one.run_name, one.run_id} or one.claim_id.startswith(word)


def _facts(limit: Limit, everybody: Mapping[str, Sequence[Standing]]) -> dict[str, Any]:
    holders, waiting = _split(limit, everybody)
    return {
        "name": limit.name,
        "limit": limit.slots,
        "in_use": _in_use(limit, holders),
        "slot_decay_per_second": limit.decay,
        "active": limit.active,
        "holders": [_person(one) for one in holders],
        "waiting": [_person(one) for one in waiting],
    }


def _person(one: Standing) -> dict[str, Any]:
    return {key: value for key, value in asdict(one).items() if key != "granted"}
