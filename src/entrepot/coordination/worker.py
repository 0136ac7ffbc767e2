"""The thread in which coroutines use the shared file: one for the process, and nobody else's.

Not the loop's own threads: those may all be taken by code that waits for slots which a coroutine could only give back
in one of them.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["on_worker"]

T = TypeVar("T")

_executor: ThreadPoolExecutor | None = None


async def on_worker(act: Callable[[], T]) -> T:
    """Call something in the thread, and wait for its end in any case: a cancellation is raised only then."""
    global _executor  # noqa: PLW0603  made on first need
    if _executor is None:
        _executor = ThreadPoolExecutor(1, thread_name_prefix="entrepot-limits")
    try:
        future = asyncio.get_running_loop().run_in_executor(_executor, act)
    except RuntimeError:  # the interpreter is about to end: there are no new threads
        return act()
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            cancelled = error
        except Exception:  # noqa: BLE001, S110  it is the future's, and raised below
            pass
    if cancelled is not None:
        future.exception()  # it is looked at: nobody else will
        raise cancelled
    return future.result()


def _after_fork_in_child() -> None:
    """Have another thread: that one stayed in the parent."""
    global _executor  # noqa: PLW0603  begun anew
    _executor = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
