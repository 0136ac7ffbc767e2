"""`entrepot block create` and `edit` with a person at the terminal: asked, checked, shown, tried, saved."""

import socket
import termios
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, field_validator

from entrepot.blocks import Block, Secret, SecretReference, SqlAlchemyConnector, String, Webhook
from entrepot.cli import asking, block_asking, block_making
from entrepot.errors import StorageAccessError
from entrepot.plugins import BLOCKS

from .conftest import Invoke

HUNTER = "hunter2-correct-horse"
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\nBBBB\n-----END PRIVATE KEY-----\n"


class Login(BaseModel):
    user: str
    password: SecretStr = Field(description="The key to it.")
    realm: str = "main"


@pytest.fixture
def gadget() -> Iterator[Any]:
    class Gadget(Block):
        """A thing of every kind."""

        host: str
        port: int = 8080
        mode: Literal["fast", "SLOW"] = "fast"
        on: bool = False
        tags: list[str] = Field([])
        counts: dict[str, int] = Field({})
        headers: dict[str, SecretStr] = Field({})
        login: Login | None = None
        note: str | None = None
        token: SecretStr | None = None

        @field_validator("port")
        @classmethod
        def _check(cls, value: int) -> int:
            if value < 1:
                raise ValueError("ports count from 1")
            return value

        def check(self) -> str:
            if self.host == "down":
                raise StorageAccessError("nobody answers at down", location="down")
            return f"connected to {self.host}"

    yield Gadget
    BLOCKS.forget("gadget")


class Person:
    """Somebody at a terminal: what they are asked, and how they answer.

    Answers are looked up by the first word of a prompt; the next one of a list at each time, and Enter where there is
    none left.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.secretly: list[str] = []

    def __call__(self, **answers: str | list[str]) -> None:
        self.asked.clear()
        self.answers = {name: [said] if isinstance(said, str) else list(said) for name, said in answers.items()}

    def ask(self, prompt: str) -> str:
        self.asked.append(prompt.strip())
        left = self.answers.get(prompt.split(maxsplit=1)[0].rstrip(":"), [])
        return left.pop(0) if left else ""

    def ask_secretly(self, prompt: str) -> str:
        self.secretly.append(prompt.split(maxsplit=1)[0])
        return self.ask(prompt)


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    somebody = Person()
    monkeypatch.setattr(block_making, "interactive", lambda: True)
    for module in (asking, block_asking):
        monkeypatch.setattr(module, "ask_line", somebody.ask)
    monkeypatch.setattr(asking, "ask_hidden", somebody.ask_secretly)
    return somebody


class TestAnswers:
    def test_of_each_kind_become_what_the_field_is(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(
            host="there",
            mode="slow",
            on="y",
            tags="x, y",
            number=["z"],
            counts="a",
            a="1",
            another=["b", "", "", ""],
            b="2",
            headers="Authorization",
            Authorization=HUNTER,
            login="y",
            user="me",
            password="env://PASSWORD",
            token="env://TOKEN",
        )
        found = invoke("block", "create", "gadget", "g")
        made = gadget.load("g")
        assert (made.host, made.port, made.mode, made.on) == ("there", 8080, "SLOW", True)
        assert (made.tags, made.counts, made.note) == (["x, y", "z"], {"a": 1, "b": 2}, None)
        assert made.headers["Authorization"].get_secret_value() == HUNTER
        assert (made.login.user, made.login.password) == ("me", SecretReference("env://PASSWORD"))
        assert made.token == SecretReference("env://TOKEN")
        assert person.secretly == ["Authorization", "password", "token"]
        assert HUNTER not in found.stderr + found.stdout

    def test_are_checked_one_by_one_with_a_reason(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(host=["", "h"], port=["x", "0", "7"], mode=["quick", "fast"], counts=['{"a": "x"}', '{"a": 3}'])
        said = invoke("block", "create", "gadget", "g").stderr
        for reason in (
            "it has no default: give a value",
            "Input should be a valid integer\n",
            "  ports count from 1\n",
            "Input should be 'fast' or 'SLOW'",
            "a: Input should be a valid integer\n",
        ):
            assert reason in said
        assert (gadget.load("g").port, gadget.load("g").counts) == (7, {"a": 3})

    def test_can_be_gone_back_to_kept_and_taken_back(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(host=["one"], port=["7", "-"], mode=["<", "SLOW"], note=["<", '""'])
        invoke("block", "create", "gadget", "g")
        assert person.asked[:5] == [
            "host (text):",
            "port (whole number, default 8080):",
            "mode (fast or SLOW, default fast):",
            "port (whole number, Enter keeps 7):",
            "mode (fast or SLOW, default fast):",
        ]
        made = gadget.load("g")
        assert (made.port, made.mode, made.note) == (8080, "SLOW", "")

    def test_before_the_first_field_there_is_none(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(host=["<", "\\<"])
        assert "this is the first field" in invoke("block", "create", "gadget", "g").stderr
        assert gadget.load("g").host == "<"

    def test_may_be_a_saved_block(self, invoke: Invoke, person: Person) -> None:
        class Holder(Block):
            """It holds another."""

            inner: String

        try:
            String(value="x").save("a")
            person(inner=["block://string/b", "block://string/a"])
            found = invoke("block", "create", "holder", "h")
            assert person.asked[0] == "inner (a saved block, as block://type/name):"
            assert "no string block named 'b'" in found.stderr
            String(value="y").save("a", overwrite=True)
            assert Holder.load("h").inner.value == "y"
        finally:
            BLOCKS.forget("holder")

    def test_with_an_arrow_key_in_them_are_refused(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(host=["a\x1b[Db", "ab"], token=["x\x1b[A", "x"])
        assert invoke("block", "create", "gadget", "g").stderr.count("no text (an arrow, say)") == 2
        assert gadget.load("g").host == "ab"


class TestBeforeSaving:
    def test_the_block_is_shown_masked_and_tried(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(host="there", token=HUNTER)
        found = invoke("block", "create", "gadget", "g")
        assert found.stdout == ""
        assert "**********" in found.stderr
        assert "as by default: port, mode" in found.stderr
        assert "the connection works: connected to there" in found.stderr
        assert HUNTER not in found.stderr

    def test_a_connection_that_does_not_work_can_be_mended(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(host=["down", "there"], Save=["e", "y"])
        said = invoke("block", "create", "gadget", "g").stderr
        assert "warning: the connection does not work: nobody answers at down" in said
        assert "Save it all the same? [y]es, [n]o, [E]dit:" in person.asked
        assert gadget.load("g").host == "there"

    def test_no_saves_nothing(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        person(host="down", Save="n")
        assert "nothing was saved" in invoke("block", "create", "gadget", "g", exit_code=1).stderr
        assert not gadget.exists("g")

    def test_an_existing_block_is_overwritten_only_if_wanted(self, invoke: Invoke, person: Person) -> None:
        String(value="one").save("a")
        person(value="two")
        assert "nothing was saved" in invoke("block", "create", "string", "a", exit_code=1).stderr
        person(value="two", There="yes")
        invoke("block", "create", "string", "a")
        assert String.load("a").value == "two"

    def test_nor_is_one_that_somebody_else_saved_meanwhile(
        self, invoke: Invoke, person: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        String(value="one").save("a")
        person(value="two", There="yes")

        def ask_slowly(prompt: str) -> str:
            if prompt.strip().startswith("value"):
                String(value="theirs").save("a", overwrite=True)
            return person.ask(prompt)

        monkeypatch.setattr(asking, "ask_line", ask_slowly)
        assert "is not the newest any more" in invoke("block", "create", "string", "a", exit_code=1).stderr
        assert String.load("a").value == "theirs"

    def test_programs_can_ask_for_the_test_and_people_can_do_without(
        self, invoke: Invoke, gadget: Any, person: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person(host="down")
        assert "connection" not in invoke("block", "create", "gadget", "g", "--no-check").stderr
        monkeypatch.setattr(block_making, "interactive", lambda: False)
        found = invoke("block", "create", "gadget", "h", "--field", "host=down", "--check", exit_code=1)
        assert "nobody answers at down; nothing was saved" in found.stderr
        assert not gadget.exists("h")


class TestAWholeInPlaceOfFields:
    """`sqlalchemy-connector` takes a URL, which is no field of it."""

    URL = f"postgresql+psycopg://ada:{HUNTER}@db.example.com:5433/sales?sslmode=require"

    def test_is_asked_for_first_and_its_parts_are_not_then(self, invoke: Invoke, person: Person) -> None:
        person(url=["nonsense", self.URL])
        said = invoke("block", "create", "sqlalchemy-connector", "w", "--no-check").stderr
        assert [each.split(" ")[0] for each in person.asked] == [
            *["url"] * 2,
            "connect_args",
            "pool_size",
            "timeout",
            "statement_timeout",
            "Save",
        ]
        assert HUNTER not in said
        made = SqlAlchemyConnector.load("w")
        assert (made.driver, made.host, made.port, made.database) == (
            "postgresql+psycopg",
            "db.example.com",
            5433,
            "sales",
        )
        assert made.password is not None
        assert made.password.get_secret_value() == HUNTER

    def test_can_be_left_out_and_given_later(self, invoke: Invoke, person: Person) -> None:
        person(url=["", "sqlite:///sales.db"], driver="sqlite", database="wrong.db", Save=["e", "y"])
        invoke("block", "create", "sqlalchemy-connector", "w", "--no-check")
        made = SqlAlchemyConnector.load("w")
        assert (made.driver, made.database) == ("sqlite", "sales.db")

    def test_is_an_option_that_never_stands_on_a_command_line(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", self.URL)
        create = ("block", "create", "sqlalchemy-connector", "w")
        invoke(*create, "--secret-env", "url=DATABASE_URL", "--field", "pool_size=2")
        made = SqlAlchemyConnector.load("w")
        assert (made.host, made.username, made.pool_size) == ("db.example.com", "ada", 2)
        said = invoke(*create, "--overwrite", "--field", f"url={self.URL}", exit_code=1).stderr
        assert "--secret-env url=VARIABLE" in said
        assert HUNTER not in said
        said = invoke(*create, "--overwrite", "--secret-env", "url=DATABASE_URL", "-f", "port=1", exit_code=1).stderr
        assert "it stands both in the url and for itself: port" in said


def overtaken(person: Person, gadget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let somebody else save the block while this person is asked whether to save it."""
    ask = person.ask

    def ask_slowly(prompt: str) -> str:
        if prompt.startswith("Save it"):
            gadget(host="elsewhere").save("g", overwrite=True)
        return ask(prompt)

    monkeypatch.setattr(block_asking, "ask_line", ask_slowly)


class TestEditing:
    def test_enter_keeps_what_is_there_secrets_too(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        gadget(host="there", token=HUNTER, headers={"A": HUNTER, "B": "b"}, tags=["x"]).save("g")
        person(port="7", headers="C", C=HUNTER, another=["B", ""], B="-")
        found = invoke("block", "edit", "g")
        assert "host (text, Enter keeps there):" in person.asked
        assert "token (text, not shown, Enter keeps it):" in person.asked
        assert "headers (names and values, a name first, Enter keeps A, B):" in person.asked
        made = gadget.load("g")
        assert (made.host, made.port, made.tags) == ("there", 7, ["x"])
        assert {name: each.get_secret_value() for name, each in made.headers.items()} == {"A": HUNTER, "C": HUNTER}
        assert made.token.get_secret_value() == HUNTER
        for shown in ("port", "8080", "headers.B", "saved gadget/g, version 2"):
            assert shown in found.stderr
        assert HUNTER not in found.stderr + found.stdout

    def test_where_nothing_changed_nothing_is_saved(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        gadget(host="down", token=HUNTER, login=Login(user="me", password=SecretStr(HUNTER))).save("g")
        person()
        assert "nothing changed: gadget/g stays as it is, version 1" in invoke("block", "edit", "gadget/g").stderr
        assert len(gadget.history("g")) == 1

    def test_what_somebody_else_saved_meanwhile_is_not_overwritten(
        self, invoke: Invoke, gadget: Any, person: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gadget(host="there").save("g")
        person(port="7")
        overtaken(person, gadget, monkeypatch)
        said = invoke("block", "edit", "g", exit_code=1).stderr
        assert "version 1 of it is not the newest any more" in said
        assert "entrepot block diff gadget/g" in said
        assert "elsewhere" in said
        assert (gadget.load("g").host, len(gadget.history("g"))) == ("elsewhere", 2)

    def test_what_was_answered_is_not_lost_by_that(
        self, invoke: Invoke, gadget: Any, person: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gadget(host="there").save("g")
        person(port="7")
        overtaken(person, gadget, monkeypatch)
        monkeypatch.setattr(block_making, "confirm", lambda _question, *, default: not default)
        invoke("block", "edit", "g")
        made = gadget.load("g")
        assert (made.host, made.port, len(gadget.history("g"))) == ("there", 7, 3)

    def test_what_has_no_default_is_kept_when_it_is_cleared(self, invoke: Invoke, gadget: Any, person: Person) -> None:
        gadget(host="there").save("g")
        person(host=["-", ""], port="7")
        said = invoke("block", "edit", "g").stderr
        assert "it has no default: give another value, or Enter to keep what is there" in said
        assert gadget.load("g").host == "there"

    def test_programs_say_what_to_change(self, invoke: Invoke, gadget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        gadget(host="there", port=7, token="old").save("g")
        monkeypatch.setenv("TOKEN", HUNTER)
        found = invoke("block", "edit", "g", "--secret-env", "token=TOKEN", "--unset", "port", "--field", "note=new")
        assert "changed" in found.stdout
        assert HUNTER not in found.stdout
        made = gadget.load("g")
        assert (made.port, made.note, made.token.get_secret_value()) == (8080, "new", HUNTER)
        assert "--field name=value" in invoke("block", "edit", "g", exit_code=1).stderr
        assert "there is no such field" in invoke("block", "edit", "g", "--unset", "prot", exit_code=1).stderr
        assert "did you mean" in invoke("block", "edit", "gadget/gg", exit_code=1).stderr


class TestAtARealTerminal:
    def test_a_webhook_is_asked_for_tried_and_saved(self, terminal: Callable[..., Any]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            url = f"http://127.0.0.1:{server.getsockname()[1]}/{HUNTER}"
            shown = terminal(["block", "create", "webhook", "hook"])
            dialogue = {
                "  url (text, not shown): ": [f"x{url}", url],
                "  method (GET, POST, PUT, PATCH or DELETE, default POST): ": ["put"],
                "  headers (names and values, a name first, optional): ": ["Authorization"],
                "    Authorization (not shown): ": [HUNTER],
                "    another name (Enter ends): ": [""],
                "  allow_private_urls (yes or no, default no): ": ["yes"],
                "  timeout (number, default 10.0): ": [""],
                "  retries (whole number, default 0): ": [""],
                "  signing_secret (text, not shown, optional): ": [""],
                "  template (text, optional): ": [""],
                "Save it? [Y]es, [n]o, [e]dit: ": [""],
            }
            for prompt, texts in dialogue.items():
                for text in texts:
                    shown.wait_for(prompt)
                    shown.type(text + "\n")
            assert shown.end() == 0
        assert HUNTER not in shown.seen
        made = Webhook.load("hook")
        assert (made.url.get_secret_value(), made.method) == (url, "PUT")

    def test_a_key_of_many_lines_can_be_pasted(self, terminal: Callable[..., Any]) -> None:
        shown = terminal(["block", "create", "secret", "key"])
        shown.wait_for("value (text, not shown): ")
        shown.type(KEY)
        shown.wait_for("Save it?")
        shown.type("y\n")
        assert shown.end() == 0
        assert "AAAA" not in shown.seen
        assert Secret.load("key").get() == KEY

    def test_ctrl_c_saves_nothing_and_leaves_the_terminal_as_it_was(self, terminal: Callable[..., Any]) -> None:
        shown = terminal(["block", "create", "secret", "key"])
        shown.wait_for("value (text, not shown): ")
        assert not termios.tcgetattr(shown.descriptor)[3] & termios.ECHO
        shown.type("half\x03")
        assert shown.end() == 130
        assert termios.tcgetattr(shown.descriptor)[3] & termios.ECHO
        assert "nothing was saved" in shown.seen
        assert "Traceback" not in shown.seen
        assert not Secret.exists("key")
