"""Bodies of blocks without their classes: shown with masks, and compared without showing secrets.

That is possible because secrets are tagged in the body: a block whose class is not installed can be shown like others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from entrepot._sentinels import MISSING
from entrepot.blocks._decoding import REFERENCES
from entrepot.blocks._lookups import shown
from entrepot.blocks.fields import MASK
from entrepot.serializers.tagged import TAG

__all__ = ["Change", "Kind", "compare", "fields_of", "has_secret", "masked"]

Kind: TypeAlias = Literal["added", "removed", "changed", "unchanged", "unknown"]

_PAIR: Final = 2


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one place in a block.

    Attributes:
        path: Which: `headers.Authorization`.
        kind: What became of it; "unchanged" and "unknown" (it could not be compared) are said of secrets only.
        before: What was there, None where nothing was; secrets are masked.
        after: What is there now.
        secret: Whether a secret is, or was, there.
    """

    path: str
    kind: Kind
    before: object
    after: object
    secret: bool


def fields_of(body: Mapping[str, object]) -> dict[str, object]:
    """Return the fields and extra fields of a body, plain."""
    fields, extra = body.get("fields"), body.get("extra", {})
    if isinstance(extra, dict) and extra.get(TAG) == "dict":
        extra = {}  # extra fields are keyword arguments: their names are texts
    return {**(fields if isinstance(fields, dict) else {}), **(extra if isinstance(extra, dict) else {})}


def has_secret(plain: object) -> bool:
    """Return whether there is a secret somewhere in a plain value."""
    if isinstance(plain, list):
        return any(map(has_secret, plain))
    if isinstance(plain, dict):
        return _is_secret(plain) or any(map(has_secret, plain.values()))
    return False


def masked(plain: object) -> object:
    """Return a plain value for people: secrets masked, tags by what they hold, nested blocks as they are called."""
    if isinstance(plain, list):
        return [masked(each) for each in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.get(TAG) in REFERENCES.values():
        return shown(str(plain.get("value")))  # where a secret is, is none
    return MASK if _is_secret(plain) else _shown_dict(plain)


def _shown_dict(plain: dict[str, object]) -> object:
    kind = plain.get(TAG)
    if kind is None:
        return {name: masked(each) for name, each in plain.items()}
    if kind == "block-ref":
        return f"{plain.get('slug')}/{plain.get('name')}"
    if kind == "dict":
        return {str(masked(key)): masked(each) for key, each in _pairs(plain)}
    value = masked(plain.get("value"))
    extra = masked(plain.get("extra", {}))
    return {**value, **extra} if isinstance(value, dict) and isinstance(extra, dict) else value


def compare(before: Mapping[str, object], after: Mapping[str, object]) -> list[Change]:
    """Return what is not the same in two bodies, and every secret of both, by field.

    A place counts as secret if there is a secret in either: what was text before and is a secret now is not shown.
    """
    return list(_compare("", fields_of(before), fields_of(after)))


def _compare(path: str, old: object, new: object) -> Iterator[Change]:
    olds, news = _members(old), _members(new)
    if olds is not None and news is not None:
        for name in [*olds, *(name for name in news if name not in olds)]:
            yield from _compare(_step(path, name), olds.get(name, MISSING), news.get(name, MISSING))
        return
    secret = has_secret(old) or has_secret(new)
    kind: Kind = "added" if old is MISSING else "removed" if new is MISSING else "changed"
    if old == new:
        if not secret:
            return
        kind = "unchanged"
    yield Change(path, kind, _shown(old, secret=secret), _shown(new, secret=secret), secret)


def _members(plain: object) -> Mapping[str, object] | None:
    """Return the parts of what has parts with names; None of anything else, and of secrets."""
    if not isinstance(plain, dict) or _is_secret(plain):
        return None
    kind = plain.get(TAG)
    if kind is None:
        return plain
    if kind == "dict":
        return {str(masked(key)): each for key, each in _pairs(plain)}
    value = plain.get("value")
    return _members(value) if kind in {"typed", "block"} and isinstance(value, dict) else None


def _pairs(plain: Mapping[str, object]) -> Iterator[tuple[object, object]]:
    value = plain.get("value")
    for pair in value if isinstance(value, list) else []:
        if isinstance(pair, list) and len(pair) == _PAIR:
            yield pair[0], pair[1]


def _is_secret(plain: Mapping[str, object]) -> bool:
    return str(plain.get(TAG)).startswith("secret")


def _shown(plain: object, *, secret: bool) -> object:
    if plain is MISSING:
        return None
    return masked(plain) if not secret or has_secret(plain) else MASK


def _step(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
