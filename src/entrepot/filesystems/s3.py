"""Amazon S3 and what speaks its language: MinIO, R2, Ceph, SeaweedFS, ..."""

import functools
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.filesystems._hiding import hidden, revealed
from entrepot.filesystems._locations import check_endpoint, split_bucket_path
from entrepot.filesystems._s3 import open_s3
from entrepot.filesystems.base import StorageBlock, import_adapter, reveal, shared
from entrepot.protocols.storage import Storage

__all__ = ["S3"]


class S3(StorageBlock):
    """A bucket on Amazon S3 or on a server that speaks its language, and a folder in it.

    Without keys the usual places are asked (environment, profile, instance role). Needs `pip install "entrepot[aws]"`.
    """

    _block_type_name: ClassVar[str] = "S3"
    _block_type_slug: ClassVar[str] = "s3"
    _description: ClassVar[str] = "Keep results and files in a bucket on Amazon S3, MinIO, R2 or another S3 server."

    bucket_path: str = Field(description="The bucket and a folder in it: 'my-bucket/results'.")
    aws_access_key_id: SecretStr | None = Field(default=None, description="The access key.")
    aws_secret_access_key: SecretStr | None = Field(default=None, description="The secret key that goes with it.")
    aws_session_token: SecretStr | None = Field(default=None, description="The token of temporary credentials.")
    region_name: str | None = Field(default=None, description="The region: 'eu-central-1'.")
    profile_name: str | None = Field(default=None, description="A profile of ~/.aws/config, instead of keys.")
    endpoint_url: str | None = Field(default=None, description="The server, if it is not Amazon's own.")
    anonymous: bool = Field(default=False, description="Send no credentials, for public buckets.")
    verify: bool | str = Field(
        default=True,
        description="Whether to check the server's certificate, or the file of an authority to check it by.",
    )
    addressing_style: Literal["auto", "path", "virtual"] = Field(
        default="auto", description="Whether the bucket is named in the path or in the host of a request."
    )
    config_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="More options of botocore's Config: time-outs, retries, proxies."
    )
    s3_additional_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="More arguments of each request: {'ServerSideEncryption': 'aws:kms'}."
    )

    @field_validator("bucket_path")
    @classmethod
    def _check_bucket_path(cls, value: str) -> str:
        return split_bucket_path(value, schemes=("s3", "s3a"), example="my-bucket/results")

    @field_validator("endpoint_url")
    @classmethod
    def _check_endpoint_url(cls, value: str | None) -> str | None:
        return check_endpoint(value)

    @field_validator("config_kwargs", "s3_additional_kwargs")
    @classmethod
    def _hide_secrets(cls, value: dict[str, Any]) -> dict[str, Any]:
        return hidden(value)

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError("aws_access_key_id and aws_secret_access_key go together: give both or neither")
        if self.aws_session_token is not None and self.aws_access_key_id is None:
            raise ValueError("aws_session_token needs aws_access_key_id and aws_secret_access_key")
        if self.aws_access_key_id is not None and self.profile_name is not None:
            raise ValueError("give keys or profile_name, not both")
        if self.anonymous and (self.aws_access_key_id is not None or self.profile_name is not None):
            raise ValueError("anonymous means without keys and without profile_name")
        return self

    def as_storage(self) -> Storage:
        """Return the bucket as a storage. It connects when it is first used; a dead server is an error within seconds.

        Raises:
            ConfigurationError: If s3fs is not installed, or `config_kwargs` has what botocore does not take.
        """
        import_adapter("s3fs", needs="s3fs", extra="aws", slug=self._block_type_slug)
        url = f"s3://{self.bucket_path}"
        return shared("s3", url, self._options, functools.partial(open_s3, url), location=url)

    def _options(self) -> dict[str, Any]:
        """Return what s3fs takes."""
        client = {"region_name": self.region_name, "verify": None if self.verify is True else self.verify}
        options: dict[str, Any] = {
            "key": reveal(self.aws_access_key_id),
            "secret": reveal(self.aws_secret_access_key),
            "token": reveal(self.aws_session_token),
            "profile": self.profile_name,
            "endpoint_url": self.endpoint_url,
            "anon": self.anonymous or None,
            "client_kwargs": {name: value for name, value in client.items() if value is not None} or None,
            "s3_additional_kwargs": revealed(self.s3_additional_kwargs) or None,
        }
        config = revealed(self.config_kwargs)
        if self.addressing_style != "auto":
            config["s3"] = {**config.get("s3", {}), "addressing_style": self.addressing_style}
        return {name: value for name, value in options.items() if value is not None} | {"config_kwargs": config}
