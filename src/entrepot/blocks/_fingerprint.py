"""What tells the fields of one class of blocks from those of another: a digest of their schema."""

import hashlib
import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["fingerprint_of"]


def fingerprint_of(cls: type[BaseModel]) -> str:
    """Return 16 hex digits that tell sets of fields apart; titles, descriptions and defaults are not in them."""
    schema = BaseModel.model_json_schema.__func__(cls, schema_generator=_AnySchema)  # type: ignore[attr-defined]
    text = json.dumps(_bones(schema), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _AnySchema(GenerateJsonSchema):
    """Takes types that JSON schema has no word for as anything, and says nothing about it."""

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Keep quiet: this schema is hashed, not shown."""

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:  # noqa: ARG002  pydantic's signature
        """Return the schema of anything."""
        return {"comment": schema["type"]}


def _bones(schema: Any) -> Any:
    """Return a JSON schema without what can change and leave the values as they were."""
    if isinstance(schema, list):
        return [_bones(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    flesh = ("title", "description", "default", "examples")
    return {name: _bones(each) for name, each in schema.items() if name not in flesh or isinstance(each, dict)}
