"""One rule for paths, and the ways from a path or URL to a store."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.errors import ConfigurationError, InvalidPathError, SerializationError, StorageError
from entrepot.storage import LocalStorage, MemoryStorage, PrefixedStorage, open_storage
from entrepot.storage.outage import without_userinfo
from entrepot.storage.paths import check_path, check_prefix, check_range, is_path


def allowed(path: str) -> bool:
    """Say the rule again, the slow way."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return False
    parts = path.split("/")
    return (
        len(encoded) <= 1024
        and all(0 < len(part.encode()) <= 255 for part in parts)
        and not {".", ".."} & set(parts)
        and not any(part.startswith(".tmp-") for part in parts)
        and not any(letter == "\\" or ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in path)
    )


PIECES = st.sampled_from(["a", "..", ".", "/", "//", "\\", "\0", "\x85", "é", ".tmp-", "tmp", "\ud800", "x" * 255, " "])


@given(st.one_of(st.text(max_size=20), st.lists(PIECES, max_size=8).map("".join), st.text("a/", max_size=1100)))
def test_a_path_is_taken_exactly_if_the_rule_allows_it(path: str) -> None:
    assert is_path(path) == allowed(path)
    if allowed(path):
        assert check_path(path) == path
    else:
        with pytest.raises(InvalidPathError):
            check_path(path)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("a/../b", "'..'"),
        ("a//b", "empty component"),
        ("a/", "empty component"),
        ("a\\b", "backslash"),
        ("a\0b", "control character"),
        (".tmp-x", "reserved"),
        ("\ud800", "UTF-8"),
        ("a" * 5000, "longer than"),
        ("é" * 200, "longer than"),
        (7, "a path is a string"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_what_to_do(path: object, why: str) -> None:
    with pytest.raises(InvalidPathError, match=r"use relative paths such as") as caught:
        check_path(path, location="/store")  # type: ignore[arg-type]
    assert why in str(caught.value)
    assert caught.value.location == "/store"
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()


def test_a_prefix_is_a_path_or_nothing() -> None:
    assert check_prefix("") == ""
    assert check_prefix("a/b") == "a/b"
    with pytest.raises(InvalidPathError):
        check_prefix("a/")


def test_a_range_is_not_negative() -> None:
    check_range(0, None)
    check_range(5, 0)
    with pytest.raises(StorageError, match="negative"):
        check_range(-1, None)


# --- open_storage -------------------------------------------------------------------------------------------------


def test_a_path_or_a_file_url_is_a_folder(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20c"
    for spec in (odd, str(odd), f"file://{tmp_path}/a b%2520c", odd.as_uri(), f"local://{tmp_path}/a%20b%2520c"):
        storage = open_storage(spec)
        assert isinstance(storage, LocalStorage)
        assert storage.location == str(odd)
    assert open_storage(tmp_path / "s3:" / "x").location == str(tmp_path / "s3:/x")
    with pytest.raises(StorageError):
        open_storage(tmp_path / "absent", create=False).get("a")


def test_a_memory_url_is_one_store_in_a_process() -> None:
    open_storage("memory://one").put("a", b"1")
    assert open_storage("memory://one").get("a") == b"1"
    assert list(open_storage("memory://two").list()) == []
    assert open_storage("memory://one").location == "memory://one"


@pytest.mark.parametrize(
    ("spec", "options", "why"),
    [
        ("", {}, "named by a path or a URL"),
        (5, {}, "named by a path or a URL"),
        ("file://host/path", {}, "another machine"),
        ("nosuch://bucket/x", {}, "no file system is called 'nosuch'"),
        ("simplecache::s3://bucket/x", {}, "without 'simplecache::"),
        ("s3://", {"endpoint_url": "http://127.0.0.1:9"}, "names a bucket"),
        ("/folder", {"key": "AKIA"}, "no option 'key'; known: create"),
        ("memory://x", {"create": True}, "takes none"),
    ],
)
def test_what_cannot_be_opened_is_said(spec: object, options: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_storage(spec, **options)  # type: ignore[arg-type]
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("missing", "url", "extra"),
    [
        ("botocore.config", "s3://user:password@bucket/x", "aws"),
        ("adlfs", "abfs://user:password@container/x?sig=token", "azure"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(missing: str, url: str, extra: str) -> None:
    # In a process of its own: fsspec remembers what it has imported.
    program = (
        f"import sys; sys.modules[{missing!r}] = None\nfrom entrepot.storage import open_storage; open_storage({url!r})"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    said = found.stderr.rstrip().rpartition("\n")[2]
    assert "ConfigurationError" in said
    assert f"pip install 'entrepot[{extra}]'" in said
    assert "password" not in said
    assert "token" not in said


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("https://user@host:9000/x?sig=abc#frag", "https://host:9000/x"),
        ("sftp://me:p%40ss@host/data", "sftp://host/data"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("/plain/path", "/plain/path"),
        ("memory://", "memory://"),
    ],
)
def test_what_is_shown_of_a_url_has_no_credentials(url: str, shown: str) -> None:
    assert without_userinfo(url) == shown


# --- memory and prefixes ------------------------------------------------------------------------------------------


def test_memory_cannot_be_sent_and_says_what_can() -> None:
    import pickle  # noqa: PLC0415  only here

    with pytest.raises(SerializationError, match="use a folder or a bucket"):
        pickle.dumps(MemoryStorage())


def test_a_prefix_that_leads_out_is_refused() -> None:
    for prefix in ("", "..", "a/../..", "/a"):
        with pytest.raises(InvalidPathError):
            PrefixedStorage(MemoryStorage(), prefix)
    inner = PrefixedStorage(PrefixedStorage(MemoryStorage("m"), "a"), "b/c")
    assert inner.location == "memory://m/a/b/c"
