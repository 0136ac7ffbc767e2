"""The option `result_storage_key`: its template, filled in for one run."""

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any, Final

from entrepot._secrets import MASK, mask
from entrepot.engine.rendering import render, render_all
from entrepot.engine.run import Run
from entrepot.errors import CacheKeyError
from entrepot.runtime import flow_run, task_run

__all__ = ["storage_key_text"]

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+", re.IGNORECASE)  # of an object whose class says nothing of its value
_NAMES: Final = re.compile(r"[^.\[\]]+")  # of which a field is made: parameters, day


def storage_key_text(run: Run, template: str) -> str:
    """Return the key that a template gives the result of a run.

    Its fields are `parameters`, and what `entrepot.runtime` knows of `flow_run` and `task_run`: `{parameters[day]}`,
    `{flow_run.name}`.

    Args:
        run: The run whose context is current; its parameters are known.
        template: As the option was given.

    Raises:
        CacheKeyError: If a field cannot be filled in, is a secret, or is an object without a text of its own.
    """
    return _Filler(run, template).vformat(template, (), _values(run))


def _values(run: Run) -> dict[str, Any]:
    values: dict[str, Any] = {"parameters": run.parameters}
    if run.definition.kind == "task":
        values["task_run"] = task_run
    if run.definition.kind == "flow" or run.flow_context is not None:
        values["flow_run"] = flow_run
    return values


class _Filler(Formatter):
    """Fills in a template, and says which field is at fault.

    Args:
        run: Whose key it is.
        template: For messages.
    """

    def __init__(self, run: Run, template: str) -> None:
        self._run = run
        self._template = template
        self._secrets = self._flow_secrets = run.definition.binder.secrets
        if run.definition.kind == "task" and run.flow_context is not None:
            self._flow_secrets = run.flow_context.engine.definition.binder.secrets

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return the value of a field."""
        names = _NAMES.findall(field_name)
        if names[0] not in kwargs:
            raise self._error(field_name, "there is no flow around this run" if names[0] == "flow_run" else "unknown")
        secrets = self._flow_secrets if names[0] == "flow_run" else self._secrets
        if any(name in secrets or render_all({name: ""})[name] == MASK for name in names):
            raise self._secret(field_name)
        try:
            found = super().get_field(field_name, args, kwargs)
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            raise self._error(field_name, f"{type(error).__name__}: {error}") from None
        value = found[0]
        whole = names[-1] == "parameters" and isinstance(value, Mapping)
        if MASK in render(value) or (whole and (secrets & value.keys() or MASK in render_all(value).values())):
            raise self._secret(field_name)
        return _Field(field_name, value), found[1]

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        """Return the value, converted by `!r`, `!s` or `!a` where the template says so."""
        if not conversion:
            return value
        try:
            return _Field(value.name, super().convert_field(value.value, conversion))
        except Exception as error:  # noqa: BLE001  of a user's class, or of a conversion that there is not
            raise self._error(value.name, f"{type(error).__name__}: {error}") from None

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return the text of a field."""
        try:
            text = format(value.value, format_spec)
        except Exception as error:  # noqa: BLE001  of a user's class, or of a wrong specification
            raise self._error(value.name, f"{type(error).__name__}: {error}") from None
        if MASK in text or mask(text) != text:
            raise self._secret(value.name)
        if not isinstance(value.value, str) and _ADDRESS.search(text):
            raise self._error(
                value.name,
                f"the text of a {type(value.value).__qualname__} is its address in memory, which says nothing of its"
                " value; name what tells it from others",
            )
        return text

    def _secret(self, field: str) -> CacheKeyError:
        return self._error(field, "it is a secret, and keys are not: they can be read in the store and in the history")

    def _error(self, field: str, why: str) -> CacheKeyError:
        definition = self._run.definition
        return CacheKeyError(
            f"the result_storage_key {self._template!r} of {definition.label} has a field {field!r} that cannot be"
            f" filled in ({why}); nothing was run",
            task=definition.name,
        )


class _Field:
    """A value on its way into the text, with the name of its field."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value
