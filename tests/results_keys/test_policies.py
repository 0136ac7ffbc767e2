"""What keys are made of: the algebra of policies, and the parts and keys that they give."""

import pickle
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import CacheKeyError, OptionError, UnhashableValueError
from entrepot.hashing.values import hash_parts, hash_value
from entrepot.results import keys
from entrepot.results.keys import (
    DEFAULT,
    FLOW_PARAMETERS,
    INPUTS,
    NO_CACHE,
    NONE,
    RUN_ID,
    TASK_SOURCE,
    CacheKey,
    CachePolicy,
    KeyContext,
    user_key,
)

RATE = 1


@dataclass
class Crop:
    size: int

    def next(self) -> int:
        return self.size + RATE


def work(x: int, debug: object = None) -> object:
    return x * RATE, debug


def collects(x: int, **options: Any) -> int:
    return x + len(options)


CALL = KeyContext(
    task_key="flow.work",
    fn=work,
    inputs={"x": 1, "debug": False},
    flow_parameters={"day": "monday"},
    run_id="run-1",
)
CALLS = [
    CALL,
    replace(CALL, inputs={"x": 2, "debug": False}),
    replace(CALL, inputs={"x": 1, "debug": True}),
    replace(CALL, inputs={"x": 1.0, "debug": False}),
    replace(CALL, fn=collects),
    replace(CALL, flow_parameters={"day": "tuesday"}),
    replace(CALL, flow_parameters=None),
    replace(CALL, run_id="run-2"),
    replace(CALL, task_key="flow.other"),
    replace(CALL, version="1"),
    replace(CALL, version="2"),
]

atoms = st.sampled_from([INPUTS, TASK_SOURCE, RUN_ID, FLOW_PARAMETERS, NO_CACHE])
inputs = st.sampled_from(["x", "debug"]).map(lambda name: INPUTS - name) | st.just(INPUTS - "x" - "debug")
policies = st.lists(atoms | inputs, min_size=1, max_size=5).map(lambda some: sum(some[1:], some[0]))


def key(policy: CachePolicy, call: KeyContext = CALL) -> str:
    found = policy.compute(call)
    assert found is not None
    return found.key


def keys_of(policy: CachePolicy) -> list[CacheKey | None]:
    return [policy.compute(call) for call in CALLS]


class TestAlgebra:
    @given(policies, policies, policies)
    def test_addition_is_associative(self, a, b, c):
        assert (a + b) + c == a + (b + c)

    @given(policies, policies)
    def test_addition_is_commutative(self, a, b):
        assert a + b == b + a
        assert keys_of(a + b) == keys_of(b + a)

    @given(policies)
    def test_addition_is_idempotent(self, a):
        assert a + a == a

    @given(policies)
    def test_no_cache_adds_nothing(self, a):
        assert a + NO_CACHE == a == NO_CACHE + a

    @given(policies, policies)
    def test_a_sum_tells_apart_what_either_tells_apart(self, a, b):
        for policy in (a, b):
            found, of_sum = keys_of(policy), keys_of(a + b)
            for one in range(len(CALLS)):
                for two in range(one):
                    if found[one] != found[two]:
                        assert of_sum[one] != of_sum[two]

    @given(policies, st.permutations(["x", "debug"]))
    def test_the_order_of_subtraction_does_not_count(self, a, names):
        a += INPUTS
        assert a - names[0] - names[1] == a - names[1] - names[0] == a - names[0] - names[1] - names[0]

    @given(policies)
    def test_the_repr_is_the_expression_that_gives_it(self, a):
        assert eval(repr(a), vars(keys)) == a

    @given(policies)
    def test_policies_can_be_pickled_and_hashed(self, a):
        again = pickle.loads(pickle.dumps(a))
        assert again == a
        assert hash(again) == hash(a)

    def test_reprs_read_well(self):
        assert repr(INPUTS - "debug" + TASK_SOURCE) == "INPUTS - 'debug' + TASK_SOURCE"
        assert repr(DEFAULT) == "INPUTS + TASK_SOURCE + RUN_ID"
        assert repr(NO_CACHE) == "NO_CACHE"

    def test_they_cannot_be_changed(self):
        with pytest.raises(AttributeError):
            INPUTS.covers = frozenset()

    def test_a_parameter_counts_if_it_counts_for_one_of_two(self):
        assert (INPUTS - "debug") + INPUTS == INPUTS
        assert (INPUTS - "debug") + (INPUTS - "x") == INPUTS
        assert (INPUTS - "debug") + (TASK_SOURCE + INPUTS - "debug") == INPUTS - "debug" + TASK_SOURCE

    @pytest.mark.parametrize("other", [1, "INPUTS", None, frozenset()])
    def test_only_policies_are_added(self, other):
        with pytest.raises(TypeError):
            INPUTS + other

    @pytest.mark.parametrize("other", [1, "", None, INPUTS])
    def test_only_names_are_subtracted(self, other):
        with pytest.raises(OptionError, match="name of a parameter"):
            INPUTS - other

    @pytest.mark.parametrize("policy", [TASK_SOURCE, RUN_ID, FLOW_PARAMETERS, NO_CACHE, TASK_SOURCE + RUN_ID])
    def test_nothing_is_subtracted_from_what_does_not_look_at_inputs(self, policy):
        with pytest.raises(OptionError, match="INPUTS - 'debug'"):
            policy - "debug"
        with pytest.raises(OptionError, match="INPUTS - 'debug'"):
            CachePolicy(policy.covers, frozenset({"debug"}))

    def test_other_policies_are_not_made_up(self):
        with pytest.raises(OptionError, match="'WEATHER'"):
            CachePolicy(frozenset({"WEATHER"}))

    def test_never_says_that_it_is_no_cache(self):
        assert NO_CACHE.never
        assert NONE is NO_CACHE
        assert not INPUTS.never


class TestKeys:
    def test_no_cache_gives_none(self):
        assert NO_CACHE.compute(CALL) is None

    def test_keys_are_text_of_a_known_form(self):
        assert re.fullmatch(r"e1-[0-9a-f]{64}", key(DEFAULT))

    def test_a_key_is_the_digest_of_its_parts(self):
        found = (DEFAULT + FLOW_PARAMETERS).compute(CALL)
        assert found is not None
        assert found.key == f"e1-{hash_parts(found.parts)}"

    def test_parts_name_what_counted(self):
        found = (DEFAULT + FLOW_PARAMETERS).compute(CALL)
        assert found is not None
        assert list(found.parts)[:5] == ["task", "input:x", "input:debug", "flow-parameter:day", "run"]
        assert found.parts["task"] == "flow.work"
        assert found.parts["input:x"] == hash_value(1)
        assert found.parts["run"] == "run-1"
        assert {"code", "python", f"global:{__name__}.RATE"} <= set(found.parts)
        assert all(isinstance(part, str) for part in found.parts.values())

    @pytest.mark.parametrize("policy", [INPUTS, TASK_SOURCE, RUN_ID, FLOW_PARAMETERS, DEFAULT])
    def test_two_tasks_never_share_a_key(self, policy):
        assert key(policy) != key(policy, replace(CALL, task_key="flow.other"))

    def test_inputs_count_by_value_and_type(self):
        assert len({key(INPUTS, call) for call in CALLS[:4]}) == 4
        assert key(INPUTS) == key(INPUTS, replace(CALL, fn=collects, run_id="other", version="9"))

    def test_the_order_of_inputs_does_not_count(self):
        assert key(INPUTS) == key(INPUTS, replace(CALL, inputs={"debug": False, "x": 1}))

    def test_what_is_left_out_does_not_count(self):
        policy = INPUTS - "debug"
        assert key(policy, CALLS[0]) == key(policy, CALLS[2]) != key(policy, CALLS[1])
        assert key(policy) == key(policy, replace(CALL, inputs={"x": 1, "debug": object()}))

    def test_what_is_left_out_by_mistake_names_the_nearest(self):
        with pytest.raises(OptionError, match=r"leaves out 'debgu', .* did you mean 'debug'\?"):
            (INPUTS - "debgu").compute(CALL)
        with pytest.raises(OptionError, match="it has 'x', 'debug'"):
            (INPUTS - "qqq").compute(CALL)

    def test_a_keyword_that_the_function_collects_can_be_left_out(self):
        def call(**options: Any) -> KeyContext:
            return replace(CALL, fn=collects, inputs={"x": 1, "options": options})

        policy = INPUTS - "debug"
        assert key(policy, call()) == key(policy, call(debug=True)) != key(policy, call(other=True))

    def test_the_run_counts_for_run_id(self):
        assert key(RUN_ID) != key(RUN_ID, replace(CALL, run_id="run-2"))
        assert key(INPUTS) == key(INPUTS, replace(CALL, run_id="run-2"))

    def test_flow_parameters_count_for_flow_parameters(self):
        other = replace(CALL, flow_parameters={"day": "tuesday"})
        assert key(FLOW_PARAMETERS) != key(FLOW_PARAMETERS, other)
        assert key(INPUTS) == key(INPUTS, other)
        assert key(FLOW_PARAMETERS, replace(CALL, flow_parameters=None)) != key(FLOW_PARAMETERS)

    def test_a_flow_parameter_is_not_an_input_of_that_name(self):
        one = KeyContext("t", work, {"a": 1}, {"b": 2})
        two = KeyContext("t", work, {"b": 2}, {"a": 1})
        assert key(INPUTS + FLOW_PARAMETERS, one) != key(INPUTS + FLOW_PARAMETERS, two)

    def test_code_counts_for_task_source(self, monkeypatch):
        before = key(TASK_SOURCE)
        assert before != key(TASK_SOURCE, replace(CALL, fn=collects))
        monkeypatch.setitem(globals(), "RATE", 2)
        assert before != key(TASK_SOURCE)
        assert key(INPUTS) == key(INPUTS, replace(CALL, fn=collects))

    def test_a_version_stands_for_the_code(self, monkeypatch):
        call = replace(CALL, version="1")
        before = key(DEFAULT, call)
        monkeypatch.setitem(globals(), "RATE", 2)
        assert before == key(DEFAULT, call)
        assert before != key(DEFAULT, replace(CALL, version="2"))
        found = DEFAULT.compute(call)
        assert found is not None
        assert found.parts["version"] == "1"
        assert "code" not in found.parts

    def test_the_code_of_an_arguments_class_counts_with_the_code(self, monkeypatch):
        call = replace(CALL, inputs={"x": Crop(1), "debug": False})
        with_code, without = key(INPUTS + TASK_SOURCE, call), key(INPUTS, call)
        monkeypatch.setattr(Crop, "next", lambda self: self.size * 7)
        assert with_code != key(INPUTS + TASK_SOURCE, call)
        assert without == key(INPUTS, call)

    def test_an_argument_without_identity_is_refused_by_name(self):
        with pytest.raises(UnhashableValueError) as caught:
            DEFAULT.compute(replace(CALL, inputs={"x": [object()], "debug": False}))
        assert (caught.value.parameter, caught.value.path) == ("x", "x[0]")

    @given(st.dictionaries(st.text(min_size=1), st.integers() | st.text(), max_size=5), st.data())
    def test_keys_are_equal_just_when_inputs_are(self, one, data):
        two = data.draw(st.just(dict(reversed(one.items()))) | st.dictionaries(st.text(min_size=1), st.integers()))
        same = key(INPUTS, replace(CALL, inputs=one)) == key(INPUTS, replace(CALL, inputs=two))
        assert same == (one == two)


class TestUsersKeys:
    def test_they_are_the_tasks_own(self):
        assert user_key("flow.a", "static").key != user_key("flow.b", "static").key
        assert user_key("flow.a", "static") == user_key("flow.a", "static")

    def test_they_are_never_a_computed_key(self):
        computed = key(DEFAULT)
        assert user_key("flow.work", computed).key != computed

    @given(st.text(max_size=5), st.text(min_size=1, max_size=5), st.text(max_size=5), st.text(min_size=1, max_size=5))
    def test_no_two_tasks_and_texts_meet(self, task, text, other_task, other_text):
        same = user_key(task, text).key == user_key(other_task, other_text).key
        assert same == ((task, text) == (other_task, other_text))

    def test_any_length_will_do(self):
        one, two = user_key("t", "x" * 100_000), user_key("t", "x" * 100_001)
        assert one.key != two.key
        assert len(one.parts["cache_key_fn"]) < 300

    @pytest.mark.parametrize("text", ["", None, 1, b"x", ["x"], "\ud800"])
    def test_anything_but_a_text_is_refused(self, text):
        with pytest.raises(CacheKeyError, match=r"flow\.a") as caught:
            user_key("flow.a", text)
        assert caught.value.task == "flow.a"


@pytest.mark.parametrize(
    ("value", "library"),
    [
        (np.arange(3), "numpy"),
        (pd.DataFrame({"a": [1]}), "pandas"),
        (pd.Timestamp(0), "pandas"),
        ([pd.Series([1])], "pandas"),
    ],
    ids=["array", "frame", "timestamp", "in a list"],
)
def test_the_library_of_an_argument_counts_by_its_version(value: Any, library: str) -> None:
    def only_calls_a_method(x: Any) -> Any:
        return x.describe()

    context = KeyContext("t", only_calls_a_method, {"x": value})
    assert f"package:{library}" in (INPUTS + TASK_SOURCE).compute(context).parts
    assert f"package:{library}" not in INPUTS.compute(context).parts
    stored = replace(context, stored={id(value): "digest"})
    assert (library == "pandas" and isinstance(value, list)) or f"package:{library}" in (INPUTS + TASK_SOURCE).compute(
        stored
    ).parts
