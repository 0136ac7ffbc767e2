"""A program of one of many processes that save one block: threads that begin together, and say what was accepted."""

import json
import sys
import threading
import time

from entrepot.blocks import Secret
from entrepot.errors import BlockExistsError


def main(who: str, threads: int, saves: int) -> None:
    """Save from each thread, when a line comes in; print what was accepted, with the time before and after each."""
    accepted: list[tuple[int, str, float, float]] = []
    errors: list[str] = []
    together = threading.Barrier(threads + 1)

    def write(thread: int) -> None:
        together.wait()
        for number in range(saves):
            value, begin = f"{who}-{thread}-{number}", time.monotonic()
            try:
                ref = Secret(value=value).save("shared", overwrite=True)
            except BlockExistsError as error:
                errors.append(str(error))
            else:
                accepted.append((ref.version, value, begin, time.monotonic()))

    writers = [threading.Thread(target=write, args=(thread,)) for thread in range(threads)]
    for writer in writers:
        writer.start()
    say("ready")
    sys.stdin.readline()
    together.wait()
    for writer in writers:
        writer.join()
    say(json.dumps({"accepted": accepted, "errors": errors}))


def say(line: str) -> None:
    """Hand a line to the test."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
