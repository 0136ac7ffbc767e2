"""Saved storage blocks of each kind, and `block://` made known to fsspec."""

from pathlib import Path
from typing import Any

import fsspec
import pytest

from entrepot.filesystems import LocalFileSystem, RemoteFileSystem
from entrepot_test_block_urls import save_s3


@pytest.fixture(autouse=True, scope="session")
def _block_protocol() -> None:
    """As the entry point does; an environment that was made before it was there does not have it.

    That the entry point works is shown where the wheel is installed: tests/plugins/test_generated_plugin.py.
    """
    fsspec.register_implementation("block", "entrepot.filesystems.block_urls.BlockFileSystem", clobber=True)


@pytest.fixture
def local_block(entrepot_home: Path, tmp_path: Path) -> str:
    LocalFileSystem(basepath=tmp_path / "data").save("mine")
    return "block://local-file-system/mine"


@pytest.fixture
def memory_block(entrepot_home: Path, tmp_path: Path) -> str:
    RemoteFileSystem(basepath=f"memory://{tmp_path.name}").save("mem")
    return "block://remote-file-system/mem"


@pytest.fixture
def s3_block(entrepot_home: Path, s3_server: Any) -> str:
    save_s3(s3_server, f"{s3_server.bucket()}/base")
    return "block://s3/prod"
