"""The contracts with fixtures, against implementations with one fault each, in a pytest of their own."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import entrepot_test_faulty as faulty

pytestmark = pytest.mark.one_python


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], str]:
    """Return how each test ended: by class and test, without its parameters; `failed` if one of several did."""
    folder = tmp_path_factory.mktemp("faults")
    file = str(Path(faulty.__file__).resolve())
    wanted = [f"{file}::{name}::{test}" for name, test in dict.fromkeys(faulty.FAULTS)]
    right = [f"{file}::{name}" for name in faulty.RIGHT]  # first: some of the wrong ones leave traces
    options = [
        "-q",
        "--tb=no",
        "--assert=plain",
        "-c",
        os.devnull,
        "--rootdir",
        str(folder),
        "-p",
        "no:cacheprovider",
        "--junitxml",
        "report.xml",
    ]
    collecting = ["-o", "python_classes=Test* Right*", "--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *collecting, *right, *wanted],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    found: dict[tuple[str, str], str] = {}
    for case in ET.parse(folder / "report.xml").iter("testcase"):
        key = case.attrib["classname"].rpartition(".")[2], case.attrib["name"].partition("[")[0]
        failed = case.find("failure") is not None or case.find("error") is not None
        skipped = case.find("skipped") is not None
        ended = "failed" if failed or found.get(key) == "failed" else "skipped" if skipped else "passed"
        found[key] = ended
    return found


def test_what_is_right_meets_its_contract(outcomes: dict[tuple[str, str], str]) -> None:
    right = {key: outcome for key, outcome in outcomes.items() if key[0] in faulty.RIGHT}
    assert {name for name, _ in right} == set(faulty.RIGHT)
    assert [key for key, outcome in right.items() if outcome == "failed"] == []


@pytest.mark.parametrize(("name", "test"), faulty.FAULTS)
def test_the_contract_catches(outcomes: dict[tuple[str, str], str], name: str, test: str) -> None:
    assert outcomes[name, test] == "failed"
