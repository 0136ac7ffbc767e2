"""The smallest real flow, timed from outside: a new process, one task, history recorded."""

import sys

if sys.argv[1] == "prefect":
    from prefect import flow, task
else:
    from entrepot import flow, task


@task
def double(x: int) -> int:
    """Double."""
    return 2 * x


@flow
def first(x: int) -> int:
    """Call one task."""
    return double(x)


if first(21) != 42:  # noqa: PLR2004  the answer
    raise SystemExit("wrong answer")
