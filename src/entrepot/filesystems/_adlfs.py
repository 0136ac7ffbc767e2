"""The one place that knows adlfs: file systems whose waiting has a bound, and which log in as they were told to."""

from typing import Any, Final

from adlfs import AzureBlobFileSystem

from entrepot.errors import ConfigurationError
from entrepot.filesystems._locations import check_account
from entrepot.storage.files import FileStorage

__all__ = ["connect"]

_CONNECT_SECONDS = 3
_READ_SECONDS = 15
_RETRIES = 2
_FIRST_PAUSE_SECONDS = 1  # Azure's client begins with 15 s: a dead server would take a minute to be an error

_OWN: Final = ("connection_string", "account_key", "sas_token", "credential", "client_secret")


class _AsTold(AzureBlobFileSystem):  # type: ignore[misc]  # adlfs has no types
    """Logs in with what it was given, where it was given something, and with nothing else.

    adlfs fills each option that is missing from the environment (`AZURE_STORAGE_*`), and some of them go before what
    was given: the account would be another one, or its server be sent a signature that is for another.
    """

    def __init__(self, **options: Any) -> None:
        self._told = {name: options.get(name) for name in _OWN}
        self._is_anonymous = bool(options.get("anon"))
        super().__init__(**options)

    def do_connect(self) -> None:
        """Connect; the last step of adlfs's own `__init__`."""
        if self._is_anonymous or any(self._told.values()):
            for name in ("connection_string", "account_key", "sas_token"):
                setattr(self, name, self._told[name])
            if self._told["client_secret"] and not any(self._told[name] for name in _OWN[:-1]):
                self.credential, self.sync_credential = self._get_credential_from_service_principal()
            else:
                self.credential = self._told["credential"]
        super().do_connect()


def connect(root: str, **options: Any) -> FileStorage:
    """Return the store at `container/folder`.

    Args:
        root: Container and folder.
        **options: What adlfs takes.

    Raises:
        ConfigurationError: If the options make no client, or a server of one's own would be sent what this machine
            logs in with; they are not repeated, since they hold secrets.
    """
    _check_server(options)
    defaults = {
        "connection_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }
    try:
        fs = _AsTold(**{**defaults, **options})
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


def _check_server(options: dict[str, Any]) -> None:
    """Refuse options by which the login of this machine, a bearer token, would go to a server that they name."""
    try:
        check_account(options.get("account_name"))
    except ValueError as error:
        raise ConfigurationError(f"account_name cannot be used: {error}", setting="account_name") from None
    if options.get("account_host") and not (options.get("anon") or any(options.get(name) for name in _OWN)):
        raise ConfigurationError(
            "account_host names a server of one's own, which gets no login of this machine: give it credentials of its"
            " own (account_key, sas_token or credential), or anon=True",
            setting="account_host",
        )
