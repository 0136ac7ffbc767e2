"""Variables that were meant to give a block, and do not: whoever misses the block is told."""

import logging

import pytest
from typer.testing import CliRunner

from entrepot import settings
from entrepot.blocks import Block, BlockDocuments, Secret, use_documents
from entrepot.blocks._misspelt import hint_for, misspelt
from entrepot.cli.app import app
from entrepot.errors import BlockNotFoundError

VALUE = '{"value": "hunter2-of-the-misspelt"}'


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("ENTREPOT_BLOCK_SECRET__X", "ENTREPOT_BLOCK__SECRET__X"),
        ("ENTREPOT_BLOCK__SECRET_X", "ENTREPOT_BLOCK__SECRET__X"),
        ("ENTREPOT_BLOCKS__SECRET__X", "ENTREPOT_BLOCK__SECRET__X"),
        ("ENTREPOT_BLOCKS_SECRET_X", "ENTREPOT_BLOCK__SECRET__X"),
        ("ENTREPOT_BLOCK___SECRET___X", "ENTREPOT_BLOCK__SECRET__X"),
        ("ENTREPOT_BLOCK__SECRETS__X", "ENTREPOT_BLOCK__SECRET__X"),
        ("ENTREPOT_BLOCK__secret__x", "ENTREPOT_BLOCK__SECRET__X"),
        ("entrepot_block__secret__x", "ENTREPOT_BLOCK__SECRET__X"),
        ("ENTREPOT_BLOCK__SECRET__MY-KEY", "ENTREPOT_BLOCK__SECRET__MY_KEY"),
        ("ENTREPOT_BLOCK__LOCAL_FILE_SYSTEM_DATA", "ENTREPOT_BLOCK__LOCAL_FILE_SYSTEM__DATA"),
        ("ENTREPOT_BLOCK__LOCAL__FILE__SYSTEM__DATA", "ENTREPOT_BLOCK__LOCAL_FILE_SYSTEM__DATA"),
        ("ENTREPOT_BLOCK_S3__PROD", "ENTREPOT_BLOCK__S3__PROD"),
        ("ENTREPOT_BLOCK__WEATHER_STATION__X", ""),
        ("ENTREPOT_BLOCK__SECRET", ""),
        ("ENTREPOT_BLOCK__", ""),
    ],
)
def test_what_is_meant(variable: str, meant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, VALUE)
    assert [(each.variable, each.meant) for each in misspelt()] == [(variable, meant)]


@pytest.mark.parametrize(
    "variable",
    [
        "ENTREPOT_BLOCK__SECRET__X",
        "ENTREPOT_BLOCK__LOCAL_FILE_SYSTEM__MY__DATA",
        "ENTREPOT_BLOCKS_STORAGE",
        "ENTREPOT_BLOCKS_TEAM",
        "ENTREPOT_BLOCKS_STORAG",
        "ENTREPOT_BLOCK",
    ],
)
def test_what_is_as_it_should_be_or_no_block(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, VALUE)
    assert misspelt() == []


def test_who_misses_the_block_is_told(documents: BlockDocuments, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCK_SECRET__X", VALUE)
    said = r"; ENTREPOT_BLOCK_SECRET__X is set and gives no block: did you mean ENTREPOT_BLOCK__SECRET__X\?"
    for load in (lambda: Secret.load("x"), lambda: Block.load("secret/x"), lambda: Block.load("x")):
        with pytest.raises(BlockNotFoundError, match=said) as caught:
            load()
        assert "hunter2" not in str(caught.value)
    for slug, name in (("string", "x"), ("secret", "y")):
        assert hint_for(slug, name) == ""
        with pytest.raises(BlockNotFoundError) as caught:
            Block.load(f"{slug}/{name}")
        assert "is set" not in str(caught.value)
    with use_documents(documents):
        Secret(value="y").save("x")
    assert Secret.load("x").get() == "y", "who has it is not told"


@pytest.mark.parametrize("arguments", [["block", "ls"], ["block", "where", "secret/x"], ["block", "where", "x"]])
def test_the_commands_say_so(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRT__X", VALUE)
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__OTHER", VALUE)
    output = " ".join(CliRunner().invoke(app, arguments, env={"COLUMNS": "300"}).output.split())
    assert "ENTREPOT_BLOCK__SECRT__X is set and gives no block: did you mean ENTREPOT_BLOCK__SECRET__X?" in output
    assert "hunter2" not in output
    if arguments[1] == "ls":
        assert "of the environment: ENTREPOT_BLOCK__SECRET__OTHER" in output


def test_the_settings_say_how_it_is_written(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS__SECRET__NEW_HERE", VALUE)
    with caplog.at_level(logging.WARNING):
        settings.current()
        settings.current()
    (record,) = caplog.records
    assert record.getMessage() == (
        "the variable ENTREPOT_BLOCKS__SECRET__NEW_HERE sets nothing; the variable of a block is"
        " ENTREPOT_BLOCK__TYPE__NAME"
    )
