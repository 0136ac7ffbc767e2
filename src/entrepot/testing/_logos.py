"""Whether the logo of a plugin is one that others can show without harm."""

import re
from pathlib import Path
from typing import Final

__all__ = ["logo_trouble"]

_LARGEST: Final = 256 * 1024  # bytes
_PICTURES: Final = frozenset({".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp"})
# Scripts, handlers of events, other documents, and what is fetched from elsewhere: a picture needs none of them.
_ACTIVE: Final = re.compile(
    rb"<script|\son[a-z]+\s*=|javascript:|<foreignobject|<iframe|<!entity|href\s*=\s*[\"\'](?!#|data:image/)|url\(\s*[\"\']?(?!#)",
    re.IGNORECASE,
)


def logo_trouble(folder: Path, logo: str) -> str:
    """Return what is wrong with a logo; "" if nothing.

    Args:
        folder: That of the manifest.
        logo: An https URL, or a path beside the manifest.
    """
    if "://" in logo or logo.startswith(("data:", "javascript:")):
        return "" if logo.startswith("https://") and logo.isprintable() else "is no https URL"
    path = folder / logo
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        return "is not beside the manifest"
    if path.suffix.lower() not in _PICTURES:
        return f"is no picture: {', '.join(sorted(_PICTURES))}"
    if (size := path.stat().st_size) > _LARGEST:
        return f"has {size} bytes, and may have {_LARGEST}"
    if path.suffix.lower() == ".svg" and (active := _ACTIVE.search(path.read_bytes())):
        return f"has more than a picture in it: {active[0].decode('ascii', 'replace').strip()!r}"
    return ""
