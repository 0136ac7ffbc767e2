"""`entrepot_test_harness`: an empty home for a test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot import flow, settings
from entrepot.blocks.system import Secret
from entrepot.runs import RunHistory, default_path, default_recorder
from entrepot.testing.utilities import entrepot_test_harness


@flow
def nothing() -> None:
    """Do nothing."""


def runs() -> int:
    assert default_recorder().flush()
    return len(RunHistory(default_path()).list())


def test_the_home_is_empty_and_goes_away() -> None:
    nothing()
    Secret(value="outside").save("key")
    with entrepot_test_harness() as home:
        assert settings.home_folder() == home
        assert runs() == 0
        assert not Secret.exists("key")
        nothing()
        Secret(value="inside").save("key")
        assert runs() == 1
    assert not home.exists()
    assert runs() == 1
    assert Secret.load("key").get() == "outside"


def test_one_inside_another_is_empty_too() -> None:
    with entrepot_test_harness() as outer:
        nothing()
        with entrepot_test_harness() as inner:
            assert (runs(), inner == outer) == (0, False)
        assert (runs(), settings.home_folder()) == (1, outer)


def test_other_settings_are_forgotten_for_the_time_but_for_the_level_of_logs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", str(tmp_path))
    monkeypatch.setenv("ENTREPOT_LOGGING_LEVEL", "ERROR")
    with entrepot_test_harness():
        now = settings.current()
        assert (now.results_storage, now.logging_level) == (None, "ERROR")
        os.environ["ENTREPOT_RESULTS_PERSIST"] = "true"
    now = settings.current()
    assert (now.results_storage, now.results_persist) == (str(tmp_path), False)


def test_an_error_inside_puts_everything_back(entrepot_home: Path) -> None:
    with pytest.raises(KeyError), entrepot_test_harness():
        raise KeyError
    assert settings.home_folder() == entrepot_home


def test_processes_that_start_inside_share_the_home() -> None:
    code = "from entrepot.blocks.system import Secret; Secret(value='x').save('from-outside')"
    with entrepot_test_harness():
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        assert Secret.exists("from-outside")
