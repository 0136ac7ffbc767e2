"""For tests that kill processes at any moment: a program that forks them on command, and the test's way to talk to it.

Commands go to the program's stdin, answers come on its stdout, each one line of JSON. The program itself never touches
a store: it only forks, so that each process begins with a clean memory and without the time that imports take.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Processes", "acknowledged_in", "serve"]


class Processes:
    """The program that forks, as the test sees it."""

    def __init__(self, program: Path) -> None:
        self._program = subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **task: object) -> Any:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(task).encode() + b"\n")
        self._program.stdin.flush()
        return json.loads(self._program.stdout.readline())

    def close(self) -> None:
        assert self._program.stdin is not None
        self._program.stdin.close()
        assert self._program.wait(120) == 0


def acknowledged_in(file: Path) -> int:
    """Return how many steps a killed process said were done; a number without its line end was not said."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    assert [int(line) for line in lines] == list(range(len(lines)))
    return len(lines)


def serve(works: dict[str, Callable[[dict[str, Any]], object]], *, endless: set[str]) -> None:
    """Be the program: do each command of stdin, until it ends.

    Args:
        works: What is done by a process of its own, by the name of the command.
        endless: Those that are not waited for: the answer is the process's number. `kill` and `wait` take that.
    """
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(json.loads(line), works, endless)) + "\n")
        sys.stdout.flush()


def _answer(task: dict[str, Any], works: dict[str, Callable[[dict[str, Any]], object]], endless: set[str]) -> object:
    if task["do"] in {"kill", "wait"}:
        if task["do"] == "kill":
            os.kill(task["pid"], signal.SIGKILL)
        return os.waitpid(task["pid"], 0)[1]
    answer, said = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(said, json.dumps(works[task["do"]](task)).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001  nothing of the parent's may run here
            traceback.print_exc()
            os._exit(1)
    os.close(said)
    with os.fdopen(answer, "rb") as stream:
        if task["do"] in endless:
            return child
        report = stream.read()
    status = os.waitpid(child, 0)[1]
    return json.loads(report) if status == 0 else {"failed": status}
