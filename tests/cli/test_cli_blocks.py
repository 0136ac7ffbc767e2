"""`entrepot block`: types, saving, showing, checking and deleting; secrets show nowhere."""

import json
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, SecretStr, field_validator

from entrepot.blocks import JSON, Block, Secret, String
from entrepot.cli import asking, block_asking, block_making
from entrepot.cli.block_fields import describe_fields
from entrepot.errors import StorageAccessError
from entrepot.plugins import BLOCKS, PluginEntry

from .conftest import Invoke

HUNTER = "hunter2-\u00e9-correct-horse"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@pytest.fixture
def gadget() -> Any:
    class Gadget(Block):
        """A thing of every kind.

        With a second paragraph.
        """

        host: str = Field(description="Where it is.")
        port: int = 8080
        ratio: float = 0.5
        on: bool = False
        tags: list[str] = Field(default_factory=list)
        options: dict[str, int] = Field(default_factory=dict)
        mode: Literal["fast", "slow"] = "fast"
        colour: Colour = Colour.RED
        verify: bool | str = True
        note: str | None = None
        token: SecretStr | None = Field(default=SecretStr("planted-default"), description="The key to it.")

        @field_validator("port")
        @classmethod
        def _check(cls, value: int) -> int:
            if value < 1:
                raise ValueError("ports count from 1")
            return value

    yield Gadget
    BLOCKS.forget("gadget")


class TestTypes:
    def test_the_built_in_ones_are_listed(self, invoke: Invoke) -> None:
        text = invoke("block", "types").stdout
        for word in ("secret", "local-file-system", "s3", "bucket_path"):
            assert word in text

    def test_for_programs(self, invoke: Invoke, gadget: type[Block]) -> None:
        rows = {row["slug"]: row for row in invoke("block", "types", "--json").data}
        row = rows["gadget"]
        assert list(row) == [
            "slug",
            "name",
            "description",
            "documentation_url",
            "logo",
            "capabilities",
            "fields",
            "target",
            "distribution",
            "version",
            "status",
            "detail",
        ]
        assert row["description"] == "A thing of every kind."
        fields = {field["name"]: field for field in row["fields"]}
        assert fields["host"] == {
            "name": "host",
            "type": "str",
            "required": True,
            "secret": False,
            "default": None,
            "description": "Where it is.",
        }
        assert fields["port"]["default"] == "8080"
        assert fields["token"]["secret"] is True
        assert fields["token"]["default"] is None
        assert "planted-default" not in json.dumps(rows)

    def test_one_is_shown_with_its_fields_and_the_logo_of_its_class(self, invoke: Invoke, gadget: type[Block]) -> None:
        type.__setattr__(gadget, "_logo_url", "https://example.com/gadget.png")
        said = invoke("block", "types", "gadget").stdout
        for word in ("A thing of every kind.", "https://example.com/gadget.png", "host", "required", "Where it is."):
            assert word in said
        assert "planted-default" not in said
        data = invoke("block", "types", "gadget", "--json").data
        assert data in invoke("block", "types", "--json").data
        assert data["logo"] == "https://example.com/gadget.png"

    def test_one_that_is_none_is_an_error_that_says_what_is_near(self, invoke: Invoke) -> None:
        said = invoke("block", "types", "secrt", exit_code=1).stderr
        assert "did you mean 'secret'" in said
        assert "show and types take it" in said

    def test_a_broken_type_breaks_only_its_own_row(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        real = BLOCKS.report

        def report(*, load: bool = False) -> Any:
            bad = PluginEntry("entrepot.blocks", "bad", "bad:Bad", "bad-plugin", "1.0", "broken", "it raises")
            return [bad, *real(load=load)]

        monkeypatch.setattr(BLOCKS, "report", report)
        found = invoke("block", "types")
        assert "secret" in found.stdout
        assert "warning: it raises" in found.stderr


class TestCreate:
    def test_a_block_of_plain_fields(self, invoke: Invoke) -> None:
        found = invoke("block", "create", "string", "greeting", "--field", "value=hello = world")
        assert found.stdout == ""
        assert "saved string/greeting, version 1" in found.stderr
        assert String.load("greeting").value == "hello = world"

    def test_texts_become_what_the_fields_take(self, invoke: Invoke, gadget: type[Block]) -> None:
        given = {
            "host": "7",
            "port": "99",
            "ratio": "2",
            "on": "true",
            "tags": '["a", "b"]',
            "options": '{"x": 1}',
            "mode": "slow",
            "colour": "blue",
            "verify": "/etc/ca.pem",
            "note": "null",
        }
        invoke("block", "create", "gadget", "g", *[f"--field={name}={value}" for name, value in given.items()])
        made = gadget.load("g")
        assert (made.host, made.port, made.ratio, made.on) == ("7", 99, 2.0, True)
        assert (made.tags, made.options, made.mode, made.colour) == (["a", "b"], {"x": 1}, "slow", Colour.BLUE)
        assert (made.verify, made.note) == ("/etc/ca.pem", "null")
        invoke("block", "create", "gadget", "g2", "-f", "host=h", "-f", "verify=false")
        assert gadget.load("g2").verify is False

    def test_a_field_of_anything_takes_json_or_text(self, invoke: Invoke) -> None:
        invoke("block", "create", "json", "one", "--field", 'value={"a": [1, null]}')
        invoke("block", "create", "json", "two", "--field", "value=plain text")
        assert JSON.load("one").value == {"a": [1, None]}
        assert JSON.load("two").value == "plain text"

    def test_secrets_from_stdin_a_variable_and_a_file(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("MY_KEY", HUNTER)
        (tmp_path / "key").write_text(HUNTER + "\n")
        ways = {
            "a": (["--secret-from-stdin", "value"], HUNTER + "\n"),
            "b": (["--secret-env", "value=MY_KEY"], ""),
            "c": (["--secret-file", f"value={tmp_path / 'key'}"], ""),
        }
        for name, (args, stdin) in ways.items():
            found = invoke("block", "create", "secret", name, *args, stdin=stdin)
            assert HUNTER not in found.stdout + found.stderr
            assert Secret.load(name).get() == HUNTER

    def test_an_empty_secret_is_refused_since_what_gave_it_has_failed(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("UNSET_IN_CI", "")
        (tmp_path / "key").write_text("\n")
        ways = (
            ["--secret-from-stdin", "value"],
            ["--secret-env", "value=UNSET_IN_CI"],
            ["--secret-file", f"value={tmp_path / 'key'}"],
        )
        for args in ways:
            said = invoke("block", "create", "secret", "a", *args, stdin="", exit_code=1).stderr
            assert f"{args[0]}: what was given for the secret 'value' is empty, and nothing is saved" in said
        assert not Secret.exists("a")

    def test_a_reference_that_leads_nowhere_here_is_saved_with_a_warning(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_KEY", HUNTER)
        said = invoke("block", "create", "secret", "a", "-f", "value=env://MY_KEY").stderr
        assert "warning" not in said
        said = invoke("block", "edit", "a", "-f", "value=env://MY_KEI").stderr
        assert "as things are here" in said
        assert "the variable MY_KEI is not set" in said
        said = invoke("block", "create", "secret", "b", "-f", "value=file://key").stderr
        assert "file:// takes an absolute path" in said
        assert Secret.exists("b")

    def test_only_one_line_end_is_taken_from_a_secret(self, invoke: Invoke) -> None:
        invoke("block", "create", "secret", "a", "--secret-from-stdin", "value", stdin=" two\nlines \n\n")
        assert Secret.load("a").get() == " two\nlines \n"

    def test_a_secret_on_the_command_line_is_refused_and_not_repeated(self, invoke: Invoke) -> None:
        found = invoke("block", "create", "secret", "a", "--field", f"value={HUNTER}", exit_code=1)
        assert "can be seen by others" in found.stderr
        assert "--secret-from-stdin value" in found.stderr
        assert HUNTER not in found.stderr
        assert not Secret.exists("a")

    @pytest.mark.parametrize("option", ["--field", "--secret-env", "--secret-file"])
    def test_an_option_without_an_equals_sign_is_not_repeated(self, option: str, invoke: Invoke) -> None:
        found = invoke("block", "create", "secret", "a", option, HUNTER, exit_code=1)
        assert f"{option} takes name=" in found.stderr
        assert HUNTER not in found.stderr

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["--field", "prot=1"], "no field named 'prot'; did you mean 'port'?"),
            (["--field", "port=1", "--field", "port=2"], "a second time"),
            (["--secret-env", "token=NO_SUCH"], "the variable NO_SUCH is not set"),
            (["--secret-file", "token=/no/such"], "cannot be read: No such file"),
            ([], "needs host, and there is no terminal to ask at; give --field host=..."),
            (["--field", "host=h", "--field", "port=0"], "port: ports count from 1"),
            (["--field", "host=h", "--field", "port=x"], "port: Input should be a valid integer"),
        ],
    )
    def test_each_slip_is_one_clear_error_and_saves_nothing(
        self, args: list[str], message: str, invoke: Invoke, gadget: type[Block]
    ) -> None:
        found = invoke("block", "create", "gadget", "g", *args, exit_code=1)
        assert message in found.stderr
        assert found.stderr.count("\n") == 1
        assert Block.list() == []

    def test_a_list_that_is_no_json_says_how_lists_are_written(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("URLS", "ntfy://topic")
        said = invoke("block", "create", "notification", "n", "--secret-env", "urls=URLS", exit_code=1).stderr
        assert 'urls: Input should be a valid list; a list is written as JSON, as in ["one", "two"]' in said
        monkeypatch.setenv("URLS", '["ntfy://topic"]')
        invoke("block", "create", "notification", "n", "--secret-env", "urls=URLS")

    def test_a_missing_secret_offers_its_ways(self, invoke: Invoke) -> None:
        assert "--secret-env value=VARIABLE" in invoke("block", "create", "secret", "a", exit_code=1).stderr

    def test_a_name_is_needed_and_checked_first(self, invoke: Invoke) -> None:
        assert "give a name" in invoke("block", "create", "secret", exit_code=1).stderr
        found = invoke("block", "create", "secret", "../x", "--secret-from-stdin", "value", stdin="x", exit_code=1)
        assert "cannot be a block name" in found.stderr

    def test_an_unknown_type_offers_the_near_one(self, invoke: Invoke) -> None:
        for slip, meant in (("secrt", "secret"), ("S3", "s3"), ("LocalFileSystem", "local-file-system")):
            assert f"did you mean '{meant}'" in invoke("block", "create", slip, "a", exit_code=1).stderr

    def test_what_is_saved_is_not_overwritten_unasked(self, invoke: Invoke) -> None:
        invoke("block", "create", "string", "a", "-f", "value=1")
        found = invoke("block", "create", "string", "a", "-f", "value=2", exit_code=1)
        assert "--overwrite saves a new version" in found.stderr
        assert String.load("a").value == "1"
        assert "version 2" in invoke("block", "create", "string", "a", "-f", "value=2", "--overwrite").stderr
        assert String.load("a").value == "2"


class TestAsking:
    """At a terminal, fields are asked for: each with what it is, of which type, and its default."""

    @pytest.fixture
    def answers(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        asked: list[str] = []
        given: list[str] = []

        def ask(prompt: str) -> str:
            asked.append(prompt.strip())
            return given.pop(0)

        def ask_secretly(prompt: str) -> str:
            said = ask(prompt)
            return "SECRETLY " + said if said else said

        monkeypatch.setattr(block_making, "interactive", lambda: True)
        for module in (asking, block_asking):
            monkeypatch.setattr(module, "ask_line", ask)
        monkeypatch.setattr(asking, "ask_hidden", ask_secretly)
        return asked, given

    def test_each_field_is_asked_for_with_what_it_is(self, invoke: Invoke, gadget: type[Block], answers: Any) -> None:
        asked, given = answers
        given += ["there", "", "", "yes", "", "", "", "", "", "", "t0ken", "y"]
        found = invoke("block", "create", "gadget", "g")
        assert given == []
        assert "Where it is." in found.stderr
        assert "The key to it." in found.stderr
        assert asked == [
            "host (text):",
            "port (whole number, default 8080):",
            "ratio (number, default 0.5):",
            "on (yes or no, default no):",
            "tags (list, one a line, optional):",
            "options (names and values, a name first, optional):",
            "mode (fast or slow, default fast):",
            "colour (red or blue, default red):",
            "verify (yes or no or text, default yes):",
            "note (text, optional):",
            "token (text, not shown, optional):",
            "Save it? [Y]es, [n]o, [e]dit:",
        ]
        made = gadget.load("g")
        assert (made.host, made.port, made.on) == ("there", 8080, True)
        assert made.token.get_secret_value() == "SECRETLY t0ken"
        assert "t0ken" not in found.stdout + found.stderr

    def test_where_options_are_given_only_the_rest_that_must_be_is_asked_for(
        self, invoke: Invoke, gadget: type[Block], answers: Any
    ) -> None:
        asked, given = answers
        given += ["there", ""]
        invoke("block", "create", "gadget", "g", "-f", "port=1")
        assert asked == ["host (text):", "Save it? [Y]es, [n]o, [e]dit:"]
        assert gadget.load("g").port == 1

    def test_a_wrong_answer_is_asked_for_again_alone(self, invoke: Invoke, gadget: type[Block], answers: Any) -> None:
        asked, given = answers
        given += ["there", "0", "-7", "7", *[""] * 10]
        found = invoke("block", "create", "gadget", "g")
        assert "  ports count from 1\n" in found.stderr
        assert [prompt.split()[0] for prompt in asked[:5]] == ["host", "port", "port", "port", "ratio"]
        assert gadget.load("g").port == 7

    def test_it_does_not_ask_for_ever(self, invoke: Invoke, gadget: type[Block], answers: Any) -> None:
        _, given = answers
        given += ["there", *["0"] * 30]
        found = invoke("block", "create", "gadget", "g", exit_code=1)
        assert "ports count from 1" in found.stderr
        assert not gadget.exists("g")

    def test_at_a_real_terminal_a_secret_is_not_echoed(self, terminal: Any) -> None:
        shell = terminal(["block", "create", "secret"])
        shell.wait_for("name: ")
        shell.type("my-key\n")
        shell.wait_for("value (text, not shown): ")
        shell.type(HUNTER + "\n")
        shell.wait_for("Save it?")
        shell.type("\n")
        assert shell.end() == 0
        assert "saved secret/my-key, version 1" in shell.seen
        assert "my-key\r\n" in shell.seen  # what is no secret is echoed
        assert HUNTER not in shell.seen
        assert Secret.load("my-key").get() == HUNTER

    def test_at_a_real_terminal_deleting_asks_first(self, terminal: Any) -> None:
        String(value="x").save("a")
        shell = terminal(["block", "delete", "a"])
        shell.wait_for("Delete string/a with all its versions?")
        shell.type("n\n")
        assert shell.end() == 1
        assert String.exists("a")
        shell = terminal(["block", "delete", "a"])
        shell.wait_for("[y/N]")
        shell.type("y\n")
        assert shell.end() == 0
        assert not String.exists("a")


class TestSaved:
    def test_an_empty_home_says_what_to_do(self, invoke: Invoke, entrepot_home: Path) -> None:
        found = invoke("block", "ls")
        assert found.stdout == ""
        assert "entrepot block create" in found.stderr
        assert not entrepot_home.exists()

    def test_what_is_saved_is_listed(self, invoke: Invoke) -> None:
        String(value="x").save("a")
        Secret(value="x").save("b")
        Secret(value="y").save("b", overwrite=True)
        text = invoke("block", "ls").stdout
        assert "string/a" in text
        assert "secret/b" in text
        rows = invoke("block", "ls", "--json").data
        assert [(row["type"], row["name"], row["version"]) for row in rows] == [("secret", "b", 2), ("string", "a", 1)]
        assert {tuple(row) for row in rows} == {("type", "name", "version", "modified", "store", "location", "hidden")}
        assert {(row["store"], row["hidden"]) for row in rows} == {("local", False)}
        assert [row["name"] for row in invoke("block", "ls", "--type", "string", "--json").data] == ["a"]

    def test_a_block_is_shown_with_masks(self, invoke: Invoke, gadget: type[Block]) -> None:
        gadget(host="there", token=HUNTER, tags=["x", "\x1b[31m"]).save("g")
        for name in ("g", "gadget/g"):
            found = invoke("block", "show", name)
            assert "there" in found.stdout
            assert "**********" in found.stdout
            assert HUNTER not in found.stdout + found.stderr
        data = invoke("block", "show", "g", "--json").data
        assert data["type"] == "gadget"
        assert data["fields"]["host"] == "there"
        assert data["fields"]["token"] == "**********"
        assert list(data["fields"]) == [field.name for field in describe_fields(gadget)]

    def test_an_unknown_block_offers_the_near_one(self, invoke: Invoke) -> None:
        String(value="x").save("greeting")
        for command in (["show"], ["check"], ["delete", "--yes"]):
            assert "greeting" in invoke("block", *command, "greting", exit_code=1).stderr

    def test_a_name_that_two_types_have_must_be_told_apart(self, invoke: Invoke) -> None:
        String(value="x").save("a")
        Secret(value="x").save("a")
        for command in (["show"], ["delete", "--yes"]):
            found = invoke("block", *command, "a", exit_code=1)
            assert "secret/a" in found.stderr
            assert "string/a" in found.stderr
        invoke("block", "delete", "--yes", "string/a")
        assert [ref.slug for ref in Block.list()] == ["secret"]

    def test_deleting_without_a_person_needs_yes(self, invoke: Invoke) -> None:
        String(value="x").save("a")
        assert "--yes" in invoke("block", "delete", "a", exit_code=1).stderr
        assert String.exists("a")
        assert "deleted string/a" in invoke("block", "delete", "a", "--yes").stderr
        assert not String.exists("a")

    def test_a_tampered_block_is_one_clear_error(self, invoke: Invoke, entrepot_home: Path) -> None:
        Secret(value=HUNTER).save("a")
        (document,) = (entrepot_home / "blocks" / "secret" / "a").iterdir()
        document.write_bytes(document.read_bytes()[:-20])
        found = invoke("block", "show", "secret/a", exit_code=1)
        assert found.stderr.count("\n") == 1


class TestCheck:
    def test_a_folder_that_works(self, invoke: Invoke, tmp_path: Path) -> None:
        invoke("block", "create", "local-file-system", "here", "-f", f"basepath={tmp_path / 'data'}")
        assert "here works" in invoke("block", "check", "here").stderr

    def test_what_has_nothing_to_test_does_not_work_but_loads(self, invoke: Invoke) -> None:
        String(value="x").save("a")
        found = invoke("block", "check", "a").stderr
        assert "a loads; nothing to test" in found
        assert "works" not in found

    @pytest.mark.parametrize("reference", ["env://CLI_BLOCKS_NOT_SET", "block://secret/none"])
    def test_a_reference_that_leads_nowhere_fails(
        self, reference: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saved = ("block", "create", "secret", "s", "-f", f"value={reference}")
        assert reference in invoke(*saved, "--check", exit_code=1).stderr
        invoke(*saved)
        assert reference in invoke("block", "check", "s", exit_code=1).stderr

    def test_references_that_lead_to_secrets_are_counted(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLI_BLOCKS_SET", HUNTER)
        found = invoke("block", "create", "secret", "s", "-f", "value=env://CLI_BLOCKS_SET", "--check").stderr
        assert "nothing to test" in found
        found = invoke("block", "check", "s").stderr
        assert "1 reference found" in found
        assert HUNTER not in found

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (StorageAccessError("not with these credentials", location="x"), "error: not with these credentials"),
            (ZeroDivisionError("oh"), "error: the check of g failed: ZeroDivisionError: oh"),
        ],
    )
    def test_what_does_not_work_says_why(
        self, error: Exception, message: str, invoke: Invoke, gadget: type[Block], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(self: Block) -> None:
            raise error

        gadget(host="h").save("g")
        monkeypatch.setattr(gadget, "check", fail)
        assert message in invoke("block", "check", "g", exit_code=1).stderr


class TestRegister:
    SOURCE = """
from entrepot.blocks import Block

class {name}(Block):
    \"\"\"Made in a test.\"\"\"
    host: str
"""

    @pytest.fixture(autouse=True)
    def _clean(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.path", list(__import__("sys").path))
        yield
        for slug in ("cli-widget", "cli-doohickey"):
            BLOCKS.forget(slug)

    def test_a_file(self, invoke: Invoke, tmp_path: Path) -> None:
        file = tmp_path / "cli_widgets.py"
        file.write_text(self.SOURCE.format(name="CliWidget"))
        found = invoke("block", "register", "-f", str(file))
        assert "cli-widget" in found.stdout
        assert '[project.entry-points."entrepot.blocks"]' in found.stderr
        assert 'cli-widget = "cli_widgets:CliWidget"' in found.stderr
        rows = invoke("block", "register", "-f", str(file), "--json").data
        assert [(row["slug"], row["fields"][0]["name"]) for row in rows] == [("cli-widget", "host")]

    def test_lists_what_is_in_it_and_not_what_it_imports_of_ours(self, program: Invoke, tmp_path: Path) -> None:
        (tmp_path / "cli_doohickeys.py").write_text(self.SOURCE.format(name="CliDoohickey") + "    inner: Secret\n")
        file = tmp_path / "cli_doohickeys.py"
        file.write_text(file.read_text().replace("import Block", "import Block, Secret"))
        rows = program("block", "register", "-f", str(file), "--json").data
        assert [row["slug"] for row in rows] == ["cli-doohickey"]

    def test_a_file_in_the_place_of_a_module_is_one_clear_error(self, invoke: Invoke) -> None:
        for command in (["register"], ["types"], ["show", "x"]):
            said = invoke("block", *command, "-m", "./blocks/mine.py", exit_code=1).stderr
            assert "-m takes the name of a module" in said
            assert "give -m mine" in said

    def test_a_module_of_the_current_folder(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "cli_doohickeys.py").write_text(self.SOURCE.format(name="CliDoohickey"))
        assert "cli-doohickey" in invoke("block", "register", "-m", "cli_doohickeys").stdout

    @pytest.mark.parametrize("source", ["import sys; sys.exit(3)", "1/0", "def"])
    def test_what_cannot_be_imported_is_one_clear_error(self, source: str, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text(source)
        assert "broken.py cannot be imported" in invoke("block", "register", "-f", "broken.py", exit_code=1).stderr
        assert "no_such cannot be imported" in invoke("block", "register", "-m", "no_such", exit_code=1).stderr
        assert "cannot be imported" in invoke("block", "register", "-f", "no_such.py", exit_code=1).stderr

    def test_a_file_without_blocks_says_so(self, invoke: Invoke, tmp_path: Path) -> None:
        (tmp_path / "empty_one.py").write_text("")
        assert "defines no block types" in invoke("block", "register", "-f", "empty_one.py", exit_code=1).stderr

    def test_one_of_the_two_is_needed(self, invoke: Invoke) -> None:
        invoke("block", "register", exit_code=1)
        invoke("block", "register", "-m", "x", "-f", "y", exit_code=1)


def test_a_secret_shows_in_no_output_of_any_command(
    program: Invoke, invoke: Invoke, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNTER", HUNTER)
    outputs = [
        program("block", "create", "secret", "my-key", "--secret-from-stdin", "value", stdin=HUNTER),
        program("--debug", "block", "create", "secret", "my-key", "--secret-env", "value=HUNTER"),
        program("--debug", "block", "create", "secret", "x", "--secret-env", "valeu=HUNTER"),
        invoke("block", "ls"),
        invoke("block", "show", "my-key"),
        invoke("block", "show", "my-key", "--json"),
        invoke("block", "check", "my-key"),
        invoke("block", "delete", "my-key", "--yes"),
    ]
    assert [outcome.exit_code for outcome in outputs] == [0, 1, 1, 0, 0, 0, 0, 0]
    for outcome in outputs:
        assert HUNTER not in outcome.stdout + outcome.stderr
        assert json.dumps(HUNTER)[1:-1] not in outcome.stdout + outcome.stderr


def test_a_secret_is_in_no_file_of_the_home(invoke: Invoke, entrepot_home: Path) -> None:
    invoke("block", "create", "secret", "my-key", "--secret-from-stdin", "value", stdin=HUNTER)
    files = [path for path in entrepot_home.rglob("*") if path.is_file()]
    assert files
    assert not any(HUNTER.encode() in path.read_bytes() for path in files)
