"""What a flow run asks for: a type, as a schema for those who answer, and as what reads the answer."""

import copy
import json
from dataclasses import dataclass
from inspect import isroutine
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError

from entrepot._text import reason
from entrepot.blocks.fields import drop_secret_defaults, scrub
from entrepot.errors import InputError, ParameterError
from entrepot.input.checking import is_secret, resolved

__all__ = ["PLAIN_FIELD", "Question", "question_of"]

PLAIN_FIELD: Final = "value"
"""What the one field of a form is called that asks for a plain value: `wait_for_input=int`."""

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
    _model: type[BaseModel] | None  # that says where in an answer there are secrets
    _plain: bool

    def read(self, answer: str) -> Any:
        """Return the value that an answer stands for; None if no input is waited for.

        Args:
            answer: JSON.

        Raises:
            InputError: If it does not fit; the message names fields and reasons, never a secret.
        """
        if self._adapter is None or self._model is None:
            return None
        try:
            value = self._adapter.validate_json(answer)
        except ValidationError as error:
            details = scrub(self._model, error, _parsed(answer)).errors(include_url=False, include_input=False)
        except Exception as error:  # noqa: BLE001  of a validator: who answers badly must not end the flow by it
            raise InputError(f"its validation raised {type(error).__name__}", field="") from None
        else:
            return value.value if self._plain else value
        told = [": ".join(filter(None, (".".join(map(str, one["loc"])), reason(one["msg"])))) for one in details]
        where = details[0]["loc"]
        raise InputError("; ".join(told)[:_LONGEST], field=str(where[0]) if where else "")


def question_of(wanted: Any) -> Question:
    """Return the question that asks for a type.

    Args:
        wanted: A model, a dataclass, or any other type that pydantic knows; None to ask for no more than a word.

    Raises:
        ParameterError: If nobody could be asked for that.
    """
    if wanted is None:
        return Question(None, "may it go on?", None, None, _plain=False)
    try:
        if isroutine(wanted):
            raise TypeError("it is a function")  # noqa: TRY301  pydantic would ask for its arguments
        adapter: TypeAdapter[Any] = TypeAdapter(wanted)
        form = create_model("Input", **{PLAIN_FIELD: (wanted, ...)})  # type: ignore[call-overload]
        schema = adapter.json_schema()
        plain = "properties" not in resolved(schema, schema.get("$defs", {}))
        if plain:
            adapter = TypeAdapter(form)
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
    model = wanted if not plain and isinstance(wanted, type) and issubclass(wanted, BaseModel) else form
    return Question(text, description[:_LONGEST], adapter, model, plain)


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


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
