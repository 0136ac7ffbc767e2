"""A third-party plugin: built to a wheel, installed into an environment of its own, used, and broken on purpose."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import entrepot
from entrepot_test_sites import uv

PROJECT = Path(__file__).parent / "acme_plugin"


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False, **options
    )  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command[:3]}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's wheel, built from a copy of the project."""
    folder = tmp_path_factory.mktemp("acme")
    project = folder / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__"))
    run(uv(), "build", "--quiet", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable,
        "--out-dir", folder / "dist", project)  # fmt: skip
    (built,) = (folder / "dist").glob("*.whl")
    return built


@dataclass
class Environment:
    """A fresh environment that sees our own distributions, and has the plugin installed."""

    folder: Path
    home: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def site(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def __call__(self, code: str) -> str:
        """Run code in a new process and return what it printed."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("ENTREPOT_", "PYTHON"))}
        return run(self.python, "-c", code, env={**variables, "ENTREPOT_HOME": str(self.home)}, cwd=self.folder)


@pytest.fixture
def environment(wheel: Path, tmp_path: Path) -> Environment:
    folder = tmp_path / "venv"
    run(uv(), "venv", "--quiet", "--offline", "--no-python-downloads", "--python", sys.executable, folder)
    made = Environment(folder, tmp_path / "home")
    run(uv(), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", made.python, wheel)
    # What this test runs with, dependencies and all, after the environment's own.
    ours = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    ours[str(Path(entrepot.__file__).parents[1])] = None
    (made.site / "entrepot_under_test.pth").write_text("".join(f"{path}\n" for path in ours))
    return made


USE = """
from entrepot.plugins import BLOCKS, SERIALIZERS
entry = {entry.name: entry for entry in BLOCKS.report()}["acme-note"]
print(entry.distribution, entry.version, entry.status)
import sys
note = BLOCKS.get("acme-note")(text="buy salt", token="hush-hush")
print("acme_entrepot.serializers" in sys.modules)
note.save("first")
print(note)
"""

LOAD = """
from entrepot.blocks import Block
note = Block.load("acme-note/first")
print(type(note).__module__, note.text, note.token.get_secret_value())
print(Block.load("first").text)
"""

SERIALIZE = """
from entrepot.serializers import get_serializer
for name in ("acme-lines", "compressed/acme-lines"):
    serializer = get_serializer(name)
    content = bytearray(b"".join(serializer.dumps(["one", "two"])))
    print(serializer.extension, serializer.loads(memoryview(content)))
"""

TASK = """
import logging
from entrepot import task
@task(persist_result=True, result_serializer="acme-lines", cache_key_fn=lambda: "lines")
def lines():
    print("computed")
    return ["one", "two"]
print(lines())
"""

BROKEN = """
from entrepot import errors
from entrepot.blocks import Block
from entrepot.plugins import BLOCKS
from entrepot.serializers import get_serializer
for attempt in range(2):
    try:
        Block.load("acme-note/first")
    except errors.PluginLoadError as error:
        print(error.distribution, "|", type(error.__cause__).__name__, "|", error)
print({entry.name: entry.status for entry in BLOCKS.report()}["acme-note"])
from entrepot.blocks.system import Secret
print(Secret.load("other").get())
print(get_serializer("acme-lines").name, get_serializer("json").name)
"""


def test_a_plugin_from_a_wheel_is_found_used_and_alone_in_being_broken(environment: Environment) -> None:
    assert environment(USE).splitlines()[:2] == ["acme-entrepot 0.7 available", "False"]
    assert "hush-hush" not in environment(USE.replace('save("first")', 'save("second")'))
    assert environment(LOAD.replace('Block.load("first")', 'Block.load("second")')).splitlines() == [
        "acme_entrepot.blocks buy salt hush-hush",
        "buy salt",
    ]
    assert environment(SERIALIZE).splitlines() == ["txt ['one', 'two']", "txt.zst ['one', 'two']"]
    environment('from entrepot.blocks.system import Secret; Secret(value="still here").save("other")')

    module = environment.site / "acme_entrepot" / "blocks.py"
    good = module.read_text()
    for damage, cause in (("raise RuntimeError('out of salt')", "RuntimeError"), (None, "ModuleNotFoundError")):
        if damage is None:
            module.unlink()
            shutil.rmtree(module.parent / "__pycache__", ignore_errors=True)
        else:
            module.write_text(damage)
        first, second, status, *rest = environment(BROKEN).splitlines()
        assert first == second
        assert first.startswith(f"acme-entrepot | {cause} | the block type 'acme-note' of acme-entrepot 0.7")
        assert first.endswith("upgrade, repair or uninstall acme-entrepot; nothing else is affected")
        assert status == "broken"
        assert rest == ["still here", "acme-lines json"]
    module.write_text(good)
    assert environment(LOAD.replace('Block.load("first")', 'Block.load("second")'))

    run(uv(), "pip", "uninstall", "--quiet", "--python", environment.python, "acme-entrepot")
    gone = environment(BROKEN.split("for attempt", maxsplit=1)[0] + "try: Block.load('acme-note/first')\n"
                       "except errors.UnknownBlockTypeError as error: print(error)")  # fmt: skip
    assert gone.startswith("no block type named 'acme-note'")


def test_a_task_keeps_its_result_by_a_serializer_from_a_wheel(environment: Environment) -> None:
    assert environment(TASK).splitlines()[-2:] == ["computed", "['one', 'two']"]
    assert environment(TASK).splitlines()[-1:] == ["['one', 'two']"]
    assert "computed" not in environment(TASK)
    records = [path.read_text() for path in (environment.home / "results" / "records").rglob("*.json")]
    assert any('"acme-lines"' in record for record in records)


def test_two_plugins_that_claim_one_name_are_both_named(environment: Environment, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(PROJECT, other, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "src" / "acme_entrepot").rename(other / "src" / "other_entrepot")
    text = (other / "pyproject.toml").read_text().replace("acme_entrepot", "other_entrepot")
    (other / "pyproject.toml").write_text(text.replace('"acme-entrepot"', '"other-entrepot"'))
    run(uv(), "build", "--quiet", "--wheel", "--no-build-isolation", "--offline", "--python", sys.executable,
        "--out-dir", tmp_path / "dist", other)  # fmt: skip
    (built,) = (tmp_path / "dist").glob("*.whl")
    run(uv(), "pip", "install", "--quiet", "--offline", "--no-deps", "--python", environment.python, built)
    said = environment("""
from entrepot import errors
from entrepot.plugins import BLOCKS
try: BLOCKS.get("acme-note")
except errors.PluginConflictError as error: print(error.distributions)
BLOCKS.get("webhook")
""")
    assert said.strip() == "['acme-entrepot 0.7', 'other-entrepot 0.7']"
