"""Functions that take what Prefect's take and call ours, where the two differ in their arguments."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entrepot.errors import UnhashableValueError
from entrepot.serializers import CompressedSerializer

__all__ = ["compressed_json", "compressed_pickle", "hash_objects", "prefect_test_harness"]


def compressed_json() -> CompressedSerializer:
    """Return the serializer `compressed/json`."""
    return CompressedSerializer("json")


def compressed_pickle() -> CompressedSerializer:
    """Return the serializer `compressed/pickle`."""
    return CompressedSerializer("pickle")


def hash_objects(
    *args: Any,
    hash_algo: Callable[..., Any] | None = None,  # noqa: ARG001  there is one algorithm
    raise_on_failure: bool = False,
    **kwargs: Any,
) -> str | None:
    """Return the digest of values, or None if one of them has no stable identity.

    Args:
        *args: The values.
        hash_algo: Of no effect: `entrepot.hashing` decides.
        raise_on_failure: Whether to raise instead of returning None.
        **kwargs: Further values, by name.

    Raises:
        UnhashableValueError: If one has none, and `raise_on_failure` is set.
    """
    from entrepot.hashing.values import hash_value  # noqa: PLC0415  the other functions need no hashing

    try:
        return hash_value((args, kwargs))
    except UnhashableValueError:
        if raise_on_failure:
            raise
        return None


@contextmanager
def prefect_test_harness(server_startup_timeout: int | None = None) -> Iterator[Path]:  # noqa: ARG001  no server starts
    """Give what runs in the `with` an empty home of its own.

    Args:
        server_startup_timeout: Of no effect: no server starts.
    """
    from entrepot.testing.utilities import entrepot_test_harness  # noqa: PLC0415  the other functions need no home

    with entrepot_test_harness() as home:
        yield home
