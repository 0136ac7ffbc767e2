"""A value's bytes as they are kept, for other programs: verified, then written to stdout or into a file."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from entrepot.cli.output import ok
from entrepot.cli.records import size_text
from entrepot.errors import DamagedResultError, IntegrityError, OptionError, PluginError
from entrepot.results.payloads import read_payload
from entrepot.results.record import Record
from entrepot.results.store import ResultStore
from entrepot.serializers import get_serializer

__all__ = ["write_payload_of"]


def write_payload_of(store: ResultStore, record: Record, output: Path | None) -> None:
    """Write the bytes of a value; nothing opens them.

    Args:
        store: Where it is.
        record: Its record, which was verified.
        output: A file, which is replaced once all is written; None for stdout.

    Raises:
        DamagedResultError: If they are not what was written.
        OptionError: If they are no text and would go to a terminal, or the file cannot be written.
        StorageError: If the store cannot be read.
    """
    if output is None and sys.stdout.isatty() and not _is_text(record):
        raise OptionError(
            f"these are {size_text(record.size)} of {record.serializer}, which is nothing for a terminal: give"
            " --output FILE, or send them elsewhere (| or >)",
            option="--payload",
        )
    data = _bytes(store, record)
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        _write_file(output, lambda descriptor: _write_all(descriptor, data))
    except OSError as error:
        raise OptionError(f"--output: {output} cannot be written: {error.strerror}", option="--output") from error
    ok(f"wrote {size_text(record.size)} to {output}")


def _bytes(store: ResultStore, record: Record) -> memoryview:
    if record.payload is None:  # inside the record, whose signature covers it
        value = record.value or b""
        return memoryview(value.encode() if isinstance(value, str) else value)
    try:
        return read_payload(
            store.storage, record.payload, size=record.size, digest=record.digest, ring=store.keys(), mapped=True
        )
    except IntegrityError as error:
        raise DamagedResultError(str(error), location=error.location, key=record.key) from error


def _is_text(record: Record) -> bool:
    try:
        return get_serializer(record.serializer).is_text
    except PluginError:
        return False


def _write_file(path: Path, write: Callable[[int], None]) -> None:
    """Write a file beside its place, then put it there; what is no plain file (a pipe, a device) is written into."""
    path = path.resolve()  # of a link, the file that it leads to is replaced
    if path.exists() and not path.is_file():
        descriptor = os.open(path, os.O_WRONLY)
        try:
            write(descriptor)
        finally:
            os.close(descriptor)
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        try:
            write(descriptor)
            os.fchmod(descriptor, 0o666 & ~_umask())
        finally:
            os.close(descriptor)
        os.replace(name, path)  # noqa: PTH105  both are names here
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
