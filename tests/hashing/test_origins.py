"""Whose code a module is: Python's, a distribution's with its version, or the project's own."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from entrepot._version import __version__
from entrepot.hashing._origins import Origin, origin_of

Install = Callable[..., ModuleType]


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Install]:
    """Return a function that puts files into a folder, imports a module from it, and forgets it after the test."""
    before = set(sys.modules)

    def install(module: str, files: dict[str, str], folder: str = "site-packages") -> ModuleType:
        root = tmp_path / "lib" / folder
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))
        importlib.invalidate_caches()
        return importlib.import_module(module)

    yield install
    sys.path[:] = [path for path in sys.path if not path.startswith(str(tmp_path))]
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("name", ["os", "sys", "json.decoder", "collections.abc", "math", "_struct", "zoneinfo"])
def test_pythons_own(name):
    importlib.import_module(name)
    assert origin_of(name) == Origin("python")


@pytest.mark.parametrize(
    ("name", "distribution"),
    [("numpy.linalg", "numpy"), ("attr", "attrs"), ("pydantic_core", "pydantic-core"), ("_pytest", "pytest")],
)
def test_a_distribution_by_the_file_that_it_installed(name, distribution):
    importlib.import_module(name)
    assert origin_of(name) == Origin("package", distribution, version(distribution))


def test_entrepot_is_never_a_part_of_the_project_that_uses_it():
    assert origin_of("entrepot.errors") == Origin("package", "entrepot", __version__)


def test_the_tests_are_the_project():
    assert origin_of(__name__).kind == "project"
    assert origin_of("nowhere_at_all").kind == "project"


def test_the_distribution_that_lists_the_file_wins_over_the_one_of_that_name(installed):
    installed(
        "lookalike",
        {
            "lookalike/__init__.py": "",
            "lookalike-9.dist-info/RECORD": "other.py,,\n",
            "true_owner-3.dist-info/RECORD": "lookalike/__init__.py,sha256=x,0\n",
        },
    )
    assert origin_of("lookalike") == Origin("package", "true-owner", "3")


def test_a_distribution_that_lists_no_files_is_known_by_its_name(installed):
    installed("packaged", {"packaged/__init__.py": "", "packaged-2.1.egg-info/PKG-INFO": "Name: packaged\n"})
    assert origin_of("packaged") == Origin("package", "packaged", "2.1")


def test_a_package_that_was_copied_by_hand_counts_by_its_content(installed):
    installed("by_hand", {"by_hand/__init__.py": "", "by_hand/a.py": "x = 1"})
    found = origin_of("by_hand")
    assert (found.kind, found.package) == ("package", "by_hand")
    assert found.version.startswith("content-")


def test_a_module_outside_of_site_packages_is_the_project(installed):
    installed("my_module", {"my_module.py": ""}, folder="src")
    assert origin_of("my_module").kind == "project"


def test_a_compiled_module_of_the_project_counts_by_its_bytes(installed, tmp_path):
    built = find_spec("_json")
    if built is None or not built.origin or not Path(built.origin).is_file():
        pytest.skip("this Python has no extension modules of its own to copy")
    installed("empty_marker", {"empty_marker.py": ""}, folder="src")
    shutil.copy(built.origin, tmp_path / "lib" / "src" / Path(built.origin).name.replace("_json", "json_copy"))
    # Loading it would ask for another init function: what its file says is enough.
    from entrepot.hashing._origins import origin_of_file  # noqa: PLC0415  after the copy, as it keeps its answers

    (copy,) = (tmp_path / "lib" / "src").glob("json_copy*")
    found = origin_of_file(str(copy), "json_copy")
    assert found.package == "json_copy (compiled)"
    assert found.version.startswith("content-")


def test_a_namespace_shared_by_several_distributions(installed):
    installed(
        "shared_space.one",
        {
            "shared_space/one/__init__.py": "",
            "shared_space/two/__init__.py": "",
            "space_one-1.dist-info/RECORD": "shared_space/one/__init__.py,,\n",
            "space_two-2.dist-info/RECORD": "shared_space/two/__init__.py,,\n",
        },
    )
    importlib.import_module("shared_space.two")
    assert origin_of("shared_space.one") == Origin("package", "space-one", "1")
    assert origin_of("shared_space.two") == Origin("package", "space-two", "2")


def test_hashing_loads_no_heavy_library():
    program = """
import sys, json
from entrepot.results.keys import DEFAULT, KeyContext
LIMIT = 1
def work(x, y): return x * LIMIT
DEFAULT.compute(KeyContext("t", work, {"x": {"a": [1, 2.5, None]}, "y": "text"}, None, "run"))
heavy = ("numpy", "pandas", "pydantic", "blake3", "fsspec", "cryptography", "sqlite3", "asyncio", "http", "rich")
json.dump([name for name in heavy if name in sys.modules], sys.stdout)
"""
    printed = subprocess.check_output([sys.executable, "-c", program], env=os.environ)
    assert json.loads(printed) == []


@pytest.mark.parametrize("run", [(), ("cProfile",), ("profile",), ("trace", "--count", "--coverdir=counts")])
def test_a_script_is_the_users_own_whoever_runs_it(tmp_path, run):
    keys = set()
    for factor in (3, 4):
        (tmp_path / "script.py").write_text(
            "from entrepot.hashing.code import hash_function\n"
            "class Unit:\n    limit = 1\n"
            f"def helper(x): return x * {factor}\n"
            "def work(x): return helper(x), Unit\n"
            "print(*[f'part {part}' for part in hash_function(work).parts.items()], sep='\\n')\n"
        )
        command = [sys.executable, *(("-m", *run) if run else ()), "script.py"]
        printed = subprocess.check_output(command, cwd=tmp_path, env=os.environ, text=True)
        parts = [line for line in printed.splitlines() if line.startswith("part ")]
        assert sum("code:" in part for part in parts) == 2
        keys.add("\n".join(parts))
    assert len(keys) == 2


@pytest.mark.parametrize("name", ["abc", "importlib", "importlib._bootstrap", "zipimport", "os.path", "sys", "runpy"])
def test_what_is_inside_the_interpreter_is_pythons(name):
    importlib.import_module(name)
    assert origin_of(name) == Origin("python")


def test_a_module_of_one_of_pythons_names_is_whose_file_it_is(installed, monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    installed("colorsys", {"colorsys.py": ""}, folder="src")
    assert origin_of("colorsys").kind == "project"
