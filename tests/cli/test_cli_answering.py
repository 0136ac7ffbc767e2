"""`entrepot runs answer`: forms filled in at the command line, by options, files and a person at a terminal."""

import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from entrepot.cli import asking
from entrepot.cli.runs import forms
from entrepot.coordination import pauses
from entrepot.errors import PausedRunError
from entrepot.flow_runs import suspend_flow_run
from entrepot.flow_runs.answering import waiting
from entrepot.flow_runs.sealing import open_answer
from entrepot.flows import flow
from entrepot.input import RunInput
from entrepot.runs import default_recorder

from .conftest import Invoke

HUNTER = "hunter2-correct-horse"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Form(RunInput):
    ok: bool = Field(description="Whether to go on.")
    age: int = Field(ge=0)
    name: str = "nobody"
    ratio: float | None = 0.5
    colour: Colour = Colour.RED
    tags: list[str] = Field([])


class Login(RunInput):
    user: str
    password: SecretStr = Field(description="The key to it.")


class Waits:
    """A suspended run, and what was said to it."""

    def __init__(self, wanted: Any) -> None:
        @flow(name="asks")
        def asks() -> None:
            suspend_flow_run(wanted, timeout=None)

        with pytest.raises(PausedRunError) as caught:
            asks()
        default_recorder().flush()
        self.run_id: str = caught.value.run_id
        (self._one,) = [one for one in waiting() if one.pause.run_id == self.run_id]
        self.name = self._one.name

    @property
    def said(self) -> Any:
        """The answer, as JSON; None while there is none."""
        found = pauses.find(self._one.pause.root_run_id, self._one.pause.key)
        assert found is not None
        return None if found.answer is None else json.loads(open_answer(self._one.pause, found.answer))


@pytest.fixture
def waits() -> Callable[[Any], Waits]:
    return Waits


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Somebody at a terminal who types these lines; gives what they were asked."""

    def types(*lines: str) -> list[str]:
        left, prompts = list(lines), list[str]()

        def ask(prompt: str) -> str:
            prompts.append(prompt.strip())
            return left.pop(0)

        monkeypatch.setattr(forms, "interactive", lambda: True)
        monkeypatch.setattr(asking, "ask_line", ask)
        monkeypatch.setattr(asking, "ask_hidden", ask)
        return prompts

    return types


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (["ok=true", "age=3"], {"ok": True, "age": 3}),
            (["ok=No", "age=3", "name=3"], {"ok": False, "age": 3, "name": "3"}),
            (["ok=y", "age=3", "ratio=null"], {"ok": True, "age": 3, "ratio": None}),
            (
                ["ok=y", "age=3", 'tags=["a", "b"]', "colour=blue", "ratio=1"],
                {"ok": True, "age": 3, "tags": ["a", "b"], "colour": "blue", "ratio": 1},
            ),
        ],
    )
    def test_texts_become_what_the_field_is(
        self, given: list[str], said: Any, invoke: Invoke, waits: Callable[[Any], Waits]
    ) -> None:
        run = waits(Form)
        found = invoke("runs", "answer", run.run_id[:8], *given)
        assert run.said == said
        assert "answered pause-1" in found.stderr
        assert f"entrepot runs resume {run.run_id}" in found.stderr

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            (["ok=perhaps", "age=3"], "ok: is not true or false"),
            (["ok=y", "age=-1"], "age: is less than 0"),
            (["ok=y", "age=x"], "age: is not a whole number"),
            (["ok=y", "age=1", "colour=green"], "colour: is not red or blue"),
            (["okk=y"], "did you mean 'ok'?"),
            (["zzz=y"], "fields: ok, age, name"),
            (["ok"], "an answer is FIELD=VALUE"),
            (["ok=y", "ok=n"], "a second time"),
            (["ok=y"], "waits for age (whole number)"),
            ([], "waits for ok (yes or no), age (whole number), name (text), ratio (number), colour (red or blue)"),
            (["ok=y", "--json-input={}"], "give FIELD=VALUE or that"),
            (["--json-input", "{"], "--json-input is no JSON"),
            (["--json-input", "3"], "is not an object"),
            (["--json-input", '{"ok": true}'], "age: is missing"),
            (["--json-input", "@none.json"], "cannot be read"),
            (["--key", "pause-9"], "asks no 'pause-9'; it asks pause-1"),
        ],
    )
    def test_what_does_not_fit_is_refused(
        self, given: list[str], words: str, invoke: Invoke, waits: Callable[[Any], Waits]
    ) -> None:
        run = waits(Form)
        assert words in invoke("runs", "answer", run.run_id, *given, exit_code=1).stderr
        assert run.said is None

    def test_a_plain_type_has_one_field(self, invoke: Invoke, waits: Callable[[Any], Waits]) -> None:
        one, other = waits(int), waits(dict[str, int])
        invoke("runs", "answer", one.run_id, "value=5")
        invoke("runs", "answer", other.run_id, 'value={"a": 1}')
        assert (one.said, other.said) == ({"value": 5}, {"value": {"a": 1}})

    def test_where_no_input_is_waited_for_none_is_given(self, invoke: Invoke, waits: Callable[[Any], Waits]) -> None:
        run = waits(None)
        assert "waits for no input" in invoke("runs", "answer", run.name, "ok=y", exit_code=1).stderr
        invoke("runs", "answer", run.name)
        assert waiting() == []

    def test_json_comes_from_a_text_a_file_or_stdin(
        self, invoke: Invoke, waits: Callable[[Any], Waits], tmp_path: Path
    ) -> None:
        answer = {"ok": True, "age": 1}
        file = tmp_path / "answer.json"
        file.write_text(json.dumps(answer))
        runs = [waits(Form) for _ in range(3)]
        invoke("runs", "answer", runs[0].run_id, "--json-input", json.dumps(answer))
        invoke("runs", "answer", runs[1].run_id, "--json-input", f"@{file}")
        invoke("runs", "answer", runs[2].run_id, "--json-input", "-", stdin=json.dumps(answer))
        assert [run.said for run in runs] == [answer] * 3


class TestSecrets:
    @pytest.mark.parametrize(
        "given", [["user=me", f"password={HUNTER}"], ["--json-input", json.dumps({"user": "me", "password": HUNTER})]]
    )
    def test_one_on_the_command_line_is_refused(
        self, given: list[str], invoke: Invoke, waits: Callable[[Any], Waits]
    ) -> None:
        run = waits(Login)
        found = invoke("runs", "answer", run.run_id, *given, exit_code=1)
        assert "can be seen by others" in found.stderr
        assert HUNTER not in found.stderr + found.stdout
        assert run.said is None

    def test_what_does_not_fit_is_not_repeated(self, invoke: Invoke, waits: Callable[[Any], Waits]) -> None:
        run = waits(Login)
        answer = json.dumps({"user": "me", "password": [HUNTER]})
        found = invoke("runs", "answer", run.run_id, "--json-input=-", stdin=answer, exit_code=1)
        assert "password: is not a text" in found.stderr
        assert HUNTER not in found.stderr
        broken = invoke("runs", "answer", run.run_id, "--json-input=-", stdin=f'{{"{HUNTER}', exit_code=1)
        assert HUNTER not in broken.stderr

    def test_at_a_terminal_it_is_typed_without_echo(self, terminal: Any, waits: Callable[[Any], Waits]) -> None:
        run = waits(Login.with_initial_data(description="Log in, please"))
        shown = terminal(["runs", "answer", run.run_id])
        shown.wait_for("user (text): ")
        shown.type("me\n")
        shown.wait_for("password (text, not shown): ")
        shown.type(HUNTER + "\n")
        assert shown.end() == 0
        assert HUNTER not in shown.seen
        assert "asks: Log in, please" in shown.seen
        assert "The key to it." in shown.seen
        assert run.said == {"user": "me", "password": HUNTER}


class TestAPerson:
    def test_is_asked_for_each_field_with_what_it_is(
        self, invoke: Invoke, waits: Callable[[Any], Waits], person: Callable[..., list[str]]
    ) -> None:
        run = waits(Form.with_initial_data(name="somebody", tags=["x"]))
        prompts = person("yes", "7", "", "", "blue", "")
        found = invoke("runs", "answer", run.run_id)
        assert prompts == [
            "ok (yes or no):",
            "age (whole number):",
            "name (text, default somebody):",
            "ratio (number, default 0.5):",
            "colour (red or blue, default red):",
            'tags (list, one a line, default ["x"]):',
        ]
        assert "Whether to go on." in found.stderr
        assert run.said == {"ok": True, "age": 7, "colour": "blue"}

    def test_is_asked_again_for_what_does_not_fit_at_once(
        self, invoke: Invoke, waits: Callable[[Any], Waits], person: Callable[..., list[str]]
    ) -> None:
        run = waits(Form)
        prompts = person("perhaps", "no", "-1", "x", "1", "", "", "", "")
        found = invoke("runs", "answer", run.run_id)
        assert [prompt.split()[0] for prompt in prompts[:5]] == ["ok", "ok", "age", "age", "age"]
        assert "is not true or false" in found.stderr
        assert "is less than 0" in found.stderr
        assert run.said == {"ok": False, "age": 1}

    def test_is_not_asked_for_ever(
        self, invoke: Invoke, waits: Callable[[Any], Waits], person: Callable[..., list[str]]
    ) -> None:
        run = waits(Form)
        person("yes", *["x"] * 5)
        assert "age: it is not a whole number" in invoke("runs", "answer", run.run_id, exit_code=1).stderr
        assert run.said is None

    def test_is_asked_only_for_what_is_missing_beside_what_was_given(
        self, invoke: Invoke, waits: Callable[[Any], Waits], person: Callable[..., list[str]]
    ) -> None:
        run = waits(Form)
        assert len(person("7")) == 0
        invoke("runs", "answer", run.run_id, "ok=y")
        assert run.said == {"ok": True, "age": 7}

    def test_hears_why_the_last_answer_was_refused(
        self, invoke: Invoke, waits: Callable[[Any], Waits], person: Callable[..., list[str]]
    ) -> None:
        run = waits(int)
        pauses.ask_again(waiting()[0].pause, "too small")
        person("5")
        assert "the last answer was refused: too small" in invoke("runs", "answer", run.run_id).stderr


class TestWaiting:
    def test_without_questions_it_says_so(self, invoke: Invoke, entrepot_home: Path) -> None:
        assert "no flow run waits" in invoke("runs", "waiting").stderr
        assert not entrepot_home.exists()

    def test_who_waits_and_what_for_is_listed(self, invoke: Invoke, waits: Callable[[Any], Waits]) -> None:
        run = waits(Form.with_initial_data(description="Go \x1b[31mon?"))
        text = invoke("runs", "waiting").stdout
        assert run.run_id[:8] in text
        assert run.name in text
        assert "Go \\x1b[31mon?" in text
        assert "suspended" in text
        (one,) = invoke("runs", "waiting", "--json").data
        assert list(one) == [
            "run_id",
            "root_run_id",
            "name",
            "flow",
            "key",
            "message",
            "asked",
            "deadline",
            "refused",
            "process_is_gone",
            "form",
        ]
        assert (one["flow"], one["key"], one["deadline"]) == ("asks", "pause-1", None)
        assert list(one["form"]["properties"]) == list(Form.model_fields)

    def test_who_waits_for_nothing_is_an_error(self, invoke: Invoke, waits: Callable[[Any], Waits]) -> None:
        @flow
        def calm() -> None:
            pass

        calm()
        default_recorder().flush()
        name = invoke("runs", "--flow", "calm", "--json").data[0]["name"]
        assert "waits for no answer; it is Completed" in invoke("runs", "answer", name, exit_code=1).stderr
        assert "no run 'nobody'" in invoke("runs", "answer", "nobody", exit_code=1).stderr
