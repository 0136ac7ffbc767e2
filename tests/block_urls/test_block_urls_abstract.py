"""fsspec's own suite for file systems, on blocks of three kinds.

It has 137 cases for each. Some run always: in memory all but the 96 of patterns, of the others a few. The soak runs
all of them.
"""

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.tests import abstract

from entrepot.filesystems import LocalFileSystem, RemoteFileSystem
from entrepot_test_block_urls import save_s3

long_form = [
    pytest.mark.soak,
    pytest.mark.skipif(not os.environ.get("ENTREPOT_SOAK"), reason="set ENTREPOT_SOAK for the whole suite"),
]


class _Fixtures(abstract.AbstractFixtures):
    _numbers: ClassVar = itertools.count()

    @pytest.fixture
    def fs(self, saved: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setenv("ENTREPOT_HOME", str(saved[0]))
        return fsspec.filesystem("block")

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def fs_path(self, saved: tuple[Path, str]) -> str:
        return f"{saved[1]}/{next(self._numbers)}"

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class _Local(_Fixtures):
    @pytest.fixture(scope="class")
    @classmethod
    def saved(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
        home = tmp_path_factory.mktemp("home")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENTREPOT_HOME", str(home))
            LocalFileSystem(basepath=home / "data").save("mine")
        return home, "local-file-system/mine"


class _Memory(_Fixtures):
    @pytest.fixture(scope="class")
    @classmethod
    def saved(cls, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
        home = tmp_path_factory.mktemp("home")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENTREPOT_HOME", str(home))
            RemoteFileSystem(basepath=f"memory://{home.name}").save("mem")
        return home, "remote-file-system/mem"


class _S3(_Fixtures):
    @pytest.fixture(scope="class")
    @classmethod
    def saved(cls, tmp_path_factory: pytest.TempPathFactory, s3_server: Any) -> tuple[Path, str]:
        home = tmp_path_factory.mktemp("home")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ENTREPOT_HOME", str(home))
            save_s3(s3_server, f"{s3_server.bucket()}/base")
        return home, "s3/prod"


class TestMemory(
    abstract.AbstractCopyTests,
    abstract.AbstractGetTests,
    abstract.AbstractPutTests,
    abstract.AbstractOpenTests,
    abstract.AbstractPipeTests,
    _Memory,
):
    test_copy_glob_edge_cases = test_get_glob_edge_cases = test_put_glob_edge_cases = None  # in the long form


class TestMemoryWhole(abstract.AbstractCopyTests, abstract.AbstractGetTests, abstract.AbstractPutTests, _Memory):
    pytestmark = long_form


class _Some(abstract.AbstractOpenTests, abstract.AbstractPipeTests):
    test_copy_directory = abstract.AbstractCopyTests.test_copy_directory_to_new_directory
    test_copy_lists = abstract.AbstractCopyTests.test_copy_with_source_and_destination_as_list
    test_get_directory = abstract.AbstractGetTests.test_get_directory_recursive
    test_get_same_prefix = abstract.AbstractGetTests.test_get_directory_without_files_with_same_name_prefix
    test_put_directory = abstract.AbstractPutTests.test_put_directory_recursive
    test_put_same_prefix = abstract.AbstractPutTests.test_put_directory_without_files_with_same_name_prefix


class TestLocalSome(_Some, _Local): ...


class TestS3Some(_Some, _S3): ...


class TestLocalWhole(abstract.AbstractCopyTests, abstract.AbstractGetTests, abstract.AbstractPutTests, _Local):
    pytestmark = long_form


class TestS3Whole(abstract.AbstractCopyTests, abstract.AbstractGetTests, abstract.AbstractPutTests, _S3):
    pytestmark = long_form
