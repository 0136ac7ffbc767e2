"""Which classes only pickle could write: what can be said of a class before there is a value."""

import sys
from typing import Final

from entrepot.serializers import COMPRESSED, is_allowed
from entrepot.serializers._frame_kinds import HOMES
from entrepot.serializers._tags import LEAF_ENCODERS
from entrepot.serializers.json import registered_json_types

__all__ = ["is_left_to_pickle"]

_PLAIN: Final = (bool, int, float, str, type(None), list, dict, tuple, set, frozenset)
_FRAMES: Final = ("parquet", "arrow")


def is_left_to_pickle(cls: type, allow: frozenset[str] | None) -> bool:
    """Return whether it is certain that, of our own serializers, only pickle writes instances of a class.

    It is not where an instance of a subclass could be written: subclasses count as instances.

    Args:
        cls: The class.
        allow: The names of those that may write; None for all.
    """
    return not any(issubclass(known, cls) for known in _writable(allow))


def _writable(allow: frozenset[str] | None) -> list[type]:
    def may(name: str) -> bool:
        return is_allowed(name, allow) or f"{COMPRESSED}{name}" in (allow or ())

    classes: list[type] = []
    if may("json"):
        classes += [*_PLAIN, *LEAF_ENCODERS, *registered_json_types()]
        if "numpy" in sys.modules:
            from entrepot.serializers._scalars import scalar_classes  # noqa: PLC0415  it loads NumPy

            classes += scalar_classes()
    if may("bytes"):
        classes.append(bytes)
    kinds = [*HOMES] if any(map(may, _FRAMES)) else []
    if may("npy"):
        kinds.append("numpy.ndarray")
    for kind in kinds:
        module, _, name = kind.partition(".")
        found = getattr(sys.modules.get(module), name, None)
        if isinstance(found, type):
            classes.append(found)
    return classes
