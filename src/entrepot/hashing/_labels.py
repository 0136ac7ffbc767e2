"""What classes, functions and modules are called in keys: by the same name in every process."""

import sys
from pathlib import PurePath
from types import CodeType

__all__ = ["class_label", "function_label", "is_runnable", "module_label", "with_article"]

_MAIN = {"__main__", "__mp_main__"}  # the latter in the children of multiprocessing


def module_label(name: str) -> str:
    """Return a module's name; for a script that is being run, the name that it would be imported by."""
    if name not in _MAIN:
        return name
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return PurePath(file).stem if file else "__main__"


def class_label(cls: type) -> str:
    """Return `module:qualified name` of a class."""
    return f"{module_label(cls.__module__)}:{cls.__qualname__}"


def function_label(code: CodeType, module: str) -> str:
    """Return `module:qualified name` of a function as it was written; `functools.wraps` changes what it says itself."""
    return f"{module_label(module)}:{code.co_qualname}"


def is_runnable(cls: type) -> bool:
    """Tell whether instances of a class are tasks or flows: they stand for the function inside them."""
    if hasattr(cls, "__entrepot_code__"):
        return True
    return any(base.__name__ == "Runnable" and base.__module__ == "entrepot.engine.runnable" for base in cls.__mro__)


def with_article(cls: type) -> str:
    """Return the name of a type as it stands in a sentence: `a sqlite3.Connection`, `an object`."""
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
