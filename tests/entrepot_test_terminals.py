"""Programs at a terminal of their own, and what a person would see there."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


class Picture:
    """A terminal's screen, and what has left it at the top.

    It knows the sequences that our display uses, and those of rich; all letters are one column wide.
    """

    _TOKEN = re.compile(r"\x1b\[([?]?[0-9;]*)([A-Za-z])|\x1b([78DM])|([\r\n\b])|([^\x1b\r\n\b])")

    def __init__(self, columns: int = 80, lines: int = 24) -> None:
        self.columns, self.lines = columns, lines
        self.gone: list[str] = []
        self.rows = [[" "] * columns for _ in range(lines)]
        self.row = self.column = 0
        self.saved = (0, 0)
        self.cursor_shown = self.wraps = True

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            token = self._TOKEN.match(text, at)
            assert token is not None, f"an unknown sequence: {text[at : at + 12]!r}"
            at = token.end()
            parameters, command, escape, control, letter = token.groups()
            if letter is not None:
                self._put(letter)
            elif control is not None:
                self._control(control)
            elif escape is not None:
                self._escape(escape)
            else:
                self._command(parameters, command)

    @property
    def text(self) -> str:
        """Everything, from the first line that was written to the last."""
        shown = ["".join(row).rstrip() for row in self.rows]
        return "\n".join([*self.gone, *shown]).rstrip("\n")

    def _put(self, letter: str) -> None:
        if self.column >= self.columns:
            if self.wraps:
                self.column = 0
                self._down()
            else:
                self.column = self.columns - 1
        self.rows[self.row][self.column] = letter
        self.column += 1

    def _control(self, control: str) -> None:
        if control == "\r":
            self.column = 0
        elif control == "\n":
            self._down()
        else:
            self.column = max(self.column - 1, 0)

    def _escape(self, escape: str) -> None:
        if escape == "7":
            self.saved = (self.row, self.column)
        elif escape == "8":
            self.row, self.column = self.saved
        elif escape == "D":
            self._down()
        else:
            self.row = max(self.row - 1, 0)

    def _down(self) -> None:
        if self.row < self.lines - 1:
            self.row += 1
            return
        self.gone.append("".join(self.rows.pop(0)).rstrip())
        self.rows.append([" "] * self.columns)

    def _command(self, parameters: str, command: str) -> None:
        count = int(parameters) if parameters.isdigit() else 1
        if command == "A":
            self.row = max(self.row - count, 0)
        elif command == "J":
            self._erase_line(self.column, self.columns)
            for row in range(self.row + 1, self.lines):
                self.rows[row] = [" "] * self.columns
        elif command == "K":
            self._erase_line(0 if parameters == "2" else self.column, self.columns)
        elif command in "hl" and parameters == "?25":
            self.cursor_shown = command == "h"
        elif command in "hl" and parameters == "?7":
            self.wraps = command == "h"
        else:
            assert command in "mhl", f"an unknown command: {parameters}{command}"

    def _erase_line(self, start: int, stop: int) -> None:
        for column in range(start, stop):
            self.rows[self.row][column] = " "


@dataclass
class Terminal:
    """A program that runs at a terminal of its own.

    Attributes:
        process: The program.
        descriptor: Our end of the terminal.
        seen: What it wrote so far.
        columns: Of the terminal.
        lines: Of the terminal.
    """

    process: subprocess.Popen[bytes]
    descriptor: int
    seen: str = ""
    columns: int = 80
    lines: int = 24
    _rest: bytes = field(default=b"", repr=False)

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Read until the program has written this."""
        deadline = time.monotonic() + seconds
        start = len(self.seen)
        while text not in self.seen[start:]:
            assert time.monotonic() < deadline, f"{text!r} was not written; seen: {self.seen!r}"
            ended = self.process.poll() is not None  # first: what it wrote before that is read now
            if not self._read(1 if ended else 0.1) and ended:
                assert text in self.seen[start:], f"it ended; seen: {self.seen!r}"

    def wait_for_picture(self, text: str, seconds: float = 120) -> str:
        """Read until this can be seen; return all that can be seen then."""
        deadline = time.monotonic() + seconds
        while text not in (picture := self.picture().text):
            assert time.monotonic() < deadline, f"{text!r} cannot be seen; seen: {picture}"
            ended = self.process.poll() is not None
            if not self._read(1 if ended else 0.1) and ended:
                assert text in self.picture().text, f"it ended; seen: {picture}"
        return picture

    def picture(self) -> Picture:
        """Return what a person sees now."""
        picture = Picture(self.columns, self.lines)
        whole = re.sub(r"\x1b(\[[?0-9;]*)?$", "", self.seen)  # the end of a sequence may still be on its way
        picture.feed(whole)
        return picture

    def type(self, text: str) -> None:
        """Write as a person would."""
        os.write(self.descriptor, text.encode())

    def end(self, seconds: float = 120) -> int:
        """Wait for its end; return its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; seen: {self.seen!r}"
            self._read(0.1)
        while self._read(1):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:  # the other end is closed
            return False
        self._rest += data
        try:
            text = self._rest.decode()
        except UnicodeDecodeError:  # a letter was cut in two
            return bool(data)
        self.seen += text
        self._rest = b""
        return bool(data)


def open_terminal(columns: int = 80, lines: int = 24) -> tuple[int, int]:
    """Return the two ends of a new terminal of this size: ours, and the program's."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    return ours, theirs


class Starter:
    """Starts programs at terminals; `close` ends them."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._variables = variables
        self._opened: list[Terminal] = []

    def __call__(
        self, command: Sequence[str], *, columns: int = 80, lines: int = 24, cwd: str | None = None, **variables: str
    ) -> Terminal:
        ours, theirs = open_terminal(columns, lines)
        unwanted = {"CI", "NO_COLOR", "COLUMNS", "LINES"}
        environment = {name: value for name, value in os.environ.items() if name not in unwanted}
        # A session's leader that opens a terminal is controlled by it: Ctrl-C becomes a signal.
        process = subprocess.Popen(
            ["sh", "-c", f'exec "$@" <{os.ttyname(theirs)} >{os.ttyname(theirs)} 2>&1', "sh", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            start_new_session=True,
            env={**environment, "TERM": "xterm-256color", **self._variables, **variables},
        )
        os.close(theirs)
        self._opened.append(Terminal(process, ours, columns=columns, lines=lines))
        return self._opened[-1]

    def close(self) -> None:
        for one in self._opened:
            one.process.kill()
            one.process.wait()
            os.close(one.descriptor)


@contextmanager
def terminals(**variables: str) -> Iterator[Starter]:
    """Give what starts programs at terminals, with these variables."""
    starter = Starter(variables)
    try:
        yield starter
    finally:
        starter.close()
