"""Files and folders as values: what counts is what is in them, not what they are called or when they were written.

    @task(cache_policy=INPUTS)
    def load(source: File) -> Table: ...

    load(File("prices.csv"))       computed again when the content is another one, and only then

`File` and `Dir` are paths (`open(file)` works) that say so. Their digest is made when a key is, and so is that of files
that a result refers to, when the result is kept: it is a hit only as long as they are what they were.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from entrepot.hashing._bytes import bytes_form
from entrepot.hashing._encoder import Encoder, Encoding, Refused

__all__ = ["ABSENT", "Dir", "File", "collected_references", "encoding_for", "note_reference", "recorded_state"]

ABSENT: Final = "absent"
"""What `recorded_state` says of what is not there, or cannot be read."""

_collected: ContextVar[dict[str, "_Reference"] | None] = ContextVar("entrepot_references", default=None)


@dataclass(frozen=True, slots=True)
class _Reference:
    """A path whose content is meant.

    Attributes:
        path: As it was given: a relative one is relative to the current folder of whoever uses it.
    """

    path: Path

    def __init_subclass__(cls) -> None:
        if cls.__bases__ != (_Reference,):
            raise TypeError(
                f"{cls.__bases__[0].__name__} cannot be subclassed: what else would count, nobody could say"
            )

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        note_reference(self)
        return type(self), (str(self.path),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        """Let pydantic take paths and texts for one; JSON shows its path."""
        from pydantic_core import core_schema  # noqa: PLC0415  whoever calls this has loaded it

        made = core_schema.no_info_after_validator_function(
            cls, core_schema.union_schema([core_schema.str_schema(min_length=1), core_schema.is_instance_schema(Path)])
        )
        return core_schema.json_or_python_schema(
            json_schema=made,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), made]),
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )


@dataclass(frozen=True, slots=True, repr=False)
class File(_Reference):
    """A file that counts by its content. Its name and folder, its permissions and its times do not.

    A link counts as the file that it leads to. Who reads the name as well (its suffix, say) passes that as an argument
    of its own.

    Args:
        path: Where it is. It need not be there before a key is made.
    """

    @property
    def digest(self) -> str:
        """What is in it, now: 64 hexadecimal digits, the BLAKE3 of its bytes.

        A large file that has not changed since it was last read is not read again.

        Raises:
            OSError: If it is not there, is no regular file, or cannot be read.
        """
        return _digest("File", self.path).hex()


@dataclass(frozen=True, slots=True, repr=False)
class Dir(_Reference):
    """A folder that counts by what is in it, all the way down.

    The names inside it count, what kind of thing each is, the content of files, where links point, and empty folders.
    The name of the folder itself does not, nor do permissions and times. Links are not followed: what they lead to
    counts only if it lies in the folder as well.

    Args:
        path: Where it is. It need not be there before a key is made.
    """

    @property
    def digest(self) -> str:
        """What is in it, now: 64 hexadecimal digits.

        Raises:
            OSError: If it is not there, is no folder, cannot be read, or has something in it that is no file, folder
                or link.
        """
        return _digest("Dir", self.path).hex()


def _digest(kind: str, path: str | os.PathLike[str]) -> bytes:
    from entrepot.hashing import _contents  # noqa: PLC0415  loads SQLite, where content is read

    return _contents.folder_digest(path) if kind == "Dir" else _contents.file_digest(path)


def encoding_for(cls: type) -> Encoding | None:
    """Return how to write a value of this class, or None if this module does not know it."""
    return _encoding if cls in (File, Dir) else None


def _encoding(encoder: Encoder, value: _Reference) -> bytes:
    kind = type(value).__name__
    try:
        digest = _digest(kind, value.path)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        why = getattr(error, "strerror", None) or str(error)
        why = why[:1].lower() + why[1:]
        problem = f"which cannot be read ({why}): {value.path}"
        raise Refused(f"a {kind}", problem, advice="Check the path") from None
    return encoder.named(f"entrepot.{kind}", bytes_form(digest))


# --- results that refer to files --------------------------------------------------------------------------------------


@contextmanager
def collected_references() -> Iterator[dict[str, _Reference]]:
    """Collect the files and folders that are written out in here, by any serializer: by kind and path."""
    found: dict[str, _Reference] = {}
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


def note_reference(reference: _Reference) -> None:
    """Say that a file or folder is written out; serializers that write them in a way of their own call this."""
    found = _collected.get()
    if found is not None:
        found[f"{type(reference).__name__}:{reference.path}"] = reference


def recorded_state(name: str) -> str:
    """Return what a file or folder is now, as short text; `name` is one of those that were collected."""
    kind, _, path = name.partition(":")
    try:
        digest = _digest(kind, path)
    except (OSError, ValueError):
        return ABSENT  # or something else, or not to be read: there is no content to be had from it
    return digest[:16].hex()
