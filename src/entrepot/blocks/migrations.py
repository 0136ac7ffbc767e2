"""From the fields of an older schema version of a block class to those of the class that is here.

A class says with `_schema_version` which version its fields are, and with `@migrates` how the fields of one version
become those of the next. Loading climbs: a block that was saved under version 1 goes through the functions from 1 and
from 2 to a class of version 3. A step without a function changes nothing: a new field with a default needs none.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from entrepot.errors import OptionError

if TYPE_CHECKING:
    from entrepot.blocks.core import Block

__all__ = ["Migration", "check_migrations", "migrates", "migrations_of", "stub"]

F = TypeVar("F", bound=Callable[..., Any])

Migration: TypeAlias = Callable[[dict[str, Any]], Any]
"""Takes the fields of one version, and returns those of the next; None says that it changed them in place."""

_MARK: Final = "__entrepot_migrates__"


def migrates(*, from_version: int) -> Callable[[F], F]:
    """Make a function of a block class the step from one schema version to the next.

    It is given the stored fields by name, as values: secrets as `SecretStr`, times as `datetime`, nested models as
    instances where they still can be made, else as dicts. It returns the fields of the next version, or changes them in
    place and returns None. Nothing that is stored changes by that, until the block is saved or `entrepot block migrate`
    is called::

        class Database(Block):
            _schema_version = 2

            host: str
            port: int

            @migrates(from_version=1)
            @staticmethod
            def _split_the_address(fields: dict[str, Any]) -> dict[str, Any]:
                host, _, port = fields.pop("address").partition(":")
                return fields | {"host": host, "port": int(port or 5432)}

    Args:
        from_version: The schema version whose fields the function takes.

    Raises:
        OptionError: If that is no version, or what is decorated is no function.
    """
    if type(from_version) is not int or from_version < 1:
        raise OptionError(
            f"@migrates(from_version=...) takes a schema version, a whole number from 1, not {from_version!a}",
            option="from_version",
        )

    def mark(function: F) -> F:
        inner = getattr(function, "__func__", function)
        if not inspect.isfunction(inner):
            raise OptionError(
                f"@migrates(from_version={from_version}) belongs on a function, static or class method of the class",
                option="from_version",
            )
        setattr(inner, _MARK, from_version)
        return function if inner is not function else staticmethod(function)  # type: ignore[return-value]

    return mark


def migrations_of(cls: type) -> Mapping[int, Migration]:
    """Return the steps of a class by the version that they start from, those of its bases included."""
    found: dict[int, Migration] = {}
    for base in reversed(cls.__mro__):
        found |= _own(base, cls)
    return found


def check_migrations(cls: "type[Block]") -> None:
    """Refuse a class whose version is none, or whose own steps cannot be: two from one, or one beyond the class.

    Raises:
        OptionError: With what to write instead.
    """
    version = cls._schema_version
    if type(version) is not int or version < 1:
        raise OptionError(
            f"{cls.__qualname__}._schema_version is a whole number from 1, not {version!a}", option="_schema_version"
        )
    marked = [getattr(value, "__func__", None) for value in vars(cls).values()]
    starts = [getattr(function, _MARK) for function in marked if hasattr(function, _MARK)]
    if not starts:
        return
    if max(starts) >= version:
        raise OptionError(
            f"{cls.__qualname__} has @migrates(from_version={max(starts)}), which leads to version {max(starts) + 1},"
            f" and its _schema_version is {version}: write _schema_version = {max(starts) + 1}",
            option="from_version",
        )
    twice = sorted({start for start in starts if starts.count(start) > 1})
    if twice:
        raise OptionError(
            f"{cls.__qualname__} has more than one @migrates(from_version={twice[0]}); make one function of them",
            option="from_version",
        )


def _own(base: type, cls: type) -> dict[int, Migration]:
    found: dict[int, Migration] = {}
    for value in vars(base).values():
        start = getattr(getattr(value, "__func__", None), _MARK, None)
        if start is not None:
            found[start] = value.__get__(None, cls)
    return found


def stub(
    cls: "type[Block]",
    saved: int,
    *,
    missing: Sequence[str] = (),
    unknown: Sequence[str] = (),
    refused: Sequence[str] = (),
) -> str:
    """Return the source of a migration to paste into a class, for a block that does not fit it.

    Args:
        cls: The class.
        saved: The schema version under which the block was saved.
        missing: Fields that the class requires and the block lacks.
        unknown: Fields that the block has and the class does not know.
        refused: Fields whose value the class refuses.

    Returns:
        Indented as in a class body; "" if each step from that version has a function already.
    """
    steps = migrations_of(cls)
    start = next((version for version in range(saved, cls._schema_version) if version not in steps), None)
    if start is None:
        if cls._schema_version > saved:
            return ""
        start = saved
    lines = [] if cls._schema_version > start else [f"_schema_version = {start + 1}", ""]
    lines += [
        "# with `from entrepot.blocks import migrates` above",
        f"@migrates(from_version={start})",
        "@staticmethod",
        f"def _from_version_{start}(fields: dict[str, object]) -> dict[str, object]:",
    ]
    if len(missing) == len(unknown) == 1:
        lines += [
            "    # if it is the same under a new name:",
            f"    fields[{missing[0]!r}] = fields.pop({unknown[0]!r})",
        ]
    else:
        lines += _said(f"required, and not in version {start}", [f"fields[{name!r}] = ..." for name in missing])
        lines += _said("not known any more", [f"fields.pop({name!r})" for name in unknown])
    lines += _said(f"the class refuses what version {start} has", [f"fields[{name!r}] = ..." for name in refused])
    lines.append("    return fields")
    return "\n".join(f"    {line}".rstrip() for line in lines)


def _said(why: str, statements: "list[str]") -> "list[str]":
    """Return statements below a comment: lines so short that no terminal breaks them."""
    return [f"    # {why}:", *(f"    {statement}" for statement in statements)] if statements else []
