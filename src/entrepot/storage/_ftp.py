"""The dialect of FTP: what the server said, and not what fsspec makes of it.

There, whatever goes wrong with a listing or a download means that nothing is there: no data connection, a busy server,
a lost log-in. So the server is spoken to here, on the connection that fsspec has made.
"""

import contextlib
import errno
import ftplib
import os
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fsspec import AbstractFileSystem
from fsspec.implementations.ftp import FTPFileSystem
from fsspec.implementations.ftp import _mlsd2 as long_listing

from entrepot.errors import ConfigurationError, StorageAccessError
from entrepot.protocols.storage import Buffer, ObjectInfo
from entrepot.storage._folders import Folders
from entrepot.storage.outage import without_userinfo
from entrepot.storage.paths import RESERVED_PREFIX, is_path

__all__ = ["Ftp", "open_ftp"]

_PIECE: Final = 1 << 16
_NOT_KNOWN: Final = ("500", "502", "504")
_NO_ROOM: Final = ("452", "552")


class _SureFTP(FTPFileSystem):  # type: ignore[misc]  # fsspec has no types
    """fsspec's file system; where it encrypts, it looks whose certificate that is, and then says the password."""

    def _connect(self) -> None:
        if not self.tls:
            super()._connect()
            return
        known = ssl.create_default_context()
        self.ftp = ftplib.FTP_TLS(timeout=self.timeout, encoding=self.encoding, context=known)  # noqa: S321  encrypted
        self.ftp.connect(self.host, self.port)
        self.ftp.login(*self.cred)


def open_ftp(url: str, options: Mapping[str, Any]) -> tuple[AbstractFileSystem, str]:
    """Return the file system of a server, connected, and a folder in it.

    Args:
        url: `ftp://host:port/folder`; a user name and a password in it count as options.
        options: What fsspec's file system takes; `tls=True` to encrypt.

    Raises:
        ConfigurationError: If `tls` is something else: fsspec has kinds of it that look at no certificate.
        StorageAccessError: If the certificate is not one of the server, or nobody is let in.
        OSError: If there is no answer.
    """
    given = {**FTPFileSystem._get_kwargs_from_urls(url), **options}  # noqa: SLF001  fsspec's own way
    if not isinstance(given.get("tls", False), bool):
        raise ConfigurationError("write tls=True: other kinds look at no certificate", setting="tls")
    location = without_userinfo(url)
    try:
        with _our_words():
            return _SureFTP(**given), FTPFileSystem._strip_protocol(url)  # noqa: SLF001  the same
    except ssl.SSLCertVerificationError as error:
        raise StorageAccessError(
            f"the certificate of {location} is not valid for it: {error.verify_message}; check the address, or name the"
            " authority in SSL_CERT_FILE",
            location=location,
        ) from None


class Ftp(Folders):
    """A server that speaks FTP. One thread at a time speaks to it; what was lost is connected again."""

    def __init__(self, fs: AbstractFileSystem, root: str) -> None:
        super().__init__(fs, root)
        self._lock = threading.RLock()
        self._lists_for_machines = True

    def read(self, path: str, start: int, end: int | None) -> Buffer:
        """Return the bytes from `start` up to `end`; only what the server says was sent whole."""
        key = self._key(path)
        content = bytearray()
        with self._turn() as ftp:
            try:
                ftp.voidcmd("TYPE I")
                with ftp.transfercmd(f"RETR {key}", rest=start or None) as source:
                    while end is None or len(content) < end - start:
                        piece = source.recv(_PIECE)
                        if not piece:
                            break
                        content += piece
                    else:
                        source.close()  # there may be more, which the server then notes
                        with contextlib.suppress(ftplib.error_temp):
                            ftp.voidresp()
                        return bytes(content[: end - start])
                    _say_goodbye(source)
                ftp.voidresp()
            except ftplib.error_perm:
                if start and start >= self._file(path).size:
                    return b""
                self._file(path)
                raise
        return bytes(content)

    def write(self, path: str, views: Sequence[memoryview], *, exclusive: bool) -> None:  # noqa: ARG002  claims is False
        """Write a file beside its place and move it there."""
        key = self._key(path)
        folder = key.rpartition("/")[0]
        temp = f"{folder}/{RESERVED_PREFIX}{os.urandom(12).hex()}"
        with self._turn() as ftp:
            self._make(ftp, folder)
            try:
                ftp.voidcmd("TYPE I")
                with ftp.transfercmd(f"STOR {temp}") as target:
                    for view in views:
                        target.sendall(view)
                    _say_goodbye(target)
                ftp.voidresp()
                try:
                    ftp.rename(temp, key)
                except ftplib.error_perm:
                    if self._facts(key) is None:
                        raise  # else it may refuse to replace
                    ftp.delete(key)
                    ftp.rename(temp, key)
            except ftplib.error_perm:
                with contextlib.suppress(ftplib.Error):
                    ftp.delete(temp)
                raise

    def remove(self, path: str) -> None:
        """Remove a file; a `FileNotFoundError` is fine."""
        key = self._key(path)
        with self._turn() as ftp:
            try:
                ftp.delete(key)
            except ftplib.error_perm:
                self._file(path)
                raise

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the files below a folder."""
        pending = [prefix]
        while pending:
            folder = pending.pop()
            for name, facts in self._entries(self._key(folder)).items():
                path = f"{folder}/{name}" if folder else name
                if not is_path(path):
                    continue  # no server leads out of the folder, nor round in it
                if facts["type"] == "dir":
                    pending.append(path)
                else:
                    yield _info(path, facts)

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of a file."""
        return self._file(path)

    def has_root(self) -> bool:
        """An absent root is an empty store; that it is absent, the server has said."""
        return True

    @contextlib.contextmanager
    def _turn(self) -> Iterator[ftplib.FTP]:
        """Lend the connection, once it has shown that it is alive.

        Raises:
            ConnectionError: If there is none, it was lost, or the server says: not now.
            PermissionError: If it refuses.
        """
        with self._lock, _our_words():
            try:
                self.fs.ftp.voidcmd("NOOP")
            except (OSError, EOFError, AttributeError, ftplib.Error):  # closed, it has no socket to ask
                self._connect()
            try:
                yield self.fs.ftp
            except (ftplib.error_perm, FileNotFoundError, PermissionError):
                raise  # an answer, and nothing more comes
            except BaseException:
                self.fs.ftp.close()  # what comes late would be taken for another answer
                raise

    def _connect(self) -> None:
        self.fs.ftp.close()
        try:
            self.fs._connect()  # noqa: SLF001  as it did when it was made
            if self.fs.tls:
                self.fs.ftp.prot_p()
        except BaseException:
            self.fs.ftp.close()  # connected, perhaps, and not logged in
            raise

    def _file(self, path: str) -> ObjectInfo:
        facts = self._facts(self._key(path))
        if facts is None or facts["type"] != "file":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        return _info(path, facts)

    def _facts(self, key: str) -> dict[str, str] | None:
        """Return what is known of a file or folder, or None where the folder above does not have it."""
        folder, _, name = key.rpartition("/")
        return self._entries(folder or "/").get(name)

    def _entries(self, folder: str) -> dict[str, dict[str, str]]:
        """Return what is in a folder, by name; nothing where there is none."""
        folder = folder or "/"
        with self._turn() as ftp:
            try:
                found = self._listed(ftp, folder)
            except ftplib.error_perm:
                if folder == "/":
                    raise
                facts = self._facts(folder)
                if facts is not None and facts["type"] == "dir":
                    raise
                return {}
        return {name: facts for name, facts in found if facts.get("type") in {"file", "dir"}}

    def _listed(self, ftp: ftplib.FTP, folder: str) -> Sequence[tuple[str, dict[str, str]]]:
        if self._lists_for_machines:
            try:
                return [*ftp.mlsd(folder)]
            except ftplib.error_perm as error:
                if not str(error).startswith(_NOT_KNOWN):
                    raise
                self._lists_for_machines = False
        found: Sequence[tuple[str, dict[str, str]]] = long_listing(ftp, folder)
        return found

    def _make(self, ftp: ftplib.FTP, folder: str) -> None:
        missing = []
        while folder and self._facts(folder) is None:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        for each in reversed(missing):
            try:
                ftp.mkd(each)
            except ftplib.error_perm:
                if self._facts(each) is None:  # nor did another writer make it
                    raise


@contextlib.contextmanager
def _our_words() -> Iterator[None]:
    """Put what ftplib raises in Python's own words, which say what it means."""
    try:
        yield
    except ftplib.Error as error:
        code = str(error)[:3]
        if code in _NO_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        if isinstance(error, ftplib.error_perm):
            raise PermissionError(errno.EACCES, f"the server answered {code}") from None
        raise ConnectionError(f"the server answered {code}") from None
    except EOFError:
        raise ConnectionError("the server hung up") from None


def _say_goodbye(connection: object) -> None:
    if isinstance(connection, ssl.SSLSocket):
        connection.unwrap()


def _info(path: str, facts: dict[str, str]) -> ObjectInfo:
    modified = None
    with contextlib.suppress(ValueError):
        modified = datetime.strptime(facts.get("modify", "")[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return ObjectInfo(path, int(facts["size"]), modified)
