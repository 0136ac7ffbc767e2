"""The live display: a thread that looks at the board some times a second, and shows what has lasted long enough.

What the engine pays is some counting for each event. A flow that is over in half a second is never drawn, and nothing
that draws is loaded for it.
"""

import atexit
import logging
import os
import threading
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TextIO
from weakref import WeakSet

from entrepot._clock import SYSTEM_CLOCK, Clock
from entrepot.progress.model import Board, Phase
from entrepot.progress.screen import Screen
from entrepot.protocols.recorder import Recorder, RunEvent

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Display", "Observed"]

_log = logging.getLogger("entrepot.progress")

_DELAY: Final = timedelta(seconds=0.5)  # flows that end sooner are not shown
_LOOK: Final = 0.03  # seconds between looks whether a picture is still there
_LOOKS: Final = 4  # between new pictures
_SHARE: Final = 2 / 3  # of the terminal's lines: the rest is the program's own


class Display:
    """Shows the flow runs of this process on a terminal while they go on.

    Args:
        stream: Of the terminal.
        clock: Tells for how long.
    """

    def __init__(self, stream: TextIO, clock: Clock = SYSTEM_CLOCK) -> None:
        self.stream = stream
        self._clock = clock
        self._screen = Screen(stream)
        self._begin()
        _displays.add(self)

    def _begin(self) -> None:
        self._board = Board()
        self._counting = threading.RLock()  # a signal's handler may end runs while its thread is in here
        self._drawing = threading.RLock()  # the same
        self._shown: set[str] = set()  # flow runs that were on the screen, so that their end is told there, too
        self._stopped = False
        self._work_to_do = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def stopped(self) -> bool:
        """Whether it shows nothing any more: the terminal is gone, or the process is about to end."""
        return self._stopped

    def watch(self, event: RunEvent) -> None:
        """Take note of an event. Nothing is raised, and nothing is waited for."""
        if self._stopped:
            return
        try:
            with self._counting:
                turn = self._board.apply(event)
            if turn:
                self._start()
        except Exception as error:  # noqa: BLE001  a flow does not fail because of how it looks
            self._give_up(error)

    def settle(self) -> None:
        """Tell now of flow runs that have ended."""
        if self._shown:
            self._picture()

    def stop(self) -> None:
        """Remove what is on the screen, and end the thread."""
        self._stopped = True
        self._stop.set()
        self._work_to_do.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(2)  # a terminal whose output is held up holds up no exit
            if thread.is_alive():
                return
        with suppress(OSError, ValueError):
            self._screen.close()

    def forget(self) -> None:
        """Be silent from now on: in a forked child."""
        self._screen.forget()
        self._begin()
        self._stopped = True

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._work, name="entrepot-progress", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # too late in the life of the process, or too many threads
                self._stopped = True
                return
            self._thread = thread
        self._work_to_do.set()

    def _work(self) -> None:
        while True:
            self._work_to_do.wait()
            for _ in range(_LOOKS):
                if self._stop.wait(_LOOK):
                    return
                self._screen.restore()
            self._work_to_do.clear()
            if self._picture():
                self._work_to_do.set()

    def _picture(self) -> bool:
        """Show how things stand; return whether there will be more to show."""
        try:
            with self._drawing:
                return self._draw()
        except Exception as error:  # noqa: BLE001  as in `watch`
            self._give_up(error)
            return False

    def _draw(self) -> bool:
        with self._counting:
            ended = self._board.take_ended()
            flows = list(self._board.flows())
        now = self._clock.now()
        # A paused flow waits for a person, perhaps at this terminal, or has left the process.
        due = [flow for flow in flows if now - flow.created >= _DELAY and flow.phase is not Phase.PAUSED]
        over = [flow for flow in ended if flow.run_id in self._shown]
        before, self._shown = self._shown, {flow.run_id for flow in due}  # at once: `settle` looks at it
        if over or due or before:
            from entrepot.progress import frame  # noqa: PLC0415  it loads rich, which short flows need not wait for

            width, height = self._screen.size()
            plain = not _can_show("━✓⠋·", self.stream)
            for flow in over:
                self._screen.write(self._painted(frame.summary(flow, width=width, plain=plain), width))
            if due:
                lines = frame.frame(due, width=width, height=int(height * _SHARE), now=now, plain=plain)
                self._screen.show(self._painted(lines, width))
            else:
                self._screen.close()
        return bool(flows)

    def _painted(self, lines: "list[Text]", width: int) -> list[str]:
        """Return lines with the sequences of their colours, none wider than that."""
        from rich.console import Console  # noqa: PLC0415  as above

        console = Console(file=self.stream, force_terminal=True, legacy_windows=False, width=width)
        with console.capture() as captured:
            for line in lines:
                console.print(line, no_wrap=True, overflow="ellipsis", crop=True, markup=False, highlight=False)
        return captured.get().splitlines()

    def _give_up(self, error: Exception) -> None:
        """Show nothing from now on."""
        self._stopped = True
        _log.debug("the progress display ends: %r", error)
        with suppress(OSError, ValueError):
            self._screen.close()


class Observed:
    """A `Recorder` whose events are also shown.

    Args:
        recorder: Gets every event, as it is.
        display: Is told of it afterwards.
    """

    __slots__ = ("_recorder", "_watch", "display")

    def __init__(self, recorder: Recorder, display: Display) -> None:
        self._recorder = recorder
        self._watch = display.watch
        self.display = display

    @property
    def recorder(self) -> Recorder:
        """Who keeps the history."""
        return self._recorder

    def record(self, event: RunEvent) -> None:
        """Take note of the event, and count it."""
        self._recorder.record(event)
        self._watch(event)

    def flush(self) -> bool:
        """Flush the recorder; what has ended is told of first."""
        self.display.settle()
        return self._recorder.flush()

    def close(self) -> None:
        """Close the recorder. The display goes on: others may record."""
        self._recorder.close()


_displays: "WeakSet[Display]" = WeakSet()


def _can_show(text: str, stream: TextIO) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _at_exit() -> None:
    # Before the interpreter stops threads where they are: one that holds stderr then makes its end a fatal error.
    for display in list(_displays):
        display.stop()


def _after_fork_in_child() -> None:
    for display in list(_displays):
        display.forget()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
