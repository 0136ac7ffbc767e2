"""Flow runs that wait for people: pausing and suspending from inside, answering from outside.

    @flow
    def release(version: str) -> None:
        build(version)
        if pause_flow_run(wait_for_input=Approval).ok:
            publish(version)

Importing this is cheap; what waits and answers is loaded when it is first called.
"""

from typing import Any, TypeVar, overload
from uuid import UUID

__all__ = [
    "apause_flow_run",
    "aresume_flow_run",
    "asuspend_flow_run",
    "pause_flow_run",
    "resume_flow_run",
    "suspend_flow_run",
]

T = TypeVar("T")


@overload
def pause_flow_run(
    wait_for_input: None = None, timeout: float | None = 3600, poll_interval: float = 1, key: str | None = None
) -> None: ...
@overload
def pause_flow_run(
    wait_for_input: type[T], timeout: float | None = 3600, poll_interval: float = 1, key: str | None = None
) -> T: ...
@overload
def pause_flow_run(
    wait_for_input: Any, timeout: float | None = 3600, poll_interval: float = 1, key: str | None = None
) -> Any: ...
def pause_flow_run(
    wait_for_input: Any = None, timeout: float | None = 3600, poll_interval: float = 1, key: str | None = None
) -> Any:
    """Let the flow run wait, here, until somebody says that it may go on; return what they said.

    Somebody answers with `entrepot runs answer`, or with `resume_flow_run`. Tasks that were submitted go on meanwhile.
    An answer is kept, sealed: a run that is resumed after its process died does not ask again what was answered.

    In the code of an async flow this returns something to await, and the loop goes on meanwhile.

    Args:
        wait_for_input: What to ask for: a `RunInput`, another model, a dataclass, or a type such as `int`. None to wait
            for no more than a word.
        timeout: How many seconds to wait; None for ever.
        poll_interval: How many seconds are between two looks for an answer.
        key: What this question is called: it is asked once in a run, however often the code comes by. If not given, a
            run asks each time, and gives it a number: `pause-1`.

    Returns:
        An instance of what was asked for; None if nothing was.

    Raises:
        MissingContextError: Outside flows, and in tasks.
        PauseTimeoutError: If nobody answers in time.
        ParameterError: If an argument makes no sense.
        StorageError: If the question cannot be written down.
    """
    from entrepot.flow_runs.pausing import pausing  # noqa: PLC0415  the seam: it loads pydantic, SQLite, cryptography

    return pausing("pause_flow_run", wait_for_input, timeout, poll_interval, key).here()


@overload
def suspend_flow_run(wait_for_input: None = None, timeout: float | None = 3600, key: str | None = None) -> None: ...
@overload
def suspend_flow_run(wait_for_input: type[T], timeout: float | None = 3600, key: str | None = None) -> T: ...
@overload
def suspend_flow_run(wait_for_input: Any, timeout: float | None = 3600, key: str | None = None) -> Any: ...
def suspend_flow_run(wait_for_input: Any = None, timeout: float | None = 3600, key: str | None = None) -> Any:
    """Let the flow run end here as Suspended, to be resumed later with `entrepot runs resume`.

    The resumed run does not compute again what its tasks kept, comes by here again, and goes on with the answer. A
    resumed run for which nobody has answered suspends again; if no input is waited for, that it was resumed is enough.

    In the code of an async flow this returns something to await.

    Args:
        wait_for_input: As of `pause_flow_run`.
        timeout: For how many seconds an answer is taken; None for ever.
        key: As of `pause_flow_run`.

    Returns:
        As `pause_flow_run`, in a run that was resumed.

    Raises:
        PausedRunError: To leave the process. Let it through: a flow that catches it goes on without an answer.
        PauseTimeoutError: In a resumed run, if nobody answered in time.
        MissingContextError: Outside flows, and in tasks.
        ParameterError: If an argument makes no sense.
        StorageError: If the question cannot be written down.
    """
    from entrepot.flow_runs.pausing import suspending  # noqa: PLC0415  as above

    return suspending("suspend_flow_run", wait_for_input, timeout, key).here()


async def apause_flow_run(
    wait_for_input: Any = None,
    timeout: float | None = 3600,  # noqa: ASYNC109  it is the time of the one who is asked
    poll_interval: float = 1,
    key: str | None = None,
) -> Any:
    """As `pause_flow_run`; the loop goes on meanwhile."""
    from entrepot.flow_runs.pausing import pausing  # noqa: PLC0415  as above

    return await pausing("apause_flow_run", wait_for_input, timeout, poll_interval, key).in_loop()


async def asuspend_flow_run(
    wait_for_input: Any = None,
    timeout: float | None = 3600,  # noqa: ASYNC109  as above
    key: str | None = None,
) -> Any:
    """As `suspend_flow_run`."""
    from entrepot.flow_runs.pausing import suspending  # noqa: PLC0415  as above

    return await suspending("asuspend_flow_run", wait_for_input, timeout, key).in_loop()


def resume_flow_run(flow_run_id: UUID | str, run_input: Any = None, key: str | None = None) -> None:
    """Tell a flow run that waits to go on, with what it waits for.

    It goes on where it is, if its process lives. Where that is gone, or the run was suspended, the answer is kept until
    `entrepot runs resume`.

    Args:
        flow_run_id: The run: its id, the beginning of one, or its name.
        run_input: The values by name, or a model; for a plain type (`wait_for_input=int`) the value itself.
        key: Which of its questions, where there are several.

    Raises:
        RunNotFoundError: If there is no such run.
        NotResumableError: If it does not wait for an answer (any more).
        InputError: If the answer does not fit; the message names fields and reasons, never the value.
        StorageError: If the answer cannot be kept.
        KeyringError: If it cannot be sealed.
    """
    from entrepot.flow_runs.answering import answer  # noqa: PLC0415  as above

    answer(str(flow_run_id), run_input, key)


async def aresume_flow_run(flow_run_id: UUID | str, run_input: Any = None, key: str | None = None) -> None:
    """As `resume_flow_run`."""
    import asyncio  # noqa: PLC0415  who is async has loaded it

    await asyncio.to_thread(resume_flow_run, flow_run_id, run_input, key)
