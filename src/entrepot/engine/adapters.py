"""The one place where pydantic validates: parameters of flows."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    PydanticUserError,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

__all__ = ["Adapter", "adapter_for"]

_CONFIG = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)


class Adapter:
    """Validates values against one annotation.

    Args:
        adapter: Pydantic's own.
        secret: Whether there is a secret in it, so that messages say as little as they can.
    """

    __slots__ = ("_adapter", "_secret")

    def __init__(self, adapter: TypeAdapter[Any], *, secret: bool) -> None:
        self._adapter = adapter
        self._secret = secret

    def validated(self, value: object) -> tuple[Any, str]:
        """Return the value as the annotation wants it and "", or None and what is wrong; never a part of the value."""
        try:
            return self._adapter.validate_python(value), ""
        except ValidationError as error:
            # No input, no context: both may hold what was given.
            details = error.errors(include_url=False, include_context=False, include_input=False)
        except Exception as error:  # noqa: BLE001  a user's validator may raise anything
            return None, f"its validator raised {type(error).__name__}"
        return None, ", ".join(self._described(detail) for detail in details[:5])

    def _described(self, detail: Mapping[str, Any]) -> str:
        place = ".".join(str(part) for part in detail["loc"] if isinstance(part, int) or not self._secret)
        message = detail["type"].replace("_", " ") if self._secret else detail["msg"]
        return f"{message} (at {place})" if place else str(message)


def adapter_for(annotation: Any) -> Adapter | None:
    """Return what validates against an annotation, or None where pydantic cannot."""
    try:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=_CONFIG)
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                return None
            adapter = TypeAdapter(annotation)  # models, dataclasses and typed dicts have a configuration of their own
    except Exception:  # noqa: BLE001  annotations may be anything, and are no reason not to run
        return None
    return Adapter(adapter, secret=_has_secret(annotation, set()))


def _has_secret(annotation: Any, seen: set[Any]) -> bool:
    """Return whether values of this annotation may hold secrets."""
    if isinstance(annotation, type) and issubclass(annotation, SecretStr | SecretBytes | Secret):
        return True
    if get_origin(annotation) is Secret:
        return True
    members: Sequence[Any] = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return False
        seen.add(annotation)
        members = [field.annotation for field in annotation.model_fields.values()]
    return any(_has_secret(member, seen) for member in members)
