"""Loads and saves blocks until its standard input ends; then says, in one line of JSON, what was acknowledged."""

import json
import random
import sys
import threading

from entrepot.blocks.system import Secret


def main(me: str, count: int) -> None:
    dice = random.Random(me)
    done = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
    saved: dict[str, list[str]] = {}
    errors, loads = [], 0
    while not done.is_set():
        name = f"block-{dice.randrange(count)}"
        try:
            Secret.load(name).get()
            loads += 1
            if not saved or dice.random() < 0.3:
                value = f"{me} {dice.random()}"
                Secret(value=value).save(name, overwrite=True)
                if not saved:
                    say("ready")
                saved.setdefault(name, []).append(value)
        except Exception as error:  # noqa: BLE001  each is told
            errors.append(f"{type(error).__name__}: {error}")
    say({"saved": saved, "errors": errors, "loads": loads})


def say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
