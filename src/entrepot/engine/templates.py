"""Texts with fields that options give: names of runs, places of results. Checked when the decorator runs."""

from collections.abc import Callable, Collection, Mapping
from inspect import Parameter, signature
from string import Formatter
from typing import Any

from entrepot.errors import OptionError

__all__ = ["check_run_name", "check_template", "run_name_of"]

_fields_of = Formatter().parse


def check_template(what: str, option: str, template: str, known: Collection[str]) -> None:
    """Refuse a template that could never be filled in.

    Args:
        what: Whose option it is, for messages.
        option: Its name.
        template: As of `str.format`.
        known: The names that fields may begin with.

    Raises:
        OptionError: If it is no template, or has a field that there is not.
    """
    try:
        names = [field for _, field, _, _ in _fields_of(template) if field is not None]
    except ValueError as error:
        raise OptionError(
            f"{what}: {option}={template!r} is no template ({error}); a literal brace is written twice", option=option
        ) from None
    for name in names:
        first = name.partition(".")[0].partition("[")[0]
        if first not in known:
            has = ", ".join(sorted(known)) or "none"
            raise OptionError(
                f"{what}: {option}={template!r} has a field {name!r} that there is not; fields: {has}", option=option
            )


def check_run_name(what: str, option: str, value: Any, parameters: Collection[str]) -> str | Callable[..., Any] | None:
    """Return the option `flow_run_name` or `task_run_name` as it was given.

    Raises:
        OptionError: If it is neither a template of the function's parameters nor a function of nothing, or of
            `parameters`.
    """
    if value is None:
        return None
    if isinstance(value, str) and value.strip():
        check_template(what, option, value, parameters)
        return value
    if not callable(value) or not _takes_parameters_at_most(value):
        raise OptionError(
            f"{what}: {option} is a template such as 'load-{{day}}' or a function of nothing or of `parameters` that"
            f" returns a name, not {value!r}",
            option=option,
        )
    made: Callable[..., Any] = value
    return made


def run_name_of(given: str | Callable[..., Any], parameters: Mapping[str, Any]) -> str:
    """Return the name that a template or a function gives a run.

    Args:
        given: As checked.
        parameters: By name; what is secret among them is masked.

    Raises:
        Exception: What formatting or the function raises.
        TypeError: If the function returns no text.
    """
    if isinstance(given, str):
        return given.format(**parameters)
    name = given(parameters=dict(parameters)) if _asks(given) else given()
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"it returned {name!r}, which is no name")
    return name


def _asks(function: Callable[..., Any]) -> bool:
    try:
        return "parameters" in signature(function).parameters
    except (TypeError, ValueError):  # a built-in without a signature
        return False


def _takes_parameters_at_most(function: Callable[..., Any]) -> bool:
    try:
        takes = signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    starred = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return all(one.name == "parameters" or one.default is not one.empty or one.kind in starred for one in takes)
