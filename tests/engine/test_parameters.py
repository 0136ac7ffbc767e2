"""Parameters: bound as Python binds them, validated and coerced as their annotations say."""

import inspect
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr, TypeAdapter

from entrepot import flow, task
from entrepot._secrets import remember_secret
from entrepot.engine.parameters import Binder
from entrepot.engine.validation import _fits
from entrepot.errors import ParameterError


class TestBinding:
    SIGNATURES = (
        lambda: 0,
        lambda a: 0,
        lambda a, b=2: 0,
        lambda a, *, b, c=3: 0,
        lambda a, /, b: 0,
        lambda *a: 0,
        lambda a, *b, c=1, **d: 0,
        lambda a=1, /, **d: 0,
    )

    @pytest.mark.parametrize("fn", SIGNATURES, ids=lambda fn: str(inspect.signature(fn)))
    @given(args=st.lists(st.integers(), max_size=4), kwargs=st.dictionaries(st.sampled_from("abcdx"), st.integers()))
    def test_is_as_python_binds(self, fn: Any, args: list[int], kwargs: dict[str, int]) -> None:
        binder = Binder(fn, "task 't'")
        try:
            expected = inspect.signature(fn).bind(*args, **kwargs)
        except TypeError:
            with pytest.raises(ParameterError, match="task 't' cannot be called like this"):
                binder.bind(args, kwargs)
            return
        expected.apply_defaults()
        bound = binder.bind(args, kwargs)
        assert bound == expected.arguments
        again_args, again_kwargs = binder.call(bound)
        assert binder.bind(again_args, again_kwargs) == bound
        fn(*again_args, **again_kwargs)

    def test_defaults_are_not_shown(self) -> None:
        with pytest.raises(ParameterError) as caught:
            Binder(lambda a, key="hunter2": 0, "task 't'").bind((), {})
        assert str(caught.value) == "task 't' cannot be called like this (missing: a); it takes: a, key=..."

    def test_all_troubles_are_named(self) -> None:
        with pytest.raises(ParameterError, match=r"missing: b; unknown: source \(did you mean .*; given twice: a"):
            Binder(lambda a, b, sources=(): 0, "task 't'").bind((1,), {"a": 2, "source": 3})
        with pytest.raises(ParameterError, match="3 positional arguments for 1"):
            Binder(lambda a: 0, "task 't'").bind((1, 2, 3), {})


class Credentials(BaseModel):
    user: str
    password: SecretStr


@dataclass
class Point:
    x: int
    y: int = 0


class Opaque:
    pass


def given_to(annotation: Any, value: Any) -> Any:
    def f(p: Any) -> Any:
        return p

    f.__annotations__["p"] = annotation
    return flow(f)(value)


class TestCoercion:
    @pytest.mark.parametrize(
        ("annotation", "value", "got"),
        [
            (int, "5", 5),
            (int, 5, 5),
            (float, 1, 1.0),
            (str, "x", "x"),
            (bool, "true", True),
            (date, "2026-01-02", date(2026, 1, 2)),
            (datetime, "2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5)),  # noqa: DTZ001  as given
            (list[int], ["1", 2], [1, 2]),
            (tuple[int, ...], [1, "2"], (1, 2)),
            (dict[str, int], {"a": "1"}, {"a": 1}),
            (Optional[int], None, None),  # noqa: UP045  both spellings
            (int | None, "3", 3),
            (int | str, "3", "3"),
            (Path, "/tmp", Path("/tmp")),
            (Literal["a", "b"], "a", "a"),
            (Annotated[int, Field(gt=0)], "3", 3),
            (Point, {"x": "1"}, Point(1)),
            ("int", "5", 5),
            (Any, "5", "5"),
            (list[Any], [1, "2"], [1, "2"]),
            (dict[str, Any], {"a": [1]}, {"a": [1]}),
            (list[Annotated[int, Field(gt=0)]], ["1", 2], [1, 2]),
            (Annotated[list[int], Field(min_length=1)], ["1"], [1]),
            (None, None, None),
        ],
    )
    def test_a_value_becomes_what_its_annotation_says(self, annotation: Any, value: Any, got: Any) -> None:
        result = given_to(annotation, value)
        assert result == got
        assert type(result) is type(got)

    def test_models_come_from_dictionaries(self) -> None:
        made = given_to(Credentials, {"user": "me", "password": "hunter2"})
        assert made.password.get_secret_value() == "hunter2"
        assert given_to(list[Point], [{"x": 1}, Point(2)]) == [Point(1), Point(2)]

    def test_an_object_of_any_class_is_accepted_for_its_class(self) -> None:
        thing = Opaque()
        assert given_to(Opaque, thing) is thing
        with pytest.raises(ParameterError, match="Opaque"):
            given_to(Opaque, 3)

    def test_what_fits_is_handed_over_as_it_is(self) -> None:
        values = [1, 2]
        assert given_to(list[int], values) is values
        assert given_to(list[int] | None, values) is values

    @pytest.mark.parametrize(
        "annotation", [Iterable, Iterable[int], "Iterable[int]", list[Any], dict[str, Any] | list[Any]]
    )
    def test_a_list_stays_a_list_for_whatever_asks_for_something_to_iterate_over(self, annotation: Any) -> None:
        values = [1, "2"]
        assert given_to(annotation, values) is values

    def test_a_default_may_be_what_its_annotation_does_not_allow(self) -> None:
        @flow
        def f(date: str = None) -> Any:  # noqa: RUF013  as in many a tutorial
            return date

        assert f() is None
        assert f(date=None) is None
        assert f(date="2026-01-01") == "2026-01-01"
        with pytest.raises(ParameterError):
            f(date=5)

    def test_star_parameters_are_validated(self) -> None:
        @flow
        def f(*numbers: int, **more: int) -> Any:
            return numbers, more

        assert f("1", 2, x="3") == ((1, 2), {"x": 3})

    def test_validation_can_be_switched_off(self) -> None:
        @flow(validate_parameters=False)
        def f(number: int) -> Any:
            return number

        assert f("5") == "5"

    def test_tasks_are_not_validated(self) -> None:
        @task
        def f(number: int) -> Any:
            return number

        assert f("5") == "5"

    def test_names_of_the_enclosing_function_are_known(self) -> None:
        class Local(BaseModel):
            x: int

        @flow
        def f(p: "Local", q: "list[Local]") -> Any:
            assert Local
            return p, q

        assert f({"x": 1}, [{"x": 2}]) == (Local(x=1), [Local(x=2)])

    def test_what_an_annotation_names_may_be_defined_later(self) -> None:
        @flow
        def f(p: "Later") -> Any:  # noqa: F821  that is the point
            return p

        namespace = f.fn.__globals__
        namespace["Later"] = int
        try:
            assert f("5") == 5
        finally:
            del namespace["Later"]

    @pytest.mark.filterwarnings("ignore:3 is not a Python type")
    def test_an_annotation_that_means_nothing_is_not_validated(self) -> None:
        assert given_to("NotThere", "5") == "5"
        assert given_to(3, "5") == "5"
        assert given_to("list[NotThere]", ["5"]) == ["5"]


class TestRefusal:
    def test_names_each_parameter_that_does_not_fit(self) -> None:
        @flow
        def f(a: int, b: list[int], c: str = "") -> None:
            pass

        with pytest.raises(ParameterError) as caught:
            f("x", [1, "y"])
        assert str(caught.value) == (
            "flow 'f' was called with parameters that do not fit their annotations: a: Input should be a valid integer,"
            " unable to parse string as an integer; b: Input should be a valid integer, unable to parse string as an"
            " integer (at 1)"
        )
        assert caught.value.parameter == "a"
        assert caught.value.__context__ is None

    def test_is_a_failed_run_that_called_nothing(self, journal: Any) -> None:
        called: list[int] = []

        @flow(retries=3)
        def f(a: int) -> None:
            called.append(a)

        assert f("x", return_state=True).is_failed()
        assert called == []
        assert journal.states("f") == ["Failed"]

    def test_shows_no_secret(self, journal: Any) -> None:
        class Strict(BaseModel):
            password: SecretStr = Field(min_length=100)
            port: int

        @flow
        def f(token: SecretStr, login: Strict, both: dict[str, Strict]) -> None:
            pass

        with pytest.raises(ParameterError) as caught:
            f(
                token=["hunter2"],
                login={"password": "hunter2", "port": "hunter2"},
                both={"hunter2": {"password": "hunter2"}},
            )
        assert "hunter2" not in str(caught.value) + repr(journal.created)
        for name in ("token", "login", "both"):
            assert f"{name}: " in str(caught.value)

    def test_a_validator_that_raises_anything_is_a_refusal(self) -> None:
        class Odd(BaseModel):
            def __init__(self, **data: Any) -> None:
                raise ZeroDivisionError

        with pytest.raises(ParameterError, match=r"ZeroDivisionError|p: "):
            given_to(Odd, {"x": 1})


ANNOTATIONS = [
    int,
    str,
    float,
    bool,
    bytes,
    list,
    dict,
    None,
    list[int],
    list[str | None],
    dict[str, int],
    dict[str, list[float]],
    set[int],
    frozenset[str],
    tuple[int, ...],
    int | None,
    Optional[list[bool]],  # noqa: UP045  both spellings
    Annotated[int, Field(gt=0)],
    Annotated[list, Field(min_length=1)],
    Literal[1, "a"],
    Any,
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.text(max_size=2)
    | st.binary(max_size=2)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
        | st.sets(st.integers() | st.text(max_size=2), max_size=3)
        | st.frozensets(st.text(max_size=2), max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=6,
)


@given(annotation=st.sampled_from(ANNOTATIONS), value=VALUES)
def test_what_is_let_through_without_pydantic_is_what_pydantic_would_give_back(annotation: Any, value: Any) -> None:
    if _fits(annotation, value):
        validated = TypeAdapter(annotation).validate_python(value)
        assert validated == value
        assert type(validated) is type(value)


def test_plain_values_load_no_pydantic(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from entrepot import flow\n"
        "@flow\n"
        "def f(a: int, b: list[str], c: dict[str, float] | None = None, d: 'str' = None): pass\n"
        "f(1, ['x'], {'y': 1.5})\n"
        "print('pydantic' in sys.modules)\n"
        "f('1', ['x'])\n"
        "print('pydantic' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )
    assert ran.stdout.split() == ["False", "True"]


def test_a_secret_that_would_be_cut_is_masked_before(journal: Any) -> None:
    secret = "a-secret-" + "x" * 200
    remember_secret(secret)
    task(lambda text: None, name="takes")(f"key={secret} and more")
    shown = journal.run("takes").parameters["text"]
    assert shown.startswith("'key=**********")
    assert "a-secret" not in shown
