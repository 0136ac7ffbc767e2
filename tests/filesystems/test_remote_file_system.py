"""`RemoteFileSystem`: any file system that fsspec knows, by URL."""

import functools
import http.server
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from fsspec.registry import known_implementations
from pydantic import SecretStr, ValidationError

from entrepot import errors
from entrepot.filesystems import RemoteFileSystem
from entrepot.filesystems._hiding import revealed
from entrepot_test_http import serving

SECRET = "HUSH-wJalrXUtnFEMI"


def test_memory_works_unsaved() -> None:
    block = RemoteFileSystem(basepath="memory://remote-test/folder")
    block.write_path("a/b", b"1")
    assert block.read_path("a/b") == b"1"
    assert RemoteFileSystem(basepath="memory://remote-test/folder").list_paths() == ["a/b"]
    block.check()


def test_s3_works_unsaved_with_plain_settings(s3_server: Any) -> None:
    bucket = s3_server.bucket()
    block = RemoteFileSystem(basepath=f"s3://{bucket}/x", settings=s3_server.storage_options())
    block.write_path("a", b"1")
    assert s3_server.client().get_object(Bucket=bucket, Key="x/a")["Body"].read() == b"1"
    assert block.check().creates_exclusively
    assert s3_server.secret_key not in f"{block!r} {block} {block.model_dump()} {block.model_dump_json()}"


def test_what_a_web_server_has_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_bytes(b"0123456789")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with serving(handler) as url:
        storage = RemoteFileSystem(basepath=f"{url}/data").as_storage()
        assert bytes(storage.get("a.txt")) == b"0123456789"
        with pytest.raises(errors.ObjectNotFoundError):
            storage.get("absent.txt")
        with pytest.raises(errors.StorageError):
            storage.put("b.txt", b"1")


def test_google_works_with_a_server_of_ones_own(gcs_server: Any) -> None:
    block = RemoteFileSystem(basepath=f"gs://{gcs_server.bucket()}/x", settings=gcs_server.storage_options())
    block.check()


def test_credentials_in_the_url_become_secret_settings(s3_server: Any) -> None:
    bucket = s3_server.bucket()
    options = s3_server.storage_options()
    url = f"s3://{options.pop('key')}:{options.pop('secret')}@{bucket}/x"
    block = RemoteFileSystem(basepath=url, settings=options)
    assert block.basepath == f"s3://{bucket}/x"
    block.check()
    for shown in (repr(block), str(block), block.model_dump_json(), block.as_storage().location):
        assert s3_server.secret_key not in shown
        assert s3_server.access_key not in shown


def test_user_and_password_of_other_protocols_too() -> None:
    block = RemoteFileSystem(basepath=f"sftp://me%40home:{SECRET}%2F@Host.example.test:2222/data/")
    assert block.basepath == "sftp://Host.example.test:2222/data"
    assert revealed(block.settings) == {"username": "me@home", "password": f"{SECRET}/"}
    assert SECRET not in f"{block!r} {block} {block.model_dump()} {block.model_dump_json()}"
    again = RemoteFileSystem(basepath="sftp://me:a@h/x", settings={"password": "given wins"})
    assert revealed(again.settings) == {"username": "me", "password": "given wins"}


def test_settings_whose_names_sound_secret_are_secrets_at_any_depth() -> None:
    settings = {
        "key": SECRET,
        "secret": SECRET,
        "token": {"type": "x", "private_key": SECRET},
        "client_kwargs": {"aws_session_token": SECRET, "region_name": "eu"},
        "headers": [{"auth_token": SECRET}],
        "connection_string": SECRET,
        "PASSWORD": SECRET,
        "account_key": SecretStr(SECRET),
        "key_filename": "/home/me/id",
        "port": 22,
        "keyboard": "qwerty",
    }
    block = RemoteFileSystem(basepath="sftp://h/x", settings=settings)
    shown = f"{block!r} {block} {block.model_dump()} {block.model_dump_json()}"
    assert SECRET not in shown
    for plain in ("/home/me/id", "qwerty", "eu"):
        assert plain in shown
    assert revealed(block.settings) == {**settings, "account_key": SECRET}


@pytest.mark.parametrize(
    "settings",
    [
        *(
            {name: SECRET}
            for name in ("pw", "pwd", "pass", "passwd", "sas", "auth", "auth_header", "apiKey", "X-Api-Key")
        ),
        *({name: SECRET} for name in ("SSECustomerKey", "sharedKey", "SASToken", "signature", "access_key_id")),
        {"auth": ("me", SECRET)},
        {"headers": {"Authorization": SECRET}},
        {"headers": [("Authorization", SECRET)]},
        {"headers": {"Cookie": SECRET}},
        {"proxies": {"https": f"http://u:{SECRET}@proxy"}},
        {"proxy": f"u:{SECRET}@proxy:3128"},
        {"link": f"https://h/x?se=1&sig={SECRET}"},
        {"credential": SECRET.encode()},
    ],
    ids=str,
)
def test_what_may_be_a_secret_is_hidden_and_saved_and_handed_on_as_it_was(settings: dict[str, Any]) -> None:
    block = RemoteFileSystem(basepath="sftp://h/x", settings=settings)
    block.save("remote")
    for each in (block, RemoteFileSystem.load("remote")):
        assert SECRET not in f"{each!r} {each} {each.model_dump()} {each.model_dump_json()}"
        assert revealed(each.settings) == settings


@pytest.mark.parametrize(
    "settings",
    [
        {"signature_version": "s3v4"},
        {"SSEKMSKeyId": "alias/mine"},
        {"key_filename": "/home/me/id"},
        {"author": "monkey", "keepalive": "5", "compass": "north"},
        {"proxy": "http://proxy:3128", "link": "https://h/x@y?a=1"},
    ],
    ids=str,
)
def test_what_is_harmless_stays_readable(settings: dict[str, Any]) -> None:
    assert RemoteFileSystem(basepath="sftp://h/x", settings=settings).settings == settings


def _dead_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("more", [{}, {"timeout": "no number"}, {"bogus": object()}], ids=["plain", "bad", "unknown"])
def test_a_server_that_does_not_answer_is_our_error_without_frames_that_hold_the_options(more: dict[str, Any]) -> None:
    settings = {"username": "u", "password": SECRET, **more}
    block = RemoteFileSystem(basepath=f"ftp://127.0.0.1:{_dead_port()}/x", settings=settings)
    del settings
    with pytest.raises(
        (errors.StorageUnreachableError, errors.ConfigurationError), match=r"cannot open ftp://127\.0\.0\.1"
    ) as caught:
        block.as_storage()
    assert isinstance(caught.value, errors.StorageUnreachableError) or "timeout" in more
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert SECRET not in shown
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_what_is_assigned_later_is_held_to_the_same() -> None:
    block = RemoteFileSystem(basepath="sftp://h/x", settings={"port": 22})
    with pytest.raises(ValidationError, match="put them into settings") as caught:
        block.basepath = f"sftp://u:{SECRET}@h/x"
    assert SECRET not in f"{caught.value} {caught.value.errors()}"
    assert (block.basepath, block.settings) == ("sftp://h/x", {"port": 22})
    block.settings = {"password": SECRET}
    assert SECRET not in f"{block!r} {block.model_dump()}"
    assert revealed(block.settings) == {"password": SECRET}


@pytest.mark.parametrize(
    ("basepath", "why"),
    [
        ("", "no URL"),
        ("my-bucket/results", "no URL"),
        ("/data", "no URL"),
        ("file:///data", "use LocalFileSystem"),
        ("simplecache::s3://my-bucket", "chain"),
        ("s3://my-bucket/../x", "'..'"),
        ("s3://my-bucket/a//b", "empty component"),
        ("dask://scheduler:8786/x", "opens another one"),
        ("REFERENCE://x", "opens another one"),
        ("zip://x", "opens another one"),
        ("block://s3/prod", "opens another one"),
        (f"https://host/x?sig={SECRET}", "query"),
        (f"s3://key:{SECRET}@my-bucket/a/../b", "'..'"),
        (f"sftp://u:{SECRET}@h:99999/x", "cannot be understood"),
    ],
)
def test_what_is_no_url_of_a_folder_is_refused_without_being_repeated(basepath: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as caught:
        RemoteFileSystem(basepath=basepath)
    assert SECRET not in f"{caught.value} {caught.value.errors()} {caught.value.json()}"


def test_the_protocol_is_that_of_the_url() -> None:
    with pytest.raises(ValidationError, match="that of the URL"):
        RemoteFileSystem(basepath="smb://host/share", settings={"protocol": "dask"})
    block = RemoteFileSystem(basepath="smb://host/share")
    with pytest.raises(ValidationError, match="that of the URL"):
        block.settings = {"protocol": "dask"}
    with pytest.raises(ValidationError, match="opens another one"):
        block.basepath = "dask://scheduler:8786/x"


def test_every_protocol_of_fsspec_that_opens_others_is_refused() -> None:
    """fsspec has new ones at times: each of its own that is no server's has to be looked at."""
    places = {"arrow_hdfs", "dbfs", "ftp", "gist", "github", "hdfs", "http", "https", "jlab", "jupyter", "memory"}
    places |= {"sftp", "smb", "ssh", "webhdfs", "pyscript"}
    for protocol, known in known_implementations.items():
        if known["class"].startswith("fsspec.implementations.") and protocol not in {*places, "file", "local"}:
            with pytest.raises(ValidationError, match=r"opens another one|no URL"):  # the second: of `async_wrapper`
                RemoteFileSystem(basepath=f"{protocol}://x")


@pytest.mark.parametrize(
    "given", [{}, {"basepath": 7}, {"basepath": "sftp://h/x", "settings": ["a"]}, {"basepath": None}]
)
def test_what_has_the_wrong_type_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RemoteFileSystem(**given)


def test_an_unknown_protocol_is_one_clear_error() -> None:
    with pytest.raises(errors.ConfigurationError, match="nosuch"):
        RemoteFileSystem(basepath="nosuch://h/x").check()


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(errors.ConfigurationError, match=r'pip install "entrepot\[aws\]"'):
        RemoteFileSystem(basepath="s3://my-bucket").as_storage()
