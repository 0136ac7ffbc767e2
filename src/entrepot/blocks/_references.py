"""Secrets that are written down as where they are: `env://NAME`, `file:///run/secrets/x`.

A file of blocks holds no secret, only such references; they are resolved when the file is applied.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from entrepot.errors import BlockFileError

__all__ = ["SCHEMES", "is_reference", "resolve"]

_MAX_SIZE: Final = 1 << 20
_REFERENCE: Final = re.compile(r"([a-z][a-z0-9+-]*)://(.+)\Z", re.ASCII | re.DOTALL)
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z", re.ASCII)


def is_reference(text: str) -> bool:
    """Return whether a text in the place of a secret is a reference to one, by its scheme."""
    match = _REFERENCE.match(text)
    return match is not None and match[1] in SCHEMES


def resolve(reference: str, *, where: str) -> str:
    """Return the secret that a reference names.

    Args:
        reference: For which `is_reference` holds.
        where: Whose it is, for messages.

    Raises:
        BlockFileError: If it is not there, or cannot be read.
    """
    scheme, _, rest = reference.partition("://")
    return SCHEMES[scheme](rest, where)


def _variable(name: str, where: str) -> str:
    if not _VARIABLE.match(name):
        raise BlockFileError(f"{where}: env:// takes the name of a variable, as in env://API_KEY", path="")
    if name not in os.environ:
        raise BlockFileError(f"{where}: the variable {name} is not set; set it, and apply again", path="")
    return os.environ[name]


def _file(rest: str, where: str) -> str:
    path = Path(unquote(urlsplit(f"file://{rest}").path))
    if not rest.startswith("/"):
        raise BlockFileError(f"{where}: file:// takes an absolute path, as in file:///run/secrets/api-key", path="")
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SIZE + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        problem = f"{where}: {path} cannot be read: {reason}"
    else:
        if len(content) <= _MAX_SIZE:
            return text.removesuffix("\n").removesuffix("\r")  # what `echo` and editors put there
        problem = f"{where}: {path} is longer than {_MAX_SIZE} bytes: no secret is"
        del content, text
    raise BlockFileError(problem, path=str(path))


SCHEMES: Final[Mapping[str, Callable[[str, str], str]]] = {"env": _variable, "file": _file}
"""What resolves the rest of a reference, by its scheme."""
