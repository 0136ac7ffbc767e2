"""Where jumps go, whatever way the compiler has laid them out.

How a condition is split over lines decides whether the compiler jumps to the end of a loop's body, or straight to its
start: a jump that reaches another jump goes where that one goes, and a jump that nothing reaches is not there.
"""

import dis
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

__all__ = ["JUMPS", "Layout"]

JUMPS: Final = frozenset(dis.hasjrel) | frozenset(dis.hasjabs)

_ALWAYS: Final = frozenset({"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE"})
_LEAVES: Final = frozenset({"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "INTERPRETER_EXIT"})


class Layout:
    """The meaningful instructions of one code object, with their places as numbers.

    Args:
        steps: The instructions, in order.

    Attributes:
        steps: Those that can be reached.
    """

    def __init__(self, steps: Sequence[dis.Instruction]) -> None:
        self._offsets = [step.offset for step in steps]
        self._all = steps
        # Code that nothing reaches is only ever a jump that was threaded past; the compiler removes the rest.
        reached = {self._position(self.target(step.argval)) for step in steps if step.opcode in JUMPS}
        self.steps = [step for position, step in enumerate(steps) if not self._is_passed_by(position, step, reached)]
        self._kept = [step.offset for step in self.steps]

    def target(self, offset: int) -> int:
        """Return where a jump to an offset leads in the end."""
        passed: set[int] = set()
        while offset not in passed:  # an endless loop without a body comes back to itself
            passed.add(offset)
            position = self._position(offset)
            if position == len(self._all) or self._all[position].opname not in _ALWAYS:
                break
            offset = self._all[position].argval
        return offset

    def number(self, offset: int) -> int:
        """Return the number of the first instruction from an offset on."""
        return bisect_left(self._kept, offset)

    def name(self, step: dis.Instruction) -> str:
        """Return what an instruction does; in which direction it jumps is said by where it goes."""
        if step.opcode not in JUMPS:
            return step.opname
        return step.opname.replace("_FORWARD", "").replace("_BACKWARD", "").replace("_NO_INTERRUPT", "")

    def _position(self, offset: int) -> int:
        return bisect_left(self._offsets, offset)

    def _is_passed_by(self, position: int, step: dis.Instruction, reached: set[int]) -> bool:
        """Tell whether this is a jump that nothing reaches: no other jump, and not the instruction before it."""
        if step.opname not in _ALWAYS or position in reached or not position:
            return False
        before = self._all[position - 1].opname
        return before in _ALWAYS or before in _LEAVES
