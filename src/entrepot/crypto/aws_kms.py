"""A keyring under a key of AWS KMS: the file is of no use to whoever may not call `kms:Decrypt` with that key.

A new sealing key comes from `GenerateDataKey`, and comes back from `Decrypt`, both with the encryption context
`{"entrepot": "keyring", "ring": ring id}`, which a key policy may ask for. Region, credentials and profile are boto3's
own: variables, files, roles.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from entrepot.crypto._keys import hide
from entrepot.crypto._options import check_options
from entrepot.crypto.providers import FileKeyProvider
from entrepot.crypto.wrapping import Facts, WrappedKeyProvider
from entrepot.errors import ConfigurationError, KeyProviderError

__all__ = ["AwsKmsKeyProvider"]

NAME: Final = "aws-kms"
_OPTIONS: Final = ("region", "endpoint_url", "file")


class _KmsKey:
    """One key of KMS.

    Args:
        key_id: Its id, ARN or alias.
        options: As of the setting.
        location: Of the keyring, for messages.
    """

    name = NAME

    def __init__(self, key_id: str, options: Mapping[str, str], location: str) -> None:
        self._key_id = key_id
        self._options = options
        self._location = location
        self._client: Any = None

    def new_key(self, ring_id: str) -> tuple[bytes, Facts]:
        """Return a data key, and its ciphertext.

        Raises:
            KeyProviderError: If KMS does not answer or refuses.
        """
        answer = self._call("generate_data_key", KeySpec="AES_256", EncryptionContext=_context(ring_id))
        blob = base64.b64encode(answer["CiphertextBlob"]).decode("ascii")
        return hide(answer["Plaintext"]), {"kms": str(answer["KeyId"]), "wrapped": blob}

    def same_key(self, ring_id: str, facts: Facts) -> bytes:
        """Return a data key from its ciphertext.

        Raises:
            KeyProviderError: If KMS does not answer or refuses.
        """
        try:
            blob = base64.b64decode(str(facts.get("wrapped")), validate=True)
        except ValueError:
            blob = b""
        # Under the key of the setting, not that which the file names: who can write the file could name one of theirs.
        sealed_under = f"; the file was sealed under {str(facts.get('kms'))[:200]!a}: has an alias moved since?"
        answer = self._call("decrypt", sealed_under, CiphertextBlob=blob or b"-", EncryptionContext=_context(ring_id))
        return hide(answer["Plaintext"])

    def _call(self, name: str, hint: str = "", **arguments: Any) -> Any:
        try:
            if self._client is None:
                self._client = boto3.client(
                    "kms",
                    region_name=self._options.get("region"),
                    endpoint_url=self._options.get("endpoint_url"),
                    config=Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3}),
                )
            return getattr(self._client, name)(KeyId=self._key_id, **arguments)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            why = f"refuses {name} ({code}): see that this program may use the key, and that the key is enabled{hint}"
        except BotoCoreError as error:
            why = f"does not answer {name} ({type(error).__name__}): check network, region and credentials"
        raise KeyProviderError(
            f"the keyring {self._location} needs the key {self._key_id} of the key provider {NAME}, which {why}",
            provider=NAME,
            location=self._location,
        )


class AwsKmsKeyProvider(WrappedKeyProvider):
    """Keeps the keyring in a file, sealed under data keys of AWS KMS."""

    @classmethod
    def open(cls, target: str, options: Mapping[str, str], *, folder: Path) -> Self:
        """Return the provider of a KMS key: the target; options are `region`, `endpoint_url` and `file`.

        Raises:
            ConfigurationError: If there is no target, an option is unknown, or the file is named by a relative path.
        """
        check_options(NAME, options, *_OPTIONS)
        if not target:
            raise ConfigurationError(
                "the key provider aws-kms needs a key: an id, an ARN or an alias, as in aws-kms:alias/entrepot",
                setting="key_provider",
            )
        file = FileKeyProvider.at(options.get("file"), folder)
        return cls(file, _KmsKey(target, options, file.location))


def _context(ring_id: str) -> dict[str, str]:
    return {"entrepot": "keyring", "ring": ring_id}
