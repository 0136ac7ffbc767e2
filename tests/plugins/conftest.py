"""A folder of fake distributions on `sys.path`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.plugins import discovery
from entrepot_test_sites import FakeSite


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    discovery.reset()
    yield FakeSite(folder)
    discovery.reset()
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
