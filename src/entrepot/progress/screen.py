"""Lines that hang below the cursor of a terminal, while everything else is written where the cursor is.

The usual way leaves the cursor below the lines that are drawn, and takes what others write for a part of them: prompts,
other progress bars and the output of child processes are then overwritten. Here the cursor stays where the program's
own output ends. Who writes there, by whatever way, writes in the right place. The lines below are drawn with the
cursor's place saved and restored, and one sequence removes them, however the terminal was resized in between.

Streams of Python are told apart by their `write`: before it ends a line, the lines below make room. Other output of
more than one line runs over them, and the next drawing puts that right.

Sequences: ECMA-48 (ED `CSI J`, EL `CSI K`, CUU `CSI A`, IND `ESC D`, which moves down and keeps the column) and DEC's
DECSC `ESC 7`, DECRC `ESC 8`, DECAWM `CSI ? 7` and DECTCEM `CSI ? 25`. The cursor is hidden and shown again by one and
the same write, so that a program that is killed leaves a terminal that can be used.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Final, TextIO

__all__ = ["Screen"]

_ERASE_LINE: Final = "\x1b[K"
_ERASE: Final = "\x1b[J"  # from the cursor on, so also what was drawn here before somebody wrote over it
_ERASE_BELOW: Final = (
    "\x1bD\x1b[A\x1b7\r\n\x1b[J\x1b8"  # moving down and up again makes sure that there is a line below
)
_UP: Final = "\x1b[A"
_HOLD: Final = 1.0  # seconds for which we draw nothing after somebody has drawn below the cursor
_AT_ONCE: Final = 0.03  # seconds between drawings that follow at once on what a program writes


class Screen:
    """Draws on a terminal that others write to, too.

    Args:
        stream: Of the terminal.
        monotonic: Tells seconds.
    """

    def __init__(self, stream: TextIO, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._write = stream.write
        self._monotonic = monotonic
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may write while its thread is in here
        self._lines: Sequence[str] = ()
        self._ours = self._drawn = False
        self._returned = False  # whether there may be text of theirs to the right of the cursor: `print(x, end="\r")`
        self._midline = False  # whether they have begun a line
        self._at_once = -_AT_ONCE  # when it was last drawn by a write
        self._hold = 0.0  # until when the lines below the cursor are somebody else's
        self._patched: list[tuple[TextIO, Callable[[str], int]]] = []

    def size(self) -> tuple[int, int]:
        """Return columns and lines."""
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    def show(self, lines: Sequence[str]) -> None:
        """Draw these lines instead of the ones before; not while somebody else has the terminal.

        Args:
            lines: Each fits the terminal, and moves no cursor.

        Raises:
            OSError: If the terminal is gone.
        """
        with self._lock:
            self._open()
            self._lines = lines
            self._ours = self._is_ours()
            if self._ours:
                self._draw()

    def restore(self) -> None:
        """Draw the lines again where a flood of other output has left no room for them; nothing is raised."""
        if self._lines and self._ours and not self._drawn and self._monotonic() >= self._hold:
            with self._lock, suppress(OSError, ValueError):
                self._draw()

    def write(self, lines: Sequence[str]) -> None:
        """Write lines that stay, where the cursor is.

        Raises:
            OSError: If the terminal is gone.
        """
        with self._lock:
            self._erase()
            text = "".join(f"{line}\n" for line in lines)
            around = sys.stderr
            if around is not None and around is not self._stream and around.isatty():
                around.write(text)  # whoever put something around the stream, a display of rich, say, knows where
                around.flush()
                return
            self._put("\n" * self._midline + text)
            self._midline = self._returned = False

    def close(self) -> None:
        """Remove the lines, and let others write as before."""
        with self._lock:
            try:
                self._erase()
            finally:
                self._lines = ()
                for stream, ours in self._patched:
                    if vars(stream).get("write") is ours:  # what came on top of it is somebody else's to undo
                        del vars(stream)["write"]
                self._patched = []

    def forget(self) -> None:
        """Stay silent from now on: in a forked child, where the terminal and the lock are the parent's."""
        self._begin()

    def _draw(self) -> None:
        count = len(self._lines)
        if count:
            # Without line wrapping, for the terminal may be narrower by now.
            room = "\x1bD" * count + f"\x1b[{count}A"
            below = "".join(f"\r\n{line}" for line in self._lines)
            self._put(f"\x1b[?25l\x1b[?7l{room}{self._eraser()}\x1b7{below}\x1b[0m\x1b8\x1b[?7h\x1b[?25h")
        elif self._drawn:
            self._put(self._eraser())
        self._drawn = count > 0

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            self._put(self._eraser())

    def _eraser(self) -> str:
        return _ERASE_BELOW if self._returned or self._midline else _ERASE

    def _put(self, text: str) -> None:
        self._write(text)
        self._stream.flush()

    def _is_ours(self) -> bool:
        """Return whether nobody else has the terminal: another job, who reads keys or a password, who draws below."""
        if self._monotonic() < self._hold:
            return False
        import termios  # noqa: PLC0415  not on every platform, and only for who has a terminal

        descriptor = self._stream.fileno()
        try:
            if os.tcgetpgrp(descriptor) != os.getpgrp():
                return False
        except OSError:
            pass  # it is not the terminal that controls us, and so has no jobs
        try:
            modes = termios.tcgetattr(descriptor)[3]
        except termios.error as error:
            raise OSError(*error.args) from None
        return bool(modes & termios.ICANON) and bool(modes & termios.ECHO)

    # --- what others write --------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._patched:
            return
        streams = (self._stream, sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        for stream in {id(stream): stream for stream in streams}.values():
            # What is put around them (by rich, by colorama) writes to them in the end.
            if isinstance(stream, TextIOWrapper) and not stream.closed and stream.isatty():
                ours = self._between(stream.write, stream.flush)
                vars(stream)["write"] = ours
                self._patched.append((stream, ours))

    def _between(self, write: Callable[[str], int], flush: Callable[[], None]) -> Callable[[str], int]:
        """Return a `write` that makes room for whole lines."""

        def write_between(text: str) -> int:
            if not self._lines or "\n" not in text:
                return self._piece(text, write)
            with self._lock:
                try:
                    self._erase()
                    written = write(text)
                    flush()
                    begun = text.rpartition("\n")[2]
                    self._midline = bool(begun)
                    self._returned = "\r" in begun
                    now = self._monotonic()
                    if self._ours and now - self._at_once >= _AT_ONCE:  # else a flood of lines would be mostly ours
                        self._at_once = now
                        self._draw()
                except OSError:
                    self._lines = ()
                    raise
                return written

        return write_between

    def _piece(self, text: str, write: Callable[[str], int]) -> int:
        """Write what ends no line: it stays above ours."""
        if self._drawn and not self._midline and not self._returned:
            with self._lock:  # somebody's Enter may have brought the cursor onto our first line
                self._put(_ERASE_LINE)
        self._midline |= bool(text)
        self._returned |= "\r" in text
        if text.endswith(_UP):  # so they have drawn below: several progress bars, say
            self._hold = self._monotonic() + _HOLD
            self._ours = False
        return write(text)
