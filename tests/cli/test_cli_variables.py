"""`entrepot variable`."""

import pytest

from entrepot.variables import Variable

from .conftest import Invoke


def test_a_text_is_set_seen_and_unset(invoke: Invoke) -> None:
    found = invoke("variable", "set", "region", "eu-west-1", "--tag", "nightly", "-t", "eu")
    assert (found.stdout, found.stderr) == ("", "region is set\n")
    assert Variable.get("region") == "eu-west-1"
    assert invoke("variable", "get", "region").stdout == "eu-west-1\n"
    row = next(line for line in invoke("variable", "ls").stdout.splitlines() if line.startswith("region"))
    assert row.split()[:4] == ["region", "eu-west-1", "eu,", "nightly"]
    assert invoke("variable", "unset", "region").stderr == "region is removed\n"
    assert Variable.get("region") is None


@pytest.mark.parametrize(
    ("text", "value"), [('{"rows": [1, 2.5, null]}', {"rows": [1, 2.5, None]}), ("5", 5), ('"5"', "5"), ("true", True)]
)
def test_a_json_value_is_what_it_says(text: str, value: object, invoke: Invoke) -> None:
    invoke("variable", "set", "v", text, "--json-value")
    assert Variable.get("v") == value
    found = invoke("variable", "get", "v", "--json").data
    assert found["value"] == value
    assert set(found) == {"name", "value", "tags", "created", "updated"}


def test_a_text_that_looks_like_json_stays_a_text(invoke: Invoke) -> None:
    invoke("variable", "set", "v", "5")
    assert Variable.get("v") == "5"


def test_another_value_has_to_be_asked_for(invoke: Invoke) -> None:
    invoke("variable", "set", "v", "a")
    assert "--overwrite" in invoke("variable", "set", "v", "b", exit_code=1).stderr
    assert invoke("variable", "set", "v", "b", "--overwrite", "--json").data["value"] == "b"


def test_for_programs(invoke: Invoke) -> None:
    assert invoke("variable", "ls", "--json").data == []
    assert "no variables" in invoke("variable", "ls").stderr
    Variable.set("v", {"a": 1})
    assert [row["value"] for row in invoke("variable", "ls", "--json").data] == [{"a": 1}]
    assert invoke("variable", "get", "v").data == {"a": 1}
    assert invoke("variable", "unset", "v", "--json").data == {"name": "v", "removed": True}


@pytest.mark.parametrize("command", ["get", "unset"])
def test_one_that_is_not_set_is_an_error(command: str, invoke: Invoke) -> None:
    Variable.set("other", 1)
    message = invoke("variable", command, "v", exit_code=1).stderr
    assert "there is no variable 'v'; set: other" in message


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("Region", "x"), "cannot be a variable name"),
        (("v", "{", "--json-value"), "is no JSON"),
        (("v", "[" * 100_000, "--json-value"), "is no JSON"),
        (("v", "NaN", "--json-value"), "which is no number in JSON"),
    ],
)
def test_what_makes_no_sense_is_one_clear_error(args: tuple[str, ...], message: str, invoke: Invoke) -> None:
    assert message in invoke("variable", "set", *args, exit_code=1).stderr


def test_values_cannot_steer_the_terminal(invoke: Invoke) -> None:
    Variable.set("v", "\x1b[31mred")
    assert "\\x1b[31mred" in invoke("variable", "ls").stdout


def test_the_help_shows_examples(invoke: Invoke) -> None:
    assert "entrepot variable set region eu-west-1" in invoke("variable", "--help").stdout
