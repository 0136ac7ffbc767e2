"""Rotates a keyring in processes that are killed at their n-th call of the file system: asked over a pipe, by a test.

One line of JSON asks: `{"home": folder, "at": n}`. The answer is one line: whether the process was killed, or came to
its end before its n-th call.
"""

import json
import os
import signal
import sys
from typing import Any

from entrepot import home
from entrepot.blocks.documents import default_documents
from entrepot.keys import rotating

CALLS = ("open", "write", "fsync", "link", "rename", "replace", "unlink", "ftruncate", "mkdir", "close")


def die_at(number: int) -> None:
    count = 0

    def counted(real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def rotate() -> None:
    provider = home.key_provider()
    rotating.stage(provider, ["block", "result"])
    rotating.promote(provider, ["block", "result"])
    rotating.rewrap(default_documents())


def main() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        os.environ["ENTREPOT_HOME"] = task["home"]
        child = os.fork()
        if not child:
            try:
                die_at(task["at"])
                rotate()
            except BaseException as error:  # noqa: BLE001  it must not go on as the parent
                sys.stderr.write(repr(error))
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        answer = {"killed": killed, "code": None if killed else os.waitstatus_to_exitcode(status)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
