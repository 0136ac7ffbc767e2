"""What a flow run asks for: a type, as a schema for those who answer, and as what reads the answer."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError

from entrepot.blocks.fields import drop_secret_defaults, shows
from entrepot.errors import InputError, ParameterError
from entrepot.input.checking import is_secret, resolved

__all__ = ["PLAIN_FIELD", "Question", "question_of"]

PLAIN_FIELD: Final = "value"
"""What the one field of a form is called that asks for a plain value: `wait_for_input=int`."""

_HIDDEN: Final = "the value was refused (the reason is not shown, because it repeats a part of a secret)"
_LONGEST: Final = 2000  # characters of what people are told


@dataclass(frozen=True, slots=True)
class Question:
    """What a flow run waits for.

    Attributes:
        schema: JSON Schema of the answer, in one spelling; None if none is needed but a word.
        message: What is waited for, for people.
    """

    schema: str | None
    message: str
    _adapter: TypeAdapter[Any] | None
    _plain: bool

    def read(self, answer: str) -> Any:
        """Return the value that an answer stands for; None if no input is waited for.

        Args:
            answer: JSON.

        Raises:
            InputError: If it does not fit; the message names fields and reasons, never a secret.
        """
        if self._adapter is None:
            return None
        try:
            value = self._adapter.validate_json(answer)
        except ValidationError as error:
            refused: list[tuple[str, str]] = [
                (".".join(map(str, detail["loc"])), detail["msg"])
                for detail in error.errors(include_url=False, include_context=False, include_input=False)
            ]
        else:
            return value.value if self._plain else value
        secrets = set(_texts(json.loads(answer))) if self._has_secrets() and _is_json(answer) else set()
        told = [(where, _HIDDEN if secrets and shows(what, secrets) else what) for where, what in refused]
        raise InputError(
            "; ".join(": ".join(filter(None, one)) for one in told)[:_LONGEST], field=told[0][0].partition(".")[0]
        )

    def _has_secrets(self) -> bool:
        schema = json.loads(self.schema or "{}")
        return is_secret(schema, schema.get("$defs", {}))


def question_of(wanted: Any) -> Question:
    """Return the question that asks for a type.

    Args:
        wanted: A model, a dataclass, or any other type that pydantic knows; None to ask for no more than a word.

    Raises:
        ParameterError: If nobody could be asked for that.
    """
    if wanted is None:
        return Question(None, "may it go on?", None, _plain=False)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(wanted)
        schema = adapter.json_schema()
        plain = "properties" not in resolved(schema, schema.get("$defs", {}))
        if plain:
            adapter = TypeAdapter(create_model("Input", **{PLAIN_FIELD: (wanted, ...)}))  # type: ignore[call-overload]
            schema = adapter.json_schema()
    except (PydanticUserError, TypeError) as error:
        raise ParameterError(
            f"wait_for_input={wanted!r} is nothing that can be asked for: {str(error).splitlines()[0]}; use a RunInput,"
            " another model, a dataclass, or a type such as int or list[str]",
            parameter="wait_for_input",
        ) from None
    text = json.dumps(_shown(schema), separators=(",", ":"))
    description = getattr(wanted, "_description", None)
    if not isinstance(description, str):
        fields = "" if plain else f" ({', '.join(json.loads(text)['properties'])})"
        description = f"{getattr(wanted, '__name__', wanted)}{fields}"
    return Question(text, description[:_LONGEST], adapter, plain)


def _shown(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a form as those see it who answer: its fields at the top, and no secret in its defaults."""
    definitions = schema.get("$defs", {})
    form = copy.deepcopy({**resolved(schema, definitions), "$defs": definitions})
    for field in form["properties"].values():
        if is_secret(field, definitions):  # initial data of a model with a secret in it would stand here in clear
            field.pop("default", None)
            field.pop("examples", None)
    drop_secret_defaults(form)
    return form


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
