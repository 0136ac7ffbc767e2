"""What `block://` promises: nothing outside the block, no stale or shown credentials, whole files."""

import gc
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot import errors
from entrepot.blocks import BlockDocuments, Secret, StorageDocumentStore, use_documents
from entrepot.blocks.documents import current_documents
from entrepot.filesystems import LocalFileSystem, _opened_blocks
from entrepot.storage import MemoryStorage
from entrepot.testing import FrozenClock
from entrepot_test_block_urls import save_s3


@pytest.fixture
def fs() -> Any:
    return fsspec.filesystem("block")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    _opened_blocks.forget()


class TestPathsStayInside:
    @pytest.mark.parametrize(
        "path",
        [
            "../secret.txt",
            "a/../../secret.txt",
            "..",
            ".",
            "a/./b",
            "/etc/passwd",
            "a//b",
            "..\\secret.txt",
            "%2e%2e/secret.txt",
            "%2E./secret.txt",
            "..%2fsecret.txt",
            "%252e%252e/secret.txt",
            "a%5c..%5csecret.txt",
            "nul\0.txt",
            ".tmp-half",
        ],
    )
    def test_a_path_that_leads_elsewhere_is_refused_by_every_operation(
        self, fs: Any, local_block: str, tmp_path: Path, path: str
    ) -> None:
        (tmp_path / "secret.txt").write_text("outside")
        url = f"{local_block}/{path}"
        for act in (
            lambda: fs.cat_file(url),
            lambda: fs.pipe_file(url, b"x"),
            lambda: fs.open(url, "rb"),
            lambda: fs.open(url, "wb"),
            lambda: fs.info(url),
            lambda: fs.exists(url),
            lambda: fs.ls(url),
            lambda: fs.find(url),
            lambda: fs.rm_file(url),
            lambda: fs.rm(url, recursive=True),
            lambda: fs.cp_file(url, f"{local_block}/copy"),
            lambda: fs.makedirs(url),
        ):
            with pytest.raises(errors.InvalidPathError):
                act()
        assert (tmp_path / "secret.txt").read_text() == "outside"
        assert not (tmp_path / "data").exists()

    def test_a_link_that_leads_out_of_the_folder_is_not_followed(
        self, fs: Any, local_block: str, tmp_path: Path
    ) -> None:
        (tmp_path / "secret.txt").write_text("outside")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "link.txt").symlink_to(tmp_path / "secret.txt")
        (tmp_path / "data" / "up").symlink_to(tmp_path)
        for path in ("link.txt", "up/secret.txt"):
            with pytest.raises(errors.StorageError, match=r"link|folder"):
                fs.cat_file(f"{local_block}/{path}")

    @given(
        parts=st.lists(st.sampled_from(["..", ".", "", "a", "%2e", "%2E%2e", "%252e", "%2f", "\\", "b c", "*", "é"]))
    )
    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_whatever_is_written_is_below_the_folder(
        self, fs: Any, local_block: str, tmp_path: Path, parts: list[str]
    ) -> None:
        outside = set(tmp_path.iterdir())
        path = "/".join(parts)
        try:
            fs.pipe_file(f"{local_block}/{path}", b"x")
        except errors.StorageError:
            pass
        else:
            assert (tmp_path / "data" / path.strip("/")).read_bytes() == b"x"
        assert set(tmp_path.iterdir()) - outside <= {tmp_path / "data"}
        shutil.rmtree(tmp_path / "data", ignore_errors=True)

    @pytest.mark.parametrize("url", ["block://S3!/x/y", "block://s3/Prod..x/y", "block://../x/y", "block://s3/../y"])
    def test_types_and_names_are_checked_before_anything_is_asked(self, fs: Any, url: str) -> None:
        with pytest.raises(errors.InvalidNameError) as raised:
            fs.cat_file(url)
        assert "block://TYPE/NAME/PATH" in raised.value.__notes__[0]

    def test_more_than_one_block_is_never_removed_at_once(self, fs: Any, local_block: str) -> None:
        fs.pipe_file(f"{local_block}/a", b"1")
        for url in ("block://", "block://local-file-system"):
            with pytest.raises(errors.InvalidPathError, match="several blocks"):
                fs.rm(url, recursive=True)
        assert fs.cat_file(f"{local_block}/a") == b"1"


class TestTheBlockThatIsMeant:
    def test_a_missing_block_is_an_error_and_not_a_missing_file(self, fs: Any, entrepot_home: Path) -> None:
        with pytest.raises(errors.BlockNotFoundError):
            fs.exists("block://local-file-system/none/x")
        with pytest.raises(errors.BlockNotFoundError):
            fs.info("block://local-file-system/none")

    def test_a_block_that_is_no_storage_is_refused_and_says_so(self, fs: Any, entrepot_home: Path) -> None:
        Secret(value="hush").save("mine")
        with pytest.raises(errors.ConfigurationError, match="which is no storage") as caught:
            fs.cat_file("block://secret/mine/x")
        assert "hush" not in str(caught.value)

    def test_the_topmost_folders_list_storage_blocks_only(self, fs: Any, local_block: str) -> None:
        Secret(value="hush").save("mine")
        LocalFileSystem(basepath="/nowhere").save("other")
        assert fs.ls("block://", detail=False) == ["local-file-system"]
        assert fs.ls("block://local-file-system", detail=False) == [
            "local-file-system/mine",
            "local-file-system/other",
        ]
        with pytest.raises(FileNotFoundError):
            fs.ls("block://s3")

    def test_a_new_version_is_used_by_the_next_operation(self, fs: Any, local_block: str, tmp_path: Path) -> None:
        fs.pipe_file(f"{local_block}/a", b"old")
        LocalFileSystem(basepath=tmp_path / "moved").save("mine", overwrite=True)
        fs.pipe_file(f"{local_block}/a", b"new")
        assert (tmp_path / "data" / "a").read_bytes() == b"old"
        assert (tmp_path / "moved" / "a").read_bytes() == b"new"

    def test_documents_on_another_machine_are_asked_again_after_a_while(
        self, entrepot_home: Path, tmp_path: Path
    ) -> None:
        class Far(MemoryStorage):
            location = "s3://bucket/blocks"  # type: ignore[assignment]

        clock = FrozenClock()
        with use_documents(BlockDocuments(StorageDocumentStore(Far()), current_documents().ring)):
            for folder in ("one", "two"):
                LocalFileSystem(basepath=tmp_path / folder).save("mine", overwrite=True)
                _opened_blocks.storage_of("local-file-system", "mine", clock=clock)
            found = _opened_blocks.storage_of("local-file-system", "mine", clock=clock)
            assert found.location == str(tmp_path / "one")
            clock.advance(_opened_blocks.KEPT_SECONDS)
            found = _opened_blocks.storage_of("local-file-system", "mine", clock=clock)
            assert found.location == str(tmp_path / "two")
            LocalFileSystem(basepath=tmp_path / "three").save("mine", overwrite=True)
            fsspec.filesystem("block").invalidate_cache()
            found = _opened_blocks.storage_of("local-file-system", "mine", clock=clock)
            assert found.location == str(tmp_path / "three")

    def test_what_a_store_needs_is_not_taken_as_an_option(self) -> None:
        with pytest.raises(errors.ConfigurationError, match="takes no option 'key'") as caught:
            fsspec.filesystem("block", key="AKIA-HUSH")
        assert "HUSH" not in str(caught.value)


class TestSecretsStayInTheBlock:
    def test_pickles_of_the_file_system_and_of_open_files_hold_none(self, fs: Any, s3_server: Any) -> None:
        save_s3(s3_server, s3_server.bucket())
        fs.pipe_file("block://s3/prod/a", b"0123456789")
        with fs.open("block://s3/prod/a") as file:
            file.seek(4)
            pickled = pickle.dumps((fs, file, fsspec.open("block://s3/prod/a")))
            shown = repr((fs, file, fs.storage_options, fs.to_json()))
        for secret in (s3_server.secret_key, s3_server.access_key):
            assert secret.encode() not in pickled
            assert secret not in shown
        again, opened, later = pickle.loads(pickled)
        assert again.cat_file("block://s3/prod/a") == b"0123456789"
        assert opened.read() == b"456789"
        with later as file:
            assert file.read() == b"0123456789"

    def test_another_process_gets_the_credentials_from_its_own_home(
        self, fs: Any, s3_server: Any, tmp_path: Path
    ) -> None:
        save_s3(s3_server, s3_server.bucket())
        fs.pipe_file("block://s3/prod/a", b"there")
        (tmp_path / "fs.pkl").write_bytes(pickle.dumps(fs))
        code = f"import pickle; print(pickle.load(open({str(tmp_path / 'fs.pkl')!r}, 'rb')).cat('block://s3/prod/a'))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert done.stdout.strip() == "b'there'", done.stderr
        env = {**os.environ, "ENTREPOT_HOME": str(tmp_path / "empty")}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False, env=env
        )
        assert "BlockNotFoundError" in done.stderr
        assert s3_server.secret_key not in done.stderr


class TestFilesAreWhole:
    def test_a_file_has_its_name_when_it_is_closed(self, fs: Any, local_block: str) -> None:
        with fs.open(f"{local_block}/a", "wb", block_size=4) as file:
            file.write(b"0123456789")
            assert not fs.exists(f"{local_block}/a")
        assert fs.cat_file(f"{local_block}/a") == b"0123456789"

    def test_a_with_that_ends_by_an_error_writes_nothing(self, fs: Any, local_block: str) -> None:
        fs.pipe_file(f"{local_block}/a", b"before")

        def half() -> None:
            with fs.open(f"{local_block}/a", "wb", block_size=4) as file:
                file.write(b"0123456789")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            half()
        assert fs.cat_file(f"{local_block}/a") == b"before"

    def test_a_file_that_is_never_closed_is_not_written_and_says_so(self, fs: Any, local_block: str) -> None:
        def forget_it() -> None:
            fs.open(f"{local_block}/a", "wb").write(b"half")
            gc.collect()

        with pytest.warns(ResourceWarning, match="never closed"):
            forget_it()
        assert not fs.exists(f"{local_block}/a")

    def test_a_transaction_writes_all_or_nothing(self, fs: Any, local_block: str) -> None:
        def both(*, fail: bool) -> None:
            with fs.transaction:
                for name in ("a", "b"):
                    with fs.open(f"{local_block}/{name}", "wb") as file:
                        file.write(name.encode())
                assert not fs.exists(f"{local_block}/a")
                if fail:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            both(fail=True)
        assert fs.find(local_block) == []
        both(fail=False)
        assert [path[-1] for path in fs.find(local_block)] == ["a", "b"]

    def test_of_two_exclusive_writers_one_wins(self, fs: Any, local_block: str) -> None:
        one, two = (fs.open(f"{local_block}/a", "xb") for _ in range(2))
        one.write(b"one")
        two.write(b"two")
        one.close()
        with pytest.raises(FileExistsError):
            two.close()
        assert fs.cat_file(f"{local_block}/a") == b"one"

    def test_a_large_file_goes_and_comes_in_pieces(self, fs: Any, memory_block: str) -> None:
        content = os.urandom(1 << 20) * 20
        with fs.open(f"{memory_block}/large", "wb", block_size=1 << 20) as file:
            for start in range(0, len(content), 1 << 19):
                file.write(content[start : start + (1 << 19)])
        with fs.open(f"{memory_block}/large") as file:
            file.seek(-3, 2)
            assert file.read() == content[-3:]
            file.seek(0)
            assert file.read() == content
        assert fs.cat_file(f"{memory_block}/large", start=-3) == content[-3:]
        assert fs.cat_file(f"{memory_block}/large", start=5, end=-1) == content[5:-1]

    def test_copies_go_from_block_to_block(self, fs: Any, local_block: str, memory_block: str) -> None:
        fs.pipe_file(f"{local_block}/a/b", b"1")
        fs.copy(f"{local_block}/a/b", f"{memory_block}/c")
        fs.mv(f"{local_block}/a/b", f"{local_block}/d")
        assert fs.cat_file(f"{memory_block}/c") == b"1"
        assert fs.find(local_block) == [f"{local_block}/d".removeprefix("block://")]


def test_patterns_find_files_by_one_listing(fs: Any, local_block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1.csv", "a/b/2.csv", "a/3.txt", "c.csv"):
        fs.pipe_file(f"{local_block}/{name}", b"")
    asked = []
    whole = _opened_blocks.storage_of
    monkeypatch.setattr(
        "entrepot.filesystems.block_urls.storage_of", lambda *where: asked.append(where) or whole(*where)
    )
    found = fs.glob(f"{local_block}/**/*.csv")
    assert [path.removeprefix(local_block.removeprefix("block://")) for path in found] == [
        "/a/1.csv",
        "/a/b/2.csv",
        "/c.csv",
    ]
    assert len(asked) == 1


def test_fsspec_knows_the_protocol_without_importing_it(entrepot_home: Path) -> None:
    code = """
import sys, fsspec
fsspec.register_implementation("block", "entrepot.filesystems.block_urls.BlockFileSystem", clobber=True)
print("block" in fsspec.available_protocols(), any(name.startswith("entrepot") for name in sys.modules))
fsspec.filesystem("block")
print(sorted({"s3fs", "gcsfs", "adlfs", "pandas", "pyarrow"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[0].endswith("False")
    assert done.stdout.splitlines()[1] == "[]"


class TestAFolderThatWasJustMade:
    """Libraries look at what they have made before they write into it; nothing is in the store."""

    def test_is_there_and_empty_as_long_as_nothing_else_is_asked_for(self, fs: Any, local_block: str) -> None:
        for make in (fs.mkdir, fs.makedirs, lambda path: fs.mkdirs(path, exist_ok=True)):
            make(f"{local_block}/fresh")
            for _ in range(2):
                assert fs.exists(f"{local_block}/fresh")
                assert fs.isdir(f"{local_block}/fresh/")
                assert fs.ls(f"{local_block}/fresh") == []
                assert fs.find(f"{local_block}/fresh") == []
            with pytest.raises(FileNotFoundError):
                fs.ls(f"{local_block}/other")
            assert not fs.exists(f"{local_block}/fresh")

    def test_is_gone_once_it_was_removed_or_a_file_was_there(self, fs: Any, local_block: str) -> None:
        fresh = f"{local_block}/fresh"

        def write_and_remove() -> None:
            fs.pipe_file(fresh, b"1")
            assert fs.isfile(fresh)
            fs.rm_file(fresh)

        for act in (lambda: fs.rm(fresh, recursive=True), lambda: fs.rmdir(fresh), write_and_remove):
            fs.mkdir(fresh)
            act()
            assert not fs.exists(fresh)

    def test_is_known_to_the_thread_only_that_made_it(self, fs: Any, local_block: str) -> None:
        fs.mkdir(f"{local_block}/fresh")
        with ThreadPoolExecutor(1) as pool:
            assert not pool.submit(fs.exists, f"{local_block}/fresh").result()
        assert fs.exists(f"{local_block}/fresh")
