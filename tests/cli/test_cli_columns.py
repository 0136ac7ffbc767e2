"""How wide tables are: as COLUMNS says, where it is set; else as the terminal, and elsewhere as wide as they need."""

import io
import re

import pytest

from entrepot.blocks import String
from entrepot.cli.listed import Lines
from entrepot.cli.output import columns_of, show, table

from .conftest import Invoke

LONG = "word " * 40
COLOURS = re.compile(r"\x1b\[[?0-9;]*[A-Za-z]")


def widest(text: str) -> int:
    return max(len(line.rstrip()) for line in COLOURS.sub("", text).replace("\r\n", "\n").splitlines())


def test_a_piped_table_is_as_wide_as_it_needs_to_be(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    String(value=LONG).save("long")
    for columns in (None, "", "0", "-5", "many", "9" * 30):
        if columns is not None:
            monkeypatch.setenv("COLUMNS", columns)
        assert any(LONG.strip() in line for line in invoke("block", "show", "long").stdout.splitlines()), columns


def test_a_real_pipe_has_the_columns_that_are_set(program: Invoke) -> None:
    String(value=LONG).save("long")
    assert 40 < widest(program("block", "show", "long", COLUMNS="60").stdout) <= 60


def test_a_piped_table_fits_what_columns_says(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    String(value=LONG).save("long")
    wide = widest(invoke("block", "show", "long").stdout)
    assert wide > 200
    for columns in (50, 80, 250):
        monkeypatch.setenv("COLUMNS", str(columns))
        said = invoke("block", "show", "long").stdout
        assert widest(said) <= columns
        assert widest(said) > 0.8 * min(columns, wide)
        assert said.count("word") == 40, "nothing is cut away"


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


class Screen(io.StringIO):
    """Says that it is a terminal, and has no columns to tell of."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_has_its_own_columns_where_none_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, most in (("0", 80), ("", 80), ("60", 60)):
        monkeypatch.setattr("sys.stdout", screen := Screen())
        monkeypatch.setenv("COLUMNS", columns)
        show(table(("Field", "Value"), [("value", LONG)]))
        assert "word word" in screen.getvalue()
        assert 40 < widest(screen.getvalue()) <= most


def test_a_stream_that_only_says_that_it_is_a_terminal_has_the_usual_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert columns_of(Screen()) == 80
    assert columns_of(io.StringIO()) is None
    monkeypatch.setenv("COLUMNS", "33")
    assert columns_of(Screen()) == columns_of(io.StringIO()) == 33
