"""What an enumeration does: its members by their values, what was put on them, and what else its author wrote."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Refused
from entrepot.hashing._labels import class_label
from entrepot.hashing._objects import is_enum, state_names
from entrepot.hashing._plan import never_changes

if TYPE_CHECKING:
    from entrepot.hashing._walker import CodeWalker

__all__ = ["enum_namespace", "member_forms"]

_OF_ENUM: Final = frozenset({"_name_", "_value_", "_sort_order_", "__objclass__"})
"""What the enum module itself puts on each member."""


def enum_namespace(cls: Any, namespace: dict[str, Any]) -> dict[str, Any]:
    """Return what an enumeration's author wrote besides its members."""
    kept = {name: value for name, value in namespace.items() if not _is_sunder(name) and name not in cls.__members__}
    kept.pop("__new__", None)  # the enum module puts its own in place of the author's, and keeps that one here:
    kept["__new__"] = namespace.get("__new_member__") or namespace.get("_new_member_")
    for name in ("_missing_", "_generate_next_value_"):
        if name in namespace:
            kept[name] = namespace[name]
    return kept


def member_forms(walker: "CodeWalker", cls: Any) -> Iterator[bytes]:
    """Yield the form of an enumeration's members, and of the attributes that they have; nothing of other classes.

    Of an attribute without an identity only its class counts: `__init__` may have left it there, and nobody read it.
    """
    if not is_enum(cls):
        return
    members = [(name, member._value_) for name, member in cls.__members__.items()]
    write = walker.encode if all(never_changes(value) for _, value in members) else walker.held
    try:
        yield text("<members>")
        yield write(members)
    except Refused as refusal:
        raise refusal.inside(".<members>") from None
    _, cached = state_names(cls)
    for member in {id(member): member for member in cls.__members__.values()}.values():  # two names may be one
        walker.plan.member(member)
        for name, value in vars(member).items():
            if name not in _OF_ENUM and name not in cached:
                walker.plan.read(vars(member), name, value)
                yield walker.named("attribute", text(member._name_), text(name), _attribute(walker, value))


def _attribute(walker: "CodeWalker", value: Any) -> bytes:
    try:
        return walker.held(value)
    except Refused:
        walker.plan.give_up()
        return text(f"a {class_label(type(value))}")


def _is_sunder(name: str) -> bool:
    return name.startswith("_") and name.endswith("_") and not name.startswith("__")
