"""The lines below the cursor: whatever others write, in whatever pieces, is all there afterwards, and nothing else."""

import io
import os
import select
import termios
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.progress.screen import Screen
from entrepot_test_terminals import Picture, open_terminal

COLUMNS, LINES = 40, 12


class Setup:
    """A terminal in this process, as stdout and stderr."""

    def __init__(self) -> None:
        self.ours, self.theirs = open_terminal(COLUMNS, LINES)
        self.stderr = open(self.theirs, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  closed below
        self.stdout = open(self.theirs, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  closed below
        self.picture = Picture(COLUMNS, LINES)
        self.sys = SimpleNamespace(stdout=self.stdout, stderr=self.stderr, __stdout__=None, __stderr__=None)
        self.now = 0.0
        self.screen = Screen(self.stderr, lambda: self.now)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Make these the streams of the process, as the screen sees it; pytest keeps its own."""
        patch.setattr("entrepot.progress.screen.sys", self.sys)

    def print(self, *values: object, **options: Any) -> None:
        print(*values, **{"file": self.stdout, **options})  # noqa: T201  this is what is tested

    def look(self) -> str:
        """Return what can be seen."""
        while select.select([self.ours], [], [], 0)[0]:
            self.picture.feed(os.read(self.ours, 65536).decode())
        return self.picture.text

    def close(self) -> None:
        self.screen.close()
        self.stderr.close()
        self.stdout.close()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> Iterator[Setup]:
    made = Setup()
    made.install(monkeypatch)
    yield made
    made.close()


def test_lines_hang_below_the_cursor(setup: Setup) -> None:
    setup.print("before")
    setup.screen.show(["one", "two"])
    assert setup.look() == "before\n\none\ntwo"
    assert (setup.picture.row, setup.picture.column) == (1, 0)
    assert setup.picture.cursor_shown
    assert setup.picture.wraps


def test_fewer_lines_leave_nothing_of_the_ones_before(setup: Setup) -> None:
    setup.screen.show(["one", "two", "three"])
    setup.screen.show(["four"])
    assert setup.look() == "\nfour"


def test_whole_lines_of_either_stream_are_written_above(setup: Setup) -> None:
    setup.screen.show(["one", "two"])
    setup.print("a long line of output\nand another")
    setup.now += 1
    setup.print("a message", file=setup.stderr)
    setup.now += 1
    assert setup.look() == "a long line of output\nand another\na message\n\none\ntwo"


def test_a_line_in_pieces_stays_where_it_is(setup: Setup) -> None:
    setup.screen.show(["one"])
    for piece in ("your ", "name? "):
        setup.print(piece, end="", flush=True)
    setup.screen.show(["two"])
    assert setup.look() == "your name?\ntwo"
    assert setup.picture.column == len("your name? ")
    setup.print("Ann")
    assert setup.look() == "your name? Ann\n\ntwo"


def test_another_progress_bar_keeps_its_line(setup: Setup) -> None:
    for number in range(5):
        setup.screen.show([f"ours {number}"])
        setup.stderr.write(f"\rtheirs {number}")
        setup.stderr.flush()
    assert setup.look() == "theirs 4\nours 4"


def test_bars_below_the_cursor_are_left_alone(setup: Setup) -> None:
    def bars(number: int) -> None:
        for text in (f"\rfirst {number}", "\n", f"\rsecond {number}", "\x1b[A"):
            setup.stderr.write(text)
            setup.stderr.flush()

    bars(0)
    setup.screen.show(["ours"])  # nobody can know yet
    bars(1)
    setup.now += 0.5
    setup.screen.show(["ours"])
    setup.screen.restore()
    bars(2)
    assert setup.look().split("\n")[:2] == ["first 2", "second 2"]
    assert setup.look().count("ours") <= 1
    setup.stderr.write("\n\n")
    setup.now += 1
    setup.screen.show(["ours"])
    assert setup.look() == "first 2\nsecond 2\n\nours"


def test_output_from_elsewhere_is_not_lost(setup: Setup) -> None:
    setup.screen.show(["one", "two"])
    setup.print("a line")
    os.write(setup.theirs, b"from a child\nprocess\n")
    setup.screen.show(["three"])
    shown = setup.look().split("\n")
    assert shown[:2] == ["a line", "from a child"]
    assert shown[2].startswith("process")
    assert shown[3:] == ["", "three"]


def test_at_the_bottom_of_the_screen_what_is_above_moves_up(setup: Setup) -> None:
    for number in range(20):
        setup.print("line", number)
    setup.screen.show(["one", "two"])
    setup.now += 1
    setup.print("line 20")
    assert setup.look() == "\n".join([*[f"line {number}" for number in range(21)], "", "one", "two"])


def test_a_flood_of_lines_is_not_mostly_ours(setup: Setup) -> None:
    setup.screen.show(["one"])
    for number in range(1000):
        setup.print(number)
    assert setup.look() == "\n".join(map(str, range(1000)))
    assert setup.picture.row > 0
    setup.screen.restore()
    assert setup.look() == "\n".join([*map(str, range(1000)), "", "one"])


def test_lines_that_stay_are_written_above(setup: Setup) -> None:
    setup.screen.show(["one"])
    setup.screen.write(["done"])
    setup.screen.show(["two"])
    assert setup.look() == "done\n\ntwo"
    setup.print("half a line", end="", flush=True)
    setup.screen.write(["done too"])
    assert setup.look() == "done\nhalf a line\ndone too"


def test_after_the_end_nothing_is_left_and_streams_are_as_before(setup: Setup) -> None:
    setup.screen.show(["one"])
    assert "write" in vars(setup.stdout)
    setup.screen.close()
    assert "write" not in vars(setup.stdout)
    assert "write" not in vars(setup.stderr)
    setup.print("after")
    assert setup.look() == "after"


def test_what_somebody_put_on_top_of_a_stream_stays(setup: Setup) -> None:
    setup.screen.show(["one"])
    below, written = setup.stdout.write, []

    def theirs(text: str) -> int:
        written.append(text)
        return below(text)

    vars(setup.stdout)["write"] = theirs
    setup.screen.close()
    setup.print("after")
    assert written == ["after", "\n"]
    assert setup.look() == "after"


def test_streams_that_are_no_terminals_are_left_alone(setup: Setup) -> None:
    text = io.StringIO()
    setup.sys.stdout = text
    setup.screen.show(["one"])
    text.write("elsewhere\n")
    assert "write" not in vars(text)
    setup.sys.stdout = None
    setup.screen.close()
    setup.screen.show(["two"])
    assert setup.look() == "\ntwo"


@pytest.mark.parametrize("mode", [termios.ICANON, termios.ECHO])
def test_who_reads_keys_or_a_password_is_not_disturbed(mode: int, setup: Setup) -> None:
    setup.screen.show(["one"])
    before = termios.tcgetattr(setup.theirs)
    during = [*before]
    during[3] &= ~mode
    termios.tcsetattr(setup.theirs, termios.TCSANOW, during)
    setup.screen.show(["two"])
    assert "two" not in setup.look()
    setup.screen.restore()
    setup.print("their line")
    assert "two" not in setup.look()
    termios.tcsetattr(setup.theirs, termios.TCSANOW, before)
    setup.screen.show(["three"])
    assert setup.look() == "their line\n\nthree"


def test_a_terminal_that_is_gone_is_an_os_error(setup: Setup) -> None:
    other = Setup()
    os.close(other.ours)
    with pytest.raises(OSError, match="error"):
        other.screen.show(["one"])
    other.ours = os.open(os.devnull, os.O_RDONLY)
    os.dup2(other.ours, other.theirs)  # so that closing the streams has somewhere to go


def test_lines_are_not_wrapped_by_a_terminal_that_became_narrower(setup: Setup) -> None:
    setup.screen.show(["x" * 100, "two"])
    assert setup.look().split("\n") == ["", "x" * COLUMNS, "two"]


pieces = st.lists(
    st.one_of(
        st.tuples(st.just("out"), st.text("ab\n\r", max_size=50)),
        st.tuples(st.just("err"), st.text("cd\n\r", max_size=50)),
        st.tuples(st.just("show"), st.lists(st.text("xyz", max_size=39), max_size=6)),
        st.tuples(st.just("restore"), st.none()),
        st.tuples(st.just("time"), st.floats(0, 1)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=pieces)
def test_whatever_is_written_looks_as_if_we_had_not_been_there(
    story: list[tuple[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for with_us in (True, False):
        made = Setup()
        with monkeypatch.context() as patch:
            made.install(patch)
            if with_us:
                made.screen.show([])  # from here on it knows what is on the cursor's line
            for what, value in story:
                if what in {"out", "err"}:
                    stream = made.stdout if what == "out" else made.stderr
                    stream.write(value)  # type: ignore[arg-type]
                    stream.flush()
                elif with_us and what == "show":
                    made.screen.show(value)  # type: ignore[arg-type]
                elif with_us and what == "restore":
                    made.screen.restore()
                elif what == "time":
                    made.now += value  # type: ignore[operator]
            made.screen.close()
            seen.append(made.look())
        made.close()
    assert seen[0] == seen[1]
