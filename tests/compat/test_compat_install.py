"""Prefect's names, installed: what is imported through them, what is refused and how, and how they go away again."""

# ruff: noqa: PLC0415  importing is what is tested

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

import entrepot
from entrepot.compat.prefect import Installation, install
from entrepot.errors import AbsentNameError, ConfigurationError


@pytest.fixture
def installed() -> Iterator[Installation]:
    with install() as installation:
        yield installation


pytestmark = pytest.mark.usefixtures("installed")


def test_names_are_ours() -> None:
    from prefect import Flow, allow_failure, flow, task
    from prefect.blocks.system import Secret
    from prefect.exceptions import MissingResult, PrefectException
    from prefect.futures import PrefectFuture, wait
    from prefect.states import Completed, State

    from entrepot import blocks, errors, futures, states

    assert (flow, task, Flow, allow_failure) == (entrepot.flow, entrepot.task, entrepot.Flow, entrepot.allow_failure)
    assert Secret is blocks.Secret
    assert (MissingResult, PrefectException) == (errors.MissingResultError, errors.EntrepotError)
    assert (PrefectFuture, wait) == (futures.EntrepotFuture, futures.wait)
    assert (Completed, State) == (states.Completed, states.State)


def test_modules_are_found_in_every_way_of_importing() -> None:
    import prefect
    import prefect.client.schemas.objects
    import prefect.filesystems as files
    from prefect import states

    assert prefect.flow is entrepot.flow
    assert prefect.cache_policies.INPUTS is importlib.import_module("entrepot.cache_policies").INPUTS
    assert prefect.client.schemas.objects.State is states.State is entrepot.State
    assert files.LocalFileSystem.__name__ == "LocalFileSystem"
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'prefect\.tasks\.task'"):
        importlib.import_module("prefect.tasks.task")


def test_a_star_brings_the_names_that_are_here() -> None:
    import prefect.cache_policies

    found: dict[str, object] = {}
    exec("from prefect.cache_policies import *", found)
    assert set(found) - {"__builtins__"} == set(prefect.cache_policies.__all__) >= {"INPUTS", "DEFAULT"}
    assert {"INPUTS", "NONE"} <= set(dir(prefect.cache_policies))
    assert {"runtime", "states", "flow"} <= set(dir(importlib.import_module("prefect")))


@pytest.mark.parametrize(
    ("statement", "name", "words"),
    [
        ("from prefect import serve", "prefect.serve", "comes with deployments and workers"),
        ("from prefect.deployments import Deployment", "prefect.deployments.Deployment", "deploys"),
        ("from prefect.flows import FlowDecorator", "prefect.flows.FlowDecorator", "instead: `flow`"),
        ("from prefect.states import Complete", "prefect.states.Complete", "did you mean 'Completed'?"),
        ("import prefect.server.api", "prefect.server.api", "here a run needs no server"),
        ("import prefect.workers.base", "prefect.workers", "comes with deployments and workers"),
        ("from prefect import events", "prefect.events", "automations"),
        ("import prefect.utilities.math", "prefect.utilities.math", "not planned"),
        ("import prefect.nothing", "prefect.nothing", "no such name"),
        ("from prefect._internal import concurrency", "prefect._internal", "private to Prefect"),
        ("import prefect_aws", "prefect_aws", "`entrepot.filesystems.S3` holds"),
        ("from prefect_gcp.cloud_storage import GcsBucket", "prefect_gcp", "`entrepot.filesystems.GCS` holds"),
    ],
)
def test_an_absent_name_says_why(statement: str, name: str, words: str) -> None:
    with pytest.raises(AbsentNameError) as caught:
        exec(statement)
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == name
    assert str(caught.value).startswith(f"Entrepot has no {name}: ")
    assert words in str(caught.value)


def test_as_an_attribute_an_absent_name_is_an_attribute_error() -> None:
    import prefect

    assert not hasattr(prefect, "serve")
    assert getattr(prefect, "serve", None) is None
    with pytest.raises(AttributeError, match=r"Entrepot has no prefect\.serve: it deploys"):
        prefect.serve()
    assert not hasattr(prefect, "__wrapped__")


def test_a_flow_runs_and_its_key_covers_code_that_names_the_package(tmp_path: Path) -> None:
    """The module has no file and no code of its own; that must not keep a task that mentions it from having a key."""
    source = (
        "import prefect\n"
        "from prefect.cache_policies import INPUTS, TASK_SOURCE\n"
        "calls = []\n"
        "@prefect.task(cache_policy=INPUTS + TASK_SOURCE)\n"
        "def tagged(n):\n"
        "    calls.append(n)\n"
        "    return [n, prefect.states.Completed().is_completed()]\n"
        "@prefect.flow\n"
        "def twice(n: int = 3):\n"
        "    return [tagged(n), tagged(n)]\n"
    )
    found: dict[str, object] = {"__name__": "tagged_flow"}
    exec(source, found)
    assert found["twice"]() == [[3, True], [3, True]]  # type: ignore[operator]


def test_names_can_be_patched() -> None:
    with mock.patch("prefect.tasks.task", "patched"):
        from prefect.tasks import task

        assert task == "patched"
    from prefect.tasks import task

    assert task is entrepot.task


def test_twice_is_once_and_the_end_takes_everything_away(installed: Installation) -> None:
    import prefect.states

    hooks, path = list(sys.meta_path), list(sys.path)
    assert install() is installed
    assert (sys.meta_path, sys.path) == (hooks, path)
    installed.uninstall()
    assert (len(sys.meta_path), len(sys.path)) == (len(hooks) - 1, len(path) - 1)
    installed.uninstall()
    assert not [name for name in sys.modules if name.partition(".")[0] == "prefect"]
    with pytest.raises(ModuleNotFoundError):
        import prefect.flows  # noqa: F401
    with install() as again:
        from prefect import flow

        assert flow is entrepot.flow
        assert again is not installed


# --- where Prefect itself is ------------------------------------------------------------------------------------------


@pytest.fixture
def real(installed: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of Prefect's name, on the path."""
    installed.uninstall()
    package = tmp_path / "prefect"
    package.mkdir()
    (package / "__init__.py").write_text("flow = 'the real one'\n", encoding="utf-8")
    (package / "states.py").write_text("State = 'the real one'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "prefect"]:
        del sys.modules[name]


def test_an_installed_prefect_is_not_touched(real: Path) -> None:
    with install():
        from prefect import flow

        assert flow is entrepot.flow
    from prefect import flow

    assert flow == "the real one"


def test_a_prefect_that_is_imported_already_is_refused_unless_it_may_be_set_aside(real: Path) -> None:
    import prefect.states

    with pytest.raises(ConfigurationError, match="imported already"):
        install()
    assert prefect.flow == "the real one"
    with install(replace=True):
        from prefect import flow
        from prefect.states import State

        assert (flow, State) == (entrepot.flow, entrepot.State)
    assert sys.modules["prefect"] is prefect
    from prefect.states import State

    assert State == "the real one"


def test_importing_the_package_does_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; before = list(sys.meta_path)\n"
        "import entrepot.compat, entrepot.compat.prefect\n"
        "assert sys.meta_path == before and 'tomllib' not in sys.modules and 'prefect' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, timeout=60)
