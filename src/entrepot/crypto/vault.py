"""A keyring under a transit key of HashiCorp Vault or OpenBao: the file is of no use to whoever may not decrypt there.

Address, token, namespace and certificates are those of the variables `VAULT_ADDR`, `VAULT_TOKEN` and so on, as of every
client of Vault. A new sealing key comes from `transit/datakey/plaintext`, and comes back from `transit/decrypt`.
"""

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import hvac
from hvac.exceptions import VaultError
from requests.exceptions import RequestException

from entrepot.crypto._keys import hide
from entrepot.crypto._options import check_options
from entrepot.crypto.providers import FileKeyProvider
from entrepot.crypto.wrapping import Facts, WrappedKeyProvider
from entrepot.errors import ConfigurationError, KeyProviderError

__all__ = ["VaultKeyProvider"]

NAME: Final = "vault"
_TIMEOUT: Final = 10  # seconds


class _TransitKey:
    """One key of the transit engine.

    Args:
        key_name: Its name.
        options: As of the setting.
        location: Of the keyring, for messages.
    """

    name = NAME

    def __init__(self, key_name: str, options: Mapping[str, str], location: str) -> None:
        self._key_name = key_name
        self._mount = options.get("mount", "transit")
        self._url = options.get("url")
        self._location = location

    def new_key(self, ring_id: str) -> tuple[bytes, Facts]:
        """Return a data key, and its ciphertext.

        Raises:
            KeyProviderError: If Vault does not answer or refuses.
        """
        del ring_id
        data = self._call(
            lambda transit: transit.generate_data_key(
                name=self._key_name, key_type="plaintext", mount_point=self._mount
            )
        )
        facts = {"transit": f"{self._mount}/{self._key_name}", "wrapped": str(data["ciphertext"])}
        return hide(base64.b64decode(data["plaintext"])), facts

    def same_key(self, ring_id: str, facts: Facts) -> bytes:
        """Return a data key from its ciphertext.

        Raises:
            KeyProviderError: If Vault does not answer or refuses.
        """
        del ring_id
        wrapped = str(facts.get("wrapped"))
        data = self._call(
            lambda transit: transit.decrypt_data(name=self._key_name, ciphertext=wrapped, mount_point=self._mount)
        )
        return hide(base64.b64decode(data["plaintext"]))

    def _call(self, call: Callable[[Any], Any]) -> Any:
        try:
            # A client each time: a token in the environment may have been renewed, and calls are few.
            client = hvac.Client(url=self._url, timeout=_TIMEOUT)
            return call(client.secrets.transit)["data"]
        except VaultError as error:
            why = f"refuses it ({type(error).__name__}): see that VAULT_TOKEN is valid and may use the key"
        except RequestException as error:
            why = f"does not answer ({type(error).__name__}): check VAULT_ADDR and the network"
        raise KeyProviderError(
            f"the keyring {self._location} needs the transit key {self._mount}/{self._key_name} of the key provider"
            f" {NAME}, which {why}",
            provider=NAME,
            location=self._location,
        )


class VaultKeyProvider(WrappedKeyProvider):
    """Keeps the keyring in a file, sealed under data keys of Vault's or OpenBao's transit engine."""

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> Self:
        """Return the provider of a transit key: the target; options are `url`, `mount` and `file`.

        Raises:
            ConfigurationError: If there is no target, an option is unknown, or the file is named by a relative path.
        """
        check_options(NAME, options, "url", "mount", "file")
        if not target:
            raise ConfigurationError(
                "the key provider vault needs the name of a transit key, as in vault:entrepot", setting="key_provider"
            )
        file = FileKeyProvider.at(options.get("file"), folder)
        return cls(file, _TransitKey(target, options, file.location))
