"""For every component of a key: a change of just that, through real runs, and its name in the explanation."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pydantic
import pytest

from entrepot import File, flow, task
from entrepot.cache_policies import FLOW_PARAMETERS, INPUTS, RUN_ID, TASK_SOURCE
from entrepot.hashing import _walker, code, outline
from entrepot.results.explain import Explanation

# --- inputs -----------------------------------------------------------------------------------------------------------


@dataclass
class Limits:
    retries: int = 3
    delay: float = 1.5


@attrs.define
class Options:
    limits: Limits
    name: str = "a"


class Settings(pydantic.BaseModel):
    size: int = 1
    inner: dict[str, int] = {}


def frame(**changed: Any) -> pd.DataFrame:
    columns = {f"c{number}": np.arange(50) * number for number in range(5)}
    return pd.DataFrame({**columns, **changed})


def wide(at: int = -1) -> pd.DataFrame:
    return pd.DataFrame({f"c{number}": np.arange(5) * (1 + (number == at)) for number in range(200)})


def rows(count: int, **changed: int) -> list[dict[str, int]]:
    return [{"a": changed.get(f"at{number}", number), "b": 0} for number in range(count)]


def edited(values: np.ndarray[Any, Any], *at: int) -> np.ndarray[Any, Any]:
    values = values.copy()
    values[at] += 1
    return values


INPUT_CHANGES: list[tuple[str, object, object, list[str]]] = [
    ("a number", 1, 2, ["input x differs"]),
    ("the type of a number", 1, 1.0, ["input x is float, was int"]),
    ("a number for a list", 1, [1], ["input x is list[1], was int"]),
    ("an item of a short list", rows(20), rows(20, at17=-1), ["input x[17]['a'] differs"]),
    ("an item of a long list", rows(900), rows(900, at717=-1), ["input x[717] differs"]),
    (
        "two items of a long list",
        rows(900),
        rows(900, at3=-1, at717=-1),
        ["input x[0:57] differs", "input x[684:741] differs"],
    ),
    ("an item of a list that is longer still", list(range(5000)), [-1, *range(1, 5000)], ["input x[0:313] differs"]),
    ("the last item", [1, 2], [1, 2, 3], ["input x[2] is new: int"]),
    ("one item less", [1, 2], [1], ["input x[1] is gone: it was int"]),
    ("one item more of many", rows(100), rows(101), ["input x[98:] is list[101], was list[100]"]),
    ("an entry", {"a": 1, "b": 2}, {"a": 1, "b": 3}, ["input x['b'] differs"]),
    ("another entry", {"a": 1}, {"a": 1, "b": 3}, ["input x['b'] is new: int"]),
    ("a field in an entry", {"limits": Limits()}, {"limits": Limits(4)}, ["input x['limits'].retries differs"]),
    ("a field in a field", Options(Limits()), Options(Limits(delay=2.0)), ["input x.limits.delay differs"]),
    ("a field of a model", Settings(), Settings(size=2), ["input x.size differs"]),
    ("an entry of a model's field", Settings(inner={"k": 1}), Settings(inner={"k": 2}), ["input x.inner['k'] differs"]),
    ("a column", frame(), frame(c3=np.arange(50) - 1), ["input x.columns[3] differs"]),
    (
        "the dtype of a column",
        frame(),
        frame(c3=np.arange(50) * 3.0),
        ["input x.columns[3] is column[float64,50], was column[int64,50]"],
    ),
    ("a column of many", wide(), wide(137), ["input x.columns[137] differs"]),
    (
        "one column more",
        frame(),
        frame(more=1),
        ["input x.columns[5] is new: column[int64,50]", "input x.keys() is Index[str,6], was Index[str,5]"],
    ),
    ("the name of a column", frame(), frame().rename(columns={"c3": "d"}), ["input x.keys() differs"]),
    (
        "the index of a frame",
        frame(),
        frame().set_index(pd.Index([1.5, *range(49)])),
        ["input x.index is Index[float64,50], was RangeIndex[int64,50]"],
    ),
    ("an element of an array", np.zeros(20), edited(np.zeros(20), 7), ["input x[7] differs"]),
    ("a row of an array", np.zeros((500, 2)), edited(np.zeros((500, 2)), 401), ["input x[401] differs"]),
    (
        "the dtype of an array",
        np.zeros(3),
        np.zeros(3, "f4"),
        ["input x is ndarray[float32,3], was ndarray[float64,3]"],
    ),
    ("a set", {1, 2}, {1, 3}, ["input x differs"]),
]


def said(explanation: Explanation | None) -> list[str]:
    assert explanation is not None
    assert explanation.outcome == "miss", explanation
    return sorted(map(str, explanation.differences))


@pytest.mark.parametrize(("old", "new", "expected"), [pytest.param(*case[1:], id=case[0]) for case in INPUT_CHANGES])
def test_a_changed_part_of_an_input_is_named(old: object, new: object, expected: list[str]) -> None:
    @task(cache_policy=INPUTS + TASK_SOURCE)
    def work(x: Any, other: int = 1) -> int:
        return other

    work(old)
    assert said(work(new, return_state=True).cache_explanation) == sorted(expected)


def test_a_file_that_differs_is_named_where_its_name_reads_like_words(tmp_path: Path) -> None:
    @task(cache_policy=INPUTS)
    def work(f: Any) -> int:
        return 0

    def files(**contents: str) -> list[File]:
        for name, content in contents.items():
            (tmp_path / f"{name}.csv").write_text(content)
        return [File(tmp_path / f"{name}.csv") for name in contents]

    def differing(old: list[File], new: Callable[[], list[File]], *, single: bool = True) -> list[str]:
        work(old[0] if single else old)
        return said(work(new()[0] if single else new(), return_state=True).cache_explanation)

    assert differing(files(prices="1"), lambda: files(prices="2")) == ["input f: content of prices.csv differs"]
    assert differing(files(old="3"), lambda: files(new="4")) == ["input f: content of new.csv (was old.csv) differs"]
    assert differing(files(a1b2c3d4e5="5"), lambda: files(a1b2c3d4e5="6")) == ["input f differs"]
    # Another name with the same content is the same file.
    assert differing(files(a="7", b="8"), lambda: files(c="7", b="9"), single=False) == [
        "input f[1]: content of b.csv differs"
    ]


def test_of_a_large_frame_the_column_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outline, "LARGEST", 1000)
    work = task(lambda x: x.size, cache_policy=INPUTS)
    work(frame())
    # A row that is not among those that are looked at: the frame is named, and nothing that is not so.
    few = frame(c3=np.where(np.arange(50) == 1, -1, np.arange(50) * 3))
    assert said(work(few, return_state=True).cache_explanation) == ["input x differs"]
    all_rows = frame(c3=np.arange(50) - 1)
    assert said(work(all_rows, return_state=True).cache_explanation) == ["input x.columns[3] differs"]


def test_the_nearest_of_several_records_is_taken_and_of_equally_near_ones_the_newest() -> None:
    @task(cache_policy=INPUTS)
    def work(x: int, y: int, z: int) -> int:
        return 0

    earlier = [work(x, y, z, return_state=True) for x, y, z in [(1, 1, 1), (1, 2, 3), (1, 2, 4), (9, 9, 9)]]
    explanation = work(1, 2, 5, return_state=True).cache_explanation
    assert said(explanation) == ["input z differs"]
    assert explanation is not None
    assert explanation.nearest is not None
    assert explanation.nearest.key == earlier[2].cache_explanation.key
    assert explanation.scanned == 4


# --- what is around a call --------------------------------------------------------------------------------------------


@task(cache_policy=INPUTS + FLOW_PARAMETERS + RUN_ID)
def inside(x: int) -> int:
    return x


@flow
def around(rate: dict[str, int]) -> Any:
    return inside(1, return_state=True).cache_explanation


def test_a_flow_parameter_and_the_flow_run_are_named() -> None:
    around({"low": 1, "high": 2})
    explanation = around({"low": 1, "high": 3})
    assert [one.kind for one in explanation.differences] == ["flow run", "flow parameter"]
    assert str(explanation.differences[1]) == "flow parameter rate['high'] differs"
    assert explanation.nearest.run["flow_run_name"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"version": "1"}, {"version": "2"}, ["version is 2, was 1"]),
        ({}, {"version": "2"}, ["version is new: 2"]),
        ({"cache_policy": INPUTS}, {}, ["TASK_SOURCE counts in this key only: another cache policy"]),
        ({}, {"cache_policy": INPUTS + TASK_SOURCE + RUN_ID}, ["RUN_ID counts in this key only: another cache policy"]),
        ({"cache_key_fn": lambda: "a"}, {"cache_key_fn": lambda: "b"}, ["cache_key_fn is b, was a"]),
        (
            {"result_storage_key": "{parameters[x]}-a"},
            {"result_storage_key": "{parameters[x]}-b"},
            ["result_storage_key is 1-b, was 1-a"],
        ),
    ],
    ids=["version", "a version for code", "code counts", "the run counts", "cache_key_fn", "result_storage_key"],
)
def test_options_are_named(old: dict[str, Any], new: dict[str, Any], expected: list[str]) -> None:
    def work(x: int) -> int:
        return x

    def made(options: dict[str, Any]) -> Any:
        keyed = {"cache_key_fn", "result_storage_key"} & options.keys()
        return task(work, **({} if keyed else {"cache_policy": INPUTS + TASK_SOURCE}) | options)

    made(old)(1)
    assert said(made(new)(1, return_state=True).cache_explanation) == expected


def test_another_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(x: int) -> int:
        return x

    policy = INPUTS + TASK_SOURCE
    with monkeypatch.context() as patched:
        patched.setattr(_walker, "PYTHON", "cpython 3.99")
        task(work, cache_policy=policy)(1)
    code._known.clear()  # or else it would still have that digest
    explanation = task(work, cache_policy=policy)(1, return_state=True).cache_explanation
    assert said(explanation) == [f"Python is {_walker.PYTHON}, was cpython 3.99"]


# --- code: each change in files, each version in a process of its own ------------------------------------------------

CODE_CHANGES: dict[str, tuple[str, str, str, str]] = {
    # The source of a module with a task `work`, what is replaced in it, by what, and what the explanation says.
    "task": ("def work(x): return x + 1", "x + 1", "x + 2", "function work differs"),
    "helper": (
        "def helper(x): return x + 1\ndef work(x): return helper(x)",
        "x + 1",
        "x + 2",
        "function {m}.helper differs",
    ),
    "new_helper": (
        "def helper(x): return x\ndef work(x): return x",
        "work(x): return x",
        "work(x): return helper(x)",
        "function {m}.helper is new",
    ),
    "another_module": (
        "import {m}_lib\ndef work(x): return {m}_lib.clean(x)",
        "x - 1",
        "x - 2",
        "function {m}_lib.clean differs",
    ),
    "a_lambda": (
        "twice = lambda x: 2 * x\ndef work(x): return twice(x)",
        "2 * x",
        "3 * x",
        "function {m}.<lambda> differs",
    ),
    "a_global": ("LIMIT = 3\ndef work(x): return LIMIT", "LIMIT = 3", "LIMIT = 4", "global {m}.LIMIT differs"),
    "a_closure": (
        "def make(n):\n    def work(x): return n\n    return work\nwork = make(1)",
        "make(1)",
        "make(2)",
        "closure variable {m}.make.<locals>.work.n differs",
    ),
    "a_default": (
        "def helper(x, limit=3): return limit\ndef work(x): return helper(x)",
        "=3",
        "=4",
        "default {m}.helper.limit differs",
    ),
    "an_attribute": (
        "def helper(x): return x\nhelper.unit = 'kg'\ndef work(x): return helper.unit",
        "'kg'",
        "'g'",
        "attribute {m}.helper.unit differs",
    ),
    "a_class": (
        "class Scale:\n    def weigh(self, x): return x + 1\ndef work(x): return Scale().weigh(x)",
        "x + 1",
        "x + 2",
        "class {m}.Scale differs",
    ),
    "a_class_of_an_input": (
        "class Row(tuple):\n    def total(self): return 1\nINPUT = Row()\ndef work(x): return x.total()",
        "return 1",
        "return 2",
        "class {m}.Row differs",
    ),
    "an_import": (
        "def work(x):\n    try: import {m}_gone as found\n    except ImportError: return 1\n    return found.x",
        "_gone",
        "_lost",
        "import {m}_lost is new: missing",
    ),
    "a_distribution": (
        "import fakedist\ndef work(x): return fakedist.double(x)",
        "",
        "",
        "distribution fakedist is 2.0, was 1.0",
    ),
}
RUNNER = """
import importlib, json, sys
from pathlib import Path
from entrepot import task
from entrepot.cache_policies import INPUTS, TASK_SOURCE

found = {}
for name in sys.argv[1:]:
    module = importlib.import_module("case_" + name)
    state = task(module.work, cache_policy=INPUTS + TASK_SOURCE)(getattr(module, "INPUT", 1), return_state=True)
    told = state.cache_explanation
    found[name] = [[str(one), one.diff, one.note] for one in told.differences]
print(json.dumps(found))
"""


def write_projects(folder: Path, version: int) -> None:
    for name, (source, old, new, _) in CODE_CHANGES.items():
        for module, written in ((f"case_{name}", source), (f"case_{name}_lib", "def clean(x): return x - 1\n")):
            text = written.replace(old, new) if version == 2 else written
            (folder / f"{module}.py").write_text(text.replace("{m}", f"case_{name}") + "\n")
    site = folder / "site-packages"
    info = site / f"fakedist-{version}.0.dist-info"
    info.mkdir(parents=True)
    (site / "fakedist").mkdir()
    (site / "fakedist" / "__init__.py").write_text("def double(x): return 2 * x\n")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fakedist\nVersion: {version}.0\n")
    (info / "RECORD").write_text("fakedist/__init__.py,,\n")
    (info / "top_level.txt").write_text("fakedist\n")


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run the first version of every project in one process, the second in another; what that says of each."""
    base = tmp_path_factory.mktemp("code")
    found: dict[str, Any] = {}
    for version in (1, 2):
        folder = base / "project"
        folder.mkdir()
        write_projects(folder, version)
        ran = subprocess.run(
            [sys.executable, "-c", RUNNER, *CODE_CHANGES],
            cwd=folder,
            env={
                "ENTREPOT_HOME": str(base / "home"),
                "ENTREPOT_LOGGING_LEVEL": "ERROR",
                "PYTHONPATH": ":".join([*sys.path, str(folder / "site-packages")]),
                "PYTHONHASHSEED": str(version),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PATH": "",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)
        folder.rename(base / f"project-{version}")
    return MappingProxyType(found)


@pytest.mark.parametrize("name", CODE_CHANGES)
def test_a_changed_part_of_the_code_is_named(explained: Any, name: str) -> None:
    expected = CODE_CHANGES[name][3].replace("{m}", f"case_{name}")
    assert expected in [text for text, _, _ in explained[name]], explained[name]
    # Code that uses something else is other code; an attribute is seen both where it is and where it is read.
    others = {"new_helper": 2, "an_import": 2, "an_attribute": 1}
    assert len(explained[name]) == 1 + others.get(name, 0), explained[name]


@pytest.mark.parametrize("name", ["task", "helper", "another_module", "a_lambda", "a_class", "a_class_of_an_input"])
def test_a_changed_function_is_shown_as_a_diff_of_what_ran(explained: Any, name: str) -> None:
    ((_, diff, note),) = explained[name]
    _, old, new, _ = CODE_CHANGES[name]
    assert note == ""
    lines = diff.splitlines()
    assert [line for line in lines[2:] if line[0] == "-" and old in line], diff
    assert [line for line in lines[2:] if line[0] == "+" and new in line], diff
