"""The one place that knows paramiko: SFTP with servers that are who they are expected to be."""

import base64
import contextlib
import errno
import io
import logging
import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec import AbstractFileSystem
from fsspec.implementations.sftp import SFTPFileSystem

from entrepot.errors import ConfigurationError, StorageAccessError
from entrepot.storage._known_hosts import known_keys
from entrepot.storage.outage import from_opening, without_userinfo

__all__ = ["open_sftp"]

_SECONDS: Final = 15.0  # for each step of connecting, and for each answer
_PORT: Final = 22
_WINDOW: Final = 2 * 1024 * 1024  # bytes that are asked for before the first of them is there
_KEYS: Final = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


# A server that does not answer is told by our error; without handlers, paramiko's traceback would be printed as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _SureSFTP(SFTPFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's file system, made sure of.

    It connects to a server only if its key is known (by itself it takes any: whoever stands between would get the
    password, and give back what they like), and again where a connection was lost. Each thread has a channel of its
    own: two that wait on one take each other's answers, and hang.
    """

    cachable = False
    absence_is_certain = True  # what is said to be absent is what the server said

    def __init__(
        self,
        host: str,
        *,
        known_hosts: str | None,
        host_key: str | None,
        private_key: str | None = None,  # as text: only such options can be pickled
        **options: Any,
    ) -> None:
        if private_key is not None:
            options["pkey"] = _private(private_key, options.get("passphrase"))
        self._known_hosts = known_hosts
        self._host_key = host_key
        self._lock = threading.Lock()
        super().__init__(host, **options)

    def _connect(self) -> None:
        self.client, self._pid, self._local = self._connected(), os.getpid(), threading.local()

    def _connected(self) -> paramiko.SSHClient:
        port = int(self.ssh_kwargs.get("port") or _PORT)
        name = self.host if port == _PORT else f"[{self.host}]:{port}"
        keys = [_public(self._host_key)] if self._host_key is not None else self._known_keys(name)
        try:
            return self._connected_to(name, keys)
        except paramiko.BadHostKeyException as error:
            if error.key not in keys:
                raise
            return self._connected_to(name, [error.key])  # paramiko takes one key of each kind

    def _known_keys(self, name: str) -> list[Any]:
        if self._known_hosts is not None:
            return known_keys(Path(self._known_hosts), name)
        with contextlib.suppress(OSError):
            return known_keys(Path("~/.ssh/known_hosts").expanduser(), name)
        return []

    def _connected_to(self, name: str, keys: Sequence[Any]) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        first: dict[str, Any] = {}
        for key in keys:
            first.setdefault(key.get_name(), key)
        for kind, key in first.items():  # the first kind is the one that the server is asked for
            client.get_host_keys().add(name, kind, key)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.connect(self.host, **self.ssh_kwargs)
            client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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
            if start is not None or end is not None:
                found: bytes = super().cat_file(path, start, end, **kwargs)
                return found
            with self.ftp.open(path, "rb") as file:
                size = file.stat().st_size or 0
                # Many pieces are asked for together; by itself paramiko waits for one of 8 KiB after the other.
                windows = [(at, min(_WINDOW, size - at)) for at in range(0, size, _WINDOW)]
                whole = b"".join(each for window in windows for each in file.readv([window]))
                if len(whole) != size:
                    raise ConnectionError(f"the file ended at {len(whole)} of {size} bytes")
                return whole

    def rm_file(self, path: str) -> None:
        """Remove a file; as `cat_file`."""
        with self._absent_if_no_file(path):
            self.ftp.remove(path)

    def ls(self, path: str, detail: bool = False) -> Any:  # noqa: FBT001, FBT002  as fsspec
        """List a folder; as `cat_file`."""
        try:
            return super().ls(path, detail)
        except FileNotFoundError:
            raise
        except OSError as error:
            if self._kind(path) == "directory":
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error

    def exists(self, path: str, **kwargs: Any) -> bool:  # noqa: ARG002  as fsspec
        """Say whether something has this name. fsspec would say no where there is no answer, too."""
        return self._kind(path) is not None

    @contextlib.contextmanager
    def _absent_if_no_file(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if self._kind(path) == "file":
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error

    def _kind(self, path: str) -> str | None:
        """Return what has this name, or None where the server says that nothing has; without an answer, raise."""
        try:
            return str(self.info(path)["type"])
        except FileNotFoundError:
            return None
        except OSError as error:
            if type(error) is not OSError or error.errno is not None:
                raise
            # The server answered that it failed: as it does below something that is no folder.
            above = path.rstrip("/").rpartition("/")[0]
            if above and self._kind(above) != "directory":
                return None
            raise

    def makedirs(self, path: str, exist_ok: bool = False, mode: int = 0o777) -> None:  # noqa: FBT001, FBT002  as fsspec
        """Make folders; another writer may make the same ones at the same moment."""
        missing, at = [], path.rstrip("/")
        while at and not self.exists(at):
            missing.append(at)
            at = at.rpartition("/")[0]
        if not missing and not exist_ok:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        for each in reversed(missing):
            try:
                self.ftp.mkdir(each, mode)
            except OSError:
                if self._kind(each) != "directory":
                    raise

    def mv(self, old: str, new: str, **kwargs: Any) -> None:  # noqa: ARG002  as fsspec
        """Move a file to its name; where the server cannot replace, only if there is none of that name."""
        try:
            self.ftp.posix_rename(old, new)
        except FileNotFoundError:
            raise
        except OSError:
            if self._kind(old) is None:
                return  # moved; the answer was lost
            self.ftp.rename(old, new)


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
    for name in ("timeout", "banner_timeout", "auth_timeout", "channel_timeout"):
        arguments.setdefault(name, _SECONDS)
    host = str(arguments.pop("host", None) or parts.hostname)
    known_hosts = arguments.pop("known_hosts", None)
    if known_hosts is not None:
        known_hosts = str(Path(known_hosts).expanduser())
        _check_readable(known_hosts)
    try:
        fs = _SureSFTP(host, known_hosts=known_hosts, host_key=arguments.pop("host_key", None), **arguments)
    except paramiko.BadHostKeyException:
        raise StorageAccessError(
            f"{location} shows another host key than is known of it: somebody may stand between; nothing was sent",
            location=location,
        ) from None
    except paramiko.SSHException as error:
        if "not found in known_hosts" not in str(error):
            raise from_opening(error, location=location) from None
        raise StorageAccessError(
            f"the host key of {location} is not known, so the server may be anybody; if you can trust what"
            f" `ssh-keyscan -p {port} {host}` prints, set host_key to it or add it to ~/.ssh/known_hosts",
            location=location,
        ) from None
    return fs, f"/{unquote(parts.path).strip('/')}"


def _check_readable(known_hosts: str) -> None:
    """Refuse a file of known hosts that cannot be read, before anything is sent."""
    try:
        known_keys(Path(known_hosts), "")
    except OSError as error:
        why = os.strerror(error.errno) if error.errno is not None else type(error).__name__
        raise ConfigurationError(f"cannot read {known_hosts}: {why}", setting="known_hosts") from None


def _public(text: str) -> Any:
    """Return a public key as it stands in files of OpenSSH, with or without a host in front."""
    words = text.split()
    for kind, key in pairwise(words):
        if kind.startswith(("ssh-", "ecdsa-")):
            with contextlib.suppress(ValueError, paramiko.SSHException):
                return paramiko.PKey.from_type_string(kind, base64.b64decode(key, validate=True))
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
