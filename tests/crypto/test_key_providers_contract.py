"""Every built-in key provider meets the contract: on this machine, and against the real servers."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import keyring
import pytest
from keyring.backend import KeyringBackend
from servers import S3Server, VaultServer

from entrepot.crypto.aws_kms import AwsKmsKeyProvider
from entrepot.crypto.environment import EnvironmentKeyProvider
from entrepot.crypto.os_keyring import OsKeyProvider
from entrepot.crypto.passphrase import PASSPHRASE_VARIABLE, PassphraseKeyProvider
from entrepot.crypto.providers import FileKeyProvider
from entrepot.crypto.vault import VaultKeyProvider
from entrepot.protocols.keys import KeyProvider
from entrepot.testing import KeyProviderContract

Same = Callable[[], KeyProvider]


class TestFile(KeyProviderContract):
    @pytest.fixture
    def same(self, tmp_path: Path) -> Same:
        return lambda: FileKeyProvider.open("", {}, folder=tmp_path / "home")

    @pytest.fixture
    def provider(self, same: Same) -> KeyProvider:
        return same()


class TestEnvironment(KeyProviderContract):
    writes = False

    @pytest.fixture
    def provider(self, monkeypatch: pytest.MonkeyPatch) -> KeyProvider:
        self.set = monkeypatch.setenv
        return EnvironmentKeyProvider.open("MY_KEYS", {}, folder=Path("/nowhere"))

    def put(self, provider: KeyProvider, document: bytes) -> None:
        self.set("MY_KEYS", document.decode())


class TestPassphrase(KeyProviderContract):
    @pytest.fixture
    def same(self, quick_passphrases: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Same:
        monkeypatch.setenv(PASSPHRASE_VARIABLE, "correct horse battery staple")
        return lambda: PassphraseKeyProvider.open("", {}, folder=tmp_path / "home")

    @pytest.fixture
    def provider(self, same: Same) -> KeyProvider:
        return same()


class FolderBackend(KeyringBackend):
    """An operating system's keyring, as far as the library can tell: entries in a folder."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def _path(self, service: str, username: str) -> Path:
        return self.folder / json.dumps([service, username]).encode().hex()[-200:]

    def get_password(self, service: str, username: str) -> str | None:
        path = self._path(service, username)
        return path.read_text() if path.exists() else None

    def set_password(self, service: str, username: str, password: str) -> None:
        fresh = self.folder / f"new-{threading.get_ident()}"
        fresh.write_text(password)
        fresh.replace(self._path(service, username))


class TestOsKeyring(KeyProviderContract):
    @pytest.fixture(autouse=True)
    def backend(self, tmp_path: Path) -> Iterator[None]:
        (tmp_path / "entries").mkdir()
        before = keyring.get_keyring()
        keyring.set_keyring(FolderBackend(tmp_path / "entries"))
        yield
        keyring.set_keyring(before)

    @pytest.fixture
    def same(self, tmp_path: Path) -> Same:
        return lambda: OsKeyProvider.open("", {}, folder=tmp_path / "home")

    @pytest.fixture
    def provider(self, same: Same) -> KeyProvider:
        return same()


@pytest.fixture
def kms_key(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto_server.secret_key)
    client = boto3.client("kms", endpoint_url=moto_server.endpoint_url, region_name=moto_server.region)
    return str(client.create_key()["KeyMetadata"]["KeyId"])


class TestAwsKms(KeyProviderContract):
    @pytest.fixture
    def same(self, tmp_path: Path, kms_key: str, moto_server: S3Server) -> Same:
        options = {"endpoint_url": moto_server.endpoint_url, "region": moto_server.region}
        return lambda: AwsKmsKeyProvider.open(kms_key, options, folder=tmp_path / "home")

    @pytest.fixture
    def provider(self, same: Same) -> KeyProvider:
        return same()


class TestVault(KeyProviderContract):
    @pytest.fixture
    def same(self, tmp_path: Path, vault_server: VaultServer, monkeypatch: pytest.MonkeyPatch) -> Same:
        monkeypatch.setenv("VAULT_ADDR", vault_server.url)
        monkeypatch.setenv("VAULT_TOKEN", vault_server.token)
        name = vault_server.key()
        return lambda: VaultKeyProvider.open(name, {}, folder=tmp_path / "home")

    @pytest.fixture
    def provider(self, same: Same) -> KeyProvider:
        return same()
