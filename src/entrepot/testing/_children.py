"""Processes that run plugins, so that one that hangs, exits or crashes ends no more than its own check."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from entrepot import settings
from entrepot.settings.model import PREFIX
from entrepot.testing._findings import LONGEST

__all__ = ["EVENTS", "Ended", "run_child", "tell"]

EVENTS: Final = "events.jsonl"
"""The file in the child's folder that has a line for each thing that it did."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code; None if it was stopped because it took too long.
        how: The same in words.
        said: The end of what it printed, on one line.
        events: What it told, in order.
    """

    code: int | None
    how: str
    said: str
    events: list[dict[str, Any]]


def tell(folder: Path, **event: object) -> None:
    """Write down what is done: whatever ends the process then, it is known."""
    with (folder / EVENTS).open("a") as file:
        file.write(json.dumps(event) + "\n")


def run_child(folder: Path, arguments: Sequence[str], *, patience: float) -> Ended:
    """Run Python with some arguments in a folder, as its working directory and with a home of its own in it.

    It has no terminal: what it prints reaches nobody's, and what it asks gets no answer. The settings of the policy
    for plugins are passed on, no others. Processes that it started end with it.

    Args:
        folder: An empty folder; afterwards it has what the process left.
        arguments: What follows `python`.
        patience: Seconds after which it is stopped.
    """
    environment = {key: text for key, text in os.environ.items() if not key.startswith((PREFIX, "PYTEST_"))}
    environment |= {f"{PREFIX}HOME": str(folder / "home"), **_policy()}
    if places := os.environ.get("PYTHONPATH"):  # where it is from here
        environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, places.split(os.pathsep)))
    printed = folder / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  ourselves
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        code: int | None = None
        try:
            code = process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(process)
    return Ended(code, _how(code, patience), _last_words(printed), _events(folder / EVENTS))


def _policy() -> dict[str, str]:
    now = settings.current()
    lists = {"plugins_allow": now.plugins_allow, "plugins_deny": now.plugins_deny}
    given = {name: ",".join(names) for name, names in lists.items()} | {"plugins_strict": str(now.plugins_strict)}
    return {settings.SETTINGS[name].variable: text for name, text in given.items()}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process and what it started, with what is left of either."""
    if hasattr(os, "killpg"):
        with suppress(OSError):  # nothing is left
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _how(code: int | None, patience: float) -> str:
    if code is None:
        return f"it was not done after {patience:g} seconds, and was stopped"
    if code >= 0:
        return f"its process ended with the exit code {code}"
    try:
        return f"its process was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was ended by signal {-code}"


def _last_words(file: Path) -> str:
    with file.open("rb") as printed:
        printed.seek(max(0, file.stat().st_size - 4 * LONGEST))
        return " ".join(printed.read().decode("utf-8", "replace").split())[-LONGEST:]


def _events(file: Path) -> list[dict[str, Any]]:
    events = []
    with suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            with suppress(ValueError):  # cut short as the process ended
                events.append(json.loads(line))
    return events
