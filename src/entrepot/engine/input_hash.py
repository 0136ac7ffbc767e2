"""A ready-made `cache_key_fn`."""

from collections.abc import Mapping
from typing import Any

from entrepot.context import RunContext

__all__ = ["task_input_hash"]


def task_input_hash(context: RunContext, arguments: Mapping[str, Any]) -> str | None:
    """Return a key made of the arguments and of the code, for `@task(cache_key_fn=task_input_hash)`.

    It is the key of the policy `INPUTS + TASK_SOURCE`; unlike that, its misses cannot be explained part by part.

    Args:
        context: Of the run.
        arguments: By parameter, defaults included.

    Raises:
        UnhashableValueError: If an argument, or something that the code uses, has no stable identity.
    """
    from entrepot.results.keys import INPUTS, TASK_SOURCE, KeyContext  # noqa: PLC0415  cryptography: not at import

    definition = context.engine.definition
    key = (INPUTS + TASK_SOURCE).compute(
        KeyContext(definition.key, definition.fn, arguments, version=definition.version)
    )
    return None if key is None else key.key
