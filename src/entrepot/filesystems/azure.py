"""Azure Blob Storage."""

import functools
from typing import Any, ClassVar, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.filesystems._locations import check_account, split_bucket_path
from entrepot.filesystems.base import StorageBlock, import_adapter, reveal, shared
from entrepot.protocols.storage import Storage

__all__ = ["Azure"]


class Azure(StorageBlock):
    """A container on Azure Blob Storage, and a folder in it.

    Give a connection string, or the name of the account with one kind of credentials: its key, a SAS token, or a
    service principal. With the name alone the usual places are asked (environment, managed identity, `az` login).
    Needs `pip install "entrepot[azure]"`.
    """

    _block_type_name: ClassVar[str] = "Azure"
    _block_type_slug: ClassVar[str] = "azure"
    _description: ClassVar[str] = "Keep results and files in a container on Azure Blob Storage."

    bucket_path: str = Field(description="The container and a folder in it: 'my-container/results'.")
    azure_storage_connection_string: SecretStr | None = Field(default=None, description="Everything in one string.")
    azure_storage_account_name: str | None = Field(default=None, description="The name of the storage account.")
    azure_storage_account_key: SecretStr | None = Field(default=None, description="A key of the account.")
    azure_storage_sas_token: SecretStr | None = Field(default=None, description="A shared access signature.")
    azure_storage_tenant_id: str | None = Field(default=None, description="The tenant of a service principal.")
    azure_storage_client_id: str | None = Field(default=None, description="The id of a service principal.")
    azure_storage_client_secret: SecretStr | None = Field(default=None, description="Its secret.")
    anonymous: bool = Field(default=False, description="Send no credentials, for public containers.")

    @field_validator("bucket_path")
    @classmethod
    def _check_bucket_path(cls, value: str) -> str:
        return split_bucket_path(value, schemes=("az", "abfs", "abfss"), example="my-container/results")

    @field_validator("azure_storage_account_name")
    @classmethod
    def _check_account_name(cls, value: str | None) -> str | None:
        return check_account(value)

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        principal = (self.azure_storage_tenant_id, self.azure_storage_client_id, self.azure_storage_client_secret)
        if any(part is not None for part in principal) and None in principal:
            raise ValueError("a service principal is tenant_id, client_id and client_secret: give all three")
        kinds = {
            "azure_storage_connection_string": self.azure_storage_connection_string is not None,
            "azure_storage_account_key": self.azure_storage_account_key is not None,
            "azure_storage_sas_token": self.azure_storage_sas_token is not None,
            "a service principal": principal[0] is not None,
            "anonymous": self.anonymous,
        }
        given = [kind for kind, is_given in kinds.items() if is_given]
        if len(given) > 1:
            raise ValueError(f"give one kind of credentials, not {' and '.join(given)}")
        if self.azure_storage_connection_string is None and self.azure_storage_account_name is None:
            raise ValueError("give azure_storage_connection_string or azure_storage_account_name")
        return self

    def as_storage(self) -> Storage:
        """Return the container as a storage. It connects when first used; a dead server is an error within seconds.

        Raises:
            ConfigurationError: If adlfs is not installed, or the connection string cannot be read.
        """
        adapter = import_adapter(
            "entrepot.filesystems._adlfs", needs="adlfs", extra="azure", slug=self._block_type_slug
        )
        root = self.bucket_path
        return shared("azure", root, self._options, functools.partial(adapter.connect, root), location=f"abfs://{root}")

    def _options(self) -> dict[str, Any]:
        """Return what adlfs takes."""
        options = {
            "connection_string": reveal(self.azure_storage_connection_string),
            "account_name": self.azure_storage_account_name,
            "account_key": reveal(self.azure_storage_account_key),
            "sas_token": reveal(self.azure_storage_sas_token),
            "tenant_id": self.azure_storage_tenant_id,
            "client_id": self.azure_storage_client_id,
            "client_secret": reveal(self.azure_storage_client_secret),
            "anon": self.anonymous,
        }
        return {name: value for name, value in options.items() if value is not None}
