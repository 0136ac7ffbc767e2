"""How wide tables are: as COLUMNS says, where it is set; else as the terminal, and elsewhere as wide as they need."""

import io
import re
from collections.abc import Callable

import pytest

from entrepot.blocks import String
from entrepot.cli.listed import Lines
from entrepot.cli.output import columns_of
from entrepot_test_terminals import Terminal

from .conftest import Invoke

LONG = "word " * 40
COLOURS = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


def widest(text: str) -> int:
    return max(len(line.rstrip()) for line in COLOURS.sub("", text).replace("\r\n", "\n").splitlines())


@pytest.mark.parametrize("columns", [None, "", "0", "-5", "many", "9" * 30])
def test_a_piped_table_is_as_wide_as_it_needs_to_be(
    columns: str | None, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    String(value=LONG).save("long")
    assert any(LONG.strip() in line for line in invoke("block", "show", "long").stdout.splitlines())


def test_a_real_pipe_has_the_columns_that_are_set(program: Invoke) -> None:
    String(value=LONG).save("long")
    assert 40 < widest(program("block", "show", "long", COLUMNS="60").stdout) <= 60


@pytest.mark.parametrize("columns", [50, 80, 250])
def test_a_piped_table_fits_what_columns_says(columns: int, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    String(value=LONG).save("long")
    wide = widest(invoke("block", "show", "long").stdout)
    assert wide > 200
    monkeypatch.setenv("COLUMNS", str(columns))
    said = invoke("block", "show", "long").stdout
    assert widest(said) <= columns
    assert widest(said) > 0.8 * min(columns, wide)
    assert re.sub(r"[\s─]+", " ", said).count("word") == 40, "nothing is cut away"


def test_lists_leave_out_the_same_columns_as_at_a_terminal(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        String(value=str(number)).save("one", overwrite=True)
    history = ("block", "history", "string/one")
    assert "Entrepot" in invoke(*history).stdout.splitlines()[0]
    monkeypatch.setenv("COLUMNS", "70")
    said = invoke(*history).stdout
    assert "Entrepot" not in said.splitlines()[0]
    assert widest(said) <= 70
    assert len(said.splitlines()) == 4, "a line each"
    assert Lines().heading().plain == Lines(70).heading().plain
    monkeypatch.delenv("COLUMNS")
    assert Lines().heading().plain == Lines(None).heading().plain


def test_what_is_for_programs_is_not_folded(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    String(value=LONG).save("long")
    monkeypatch.setenv("COLUMNS", "20")
    assert invoke("block", "show", "long", "--json").data["fields"]["value"] == LONG


def test_a_terminal_has_its_own_columns_where_none_are_set(terminal: Callable[..., Terminal]) -> None:
    String(value=LONG).save("long")
    screen = terminal(["block", "show", "long"], COLUMNS="0")
    assert screen.end() == 0, screen.seen
    assert "word word" in screen.seen
    assert 40 < widest(screen.seen) <= 80


def test_a_stream_that_only_says_that_it_is_a_terminal_has_the_usual_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("COLUMNS", raising=False)
    assert columns_of(Odd()) == 80
    assert columns_of(io.StringIO()) is None
    monkeypatch.setenv("COLUMNS", "33")
    assert columns_of(Odd()) == columns_of(io.StringIO()) == 33
