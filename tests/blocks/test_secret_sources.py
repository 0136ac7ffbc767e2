"""The sources of secrets, each with its contract and what it says when a secret cannot be had; against real servers."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import boto3
import hvac
import pytest
from servers import S3Server, VaultServer

from entrepot.blocks import Secret, SecretBytesReference, SecretReference
from entrepot.blocks.secret_sources.aws import SecretsManager
from entrepot.blocks.secret_sources.local import Environment, Files, SavedBlocks
from entrepot.blocks.secret_sources.vault import Vault
from entrepot.errors import SecretReferenceError
from entrepot.testing import SecretSourceContract

pytestmark = pytest.mark.one_python

HUNTER = "hunter2-of-the-sources"


def get(reference: str) -> str:
    return SecretReference(reference).get_secret_value()


class TestEnvironment(SecretSourceContract):
    @pytest.fixture(autouse=True)
    def _set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("THERE", HUNTER)
        monkeypatch.delenv("NOT_THERE", raising=False)

    def make_source(self) -> Environment:
        return Environment()

    def known(self) -> Mapping[str, str | bytes]:
        return {"THERE": HUNTER}

    def unknown(self) -> Sequence[str]:
        return ["NOT_THERE"]

    def malformed(self) -> Sequence[str]:
        return ["", "a b", "1A", "A=B"]


def test_a_variable_that_is_no_text_is_given_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"\xff\xfe" + HUNTER.encode()
    monkeypatch.setenv("RAW", os.fsdecode(raw))
    monkeypatch.setenv("ACCENTS", "clé-de-voûte\n")
    assert SecretBytesReference("env://RAW").get_secret_value() == raw
    assert SecretBytesReference("env://ACCENTS").get_secret_value() == "clé-de-voûte\n".encode()
    assert get("env://ACCENTS") == "clé-de-voûte\n"
    with pytest.raises(SecretReferenceError, match="it is no UTF-8 text"):
        get("env://RAW")


class TestFiles(SecretSourceContract):
    @pytest.fixture(autouse=True)
    def _written(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        (tmp_path / "text").write_text(HUNTER + "\n")
        (tmp_path / "bytes").write_bytes(b"\xff" * 20 + b"\n")

    def make_source(self) -> Files:
        return Files()

    def known(self) -> Mapping[str, str | bytes]:
        return {f"{self.folder}/text": HUNTER, f"{self.folder}/bytes": b"\xff" * 20 + b"\n"}

    def unknown(self) -> Sequence[str]:
        return [f"{self.folder}/none", str(self.folder)]

    def malformed(self) -> Sequence[str]:
        return ["", "relative", "%00"]


class TestSavedBlocks(SecretSourceContract):
    @pytest.fixture(autouse=True)
    def _saved(self) -> None:
        Secret(value=HUNTER).save("there")

    def make_source(self) -> SavedBlocks:
        return SavedBlocks()

    def known(self) -> Mapping[str, str | bytes]:
        return {"secret/there": HUNTER, "secret/there/value": HUNTER}

    def unknown(self) -> Sequence[str]:
        return ["secret/there/other"]

    def malformed(self) -> Sequence[str]:
        return ["", "secret", "secret/", "/there", "secret/there/a b"]


class TestSecretsManager(SecretSourceContract):
    @pytest.fixture(autouse=True)
    def _filled(self, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto_server.endpoint_url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto_server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto_server.secret_key)
        monkeypatch.setenv("AWS_DEFAULT_REGION", moto_server.region)
        self.client = boto3.client("secretsmanager")
        for name, fields in {
            "prod/text": {"SecretString": HUNTER},
            "prod/json": {"SecretString": json.dumps({"password": HUNTER, "port": 5432})},
            "prod/bytes": {"SecretBinary": b"\xff" * 20},
        }.items():
            try:
                self.client.create_secret(Name=name, **fields)
            except self.client.exceptions.ResourceExistsException:
                self.client.put_secret_value(SecretId=name, **fields)

    def make_source(self) -> SecretsManager:
        return SecretsManager()

    def known(self) -> Mapping[str, str | bytes]:
        arn = self.client.describe_secret(SecretId="prod/text")["ARN"]
        return {"prod/text": HUNTER, "prod/json#password": HUNTER, "prod/bytes": b"\xff" * 20, arn: HUNTER}

    def unknown(self) -> Sequence[str]:
        return ["prod/none", "prod/json#none", "prod/text#none", "prod/bytes#none"]

    def malformed(self) -> Sequence[str]:
        return ["", "#key"]

    def test_a_rotated_secret_is_the_new_one_and_a_number_is_text(self) -> None:
        assert get("aws-sm://prod/json#port") == "5432"
        self.client.put_secret_value(SecretId="prod/text", SecretString="rotated-since")
        assert get("aws-sm://prod/text") == "rotated-since"
        assert SecretBytesReference("aws-sm://prod/bytes").get_secret_value() == b"\xff" * 20

    def test_errors_say_what_to_look_at(self, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
        with pytest.raises(SecretReferenceError, match="answered ResourceNotFoundException; check its name"):
            get("aws-sm://prod/none")
        with pytest.raises(SecretReferenceError, match="has no key 'none'; known: password, port"):
            get("aws-sm://prod/json#none")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{closed_port}")
        with pytest.raises(SecretReferenceError, match=r"cannot be asked \(EndpointConnectionError\); check network"):
            get("aws-sm://prod/text")


class TestVault(SecretSourceContract):
    @pytest.fixture(autouse=True)
    def _filled(self, vault_server: VaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VAULT_ADDR", vault_server.url)
        monkeypatch.setenv("VAULT_TOKEN", vault_server.token)
        monkeypatch.delenv("VAULT_NAMESPACE", raising=False)
        self.client = hvac.Client(url=vault_server.url, token=vault_server.token, timeout=60)
        # The engine is there, of the second version, a moment after the server is.
        vault_server.process.wait_until(lambda: self.write("prod/db", password=HUNTER, port=5432))
        self.write("prod/one", only=HUNTER)

    def write(self, path: str, **secret: object) -> None:
        self.client.secrets.kv.v2.create_or_update_secret(path=path, secret=secret, mount_point="secret")

    def make_source(self) -> Vault:
        return Vault()

    def known(self) -> Mapping[str, str | bytes]:
        return {"secret/prod/db#password": HUNTER, "secret/prod/one": HUNTER, "secret/prod/one#only": HUNTER}

    def unknown(self) -> Sequence[str]:
        return ["secret/prod/none#x", "secret/prod/db#none", "secret/prod/db", "nothing/prod/db#password"]

    def malformed(self) -> Sequence[str]:
        return ["", "secret", "secret/", "#key"]

    def test_the_newest_version_counts_and_a_deleted_one_is_gone(self) -> None:
        self.write("prod/rotated", password="first-one")
        self.write("prod/rotated", password="second-one")
        assert get("vault://secret/prod/rotated#password") == "second-one"
        self.client.secrets.kv.v2.delete_latest_version_of_secret(path="prod/rotated", mount_point="secret")
        with pytest.raises(SecretReferenceError, match="the server has nothing at prod/rotated under secret"):
            get("vault://secret/prod/rotated#password")

    def test_errors_say_what_to_look_at(self, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
        with pytest.raises(SecretReferenceError, match="has no key 'none'; known: password, port"):
            get("vault://secret/prod/db#none")
        monkeypatch.setenv("VAULT_TOKEN", "of-nobody")
        with pytest.raises(SecretReferenceError, match="refuses the token; check VAULT_TOKEN"):
            get("vault://secret/prod/db#password")
        monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{closed_port}")
        with pytest.raises(SecretReferenceError, match=r"cannot be asked \(ConnectionError\); check VAULT_ADDR"):
            get("vault://secret/prod/db#password")
        monkeypatch.delenv("VAULT_ADDR")
        with pytest.raises(SecretReferenceError, match="VAULT_ADDR is not set"):
            get("vault://secret/prod/db#password")


class TestFilesThatDoNotEnd:
    def test_a_pipe_a_device_and_a_folder_are_refused_at_once(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/tty"), tmp_path):
            with pytest.raises(SecretReferenceError, match=r"is no regular file|cannot be read"):
                Files().get(str(path))
        for each in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # that of the listing itself, and those of other threads
                assert not str(each.readlink()).startswith(str(tmp_path))

    def test_a_file_is_read_up_to_a_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "long"
        path.write_bytes(b"x" * (1 << 20))
        assert len(Files().get(str(path))) == 1 << 20
        with path.open("ab") as file:
            file.truncate(1 << 40)
        with pytest.raises(SecretReferenceError, match="longer than 1048576 bytes"):
            Files().get(str(path))
