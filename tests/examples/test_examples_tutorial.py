"""The tutorial that our users come from: its examples run here, and do what they are said to do.

The folder `tutorial` has its code as it is, without comments. It runs in two ways: with the package's name changed, and
untouched, with Prefect's names installed. `examples/tutorial` has the same code, explained anew.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from entrepot_test_tutorial import CHECKS

HERE = Path(__file__).parent
CHECKER = HERE.parent / "entrepot_test_tutorial.py"
EXAMPLES = HERE.parents[1] / "examples" / "tutorial"
ORIGINALS = {file.stem.removeprefix("section_"): file for file in sorted((HERE / "tutorial").glob("section_*.py"))}
OURS = {file.stem[1:4]: file for file in sorted(EXAMPLES.glob("*.py"))}
BEFORE = {"7_3": "from prefect import task\n"}  # section 7.3 goes on where 7.2 ended
BASE = "/tmp/prefect"  # where section 7.2 keeps results
PRINTED = {
    "3_1": ["Loaded data: {'source': 'database', 'records': [2, 4, 6, 8, 10], 'transformed': True}"],
    "4_2": ["Processing large dataset: 150 records", "Processing small dataset: 50 records"],
    "4_3": [*(f"Loading 5 records to target_{letter}" for letter in "abc"), "Total processed: 15"],
    "6_2": ["Loading: [2, 4, 6, 8, 10]"],
}
LOGGED = {
    "3_1": [
        r"Task run 'extract_data-1' \([0-9a-f]{8}\) - Extracting from database",
        "Transforming 5 records",
        "Loading to warehouse",
    ],
}

ways = pytest.mark.parametrize("way", ["renamed", "untouched"])
sections = pytest.mark.parametrize("section", ORIGINALS)


def test_every_example_is_here_and_has_its_checks() -> None:
    assert list(ORIGINALS) == list(OURS) == list(CHECKS)


def run(*command: object, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return the variables that lead section 7.2, whose block names a bucket and nothing else, to a real S3 server."""
    server: Any = request.getfixturevalue("s3_server")
    try:
        server.bucket("my-bucket")
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyExists", "BucketAlreadyOwnedByYou"}:
            raise
    return {
        "AWS_ENDPOINT_URL": server.endpoint_url,
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_DEFAULT_REGION": server.region,
    }


@pytest.fixture
def outside(section: str, request: pytest.FixtureRequest) -> dict[str, str]:
    return request.getfixturevalue("cloud") if section == "7_2" else {}


def written(section: str, way: str, folder: Path) -> tuple[Path, list[str]]:
    """Write an example for one of the two ways of running it; return the file and what has to run it."""
    source = BEFORE.get(section, "") + ORIGINALS[section].read_text(encoding="utf-8").replace(BASE, f"{folder}/kept")
    file = folder / "example.py"
    file.write_text(source if way == "untouched" else source.replace("prefect", "entrepot"), encoding="utf-8")
    return file, ["-m", "entrepot.compat"] if way == "untouched" else []


@ways
@sections
def test_the_example_runs(section: str, way: str, tmp_path: Path, outside: dict[str, str]) -> None:
    file, runner = written(section, way, tmp_path)
    ran = run(*runner, file, cwd=tmp_path, env=outside)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == PRINTED.get(section, [])
    for line in LOGGED.get(section, []):
        assert re.search(line, ran.stderr), ran.stderr


@ways
@pytest.mark.parametrize("section", [section for section in ORIGINALS if section != "7_2"])
def test_the_example_does_what_it_is_said_to_do(section: str, way: str, tmp_path: Path) -> None:
    file, runner = written(section, way, tmp_path)
    ran = run(*runner, CHECKER, file, section, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "checked"


@ways
def test_the_example_of_7_2_keeps_results_in_the_folder_and_in_the_bucket(
    way: str, tmp_path: Path, cloud: dict[str, str], s3_server: Any
) -> None:
    before = {entry["Key"] for entry in _listed(s3_server)}
    file, runner = written("7_2", way, tmp_path)
    ran = run(*runner, CHECKER, file, "7_2", cwd=tmp_path, env=cloud)
    assert ran.returncode == 0, ran.stderr
    assert [kept for kept in (tmp_path / "kept").rglob("*") if kept.is_file()]
    (key,) = {entry["Key"] for entry in _listed(s3_server)} - before
    assert key.startswith("results/")
    body = s3_server.client().get_object(Bucket="my-bucket", Key=key)["Body"].read().decode()
    assert '"large' in body.replace("\\", "")  # JSON, which people can read


def _listed(server: Any) -> list[dict[str, Any]]:
    return server.client().list_objects_v2(Bucket="my-bucket").get("Contents", [])


# --- our own files ----------------------------------------------------------------------------------------------------


@sections
def test_our_file_runs(section: str, tmp_path: Path, outside: dict[str, str]) -> None:
    file = tmp_path / OURS[section].name
    source = OURS[section].read_text(encoding="utf-8").replace(BASE.replace("prefect", "entrepot"), f"{tmp_path}/kept")
    file.write_text(source, encoding="utf-8")
    ran = run(file, cwd=tmp_path, env=outside)
    assert ran.returncode == 0, ran.stderr
    expected = PRINTED.get(section, [])
    assert ran.stdout.splitlines()[: len(expected)] == expected


@sections
def test_our_file_has_the_code_of_the_tutorial(section: str) -> None:
    """But for the package's name, texts that describe, and a beginning or an end that lets it run by itself."""
    original = (BEFORE.get(section, "") + ORIGINALS[section].read_text(encoding="utf-8")).replace("prefect", "entrepot")
    ours = ast.parse(OURS[section].read_text(encoding="utf-8"))
    bare = _bare(ast.parse(original))
    assert _bare(ours)[: len(bare)] == bare
    assert all(line.startswith("if __name__ == '__main__':") for line in _bare(ours)[len(bare) :])


def _bare(tree: ast.Module) -> list[str]:
    """Return the statements of a module without docstrings and descriptions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
        if isinstance(node, ast.keyword) and node.arg == "description":
            node.value = ast.Constant("")
    return [ast.unparse(statement) for statement in tree.body]
