"""How values become bytes, by name, and what plugins add.

`auto` picks by value among `json`, `bytes`, `npy`, `parquet`, `arrow`, `pickle` and what plugins bring;
`compressed/<name>` wraps any of them.

Each serializer lives in a module of its own that is imported when it is first asked for.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Final, TypeVar, cast

from entrepot.errors import PluginLoadError, RefusedSerializerError, UnknownNameError
from entrepot.plugins import SERIALIZERS
from entrepot.protocols.serializer import ChoosesSerializer, Serializer

if TYPE_CHECKING:
    from entrepot.serializers.arrow import ArrowSerializer
    from entrepot.serializers.auto import AutoSerializer
    from entrepot.serializers.compressed import CompressedSerializer
    from entrepot.serializers.json import JSONSerializer, register_json_type
    from entrepot.serializers.npy import NpySerializer
    from entrepot.serializers.parquet import ParquetSerializer
    from entrepot.serializers.pickle import PickleSerializer
    from entrepot.serializers.raw import BytesSerializer

__all__ = [
    "COMPRESSED",
    "ArrowSerializer",
    "AutoSerializer",
    "BytesSerializer",
    "CompressedSerializer",
    "JSONSerializer",
    "NpySerializer",
    "ParquetSerializer",
    "PickleSerializer",
    "Serializer",
    "check_allowed",
    "get_serializer",
    "is_allowed",
    "register_json_type",
    "register_serializer",
    "writer_for",
]

C = TypeVar("C", bound=type)

COMPRESSED: Final = "compressed/"
"""What names of compressed serializers begin with; the name of what is compressed follows."""

_HOMES: Final = {
    "ArrowSerializer": "entrepot.serializers.arrow",
    "AutoSerializer": "entrepot.serializers.auto",
    "BytesSerializer": "entrepot.serializers.raw",
    "CompressedSerializer": "entrepot.serializers.compressed",
    "JSONSerializer": "entrepot.serializers.json",
    "NpySerializer": "entrepot.serializers.npy",
    "ParquetSerializer": "entrepot.serializers.parquet",
    "PickleSerializer": "entrepot.serializers.pickle",
    "register_json_type": "entrepot.serializers.json",
}
_PARTS: Final = ("name", "extension", "is_text", "reads_code", "dumps", "loads")
_instances: Final[dict[str, tuple[type, Serializer]]] = {}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def get_serializer(serializer: str | Serializer | None = None) -> Serializer:
    """Return a serializer by its name; `compressed/<name>` wraps any other.

    Args:
        serializer: A name; a serializer, which is returned as it is; or None, for `auto`.

    Raises:
        UnknownNameError: If no serializer has this name; the message lists those that are known.
        PluginConflictError: If two distributions claim it.
        PluginLoadError: If the one that claims it cannot be imported, or is no serializer.
    """
    if serializer is None:
        serializer = "auto"
    if not isinstance(serializer, str):
        return _check_instance(serializer)
    if serializer.startswith(COMPRESSED):
        return _compressed(serializer)
    made = SERIALIZERS.get(serializer)
    known = _instances.get(serializer)
    if known is None or known[0] is not made:
        _instances[serializer] = known = made, cast("Serializer", made())
    return known[1]


def is_allowed(name: str, allow: frozenset[str] | None) -> bool:
    """Return whether a set of allowed names allows a serializer; None allows all.

    To allow one is to allow its compressed form: what reads the value is the same.
    """
    return allow is None or name in allow or name.removeprefix(COMPRESSED) in allow


def check_allowed(allow: Iterable[str]) -> None:
    """See that allowed names are those of serializers: one that is misspelt would allow nothing, without a word.

    Raises:
        UnknownNameError: If one is not; the message has the nearest name, and what is known.
    """
    for name in sorted(allow):
        inner = name.removeprefix(COMPRESSED)
        try:
            SERIALIZERS.check(inner)
        except UnknownNameError as error:
            raise UnknownNameError(
                f"{name!r} is allowed for results (results_allow, or allow= of a store), and there is {error}",
                group=error.group,
                name=name,
                known=error.known,
            ) from None
        if inner == "auto":
            raise UnknownNameError(
                f"{name!r} is allowed for results (results_allow, or allow= of a store), and picks among those that are"
                " allowed: name these, such as json, parquet and npy",
                group=SERIALIZERS.group,
                name=name,
                known=SERIALIZERS.names(),
            )


def writer_for(serializer: Serializer, value: object, *, allow: frozenset[str] | None = None) -> Serializer:
    """Return the serializer that writes a value: the one given, or the one that it chooses.

    Raises:
        RefusedSerializerError: If it is not an allowed one.
    """
    choose = getattr(serializer, "choose", None)
    if choose is not None:
        serializer = cast("ChoosesSerializer", serializer).choose(value, allow=allow)
    if not is_allowed(serializer.name, allow):
        raise RefusedSerializerError(
            f"the serializer {serializer.name!r} is not one that this store allows; allowed:"
            f" {', '.join(sorted(allow or ())) or 'none'}; use result_serializer='auto', which picks among those, or"
            " allow it",
            serializer=serializer.name,
        )
    return serializer


def register_serializer(cls: C) -> C:
    """Make a serializer class of this program known by its `name`; for use as a decorator.

    Raises:
        PluginLoadError: If it is no serializer class.
        PluginConflictError: If the name is taken.
    """
    name = str(getattr(cls, "name", ""))
    try:
        _check_class(name, cls)
    except Exception as error:
        raise PluginLoadError(
            f"{cls.__module__}.{cls.__qualname__} cannot be registered as a serializer: {error}",
            group=SERIALIZERS.group,
            name=name,
            distribution="",
        ) from error
    SERIALIZERS.register(name, cls)
    return cls


def _compressed(name: str) -> Serializer:
    inner = get_serializer(name.removeprefix(COMPRESSED))
    known = _instances.get(name)
    if known is None or known[0] is not type(inner):
        from entrepot.serializers.compressed import CompressedSerializer  # noqa: PLC0415  zstandard only where asked for

        _instances[name] = known = type(inner), CompressedSerializer(inner)
    return known[1]


def _check_instance(serializer: object) -> Serializer:
    if isinstance(serializer, Serializer) and not isinstance(serializer, type):
        return serializer
    known = SERIALIZERS.names()
    what = f"{serializer.__qualname__} is a class" if isinstance(serializer, type) else f"{_kind(serializer)} is none"
    raise UnknownNameError(
        f"a serializer was expected, and {what}; give a name ({', '.join(known)}, compressed/json, ...) or an instance"
        f" with {', '.join(_PARTS)}",
        group=SERIALIZERS.group,
        name=_kind(serializer),
        known=known,
    )


def _kind(value: object) -> str:
    return type(value).__qualname__


def _check_class(name: str, claimed: object) -> None:
    """Refuse what claims a name but is no serializer class, or calls itself by another name."""
    if not isinstance(claimed, type):
        raise TypeError(f"it is a {_kind(claimed)}, not a class")
    instance: object = claimed()
    if not isinstance(instance, Serializer):
        missing = ", ".join(part for part in _PARTS if not hasattr(instance, part))
        raise TypeError(f"{claimed.__qualname__} is no serializer: it lacks {missing}")
    if instance.name != name:
        raise ValueError(f"{claimed.__qualname__} calls itself {instance.name!r}: it would not be found as {name!r}")


SERIALIZERS.set_check(_check_class)
