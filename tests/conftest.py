"""What every test gets: a home of its own, and the servers for those that ask."""

import faulthandler
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from entrepot._secrets import forget_secrets

pytest_plugins = [
    "entrepot_test_crypto",
    "entrepot_test_hearts",
    "entrepot_test_outages",
    "entrepot_test_processes",
    "entrepot_test_servers",
]

# The examples of Hypothesis are the same in each run, and a machine that is slow is no fault: a test that fails says
# something of the change at hand. A run with ENTREPOT_SOAK looks at others.
settings.register_profile(
    "entrepot",
    parent=settings.get_profile(settings.get_current_profile_name()),
    derandomize=not os.environ.get("ENTREPOT_SOAK"),
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("entrepot")

# Longer than `timeout` in pyproject.toml, which fails a test gently: by an exception in the main thread. A test of code
# that catches everything, or a thread that waits where signals do not reach, outlives that one.
_HARD_LIMIT_SECONDS = 400
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Keep the real standard error, into which a dying process can write, and take interrupts.

    What a shell starts in the background has those ignored, and so has all that it starts: also what tests interrupt.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[_STDERR] = os.dup(2)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """End a process whose test hangs in spite of its timeout, with the stacks of all threads: the others go on."""
    if item.get_closest_marker("soak"):
        return (yield)
    faulthandler.dump_traceback_later(_HARD_LIMIT_SECONDS, exit=True, file=item.config.stash[_STDERR])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def entrepot_home(tmp_path: Path) -> Iterator[Path]:
    """Point ENTREPOT_HOME at an empty folder, and forget every other ENTREPOT_ variable of the machine.

    Not by the test's own `monkeypatch`: one that undoes its patches half-way would be in the home of whoever runs it.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("ENTREPOT_")]:
            patch.delenv(name)
        patch.delenv("COLUMNS", raising=False)  # of the terminal that tests are started at: tables would be as wide
        home = tmp_path / "entrepot-home"
        patch.setenv("ENTREPOT_HOME", str(home))
        yield home


@pytest.fixture(autouse=True)
def no_known_secrets() -> None:
    """Forget the secrets of other tests: what is a secret there is a common word here."""
    forget_secrets()
