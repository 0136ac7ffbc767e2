"""The one place that knows paramiko: SFTP with servers that are who they are expected to be."""

import base64
import contextlib
import errno
import io
import os
import threading
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec import AbstractFileSystem
from fsspec.implementations.sftp import SFTPFileSystem

from entrepot.errors import ConfigurationError, StorageAccessError
from entrepot.storage.outage import from_opening, without_userinfo

__all__ = ["open_sftp"]

_SECONDS: Final = 15.0  # for each step of connecting, and for each answer
_PORT: Final = 22
_KEYS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


class _SureSFTP(SFTPFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's file system, made sure of.

    It connects to a server only if its key is known (by itself it takes any: whoever stands between would get the
    password, and give back what they like), and again where a connection was lost. Each thread has a channel of its
    own: two that wait on one take each other's answers, and hang.
    """

    cachable = False

    def __init__(self, host: str, *, known_hosts: str | None, host_key: str | None, **options: Any) -> None:
        self._known_hosts = known_hosts
        self._host_key = host_key
        self._lock = threading.Lock()
        super().__init__(host, **options)

    def _connect(self) -> None:
        self.client, self._pid, self._local = self._connected(), os.getpid(), threading.local()

    def _connected(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        if self._host_key is None:
            client.load_system_host_keys(self._known_hosts)
        else:
            port = int(self.ssh_kwargs.get("port") or _PORT)
            name = self.host if port == _PORT else f"[{self.host}]:{port}"
            client.get_host_keys().add(name, *_public(self._host_key))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.connect(self.host, **self.ssh_kwargs)
        except BaseException:
            client.close()
            raise
        return client

    @property
    def ftp(self) -> Any:
        """The channel of this thread. A child process makes a connection of its own, for the same reason."""
        local = self._local
        if self._pid == os.getpid() and getattr(local, "ftp", None) is not None:
            channel = local.ftp.get_channel()
            if not channel.closed and channel.get_transport().is_active():
                return local.ftp
        with self._lock:
            transport = self.client.get_transport()
            if self._pid != os.getpid() or transport is None or not transport.is_active():
                self._connect()
            client = self.client
            try:
                ftp = client.open_sftp()
            except paramiko.ChannelException:  # servers have a limit of channels for a connection
                client = self._connected()
                ftp = client.open_sftp()
        ftp.get_channel().settimeout(_SECONDS)
        self._local.ftp, self._local.client = ftp, client  # who lets go of a client closes its connection
        return ftp

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the bytes of a file; what is no file is not there: servers say no more than that it failed."""
        with self._absent_if_no_file(path):
            found: bytes = super().cat_file(path, start, end, **kwargs)
        return found

    def rm_file(self, path: str) -> None:
        """Remove a file; as `cat_file`."""
        with self._absent_if_no_file(path):
            self.ftp.remove(path)

    @contextlib.contextmanager
    def _absent_if_no_file(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if self.isfile(path):
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error

    def makedirs(self, path: str, exist_ok: bool = False, mode: int = 0o777) -> None:  # noqa: FBT001, FBT002  as fsspec
        """Make folders; another writer may make the same ones at the same moment."""
        try:
            super().makedirs(path, exist_ok, mode)
        except OSError:
            if not exist_ok:
                raise
            for _ in range(path.count("/")):  # each time at least one more of them is there
                with contextlib.suppress(OSError):
                    super().makedirs(path, exist_ok, mode)
                    return
            raise


def open_sftp(url: str, options: Mapping[str, Any]) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a server, connected, and a folder in it.

    Args:
        url: `sftp://host:port/folder`; a user name and a password in it count as options.
        options: What paramiko's `SSHClient.connect` takes; `known_hosts`, a file of them (by default
            `~/.ssh/known_hosts`); `host_key`, such as `ssh-ed25519 AAAA...`, instead of it; `private_key`, the text of
            one, with `passphrase`.

    Raises:
        StorageAccessError: If the server has another key than is known of it, or none is known; or lets nobody in.
        StorageUnreachableError: If there is no answer.
        ConfigurationError: If the host key or the private key cannot be read.
    """
    parts = urlsplit(url)
    given = {"username": parts.username, "password": parts.password, "port": parts.port}
    arguments: dict[str, Any] = {
        name: unquote(value) if isinstance(value, str) else value for name, value in given.items() if value
    }
    arguments.update(options)
    location, port = without_userinfo(url), int(arguments.get("port") or _PORT)
    text = arguments.pop("private_key", None)
    if text is not None:
        arguments["pkey"] = _private(str(text), arguments.get("passphrase"))
    for name in ("timeout", "banner_timeout", "auth_timeout", "channel_timeout"):
        arguments.setdefault(name, _SECONDS)
    host = str(arguments.pop("host", None) or parts.hostname)
    try:
        fs = _SureSFTP(
            host,
            known_hosts=arguments.pop("known_hosts", None),
            host_key=arguments.pop("host_key", None),
            **arguments,
        )
    except paramiko.BadHostKeyException:
        raise StorageAccessError(
            f"{location} shows another host key than is known of it: somebody may stand between; nothing was sent",
            location=location,
        ) from None
    except FileNotFoundError as error:
        raise ConfigurationError(f"cannot read {error.filename}: no such file", setting="known_hosts") from None
    except paramiko.SSHException as error:
        if "not found in known_hosts" not in str(error):
            raise from_opening(error, location=location) from None
        raise StorageAccessError(
            f"the host key of {location} is not known, so the server may be anybody; if you can trust what"
            f" `ssh-keyscan -p {port} {host}` prints, set host_key to it or add it to ~/.ssh/known_hosts",
            location=location,
        ) from None
    return fs, f"/{unquote(parts.path).strip('/')}"


def _public(text: str) -> tuple[str, Any]:
    """Return kind and key of a public key as it stands in files of OpenSSH, with or without a host in front."""
    words = text.split()
    for kind, key in pairwise(words):
        if kind.startswith(("ssh-", "ecdsa-")):
            with contextlib.suppress(ValueError, paramiko.SSHException):
                return kind, paramiko.PKey.from_type_string(kind, base64.b64decode(key, validate=True))
    raise ConfigurationError(
        "the host key cannot be read: write it as ssh-keyscan prints it, 'ssh-ed25519 AAAA...'", setting="host_key"
    )


def _private(text: str, passphrase: str | None) -> Any:
    """Return a private key that was given as text; it is not repeated."""
    for kind in _KEYS:
        with contextlib.suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text), password=passphrase)
    raise ConfigurationError(
        "the private key cannot be read: it is none of Ed25519, ECDSA or RSA, or its passphrase is another one",
        setting="private_key",
    )
