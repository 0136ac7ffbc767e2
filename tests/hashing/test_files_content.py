"""`File` and `Dir` count by what is in them."""

import copy
import os
import pickle
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

import entrepot
from entrepot import Dir, File, flow
from entrepot.errors import UnhashableValueError
from entrepot.hashing.values import hash_value, identify

LARGE = 300_000  # bytes: more than what is read each time


def write(path: Path, content: bytes | str = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


class TestFile:
    def test_it_is_a_path(self, tmp_path):
        file = File(write(tmp_path / "a.txt", "hello"))
        assert os.fspath(file) == str(file) == str(tmp_path / "a.txt")
        assert file.path == tmp_path / "a.txt"
        assert repr(file) == f"File({str(tmp_path / 'a.txt')!r})"
        with open(file) as opened:  # noqa: PTH123  that it can be opened is the point
            assert opened.read() == "hello"

    def test_it_takes_texts_paths_and_itself(self, tmp_path):
        path = tmp_path / "a"
        assert File(str(path)) == File(path) == File(File(path))
        assert len({File(str(path)), File(path)}) == 1
        assert File(path) != Dir(path)

    def test_it_cannot_be_changed(self, tmp_path):
        with pytest.raises(AttributeError):
            File(tmp_path).path = Path()  # type: ignore[misc]

    def test_it_survives_copies_and_pickles(self, tmp_path):
        for value in (File(tmp_path / "a"), Dir("b")):
            assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == copy.copy(value) == value

    def test_it_cannot_be_subclassed(self):
        with pytest.raises(TypeError, match="cannot be subclassed"):
            type("Mine", (File,), {})

    @pytest.mark.parametrize("size", [0, 1, LARGE, 9 << 20])
    def test_its_digest_is_the_blake3_of_its_bytes(self, tmp_path, size):
        content = bytes(range(256)) * (size // 256 + 1)
        path = write(tmp_path / "a", content[:size])
        assert File(path).digest == blake3(content[:size]).hexdigest()

    def test_it_counts_by_content_wherever_it_is(self, tmp_path):
        one, two = write(tmp_path / "a.csv", "x"), write(tmp_path / "below" / "b.txt", "x")
        two.chmod(0o700)
        os.utime(two, (1, 1))
        assert hash_value(File(one)) == hash_value(File(two))
        write(two, "y")
        assert hash_value(File(one)) != hash_value(File(two))

    def test_it_is_another_value_than_its_path_or_content(self, tmp_path):
        path = write(tmp_path / "a", "x")
        assert len({hash_value(value) for value in (File(path), path, str(path), b"x", File(path).digest)}) == 5

    def test_a_link_counts_as_what_it_leads_to(self, tmp_path):
        path = write(tmp_path / "a", "x")
        (tmp_path / "link").symlink_to(path)
        assert hash_value(File(tmp_path / "link")) == hash_value(File(path))

    def test_its_class_is_no_code_of_the_users(self, tmp_path):
        assert identify([File(write(tmp_path / "a"))]).classes == ()

    def test_what_cannot_be_read_is_refused_and_the_error_says_why(self, tmp_path):
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "pipe")
        for name, why in {
            "none": "no such file",
            "folder": "use Dir",
            "pipe": "no regular file",
            "a\0b": "null",
        }.items():
            with pytest.raises(UnhashableValueError, match=why) as caught:
                hash_value({"from": File(tmp_path / name)}, name="source")
            assert caught.value.path == "source['from']"
            assert str(tmp_path / name) in str(caught.value)


class TestDir:
    @pytest.fixture
    def folder(self, tmp_path) -> Path:
        root = tmp_path / "data"
        write(root / "a.txt", "1")
        write(root / "sub" / "b.bin", b"2" * LARGE)
        (root / "empty").mkdir()
        (root / "link").symlink_to("a.txt")
        return root

    def test_a_copy_is_the_same_whatever_the_times_and_modes(self, folder, tmp_path):
        shutil.copytree(folder, tmp_path / "copy", symlinks=True)
        (tmp_path / "copy" / "a.txt").chmod(0o755)
        os.utime(tmp_path / "copy" / "sub", (1, 1))
        assert hash_value(Dir(tmp_path / "copy")) == hash_value(Dir(folder))
        assert len(Dir(folder).digest) == 64

    @pytest.mark.parametrize(
        "change",
        [
            lambda root: write(root / "a.txt", "2"),
            lambda root: write(root / "sub" / "b.bin", b"2" * (LARGE - 1) + b"3"),
            lambda root: write(root / "new", ""),
            lambda root: (root / "a.txt").unlink(),
            lambda root: (root / "a.txt").rename(root / "b.txt"),
            lambda root: (root / "a.txt").rename(root / "sub" / "a.txt"),
            lambda root: (root / "empty").rmdir(),
            lambda root: (root / "empty" / "more").mkdir(),
            lambda root: ((root / "empty").rmdir(), write(root / "empty", "")),
            lambda root: ((root / "link").unlink(), (root / "link").symlink_to("sub")),
            lambda root: ((root / "link").unlink(), write(root / "link", "1")),
        ],
    )
    def test_every_change_of_what_is_in_it_counts(self, folder, change):
        before = hash_value(Dir(folder))
        change(folder)
        assert hash_value(Dir(folder)) != before

    def test_links_are_not_followed(self, folder, tmp_path):
        outside = write(tmp_path / "outside" / "x", "1")
        (folder / "out").symlink_to(outside.parent)
        (folder / "round").symlink_to(".")
        (folder / "dangling").symlink_to("nowhere")
        before = hash_value(Dir(folder))
        write(outside, "2")
        assert hash_value(Dir(folder)) == before

    def test_names_that_are_no_text_count(self, folder):
        before = hash_value(Dir(folder))
        (Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe"))).write_text("x")
        assert hash_value(Dir(folder)) != before

    def test_names_and_contents_cannot_be_taken_for_one_another(self, tmp_path):
        write(tmp_path / "one" / "a" / "b", "")
        write(tmp_path / "two" / "a")
        write(tmp_path / "two" / "b")
        write(tmp_path / "three" / "ab", "")
        (tmp_path / "four").mkdir()
        assert len({Dir(tmp_path / name).digest for name in ("one", "two", "three", "four")}) == 4

    def test_a_link_to_the_folder_itself_is_followed(self, folder, tmp_path):
        (tmp_path / "shortcut").symlink_to(folder)
        assert hash_value(Dir(tmp_path / "shortcut")) == hash_value(Dir(folder))

    def test_what_is_no_folder_or_has_more_than_files_in_it_is_refused(self, folder):
        with pytest.raises(UnhashableValueError, match="no such file"):
            hash_value(Dir(folder / "none"))
        with pytest.raises(UnhashableValueError, match="not a directory"):
            hash_value(Dir(folder / "a.txt"))
        with socket.socket(socket.AF_UNIX) as server:
            os.chdir(folder)
            server.bind("s")
            with pytest.raises(UnhashableValueError, match="a pipe, a socket or a device"):
                hash_value(Dir(folder))

    @settings(max_examples=40, deadline=None)
    @given(st.dictionaries(st.sampled_from([f"{a}/{b}" for a in "xyz" for b in "pq"]), st.binary(max_size=8)))
    def test_two_folders_agree_if_and_only_if_their_files_do(self, tmp_path_factory, files):
        base = tmp_path_factory.mktemp("law")
        for name in ("one", "two", "three"):
            (base / name).mkdir()
        for name, content in files.items():
            write(base / "one" / name, content)
        for name, content in reversed(files.items()):
            write(base / "two" / name, content)
            write(base / "three" / name, content + b"!")
        assert Dir(base / "one").digest == Dir(base / "two").digest
        assert (Dir(base / "one").digest == Dir(base / "three").digest) == (not files)


class TestAnnotations:
    def test_a_flow_gets_a_file_where_a_path_was_given(self, tmp_path):
        path = write(tmp_path / "a", "x")

        @flow
        def load(source: File, folder: Dir, more: list[File]) -> list[object]:
            return [source, folder, *more]

        assert load(str(path), tmp_path, [path, File(path)]) == [File(path), Dir(tmp_path), File(path), File(path)]

    def test_models_take_and_show_them(self, tmp_path):
        class Config(BaseModel):
            source: File

        config = Config(source=tmp_path / "a")  # type: ignore[arg-type]
        assert config.source == File(tmp_path / "a")
        assert Config.model_validate_json(config.model_dump_json()) == config
        assert TypeAdapter(File).json_schema()
        for wrong in ("", 3, None, Dir(tmp_path)):
            with pytest.raises(ValueError, match="source"):
                Config(source=wrong)  # type: ignore[arg-type]


def test_they_are_public_names_and_cost_the_start_nothing():
    assert {"Dir", "File"} <= set(entrepot.__all__)
    script = (
        "import sys\nfrom entrepot import flow, task\nassert 'entrepot.hashing.files' not in sys.modules\n"
        "from entrepot import Dir, File\nFile('a'); assert not {'sqlite3', 'pydantic', 'blake3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
