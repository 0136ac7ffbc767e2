"""Fake distributions for plugin tests: a module, and a metadata folder with entry points."""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrepot.plugins import discovery


class FakeSite:
    """A folder on `sys.path` that looks like site-packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def another(self, name: str) -> "FakeSite":
        """Make a second folder beside this one; it is on no path yet."""
        folder = self.folder.parent / name
        folder.mkdir()
        return FakeSite(folder)

    def module(self, name: str, source: str) -> Path:
        path = self.folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.parents:
            if parent == self.folder:
                break
            (parent / "__init__.py").touch()
        path.write_text(textwrap.dedent(source))
        return path

    def distribution(self, name: str, version: str = "1.0", *, text: str | None = None, **groups: str) -> Path:
        """Write a dist-info; groups as `blocks="slug=module:attr"` (newlines for more)."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        if text is None:
            text = "".join(f"[entrepot.{group}]\n{lines}\n" for group, lines in groups.items())
        (info / "entry_points.txt").write_text(text)
        return info


@contextmanager
def fake_site(folder: Path, monkeypatch: pytest.MonkeyPatch, *, for_children: bool = False) -> Iterator[FakeSite]:
    """Give a folder of fake distributions on `sys.path`, and on that of new processes if it is for them."""
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    if for_children:
        monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    before = set(sys.modules)
    discovery.reset()
    yield FakeSite(folder)
    discovery.reset()
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    """Give such a folder; the `conftest.py` of a folder of tests imports it."""
    with fake_site(tmp_path / "site", monkeypatch) as made:
        yield made


def uv() -> str:
    """Return the program that builds and installs wheels."""
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert found, "uv is not installed: install the 'build' dependency group"
    return found
