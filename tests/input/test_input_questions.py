"""What can be asked for: models with initial data, and any type that pydantic knows; secrets stay secret."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr, field_validator, model_validator
from typing_extensions import TypedDict

from entrepot.errors import InputError, ParameterError
from entrepot.input import RunInput
from entrepot.input.question import question_of

HUNTER = "hunter2-correct-horse"


class Approval(RunInput):
    """Whether it may go on."""

    ok: bool
    reason: str = Field("", description="Why, or why not.", max_length=20)
    token: SecretStr | None = None

    @field_validator("reason")
    @classmethod
    def _check(cls, value: str) -> str:
        if "because" in value:
            raise ValueError(f"{value!r} is no reason")
        return value


class Login(BaseModel):
    user: str
    password: SecretStr

    @model_validator(mode="after")
    def _check(self) -> "Login":
        if self.user == "nobody":
            raise ValueError(f"{self.password.get_secret_value()} is not the password of {self.user}")
        return self


@dataclass
class Point:
    x: int
    y: int = 0


class Numbers(RootModel[list[int]]):
    pass


class Town(TypedDict):
    name: str


class TestReading:
    @pytest.mark.parametrize(
        ("wanted", "answer", "value"),
        [
            (None, "null", None),
            (Approval, '{"ok": true}', Approval(ok=True)),
            (Point, '{"x": "3"}', Point(3)),
            (Town, '{"name": "Oslo"}', {"name": "Oslo"}),
            (int, '{"value": 5}', 5),
            (str, '{"value": "x"}', "x"),
            (dict, '{"value": {"a": [1]}}', {"a": [1]}),
            (dict[str, int], '{"value": {"a": "1"}}', {"a": 1}),
            (list[date], '{"value": ["2026-01-02"]}', [date(2026, 1, 2)]),
            (Literal["a", "b"], '{"value": "b"}', "b"),
            (int | None, '{"value": null}', None),
            (Numbers, '{"value": [1]}', Numbers([1])),
            (Point | None, '{"value": {"x": 1}}', Point(1)),
        ],
        ids=str,
    )
    def test_an_answer_becomes_what_was_asked_for(self, wanted: Any, answer: str, value: Any) -> None:
        assert question_of(wanted).read(answer) == value

    @pytest.mark.parametrize(
        ("wanted", "answer", "words", "field"),
        [
            (Approval, "{}", "ok: Field required", "ok"),
            (Approval, '{"ok": true, "raeson": ""}', "raeson: Extra inputs are not permitted", "raeson"),
            (Approval, '{"ok": true, "reason": "just because"}', "is no reason", "reason"),
            (int, '{"value": "x"}', "value: Input should be a valid integer", "value"),
            (int, "{", "Invalid JSON", ""),
        ],
    )
    def test_what_does_not_fit_is_refused_with_the_field(
        self, wanted: Any, answer: str, words: str, field: str
    ) -> None:
        with pytest.raises(InputError, match=words) as caught:
            question_of(wanted).read(answer)
        assert caught.value.field == field

    @pytest.mark.parametrize("answer", [{"user": "nobody", "password": HUNTER}, {"user": 3, "password": HUNTER}])
    def test_a_refusal_shows_no_secret(self, answer: dict[str, Any]) -> None:
        with pytest.raises(InputError) as caught:
            question_of(Login).read(json.dumps(answer))
        assert HUNTER not in str(caught.value)

    def test_a_validator_that_breaks_refuses(self) -> None:
        class Odd(RunInput):
            n: int

            @field_validator("n")
            @classmethod
            def _check(cls, value: int) -> int:
                return {}[value]

        with pytest.raises(InputError, match="its validation raised KeyError"):
            question_of(Odd).read('{"n": 1}')

    @pytest.mark.parametrize("wanted", [3, object(), Approval(ok=True), lambda: 3, open, type(iter([]))])
    def test_what_nobody_could_be_asked_for_is_refused(self, wanted: Any) -> None:
        with pytest.raises(ParameterError, match="nothing that can be asked for"):
            question_of(wanted)


class TestForms:
    def test_a_model_is_a_form_of_its_fields(self) -> None:
        form = json.loads(question_of(Approval).schema or "")
        assert list(form["properties"]) == ["ok", "reason", "token"]
        assert form["required"] == ["ok"]
        assert form["additionalProperties"] is False

    def test_a_plain_type_is_a_form_of_one_field(self) -> None:
        assert list(json.loads(question_of(int).schema or "")["properties"]) == ["value"]
        assert question_of(None).schema is None

    def test_a_model_that_refers_to_itself_shows_its_fields(self) -> None:
        class Tree(BaseModel):
            name: str
            children: "list[Tree]" = []

        Tree.model_rebuild(_types_namespace={"Tree": Tree})
        assert list(json.loads(question_of(Tree).schema or "")["properties"]) == ["name", "children"]

    def test_the_same_question_has_the_same_words(self) -> None:
        assert question_of(Approval).schema == question_of(Approval).schema

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            (None, "may it go on?"),
            (Approval, "Approval (ok, reason, token)"),
            (Approval.with_initial_data(description="Publish **1.2**?"), "Publish **1.2**?"),
            (int, "int"),
            (dict[str, int], "dict"),
        ],
        ids=str,
    )
    def test_people_read_what_is_asked(self, wanted: Any, message: str) -> None:
        assert question_of(wanted).message == message


class TestInitialData:
    def test_it_is_the_default_and_the_rest_stays(self) -> None:
        given = Approval.with_initial_data(reason="all tests pass")
        form = json.loads(question_of(given).schema or "")
        assert form["properties"]["reason"]["default"] == "all tests pass"
        assert form["properties"]["reason"]["description"] == "Why, or why not."
        made = question_of(given).read('{"ok": true}')
        assert made.reason == "all tests pass"
        assert isinstance(made, Approval)
        assert question_of(Approval).read('{"ok": true}').reason == ""

    def test_a_field_that_must_be_given_need_not_be_any_more(self) -> None:
        assert question_of(Approval.with_initial_data(ok=False)).read("{}").ok is False

    def test_it_is_validated_when_it_is_given(self) -> None:
        with pytest.raises(ParameterError, match="reason cannot be given so: String should have at most 20"):
            Approval.with_initial_data(reason="x" * 30)

    def test_it_becomes_what_the_field_is(self) -> None:
        class Dated(RunInput):
            day: date
            point: Point

        given = Dated.with_initial_data(day="2026-01-02", point={"x": 1})
        assert dict(question_of(given).read("{}")) == {"day": date(2026, 1, 2), "point": Point(1)}
        assert json.loads(question_of(given).schema or "")["properties"]["day"]["default"] == "2026-01-02"

    def test_a_field_that_is_none_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(ParameterError, match="did you mean 'reason'"):
            Approval.with_initial_data(raeson="x")

    def test_initial_data_can_be_given_twice(self) -> None:
        twice = Approval.with_initial_data(description="one", ok=True).with_initial_data(reason="x")
        assert (question_of(twice).message, question_of(twice).read("{}").ok) == ("one", True)

    @pytest.mark.parametrize("value", [HUNTER, SecretStr(HUNTER)])
    def test_a_secret_one_shows_in_no_form(self, value: object) -> None:
        class Deep(RunInput):
            login: Login
            token: SecretStr

        given = Deep.with_initial_data(token=value, login={"user": "me", "password": HUNTER})
        question = question_of(given)
        assert HUNTER not in repr(question) + (question.schema or "")
        assert question.read("{}").token.get_secret_value() == HUNTER
