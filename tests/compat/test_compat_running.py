"""`python -m entrepot.compat`: scripts and modules run as Python would run them, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """\
import sys
from prefect import flow, task


@task
def double(number):
    return 2 * number


@flow
def doubled(numbers: list[int]):
    return double.map(numbers).result()


def answer(number):
    return double(number)


if __name__ == "__main__":
    print(doubled([1, 2]))
    print(sys.argv, __file__, __name__, sys.path[0], __spec__)
    exec(sys.argv[1])
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "entrepot.compat", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "script.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path


def test_a_script_sees_what_python_would_show_it(folder: Path) -> None:
    ran = run(folder, "inside/script.py", "import neighbour", "--option")
    assert ran.returncode == 1
    (folder / "inside" / "neighbour.py").write_text("print('found')\n", encoding="utf-8")
    ran = run(folder, "inside/script.py", "import neighbour", "--option")
    assert ran.returncode == 0, ran.stderr
    script = folder / "inside" / "script.py"
    argv = ["inside/script.py", "import neighbour", "--option"]
    assert ran.stdout.splitlines() == ["[2, 4]", f"{argv} {script} __main__ {script.parent} None", "found"]


def test_a_module_runs_by_its_name(folder: Path) -> None:
    (folder / "inside" / "__init__.py").touch()
    ran = run(folder, "-m", "inside.script", "print('done')")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0] == "[2, 4]"
    assert ran.stdout.splitlines()[-1] == "done"
    assert "script.py', \"print('done')\"]" in ran.stdout


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_that_a_script_starts_know_the_names(folder: Path, method: str) -> None:
    code = (
        "import multiprocessing\n"
        f"with multiprocessing.get_context({method!r}).Pool(1) as pool: print(pool.map(answer, [3, 4]))\n"
    )
    ran = run(folder, "inside/script.py", code)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[6, 8]"


def test_processes_of_a_program_that_installs_the_names_know_them(folder: Path) -> None:
    """Also where they do not import the program anew, as here: it has no file."""
    code = (
        "import multiprocessing\n"
        "from entrepot.compat.prefect import install\n"
        "with install(), multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    print(pool.apply(eval, ('__import__(\"prefect.states\").flow.__module__',)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "entrepot.flows"


@pytest.mark.parametrize(
    ("code", "exit_code"), [("sys.exit(7)", 7), ("sys.exit('no')", 1), ("raise KeyError('x')", 1), ("pass", 0)]
)
def test_the_exit_code_is_the_scripts(folder: Path, code: str, exit_code: int) -> None:
    assert run(folder, "inside/script.py", code).returncode == exit_code


def test_a_traceback_begins_with_the_script(folder: Path) -> None:
    ran = run(folder, "inside/script.py", "raise KeyError('x')")
    lines = ran.stderr[ran.stderr.index("Traceback") :].splitlines()
    assert lines[1].lstrip().startswith(f'File "{folder / "inside" / "script.py"}", line 22, in <module>')
    assert lines[-1] == "KeyError: 'x'"
    assert "entrepot/compat" not in ran.stderr
    (folder / "broken.py").write_text("print('x'\n", encoding="utf-8")
    ran = run(folder, "broken.py")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[0].lstrip().startswith(f'File "{folder / "broken.py"}", line 1')


def test_an_absent_name_is_the_scripts_own_error(folder: Path) -> None:
    (folder / "serving.py").write_text("from prefect import serve\n", encoding="utf-8")
    ran = run(folder, "serving.py")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith(
        "entrepot.errors.AbsentNameError: Entrepot has no prefect.serve: it deploys"
    )


def test_what_cannot_be_run_is_said(folder: Path) -> None:
    ran = run(folder, "nothing.py")
    assert ran.returncode == 2
    assert "can't open file" in ran.stderr
    assert run(folder).returncode == run(folder, "--what").returncode == run(folder, "-m").returncode == 2
    shown = run(folder, "--help")
    assert shown.returncode == 0
    assert "python -m entrepot.compat SCRIPT" in shown.stdout


BLOCKS = """\
import asyncio
from prefect import flow, task
from prefect.blocks.core import Block
from prefect.blocks.notifications import PagerDutyWebHook
from prefect.blocks.system import Secret
from pydantic import SecretStr


class Warehouse(Block):
    url: str
    token: SecretStr


Warehouse.register_type_and_schema()


@task
def loaded():
    return Warehouse.load("main")


@flow
async def read():
    await Warehouse(url="https://example.com", token="abc").save("main")
    await Secret(value="def").save("key", overwrite=True)
    warehouse, secret = await Warehouse.load("main"), await Secret.load("key")
    assert warehouse == loaded() == await Warehouse.aload("main")
    return warehouse.token.get_secret_value() + secret.get()


print(asyncio.run(read()), PagerDutyWebHook.__name__)
"""


def test_blocks_are_awaited_as_in_code_for_prefect(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(BLOCKS)
    done = run(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "abcdef PagerDuty"
