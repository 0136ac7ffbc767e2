"""The one place that knows adlfs: file systems whose waiting has a bound."""

from typing import Any

from adlfs import AzureBlobFileSystem

from entrepot.errors import ConfigurationError
from entrepot.storage.files import FileStorage

__all__ = ["connect"]

_CONNECT_SECONDS = 3
_READ_SECONDS = 15
_RETRIES = 2
_FIRST_PAUSE_SECONDS = 1  # Azure's client begins with 15 s: a dead server would take a minute to be an error


def connect(root: str, **options: Any) -> FileStorage:
    """Return the store at `container/folder`.

    Args:
        root: Container and folder.
        **options: What adlfs takes.

    Raises:
        ConfigurationError: If the options make no client; they are not repeated, since they hold secrets.
    """
    defaults = {
        "connection_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }
    try:
        fs = AzureBlobFileSystem(**{**defaults, **options})
    except ValueError:
        raise ConfigurationError(
            "the Azure client cannot be made with these options; check the connection string and the account's name",
            setting="azure",
        ) from None
    # adlfs takes no retry policy, and hands this one on to everything that it makes.
    policy = getattr(getattr(fs.service_client, "_config", None), "retry_policy", None)
    if policy is not None:
        policy.total_retries = _RETRIES
        policy.initial_backoff = _FIRST_PAUSE_SECONDS
        policy.increment_base = 2
        policy.random_jitter_range = 1
    return FileStorage(fs, root, location=f"abfs://{root}")
