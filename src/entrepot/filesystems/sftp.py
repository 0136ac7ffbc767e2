"""A folder on a server, by SFTP."""

import functools
from typing import Any, ClassVar, Self
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator, model_validator

from entrepot.filesystems._locations import check_folder
from entrepot.filesystems.base import StorageBlock, import_adapter, reveal, shared
from entrepot.protocols.storage import Storage
from entrepot.storage import open_storage

__all__ = ["SFTP"]


class SFTP(StorageBlock):
    """A folder on a server that speaks SFTP (SSH).

    The server must show a host key that is known: one given here, or one in `known_hosts`. Without a password or a
    private key, the keys of the SSH agent and of `~/.ssh` are tried. Needs `pip install "entrepot[sftp]"`.
    """

    _block_type_name: ClassVar[str] = "SFTP"
    _block_type_slug: ClassVar[str] = "sftp"
    _description: ClassVar[str] = "Keep results and files in a folder on a server, by SFTP."

    host: str = Field(min_length=1, description="Name or address of the server.")
    port: int = Field(default=22, ge=1, le=65535, description="Its port.")
    path: str = Field(default="", description="The folder there, from the root: '/srv/results'.")
    username: str | None = Field(default=None, description="Who logs in; by default who you are here.")
    password: SecretStr | None = Field(default=None, description="The password.")
    private_key: SecretStr | None = Field(default=None, description="The text of a private key (OpenSSH or PEM).")
    passphrase: SecretStr | None = Field(default=None, description="What opens the private key.")
    host_key: str | None = Field(
        default=None, description="The server's public key as ssh-keyscan prints it: 'ssh-ed25519 AAAA...'."
    )
    known_hosts: str | None = Field(
        default=None, description="A file of known host keys; by default ~/.ssh/known_hosts."
    )

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if any(mark in "/?#@[]%\\" or mark.isspace() or not mark.isprintable() for mark in value):
            raise ValueError("write the name or the address alone; the user, the port and the folder have their fields")
        return value

    @field_validator("path")
    @classmethod
    def _check_path(cls, value: str) -> str:
        check_folder(value.strip("/"))
        return value.strip("/")

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.passphrase is not None and self.private_key is None:
            raise ValueError("there is a passphrase, but no private key that it opens")
        return self

    def as_storage(self) -> Storage:
        """Return the folder as a storage. It connects at once.

        Raises:
            ConfigurationError: If paramiko is not installed, or a key cannot be read.
            StorageUnreachableError: If there is no answer.
            StorageAccessError: If the server's key is not the known one, or it does not let this user in.
        """
        import_adapter("paramiko", needs="paramiko", extra="sftp", slug=self._block_type_slug)
        host = f"[{self.host}]" if ":" in self.host else self.host
        location = f"sftp://{host}:{self.port}/{quote(self.path)}"
        return shared("sftp", location, self._options, functools.partial(open_storage, location), location=location)

    def _options(self) -> dict[str, Any]:
        """Return what opens the connection."""
        options = {
            "username": self.username,
            "password": reveal(self.password),
            "private_key": reveal(self.private_key),
            "passphrase": reveal(self.passphrase),
            "host_key": self.host_key,
            "known_hosts": self.known_hosts,
        }
        found: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        if self.password is not None or self.private_key is not None:
            found.update(allow_agent=False, look_for_keys=False)  # only what is given here
        return found
