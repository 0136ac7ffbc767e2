"""A pydantic model that keeps its secrets to itself: in errors, tracebacks, schemas and prints."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo
from pydantic.json_schema import JsonSchemaValue, PydanticJsonSchemaWarning
from pydantic_core import CoreSchema, core_schema

from entrepot._secrets import MASK, mask
from entrepot.blocks._annotations import facts_of
from entrepot.blocks._hidden import hide
from entrepot.blocks._inputs import place_references, read_defaults, read_field, read_fields
from entrepot.blocks.fields import drop_secret_defaults, remember_secrets, scrub, secret_texts

__all__ = ["DiscreetModel"]

_MIN_MASKED = 4  # shorter secrets are in all sorts of text by chance


class DiscreetModel(BaseModel):
    """The base of blocks: what pydantic would tell about a value that it refuses is not told.

    A validation error names fields and reasons; the input is masked, and so is a reason that repeats a part of a
    secret. Frames of ours let go of the input before an error goes through them: tracebacks can be logged with locals.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",  # a misspelt name is an error, not a field more
        hide_input_in_errors=True,
        validate_assignment=True,  # a plain text that is assigned to a secret field becomes a secret
        validate_default=True,  # and so does a default
    )

    if not TYPE_CHECKING:  # type checkers take the signatures of pydantic's own

        def __new__(cls, *args: Any, **data: Any) -> Self:
            """Refuse values without names, in words of the class that was called; its own `__init__` may take some."""
            __tracebackhide__ = True
            if args and cls.__init__ is DiscreetModel.__init__:
                del args, data  # the value may be a secret
                needed = [name for name, field in cls.model_fields.items() if field.is_required()]
                fields = ", ".join(f"{name}=..." for name in needed or list(cls.model_fields)[:1])
                raise TypeError(f"{cls.__name__} takes its fields by name: {cls.__name__}({fields})")
            return super().__new__(cls)

        def __init__(self, /, **data: Any) -> None:
            """Validate the fields."""
            __tracebackhide__ = True
            try:
                self.__pydantic_validator__.validate_python(data, self_instance=self)
            except BaseException:
                del data
                raise

        __init__.__pydantic_base_init__ = True  # so that nested ones are made without a call back into Python

        def __setattr__(self, name: str, value: Any) -> None:
            try:
                super().__setattr__(name, read_field(type(self), name, value))
            except ValidationError as error:
                failure = scrub(type(self), error, {name: value})
            except BaseException:
                del value
                raise
            else:
                return
            del value
            raise failure

        @classmethod
        def model_validate(cls, obj: Any, **options: Any) -> Self:
            """Validate, as pydantic does."""
            try:
                return super().model_validate(obj, **options)
            except ValidationError as error:
                failure = error.with_traceback(None)  # its frames, pydantic's, hold the input
            except BaseException:
                del obj
                raise
            del obj
            raise failure

        @classmethod
        def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
            """Validate JSON, as pydantic does."""
            try:
                return super().model_validate_json(json_data, **options)
            except ValidationError as error:
                failure = scrub(cls, error, None)  # broken JSON gets here without being scrubbed
            except BaseException:
                del json_data
                raise
            del json_data
            raise failure

        @classmethod
        def model_validate_strings(cls, obj: Any, **options: Any) -> Self:
            """Validate text, as pydantic does."""
            try:
                return super().model_validate_strings(obj, **options)
            except ValidationError as error:
                failure = error.with_traceback(None)
            except BaseException:
                del obj
                raise
            del obj
            raise failure

        @classmethod
        def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
            """Make an instance without validation; plain texts in secret fields become secrets all the same."""
            return _hide_bare_secrets(super().model_construct(_fields_set, **values))

        def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
            """Return a copy, as pydantic does; plain texts given for secret fields become secrets."""
            return _hide_bare_secrets(super().model_copy(update=update, deep=deep))

        @classmethod
        def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
            """Return the JSON schema, without the defaults of secrets."""
            with warnings.catch_warnings():  # pydantic says that a secret default is left out: so it should be
                warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
                return drop_secret_defaults(super().model_json_schema(*args, **options))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # Outside of everything, so that what any validator says goes through here; a model validator would not do:
        # those of derived classes wrap those of their bases.
        schema = handler(source)
        if schema["type"] == "definition-ref":
            schema = handler.resolve_ref_schema(schema)
        if schema["type"] == "function-wrap" and schema["function"].get("function") == cls._validate_discreetly:
            return schema  # the class is complete, and this is its own schema, wanted for another
        # The reference moves outwards: a class that contains itself must find this, not what is inside.
        ref = cast("dict[str, str]", schema).pop("ref", None)
        return core_schema.with_info_wrap_validator_function(cls._validate_discreetly, schema, ref=ref)

    @classmethod
    def _validate_discreetly(cls, value: Any, handler: Callable[[Any], Self], info: ValidationInfo) -> Self:
        try:
            given, value = value, read_fields(cls, value)
            changed = given is not value
            del given
            # The validators of JSON and of texts take nothing else, references neither.
            made = cls.model_validate(value, context=info.context) if changed and _takes_texts(info) else handler(value)
        except ValidationError as error:
            failure = scrub(cls, error, value)
        except BaseException:
            del value
            raise
        else:
            read_defaults(made)
            remember_secrets(made)
            place_references(made, cls.__name__, again=False)
            return made
        del value
        raise failure

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for field in facts_of(cls).fields.values():
            for key in field.keys if field.secret else ():
                for name in ("default", "examples"):
                    properties.get(key, {}).pop(name, None)
        return made

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        cls = type(self)
        kinds: dict[str | None, Any] = {
            name: cls.__pydantic_fields__[name].annotation
            for name, field in facts_of(cls).fields.items()
            if field.secret
        }
        for name, value in self._shown_args():
            # What was put into a list or a dict afterwards, nothing has validated.
            yield name, hide(kinds[name], value) if name in kinds else value

    def _shown_args(self) -> Iterator[tuple[str | None, Any]]:
        if not type(self).__pydantic_computed_fields__:
            yield from super().__repr_args__()
            return
        # A computed field (a connection string, say) may have a secret in it.
        secrets = [text for text in secret_texts(type(self), self) if len(text) >= _MIN_MASKED]
        for name, value in super().__repr_args__():
            hidden = isinstance(value, str) and (any(secret in value for secret in secrets) or mask(value) != value)
            yield name, MASK if hidden else value


def _takes_texts(info: ValidationInfo) -> bool:
    return info.mode != "python"


def _hide_bare_secrets(model: DiscreetModel) -> Any:
    values = vars(model)
    for name, field in facts_of(type(model)).fields.items():
        if field.secret and name in values:
            values[name] = hide(type(model).__pydantic_fields__[name].annotation, values[name])
    remember_secrets(model)
    return model
