"""The `S3` block, mostly against a real server."""

import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from entrepot import errors
from entrepot.filesystems import S3

SECRET = "HUSH-wJalrXUtnFEMI"


def block_for(server: Any, path: str | None = None, **options: Any) -> S3:
    return S3(
        **{
            "bucket_path": path or server.bucket(),
            "aws_access_key_id": server.access_key,
            "aws_secret_access_key": server.secret_key,
            "region_name": server.region,
            "endpoint_url": server.endpoint_url,
            "addressing_style": "path",
        }
        | options
    )


@pytest.fixture(params=["s3_server", "moto_server"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_keeps_objects_below_its_folder_in_the_bucket(server: Any) -> None:
    bucket = server.bucket()
    block = block_for(server, f"s3://{bucket}/results/2026")
    assert block.write_path("a/b.txt", "t\u00e4xt") == "a/b.txt"
    there = server.client().get_object(Bucket=bucket, Key="results/2026/a/b.txt")["Body"].read()
    assert there == "t\u00e4xt".encode()
    assert block.read_path("a/b.txt") == there
    assert block.list_paths() == ["a/b.txt"]
    assert block.as_storage().location == f"s3://{bucket}/results/2026"


def test_works_without_a_folder_and_unsaved(server: Any) -> None:
    block = block_for(server)
    block.write_path("x", b"1")
    assert block.read_path("x") == b"1"


def test_check_writes_reads_and_deletes(server: Any) -> None:
    block = block_for(server)
    found = block.check()
    assert found.creates_exclusively
    assert found.location == f"s3://{block.bucket_path}"
    assert block.list_paths() == []


def test_sees_what_another_client_wrote_a_moment_ago(server: Any) -> None:
    bucket = server.bucket()
    block = block_for(server, bucket)
    assert block.list_paths() == []
    server.client().put_object(Bucket=bucket, Key="new", Body=b"1")
    assert block.list_paths() == ["new"]
    server.client().put_object(Bucket=bucket, Key="new", Body=b"22")
    assert block.read_path("new") == b"22"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "", "a\0b"])
def test_never_leaves_its_folder(server: Any, path: str) -> None:
    with pytest.raises(errors.InvalidPathError):
        block_for(server).write_path(path, b"1")


class TestWhatGoesWrong:
    def test_a_missing_bucket_says_to_create_it(self, moto_server: Any) -> None:
        with pytest.raises(
            errors.StorageUnreachableError, match=r"no such bucket .*create it, or check its name"
        ) as caught:
            block_for(moto_server, "there-is-no-such-bucket-here/x").check()
        self.has_no_secret(caught.value, moto_server)

    def test_nothing_can_be_read_from_a_missing_bucket(self, server: Any) -> None:
        # SeaweedFS makes a bucket when an administrator writes to it; none does so for reading.
        block = block_for(server, "there-is-no-such-bucket-either/x")
        for read in (lambda: block.read_path("x"), block.list_paths):
            with pytest.raises(errors.StorageUnreachableError, match="no such bucket"):
                read()

    def test_wrong_credentials_say_to_check_them(self, s3_server: Any) -> None:
        for wrong in ({"aws_secret_access_key": SECRET}, {"aws_access_key_id": "NOBODY"}):
            with pytest.raises(errors.StorageAccessError, match="check the credentials") as caught:
                block_for(s3_server, **wrong).check()
            self.has_no_secret(caught.value, s3_server)

    def test_no_credentials_anywhere_say_so(self, s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
        block = S3(bucket_path=s3_server.bucket(), endpoint_url=s3_server.endpoint_url)
        with pytest.raises(errors.StorageAccessError, match="check the credentials"):
            block.check()
        with pytest.raises(errors.StorageAccessError, match="check the credentials"):
            S3(bucket_path="some-bucket", profile_name="nobody", endpoint_url=s3_server.endpoint_url).check()

    def test_a_closed_port_is_an_error_within_seconds(
        self, s3_server: Any, closed_port: int, waits: list[float]
    ) -> None:
        self.fails_soon(s3_server, f"http://127.0.0.1:{closed_port}", waits, within=20)

    def test_a_server_that_breaks_off_is_an_error_within_seconds(
        self, s3_server: Any, breaking_off: str, waits: list[float]
    ) -> None:
        self.fails_soon(s3_server, breaking_off, waits, within=30)

    def fails_soon(self, server: Any, endpoint: str, waits: list[float], *, within: float) -> None:
        with pytest.raises(errors.StorageUnreachableError, match="check the endpoint and the network") as caught:
            block_for(server, "some-bucket", endpoint_url=endpoint).check()
        assert 0 < sum(waits) < within
        assert endpoint in str(caught.value)
        self.has_no_secret(caught.value, server)

    def has_no_secret(self, error: BaseException, server: Any) -> None:
        text = f"{error} {error!r} {vars(error)}"
        assert server.secret_key not in text
        assert server.access_key not in text
        assert SECRET not in text


@pytest.fixture
def breaking_off() -> Iterator[str]:
    """A server that takes connections and closes them."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)

        def close_all() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.close()

        thread = threading.Thread(target=close_all, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


class TestOptions:
    def test_everything_arrives_at_the_client(self) -> None:
        block = S3(
            bucket_path="b12/x",
            aws_access_key_id="key",
            aws_secret_access_key=SecretStr("secret"),
            aws_session_token="token",
            region_name="eu-central-1",
            endpoint_url="https://minio.example.test:9000/",
            verify="/etc/ca.pem",
            addressing_style="virtual",
            config_kwargs={"max_pool_connections": 7, "s3": {"use_accelerate_endpoint": False}},
            s3_additional_kwargs={"ServerSideEncryption": "AES256"},
        )
        assert block._options() == {
            "key": "key",
            "secret": "secret",
            "token": "token",
            "endpoint_url": "https://minio.example.test:9000",
            "client_kwargs": {"region_name": "eu-central-1", "verify": "/etc/ca.pem"},
            "s3_additional_kwargs": {"ServerSideEncryption": "AES256"},
            "config_kwargs": {
                "max_pool_connections": 7,
                "s3": {"use_accelerate_endpoint": False, "addressing_style": "virtual"},
            },
        }

    def test_nothing_given_leaves_everything_to_the_client(self) -> None:
        assert S3(bucket_path="b12")._options() == {"config_kwargs": {}}
        assert S3(bucket_path="b12", profile_name="prod")._options() == {"profile": "prod", "config_kwargs": {}}
        assert S3(bucket_path="b12", anonymous=True)._options() == {"anon": True, "config_kwargs": {}}
        assert S3(bucket_path="b12", verify=False)._options()["client_kwargs"] == {"verify": False}

    def test_the_same_configuration_shares_one_client_and_another_does_not(self) -> None:
        one = S3(bucket_path="b12", region_name="eu-central-1")
        assert one.as_storage() is S3(bucket_path="b12", region_name="eu-central-1").as_storage()
        assert one.as_storage() is not S3(bucket_path="b12", region_name="us-east-1").as_storage()
        assert one.as_storage() is not S3(bucket_path="b13", region_name="eu-central-1").as_storage()

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"aws_access_key_id": SECRET}, "go together"),
            ({"aws_secret_access_key": SECRET}, "go together"),
            ({"aws_session_token": SECRET}, "needs aws_access_key_id"),
            ({"aws_access_key_id": SECRET, "aws_secret_access_key": SECRET, "profile_name": "p"}, "not both"),
            ({"aws_access_key_id": SECRET, "aws_secret_access_key": SECRET, "anonymous": True}, "anonymous means"),
            ({"profile_name": "p", "anonymous": True}, "anonymous means"),
            ({"endpoint_url": f"http://k:{SECRET}@host"}, "credentials in it"),
            ({"endpoint_url": SECRET}, "no address of a server"),
            ({"bucket_path": f"s3://key:{SECRET}@my-bucket/x"}, "credentials in it"),
            ({"bucket_path": "my-bucket/../other"}, "'..'"),
            ({"addressing_style": SECRET}, "addressing_style"),
        ],
    )
    def test_what_contradicts_itself_is_refused_without_showing_a_value(
        self, options: dict[str, Any], why: str
    ) -> None:
        with pytest.raises(ValidationError, match=why) as caught:
            S3(**{"bucket_path": "my-bucket"} | options)
        assert SECRET not in f"{caught.value} {caught.value.errors()} {caught.value.json()}"

    def test_secrets_do_not_show(self) -> None:
        block = S3(bucket_path="b12", aws_access_key_id=SECRET, aws_secret_access_key=SECRET, aws_session_token=SECRET)
        for shown in (repr(block), str(block), str(block.model_dump()), block.model_dump_json()):
            assert SECRET not in shown
        assert SECRET not in block.as_storage().location
        assert SECRET not in repr(block.as_storage())


def test_secrets_in_options_of_free_form_do_not_show_and_are_handed_on() -> None:
    proxies, encryption = (
        {"https": f"http://u:{SECRET}@proxy"},
        {"SSECustomerKey": SECRET, "SSECustomerAlgorithm": "AES"},
    )
    block = S3(bucket_path="b12", config_kwargs={"proxies": proxies}, s3_additional_kwargs=encryption)
    block.save("s3")
    for each in (block, S3.load("s3")):
        for shown in (repr(each), str(each), str(each.model_dump()), each.model_dump_json()):
            assert SECRET not in shown
            assert "AES" in shown
        options = each._options()
        assert options["config_kwargs"]["proxies"] == proxies
        assert options["s3_additional_kwargs"] == encryption


@pytest.mark.parametrize(
    ("config", "what"), [({"bogus": 1}, "bogus"), ({"retries": {"max_attempts": "x", "bogus": 1}}, "retries")]
)
def test_options_that_botocore_refuses_are_an_error_at_once_without_frames_that_hold_the_keys(
    config: dict[str, Any], what: str
) -> None:
    block = S3(bucket_path="b12", aws_access_key_id=SECRET, aws_secret_access_key=SECRET, config_kwargs=config)
    with pytest.raises(errors.ConfigurationError, match=f"config_kwargs.*{what}") as caught:
        block.as_storage()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert SECRET not in shown


def test_without_s3fs_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(errors.ConfigurationError) as caught:
        S3(bucket_path="b12").as_storage()
    assert 's3fs is not installed; run: pip install "entrepot[aws]"' in str(caught.value)
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_dead_endpoint_leaves_no_key_in_any_frame() -> None:
    key, secret = "AKIAHUNTEDKEYID", "hunted-secret-value"
    block = S3(
        bucket_path="bucket/x",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        endpoint_url="http://127.0.0.1:9",
        config_kwargs={"retries": {"max_attempts": 0}},
    )
    storage = block.as_storage()
    with pytest.raises(errors.StorageUnreachableError) as raised:
        storage.get("a")
    error = raised.value
    ours = error.__traceback__ and error.__traceback__.tb_next  # this test's own frame holds both
    shown = "".join(traceback.TracebackException(type(error), error, ours, capture_locals=True).format())
    assert key not in shown
    assert secret not in shown
    assert error.__cause__ is not None, "what the client said is still there"
