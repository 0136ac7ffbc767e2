"""`RunInput`: a model of what people are asked for."""

import copy
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from entrepot._text import reason
from entrepot.errors import ParameterError

__all__ = ["RunInput"]


class RunInput(BaseModel):
    """What a flow run waits for: `pause_flow_run(wait_for_input=Approval)` returns an `Approval`.

    Any other model or type can be asked for as well; this one refuses names that it does not know, and can be given
    initial data and a description.
    """

    model_config = ConfigDict(extra="forbid")

    _description: ClassVar[str | None] = None

    @classmethod
    def with_initial_data(cls, description: str | None = None, **data: Any) -> type[Self]:
        """Return the same model with other defaults, which people see and may leave as they are.

        Args:
            description: What is asked for, in a sentence or more, for people.
            **data: By field. They are validated against its annotation.

        Raises:
            ParameterError: If there is no such field (the message has the nearest), or its value does not fit.
        """
        fields: dict[str, Any] = {}
        for name, value in data.items():
            known = cls.model_fields.get(name)
            if known is None:
                near = get_close_matches(name, cls.model_fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ParameterError(
                    f"{cls.__name__} has no field {name!r}{hint} (fields: {', '.join(cls.model_fields)})",
                    parameter=name,
                )
            info = copy.copy(known)
            info.default, info.default_factory = cls._fitting(name, value), None
            fields[name] = (info.annotation, info)
        made = create_model(cls.__name__, __base__=cls, __module__=cls.__module__, __doc__=cls.__doc__, **fields)
        if description is not None:
            made._description = description  # noqa: SLF001  a class of ours
        return made

    @classmethod
    def _fitting(cls, name: str, value: Any) -> Any:
        """Return a value as a field takes it."""
        info = cls.model_fields[name]
        # With a None, since there may be nothing else that it is annotated with.
        parts: Any = (info.annotation, *info.metadata, None)
        annotation: Any = Annotated[parts]
        try:
            return TypeAdapter(annotation).validate_python(value)
        except ValidationError as error:
            reasons = "; ".join(
                reason(detail["msg"]) for detail in error.errors(include_input=False, include_url=False)
            )
            raise ParameterError(f"{cls.__name__}.{name} cannot be given so: {reasons}", parameter=name) from None
