"""Absence, made explicit: a stored `None` is a value, `MISSING` is the lack of one."""

from enum import Enum
from typing import Final, Literal

__all__ = ["MISSING", "Missing"]


class _Missing(Enum):
    MISSING = "MISSING"  # an enum of one: type checkers narrow it, and it survives copying and pickling

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


Missing = Literal[_Missing.MISSING]
MISSING: Final[Missing] = _Missing.MISSING
