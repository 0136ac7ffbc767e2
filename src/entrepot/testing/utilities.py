"""An empty home for a test: no blocks, results or history of others, and none left behind."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entrepot.runs import default_recorder
from entrepot.settings.model import PREFIX

__all__ = ["entrepot_test_harness"]

_HOME = f"{PREFIX}HOME"
_KEPT = frozenset({f"{PREFIX}LOGGING_LEVEL", f"{PREFIX}DEBUG"})  # they say nothing of where things are kept


@contextmanager
def entrepot_test_harness() -> Iterator[Path]:
    """Give what runs in the `with` an empty home of its own, which is removed at the end.

    `ENTREPOT_HOME` names it, for processes that are started in it, too. All other variables of Entrepot, such as those
    for a store of results, are forgotten for the time; the one for the level of logs stays. It is for one thread: the
    environment is the process's. As a fixture of pytest::

        @pytest.fixture(autouse=True)
        def home():
            with entrepot_test_harness() as home:
                yield home

    Yields:
        The folder.
    """
    others = {name: text for name, text in os.environ.items() if name.startswith(PREFIX) and name not in _KEPT}
    with tempfile.TemporaryDirectory(prefix="entrepot-test-", ignore_cleanup_errors=True) as folder:
        _set({_HOME: folder})
        try:
            yield Path(folder)
        finally:
            try:
                default_recorder().close()  # its file is about to go
            finally:
                _set(others)


def _set(variables: dict[str, str]) -> None:
    """Let these be the only variables of Entrepot, but for those that stay."""
    for name in [name for name in os.environ if name.startswith(PREFIX) and name not in _KEPT]:
        del os.environ[name]
    os.environ.update(variables)
