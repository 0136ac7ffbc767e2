"""What a path below `block://` means: the type and the name of a block, and a path inside it that stays there."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from entrepot._names import check_name
from entrepot.errors import InvalidNameError, InvalidPathError
from entrepot.storage.paths import check_path

__all__ = ["BlockPath", "child_of", "parse"]

_MOST_DECODINGS: Final = 5


@dataclass(frozen=True, slots=True)
class BlockPath:
    """A path, taken apart.

    Attributes:
        slug: The type of the block; "" for the topmost folder.
        name: Its name; "" for the folder of a type.
        inside: The path below the block's own folder; "" for that folder.
    """

    slug: str = ""
    name: str = ""
    inside: str = ""

    @property
    def root(self) -> str:
        """The folder of the block: `TYPE/NAME`."""
        return f"{self.slug}/{self.name}"

    @property
    def text(self) -> str:
        """The path as one text."""
        return "/".join(part for part in (self.slug, self.name, self.inside) if part)

    @property
    def url(self) -> str:
        """The path as a URL."""
        return f"block://{self.text}"


def parse(path: str) -> BlockPath:
    """Return what a path means; it has no protocol, and no slashes at its ends.

    Raises:
        InvalidNameError: If type or name cannot be one.
        InvalidPathError: If the rest is no path of an object: it has a `..`, an empty component, a control character.
            So it is with a `..` that is encoded (`%2e%2e`, at any depth): some servers decode what they are sent.
    """
    slug, _, rest = path.partition("/")
    name, _, inside = rest.partition("/")
    try:
        if slug:
            check_name(slug, what="block type")
        if name or "/" in path:
            check_name(name)
    except InvalidNameError as error:
        error.add_note("a URL of this kind is block://TYPE/NAME/PATH, as in block://s3/prod/sales.parquet")
        raise
    if inside:
        location = f"block://{slug}/{name}"
        check_path(inside, location=location)
        _check_decoded(inside, location)
    return BlockPath(slug, name, inside)


def child_of(folder: str, path: str) -> str:
    """Return the path of what lies directly in a folder, on the way to something below it."""
    return folder + "/" + path[len(folder) + 1 :].partition("/")[0]


def _check_decoded(path: str, location: str) -> None:
    decoded = path
    for _ in range(_MOST_DECODINGS):
        if "%" not in decoded:
            return
        decoded = unquote(decoded)
        if {".", ".."} & set(decoded.replace("\\", "/").split("/")):
            raise InvalidPathError(
                f"{path[:80]!r} cannot be the path of an object: it has an encoded '.' or '..' component",
                path=path,
                location=location,
            )
