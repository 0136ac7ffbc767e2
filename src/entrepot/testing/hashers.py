"""What every hasher must keep to, as tests to inherit.

class TestMyHasher(HasherContract):
    def make_hasher(self):
        return connection_key

    def make_values(self):
        return [Connection("a"), Connection("b")]
"""

import ast
import importlib
import importlib.util
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from entrepot.hashing.values import hash_value
from entrepot.testing._asserting import check

__all__ = ["HasherContract", "keys_of"]

_LEAST = 2
_PATIENCE = 120  # seconds for another process
_CHILD = "import sys; sys.path[:] = {path!r}; from entrepot.testing.hashers import keys_of; print(keys_of({where!r}))"


class HasherContract(ABC):
    """Inherit it in a class whose name starts with `Test`, and define `make_hasher` and `make_values`."""

    @abstractmethod
    def make_hasher(self) -> Callable[[Any], object]:
        """Return the function."""

    @abstractmethod
    def make_values(self) -> Sequence[Any]:
        """Return values that are different from each other, two at least; fresh but equal ones at each call."""

    def test_what_it_returns_can_be_hashed(self) -> None:
        """It is plain data, or has a hasher of its own; and it is not the value itself."""
        hasher = self.make_hasher()
        for value in self.make_values():
            found = hasher(value)
            check(found is not value, f"it returned the {type(value).__name__} itself; return a part of it")
            hash_value(found)

    def test_different_values_are_told_apart(self) -> None:
        """Two that it takes for one would share a cached result."""
        values = self.make_values()
        check(len(values) >= _LEAST, "make_values returned fewer than two")
        hasher = self.make_hasher()
        keys = [hash_value(hasher(value)) for value in values]
        for place, key in enumerate(keys):
            check(key not in keys[:place], f"values {keys.index(key)} and {place} were taken for one")

    def test_equal_values_are_one(self) -> None:
        """Made anew, as another process makes them, they have the same key: no address and no time is in it."""
        hasher = self.make_hasher()
        for place, (one, other) in enumerate(zip(self.make_values(), self.make_values(), strict=True)):
            check(hash_value(hasher(one)) == hash_value(hasher(other)), f"value {place}, made twice, was two")

    def test_asking_changes_nothing(self) -> None:
        """The second answer is the first."""
        hasher = self.make_hasher()
        for value in self.make_values():
            check(hash_value(hasher(value)) == hash_value(hasher(value)), "its second answer differs")

    def test_another_process_has_the_same_keys(self) -> None:
        """Whatever its hash seed is: an order of sets, or what `hash` says of text, is in no key."""
        where = _place_of(type(self))
        if where is None:
            return  # made inside a function: no other process can have it
        seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # another than this process's
        done = subprocess.run(  # noqa: S603  ourselves
            [sys.executable, "-c", _CHILD.format(path=sys.path, where=where)],
            env={**os.environ, "PYTHONHASHSEED": seed}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=_PATIENCE,
        )  # fmt: skip
        check(done.returncode == 0, f"another process could not make the keys: {done.stderr[-500:]}")
        theirs = ast.literal_eval(done.stdout.splitlines()[-1])
        hasher = self.make_hasher()
        for place, value in enumerate(self.make_values()):
            check(hash_value(hasher(value)) == theirs[place], f"value {place} has another key in another process")


def keys_of(where: tuple[str, str, str]) -> list[str]:
    """Return the keys of the values of a contract, which is a class at the top of a module.

    Args:
        where: The module's name, its file, and the class's name.
    """
    module, file, name = where
    try:
        found = importlib.import_module(module)
    except ImportError:  # a file of tests, which has a name for pytest alone
        spec = importlib.util.spec_from_file_location(module, file)
        if spec is None or spec.loader is None:
            raise
        found = sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
    contract = getattr(found, name)()
    hasher = contract.make_hasher()
    return [hash_value(hasher(value)) for value in contract.make_values()]


def _place_of(contract: type) -> tuple[str, str, str] | None:
    """Return where a class, or the one that says what it does, is at the top of a module."""
    for cls in contract.__mro__:
        module = sys.modules.get(cls.__module__)
        file = getattr(module, "__file__", None)
        if file and getattr(module, cls.__qualname__, None) is cls and not getattr(cls, "__abstractmethods__", None):
            return cls.__module__, str(Path(file).resolve()), cls.__qualname__
    return None
