"""A plugin from `entrepot plugins new`: built, installed beside Entrepot's own wheel, and checked there."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from entrepot.errors import ConfigurationError
from entrepot_test_sites import uv

pytestmark = pytest.mark.one_python

ROOT = Path(__file__).parents[2]


@dataclass
class Environment:
    """A fresh environment with two wheels in it: Entrepot's and the plugin's."""

    folder: Path
    project: Path

    @property
    def site(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def __call__(self, *command: str | Path, code: int = 0, **variables: str) -> str:
        """Run Python in it, away from all sources, and return what it printed."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("ENTREPOT_", "PYTHON"))}
        done = run(
            self.folder / "bin" / "python", *command,
            env={**kept, "ENTREPOT_HOME": str(self.folder / "home"), **variables}, cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def run(*command: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=300, check=False, **options
    )


def must(*command: str | Path, **options: Any) -> None:
    done = run(*command, **options)
    assert done.returncode == 0, f"{command[:3]}:\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("generated")
    project, venv = folder / "acme-vault", folder / "venv"
    must(sys.executable, "-m", "entrepot", "plugins", "new", "acme-vault", "--folder", project, cwd=folder)
    for source in (ROOT, project):
        must(uv(), "build", "--quiet", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable,
             "--out-dir", folder / "dist", source)  # fmt: skip
    must(uv(), "venv", "--quiet", "--offline", "--no-python-downloads", "--python", sys.executable, venv)
    made = Environment(venv, project)
    must(uv(), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", venv / "bin" / "python",
         *(folder / "dist").glob("*.whl"))  # fmt: skip
    # The libraries that Entrepot needs, after what was installed: Entrepot itself comes from its wheel.
    libraries = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (made.site / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    return made


def test_it_passes_the_check_beside_the_wheel_of_entrepot(environment: Environment) -> None:
    where = environment("-c", "import entrepot, acme_vault; print(entrepot.__file__, acme_vault.__file__)").split()
    assert all(place.startswith(str(environment.site)) for place in where)
    findings = json.loads(environment("-m", "entrepot", "plugins", "check", "acme-vault", "--json"))
    assert {finding["outcome"] for finding in findings} <= {"passed", "skipped"}
    passed = [(finding["group"], finding["check"]) for finding in findings if finding["outcome"] == "passed"]
    assert ("", "manifest") in passed
    for group in ("entrepot.blocks", "entrepot.serializers"):
        assert {"loads", "declared"} <= {check for of, check in passed if of == group}
        assert sum(of == group for of, _ in passed) >= 8


def test_its_own_tests_pass_against_what_is_installed(environment: Environment) -> None:
    said = environment(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", environment.project, environment.project / "tests"
    )
    assert re.search(r"^\d+ passed", said, re.MULTILINE), said


def test_its_names_and_the_urls_of_blocks_are_found_by_the_entry_points(environment: Environment) -> None:
    said = environment("-m", "entrepot", "plugins", "show", "acme-vault")
    assert "An account of a service" in said
    assert "string (secret)" in said
    assert "acme_vault.serializers" not in environment(
        "-c", "import sys; from entrepot.plugins.distributions import *; plugin_distribution('acme-vault');"
        "print([name for name in sys.modules if name.startswith('acme')])"
    )  # fmt: skip
    code = (
        "import fsspec\n"
        "from entrepot.filesystems import LocalFileSystem\n"
        f"LocalFileSystem(basepath={str(environment.folder / 'data')!r}).save('mine')\n"
        "with fsspec.open('block://local-file-system/mine/a.txt', 'w') as file: file.write('by entry point')\n"
        "print(fsspec.open('block://local-file-system/mine/a.txt', 'r').open().read())"
    )
    assert environment("-c", code).strip() == "by entry point"


def test_what_is_broken_stale_or_denied_fails_the_check_and_says_so(environment: Environment) -> None:
    def check(**variables: str) -> str:
        return environment("-m", "entrepot", "plugins", "check", "acme-vault", code=1, **variables)

    assert "is not allowed here: the setting plugins_deny names it" in check(ENTREPOT_PLUGINS_DENY="acme-*")
    blocks, serializers = (environment.site / "acme_vault" / name for name in ("blocks.py", "serializers.py"))
    good = blocks.read_text(), serializers.read_text()
    try:
        blocks.write_text(
            good[0].replace('url: str = Field(description="The address', 'url: str = Field(description="One')
        )
        serializers.write_text(good[1].replace('.split("\\n")[:-1]', '.split("\\n")'))
        said = check()
        said = " ".join(said.split())
        assert "the schema in the manifest is not that of the class; run, in the folder of its project:" in said
        assert "entrepot plugins manifest acme-vault --output src/acme_vault/entrepot-manifest.json" in said
        assert "entrepot.serializers acme-vault-lines: every value comes back as it was" in said
        blocks.write_text("raise RuntimeError('out of order')")
        assert "cannot be loaded: RuntimeError: out of order" in check()
    finally:
        blocks.write_text(good[0])
        serializers.write_text(good[1])


def test_a_project_is_not_written_over_another_nor_under_the_name_of_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entrepot.cli.plugins.creating import new  # noqa: PLC0415  the command itself, in this process

    monkeypatch.chdir(tmp_path)
    (tmp_path / "acme-full").mkdir()
    (tmp_path / "acme-full" / "precious.txt").write_text("precious")
    with pytest.raises(ConfigurationError, match="acme-full is not empty"):
        new("acme-full", folder=None)
    for name, why in {
        "json": "'json', which is installed already",
        "1st": "'1st', which cannot be imported",
        "import": "'import', which cannot be imported",
        "local_file-system": "a block type 'local-file-system' is there already",
    }.items():
        with pytest.raises(ConfigurationError, match=why):
            new(name, folder=None)
    assert [path.name for path in tmp_path.iterdir()] == ["acme-full"]
