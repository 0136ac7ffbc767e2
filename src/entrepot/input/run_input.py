"""`RunInput`: a model of what people are asked for."""

import copy
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, create_model

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
            **data: By field. They are validated like answers.

        Raises:
            ParameterError: If there is no such field; the message has the nearest.
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
            info.default, info.default_factory, info.validate_default = value, None, True
            fields[name] = (info.annotation, info)
        made = create_model(cls.__name__, __base__=cls, __module__=cls.__module__, __doc__=cls.__doc__, **fields)
        if description is not None:
            made._description = description  # noqa: SLF001  a class of ours
        return made
