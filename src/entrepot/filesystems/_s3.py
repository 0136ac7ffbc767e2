"""Opening a bucket on S3, with the options of botocore looked at first."""

from typing import Any

from entrepot.errors import ConfigurationError
from entrepot.protocols.storage import Storage
from entrepot.storage import open_storage

__all__ = ["open_s3"]


def open_s3(url: str, **options: Any) -> Storage:
    """Return the store that a URL names.

    s3fs makes its client when it is first used, and what is wrong with the options would show there only, in frames
    that hold the keys.

    Args:
        url: `s3://bucket/folder`.
        **options: What s3fs takes.

    Raises:
        ConfigurationError: If botocore does not take what is in `config_kwargs`; values are not repeated.
    """
    from aiobotocore.config import AioConfig  # type: ignore[import-untyped]  # noqa: PLC0415  comes with s3fs only

    given = options.get("config_kwargs") or {}
    try:
        AioConfig(**given)
    except Exception as error:  # noqa: BLE001  of botocore: it has a class for each complaint
        unknown = sorted(str(name) for name in given if name not in AioConfig.OPTION_DEFAULTS)
        check = repr(unknown[0]) if isinstance(error, TypeError) and unknown else ", ".join(sorted(map(str, given)))
        raise ConfigurationError(
            f"cannot open {url}: botocore's Config refuses config_kwargs ({type(error).__name__}); check {check}",
            setting="config_kwargs",
        ) from None
    return open_storage(url, **options)
