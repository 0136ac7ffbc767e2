"""Google Cloud Storage."""

import functools
import json
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.blocks._references import SecretReference
from entrepot.errors import ConfigurationError
from entrepot.filesystems._locations import check_endpoint, split_bucket_path
from entrepot.filesystems.base import StorageBlock, import_adapter, shared
from entrepot.protocols.storage import Storage

__all__ = ["GCS"]

_ACCOUNT_FIELDS = {"client_email", "private_key", "token_uri"}


class GCS(StorageBlock):
    """A bucket on Google Cloud Storage, and a folder in it.

    Without `service_account_info` the usual places are asked (`gcloud` login, environment, machine identity); a server
    of one's own (`endpoint_url`) is then asked without credentials. Needs `pip install "entrepot[gcp]"`.
    """

    _block_type_name: ClassVar[str] = "GCS"
    _block_type_slug: ClassVar[str] = "gcs"
    _description: ClassVar[str] = "Keep results and files in a bucket on Google Cloud Storage."

    bucket_path: str = Field(description="The bucket and a folder in it: 'my-bucket/results'.")
    service_account_info: SecretStr | None = Field(
        default=None, description="The content of a service account's key file: JSON text, or the dict that it holds."
    )
    project: str | None = Field(default=None, description="The project; by default that of the credentials.")
    endpoint_url: str | None = Field(default=None, description="The server, if it is not Google's own.")
    anonymous: bool = Field(default=False, description="Send no credentials, for public buckets.")

    @field_validator("bucket_path")
    @classmethod
    def _check_bucket_path(cls, value: str) -> str:
        return split_bucket_path(value, schemes=("gs", "gcs"), example="my-bucket/results")

    @field_validator("endpoint_url")
    @classmethod
    def _check_endpoint_url(cls, value: str | None) -> str | None:
        return check_endpoint(value)

    @field_validator("service_account_info", mode="before")
    @classmethod
    def _take_dict(cls, value: object) -> object:
        return json.dumps(value) if isinstance(value, dict) else value

    @field_validator("service_account_info")
    @classmethod
    def _check_account(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or isinstance(value, SecretReference):  # such is looked at when it is used
            return value
        account = _parsed(value.get_secret_value())
        missing = sorted(_ACCOUNT_FIELDS - account.keys())
        if missing and account.get("type", "service_account") == "service_account":
            raise ValueError(
                f"it is not the JSON of a service account's key file ({', '.join(missing)} missing): "
                "give the file's content, not its path"
            )
        return value

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.anonymous and self.service_account_info is not None:
            raise ValueError("anonymous means without credentials")
        return self

    def as_storage(self) -> Storage:
        """Return the bucket as a storage. It connects when it is first used; a dead server is an error within seconds.

        Raises:
            ConfigurationError: If gcsfs is not installed.
        """
        adapter = import_adapter("entrepot.filesystems._gcsfs", needs="gcsfs", extra="gcp", slug=self._block_type_slug)
        root = self.bucket_path
        return shared("gcs", root, self._options, functools.partial(adapter.connect, root), location=f"gs://{root}")

    def _account(self, info: SecretStr) -> dict[str, Any]:
        """Return a service account; one that was given by a reference is looked at only now."""
        account = _parsed(info.get_secret_value())
        if account:
            return account
        raise ConfigurationError(
            "service_account_info is not the JSON of a service account's key file: have its reference lead to that",
            setting="service_account_info",
        )

    def _options(self) -> dict[str, Any]:
        """Return what gcsfs takes."""
        options: dict[str, Any] = {"project": self.project, "endpoint_url": self.endpoint_url}
        if self.service_account_info is not None:
            options["token"] = self._account(self.service_account_info)
        elif self.anonymous or self.endpoint_url is not None:
            options["token"] = "anon"  # noqa: S105  gcsfs's word for "no token"
        return {name: value for name, value in options.items() if value is not None}


def _parsed(text: str) -> dict[str, Any]:
    try:
        account = json.loads(text)
    except ValueError:
        return {}
    return account if isinstance(account, dict) else {}
