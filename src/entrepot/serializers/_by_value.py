"""Pickling by value: the one module that imports cloudpickle."""

import io
import sys
from types import FunctionType
from typing import Any

import cloudpickle

from entrepot.serializers.pickle import Unwritable, refuse_secrets

__all__ = ["ByValuePickler"]


class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Writes by value what has no reference. Classes and functions of the main script keep theirs.

    By value, a class of the main script would come back as another class, and `isinstance` would say no.
    """

    def reducer_override(self, obj: object) -> Any:
        """Say how to write an object; what cloudpickle would quietly turn into something else is refused."""
        refuse_secrets(obj)
        if isinstance(obj, io.TextIOWrapper):  # cloudpickle would write the whole file as a StringIO
            raise Unwritable("return what you read from the file, or its path")
        if isinstance(obj, memoryview):  # cloudpickle would write bytes
            raise Unwritable("make it bytes")
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__" and _has_reference(obj):
            return NotImplemented
        return super().reducer_override(obj)


def _has_reference(obj: type | FunctionType) -> bool:
    found: object = sys.modules.get("__main__")
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj
