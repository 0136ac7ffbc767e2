"""Objects on any file system that fsspec knows: S3, Google Cloud, Azure, SFTP, and many more."""

import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeAlias, TypeVar

import fsspec
from fsspec import AbstractFileSystem
from fsspec.asyn import AsyncFileSystem
from fsspec.core import url_to_fs

from entrepot.errors import (
    ConfigurationError,
    EntrepotError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from entrepot.plugins.foreign import FILE_SYSTEMS, check_foreign
from entrepot.protocols.storage import Buffer, Buffers, ObjectInfo
from entrepot.storage._buffers import as_views, joined
from entrepot.storage._clouds import AS_STORED, S3_RETRIES, s3_config
from entrepot.storage._dialect import Dialect, SwappingDialect, protocol_of
from entrepot.storage._dialects import dialect_for
from entrepot.storage._ftp import open_ftp
from entrepot.storage._swaps import changed, too_large
from entrepot.storage.outage import (
    Diagnosis,
    Trouble,
    diagnose,
    from_diagnosis,
    from_opening,
    without_frames,
    without_userinfo,
)
from entrepot.storage.paths import RESERVED_PREFIX, check_path, check_prefix, check_range

__all__ = ["FileStorage", "why_unknown"]

_T = TypeVar("_T")
_log = logging.getLogger("entrepot.storage")
_EXTRAS = {"s3": "aws", "s3a": "aws", "gs": "gcp", "gcs": "gcp", "az": "azure", "abfs": "azure", "abfss": "azure"}
_AT_ONCE = 6

_Question: TypeAlias = tuple[str, str, str, str]  # what is asked, and of which store
_verdicts: dict[_Question, bool] = {}
_verdict_locks: dict[_Question, threading.Lock] = {}


def why_unknown(protocol: str) -> str:
    """Say why a protocol opens nothing; "" if fsspec knows it, be its library installed or not."""
    known = fsspec.available_protocols()
    if protocol in known:
        return ""
    near = get_close_matches(protocol, known, n=1, cutoff=0.5)  # half of `s4` is that of `s3`
    return f"no file system is called {protocol!r}" + (f"; did you mean {near[0]!r}?" if near else "")


class FileStorage:
    """A store on an fsspec file system.

    Whether `create` is exclusive depends on the store: AWS, Google and Azure do it, some S3 servers ignore the
    condition, and SFTP and its like have no such thing. A store that is not known is asked once in each process (a
    probe writes a small object twice), and where it is not, a warning says so and `create` looks before it writes.

    Where the answer to a write was lost and the library repeated it, `create` may say that the object exists when it is
    our own.

    A large object is sent to S3 from the buffers as they are, in parts of 8 MiB where that is safe; to Google up to
    64 MiB likewise. Other stores get one joined copy.

    Args:
        fs: The file system; best one of its own, without caches (`from_url` makes one).
        root: The folder in it: for object stores, the bucket and a prefix.
        location: Where this is, for people; by default made of protocol and root.
        bounded: Whether the retries of s3fs itself are left to botocore; this changes `fs`.
    """

    def __init__(self, fs: AbstractFileSystem, root: str, *, location: str = "", bounded: bool = False) -> None:
        self._dialect = dialect_for(fs, root)
        self._location = without_userinfo(location or f"{protocol_of(fs)}://{self._dialect.root}")
        self._bounded = bounded
        self._pid = os.getpid()
        if bounded and type(fs).__module__.startswith("s3fs."):
            fs.retries = S3_RETRIES

    @classmethod
    def from_url(cls, url: str, **storage_options: Any) -> "FileStorage":
        """Return the store that a URL names: `s3://bucket/folder`, `gs://...`, `abfs://...`, `sftp://...`.

        Args:
            url: Protocol and place.
            **storage_options: What the file system of that protocol takes. For S3, time-outs and retries are bounded
                unless `config_kwargs` says otherwise.

        Raises:
            ConfigurationError: If nothing is installed for that protocol, or the URL or an option cannot be used.
            StorageUnreachableError: If it is one that connects at once, and there is no answer.
            PluginDeniedError: If the settings do not allow the distribution whose file system it is.
        """
        protocol = url.partition("://")[0]
        shown = without_userinfo(url)
        if "::" in url:
            raise ConfigurationError(f"{shown}: name the store itself, without '{protocol}::'", setting="storage")
        options = {**_defaults(protocol), **storage_options}
        # Some file systems open another one inside, which an option names: `target_protocol`, `remote_protocol`.
        check_foreign(FILE_SYSTEMS, protocol, *(str(options[name]) for name in options if name.endswith("protocol")))
        try:
            if protocol in {"s3", "s3a"}:
                options["config_kwargs"] = {**s3_config(storage_options), **(options.get("config_kwargs") or {})}
            fs, root = _opened(protocol, url, options)
        except EntrepotError:
            raise
        except ImportError as error:
            extra = _EXTRAS.get(protocol)
            todo = f"install it: pip install 'entrepot[{extra}]'" if extra else f"it needs {error.name or 'a library'}"
            raise ConfigurationError(
                f"nothing installed here can open {shown}; {todo}", setting="storage"
            ) from without_frames(error)
        except (ValueError, TypeError) as error:
            why = why_unknown(protocol) or "its address or an option is not usable"
            raise ConfigurationError(f"cannot open {shown}: {why}", setting="storage") from without_frames(error)
        except OSError as error:  # of those that connect at once: FTP, SFTP, SMB
            raise from_opening(error, location=shown) from None
        return cls(fs, root, location=shown, bounded=True)

    @property
    def location(self) -> str:
        """The URL, without credentials."""
        return self._location

    @property
    def at_once(self) -> int:
        """How many reads at once are of use: several where the library does not wait for one after another."""
        return _AT_ONCE if isinstance(self._dialect.fs, AsyncFileSystem) else 1

    @property
    def creates_exclusively(self) -> bool:
        """Whether `create` is atomic; a store that is not known is asked, once in each process.

        Raises:
            StorageError: If it had to be asked and did not answer.
        """
        return self._verdict(
            "creates",
            lambda dialect: dialect.claims,
            self._probe,
            "%s does not create objects exclusively: of two writers at the same moment, both may think that they won,"
            " and the later one's object stays",
        )

    def can_swap(self) -> bool:
        """Return whether `swap` heeds its condition; a store that is not known is asked, once in each process.

        Raises:
            StorageError: If it had to be asked and did not answer.
        """
        return self._verdict(
            "swaps",
            lambda dialect: isinstance(dialect, SwappingDialect) and dialect.swaps,
            self._probe_swap,
            "%s cannot replace an object only if it is still the one that was read: equal calls in several processes"
            " do not wait for each other there",
        )

    def get_tagged(self, path: str, *, limit: int | None = None) -> tuple[Buffer, str]:
        """Return an object's bytes and its tag.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
            IntegrityError: If it is larger than `limit`.
            StorageError: If it did not, or refused, or cannot swap.
        """
        self._check(path)
        swapping = self._swapping()
        most = None if limit is None else limit + 1
        try:
            content, tag = self._guarded(path, "read", lambda: swapping.read_tagged(path, most))
        except _PastEndError:  # of an empty object there are no first bytes
            content, tag = self._guarded(path, "read", lambda: swapping.read_tagged(path, None))
        if limit is not None and len(content) > limit:
            raise too_large(path, limit, location=self._location)
        return content, tag

    def swap(self, path: str, data: Buffers, tag: str | None) -> str:
        """Write an object if the one in its place has this tag.

        Raises:
            ObjectExistsError: If `tag` is None and there is one.
            ObjectChangedError: If there is another one, or none.
            StorageError: If it was not written, or the store cannot swap.
        """
        self._check(path)
        content = joined(data)
        swapping = self._swapping()
        try:
            return self._guarded(path, "create" if tag is None else "swap", lambda: swapping.swap(path, content, tag))
        except (ObjectExistsError, ObjectNotFoundError) as error:
            if tag is None:
                raise
            raise changed(path, location=self._location) from error

    def get(self, path: str, *, start: int = 0, length: int | None = None) -> Buffer:
        """Return an object's bytes, or those from `start`, at most `length`.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
            StorageError: If it did not, or refused.
        """
        self._check(path)
        check_range(start, length, location=self._location)
        if length == 0:
            self.stat(path)
            return b""
        try:
            content = self._guarded(
                path, "read", lambda: self._speaking().read(path, start, None if length is None else start + length)
            )
        except _PastEndError:
            return b""
        # A server that does not know ranges sends everything.
        if length is not None and len(content) > length:
            return memoryview(content)[start : start + length]
        return content

    def put(self, path: str, data: Buffers) -> None:
        """Write an object, replacing what is there.

        Raises:
            StorageFullError: If there is no room.
            StorageError: If it was not written.
        """
        self._check(path)
        views = as_views(data)
        self._guarded(path, "write", lambda: self._speaking().write(path, views, exclusive=False))

    def create(self, path: str, data: Buffers) -> None:
        """Write an object only if there is none.

        Raises:
            ObjectExistsError: If there is one; it is left as it is.
            StorageFullError: If there is no room.
            StorageError: If it was not written.
        """
        self._check(path)
        views = as_views(data)
        exclusive = self.creates_exclusively
        if not exclusive:
            with contextlib.suppress(ObjectNotFoundError):
                self.stat(path)
                raise ObjectExistsError(
                    f"{self._location} has an object {path!r} already", path=path, location=self._location
                )
        self._guarded(path, "create", lambda: self._speaking().write(path, views, exclusive=exclusive))

    def delete(self, path: str) -> None:
        """Remove an object; where there is none, do nothing.

        Raises:
            StorageError: If it could not be removed.
        """
        self._check(path)
        with contextlib.suppress(ObjectNotFoundError):
            self._guarded(path, "delete", lambda: self._speaking().remove(path))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects below the folder `prefix`.

        Raises:
            StorageError: If they cannot be listed.
        """
        check_prefix(prefix, location=self._location)
        return self._listed(prefix)

    def stat(self, path: str) -> ObjectInfo:
        """Return size and time of an object.

        Raises:
            ObjectNotFoundError: If the store answered that there is none.
            StorageError: If it did not, or refused.
        """
        self._check(path)
        return self._guarded(path, "read", lambda: self._speaking().stat(path))

    def __repr__(self) -> str:
        return f"FileStorage({self._location!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle writes: the file system with its options, credentials included.

        Whoever gets the pickle can use the store, as a worker process must. So it is for pipes, not for disks: the
        serializers of results refuse it.
        """
        return _restored, (self._dialect.fs, self._dialect.root, self._location, self._bounded)

    # --- between us and the library ----------------------------------------------------------------------------------

    def _speaking(self) -> Dialect:
        """Return the dialect; after a fork with a file system of its own, since connections cannot be shared."""
        if self._pid != os.getpid():
            fs = self._dialect.fs
            again = type(fs)(*fs.storage_args, skip_instance_cache=True, **fs.storage_options)
            self.__init__(again, self._dialect.root, location=self._location, bounded=self._bounded)  # type: ignore[misc]
        return self._dialect

    def _check(self, path: str) -> None:
        check_path(path, location=self._location)
        self._dialect.check(path)

    def _swapping(self) -> SwappingDialect:
        dialect = self._speaking()
        if isinstance(dialect, SwappingDialect) and self.can_swap():
            return dialect
        raise StorageError(
            f"{self._location} cannot replace an object only if it is still the one that was read",
            location=self._location,
        )

    def _verdict(
        self, question: str, known: Callable[[Dialect], bool | None], probe: Callable[[Dialect], bool], warning: str
    ) -> bool:
        dialect = self._speaking()
        place = (question, type(dialect.fs).__qualname__, dialect.endpoint, dialect.bucket or dialect.root)
        if place not in _verdicts:
            with _verdict_locks.setdefault(place, threading.Lock()):
                if place not in _verdicts:
                    claims = self._guarded("", "ask", lambda: known(dialect))
                    _verdicts[place] = probe(dialect) if claims is None else claims
                    if not _verdicts[place]:
                        _log.warning(warning, self._location)
        return _verdicts[place]

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        with contextlib.suppress(ObjectNotFoundError):  # no such folder
            yield from self._guarded(prefix, "list", lambda: self._all(prefix))

    def _all(self, prefix: str) -> Sequence[ObjectInfo]:
        found = [*self._speaking().list(prefix)]
        if not found and not self._dialect.has_root():
            # Libraries answer "nothing" for a bucket that is not there, too.
            raise self._error(Diagnosis(Trouble.NO_ROOT, "not found", certain=True), prefix, "list")
        return found

    def _guarded(self, path: str, doing: str, act: Callable[[], _T]) -> _T:
        """Do it, and put what goes wrong in our words."""
        try:
            return act()
        except EntrepotError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a client raises is put in our words
            raise self._translated(error, path, doing) from without_frames(error)

    def _translated(self, error: Exception, path: str, doing: str) -> Exception:
        diagnosis = diagnose(error)
        trouble = diagnosis.trouble
        if trouble is Trouble.ABSENT and not diagnosis.certain:
            try:
                if not self._dialect.has_root():
                    return self._error(Diagnosis(Trouble.NO_ROOT, diagnosis.said, certain=True), path, doing)
            except Exception as worse:  # noqa: BLE001  the same
                return self._error(diagnose(worse), path, doing)
        if trouble is Trouble.RANGE and doing == "read":
            return _PastEndError()
        expected = {
            Trouble.EXISTS: doing in {"create", "swap"},
            Trouble.ABSENT: doing in {"read", "delete", "list", "swap"},
        }
        if not expected.get(trouble, True):
            diagnosis = Diagnosis(Trouble.OTHER, diagnosis.said, certain=True)
        return self._error(diagnosis, path, doing)

    def _error(self, diagnosis: Diagnosis, path: str, doing: str) -> StorageError:
        return from_diagnosis(
            diagnosis, location=self._location, path=path, doing=doing, endpoint=self._dialect.endpoint
        )

    def _probe(self, dialect: Dialect) -> bool:
        """Ask the store, by writing one object twice on the condition that there is none.

        A store that does not know conditions may ignore them, or refuse them; one that refuses any write is in trouble.
        """
        name = f"{RESERVED_PREFIX}probe-{os.urandom(12).hex()}"  # so that no listing shows it
        content = [memoryview(b"1")]
        try:
            for _ in range(2):
                try:
                    dialect.write(name, content, exclusive=True)
                except Exception as error:  # noqa: BLE001  the same
                    trouble = diagnose(error).trouble
                    if trouble is Trouble.EXISTS:
                        return True
                    if trouble is not Trouble.OTHER:
                        raise self._translated(error, "", "write to") from without_frames(error)
                    self._guarded("", "write to", lambda: dialect.write(name, content, exclusive=False))
                    return False
            return False
        finally:
            with contextlib.suppress(Exception):  # an account that may not delete leaves it: one byte, never listed
                dialect.remove(name)

    def _probe_swap(self, dialect: Dialect) -> bool:
        """Ask the store, by writing one object on the condition that it is another one."""
        if not isinstance(dialect, SwappingDialect):
            return False
        name = f"{RESERVED_PREFIX}probe-{os.urandom(12).hex()}"
        try:
            self._guarded("", "write to", lambda: dialect.write(name, [memoryview(b"1")], exclusive=False))
            _, tag = self._guarded("", "read", lambda: dialect.read_tagged(name, None))
            tag = self._guarded("", "write to", lambda: dialect.swap(name, b"22", tag))
            self._guarded("", "write to", lambda: dialect.write(name, [memoryview(b"333")], exclusive=False))
            try:
                dialect.swap(name, b"4444", tag)
            except Exception as error:  # noqa: BLE001  whatever a client raises
                trouble = diagnose(error).trouble
                if trouble is Trouble.EXISTS:
                    return True
                if trouble is not Trouble.OTHER:
                    raise self._translated(error, "", "write to") from without_frames(error)
            return False
        finally:
            with contextlib.suppress(Exception):
                dialect.remove(name)


class _PastEndError(Exception):
    """The object is there, and ends before the range."""


def _opened(protocol: str, url: str, options: Mapping[str, Any]) -> tuple[AbstractFileSystem, str]:
    if protocol in {"gs", "gcs"}:
        # The class that fsspec names also asks another service of Google's about each bucket, which no other server
        # has, and waits a minute for its answer.
        gcs = importlib.import_module("gcsfs.core").GCSFileSystem
        options = {"session_kwargs": AS_STORED, **options}
        return gcs(skip_instance_cache=True, **options), gcs._strip_protocol(url)  # noqa: SLF001  fsspec's own way
    if protocol in {"sftp", "ssh"}:
        sftp = importlib.import_module("entrepot.storage._sftp")  # the one that looks who the server is
        found: tuple[AbstractFileSystem, str] = sftp.open_sftp(url, options)
        return found
    if protocol == "ftp":
        return open_ftp(url, options)
    if protocol in {"http", "https"}:
        client = options.get("client_kwargs") or {}
        headers = {**AS_STORED["headers"], **(client.get("headers") or {})}
        options = {**options, "client_kwargs": {**AS_STORED, **client, "headers": headers}}
    opened: tuple[AbstractFileSystem, str] = url_to_fs(url, skip_instance_cache=True, **options)
    return opened


def _defaults(protocol: str) -> dict[str, Any]:
    """Return options for the families that keep listings; others would hand them to libraries that choke on them."""
    return {"use_listings_cache": False} if protocol in _EXTRAS else {}


def _restored(fs: AbstractFileSystem, root: str, location: str, bounded: bool) -> FileStorage:  # noqa: FBT001  pickle
    return FileStorage(fs, root, location=location, bounded=bounded)
