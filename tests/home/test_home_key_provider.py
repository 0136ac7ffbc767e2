"""Which key provider a home has, and what becomes of running and of new processes when it does not answer."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from servers import S3Server, VaultServer

from entrepot import home
from entrepot.blocks.system import Secret
from entrepot.crypto.environment import EnvironmentKeyProvider
from entrepot.crypto.providers import FileKeyProvider
from entrepot.errors import (
    ConfigurationError,
    KeyProviderError,
    KeyringError,
    KeyringPermissionError,
    PluginLoadError,
    UnknownNameError,
)
from entrepot.keys import rotating
from entrepot_test_proxy import FaultyProxy

LOAD = "from entrepot.blocks.system import Secret; print(Secret.load('one').get())"


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


@pytest.fixture(autouse=True)
def _fresh(quick_passphrases: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "_rings", {})
    monkeypatch.setattr(home, "_providers", {})


class TestChoice:
    def test_is_the_file_or_the_variable_where_nothing_is_set(
        self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert isinstance(home.key_provider(), FileKeyProvider)
        monkeypatch.setenv("ENTREPOT_KEYRING", "{}")
        assert isinstance(home.key_provider(), EnvironmentKeyProvider)

    def test_is_what_the_setting_names(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_KEYRING", "{}")
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"file:{tmp_path / 'mine.json'}")
        assert home.key_provider().location == str(tmp_path / "mine.json")
        assert home.ring().location == str(tmp_path / "mine.json")
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "environment:OTHER_KEYS")
        assert home.key_provider().location == "$OTHER_KEYS"

    @pytest.mark.parametrize(
        ("spec", "error", "why"),
        [
            ("nowhere", UnknownNameError, "no key provider named 'nowhere'"),
            ("kms", UnknownNameError, "aws-kms"),
            ("aws-kms", ConfigurationError, "aws-kms:alias/entrepot"),
            ("vault", ConfigurationError, "vault:entrepot"),
            ("file:x?mode=1", ConfigurationError, "takes none"),
            ("aws-kms:alias/x?regoin=eu", ConfigurationError, "region, endpoint_url"),
            ("passphrase?passphrase_file=", ConfigurationError, "names no file"),
        ],
    )
    def test_what_it_cannot_be_is_said(
        self, spec: str, error: type[Exception], why: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", spec)
        with pytest.raises(error, match=why):
            home.ring()

    def test_a_library_that_is_not_installed_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "vault:x")
        monkeypatch.setitem(sys.modules, "hvac", None)
        monkeypatch.delitem(sys.modules, "entrepot.crypto.vault", raising=False)
        monkeypatch.setattr(home.KEY_PROVIDERS, "_resolved", {})
        with pytest.raises(PluginLoadError, match=r'pip install "entrepot\[vault\]"'):
            home.ring()
        home.KEY_PROVIDERS.forget("vault")

    def test_what_cannot_be_opened_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "odd")
        monkeypatch.setattr(home.KEY_PROVIDERS, "_builtins", {"odd": "pathlib:PurePath"})
        with pytest.raises(PluginLoadError, match="no class method `open`"):
            home.ring()


class TestPassphrase:
    def test_the_keyring_is_sealed_and_opens_in_another_process(
        self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "passphrase")
        monkeypatch.setenv("ENTREPOT_KEYRING_PASSPHRASE", "correct horse battery staple")
        Secret(value="sesame").save("one")
        assert b"material" not in (entrepot_home / "keyring.json").read_bytes()
        assert run(LOAD).stdout.strip() == "sesame"
        monkeypatch.setenv("ENTREPOT_KEYRING_PASSPHRASE", "correct horse battery stable")
        failed = run(LOAD)
        assert "KeyringError" in failed.stderr
        assert "does not open" in failed.stderr
        assert "horse" not in failed.stderr

    def test_it_can_come_from_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "secret").write_text("correct horse battery staple\n")
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"passphrase?passphrase_file={tmp_path / 'secret'}")
        Secret(value="sesame").save("one")
        assert Secret.load("one").get() == "sesame"

    def test_without_one_nothing_is_made(self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "passphrase")
        with pytest.raises(KeyProviderError, match="ENTREPOT_KEYRING_PASSPHRASE") as caught:
            home.ring()
        assert caught.value.provider == "passphrase"
        monkeypatch.setenv("ENTREPOT_KEYRING_PASSPHRASE", "short")
        with pytest.raises(KeyringError, match="is not taken"):
            home.ring()
        assert not (entrepot_home / "keyring.json").exists()

    def test_a_sealed_keyring_names_its_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "passphrase")
        monkeypatch.setenv("ENTREPOT_KEYRING_PASSPHRASE", "correct horse battery staple")
        home.ring()
        monkeypatch.delenv("ENTREPOT_KEY_PROVIDER")
        with pytest.raises(KeyringError, match="'passphrase': set ENTREPOT_KEY_PROVIDER"):
            home.ring()

    def test_others_may_not_read_even_a_sealed_one(self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "passphrase")
        monkeypatch.setenv("ENTREPOT_KEYRING_PASSPHRASE", "correct horse battery staple")
        home.ring()
        (entrepot_home / "keyring.json").chmod(0o644)
        with pytest.raises(KeyringPermissionError):
            home.ring()


def test_kms_that_went_away_leaves_running_processes_working_and_new_ones_closed(
    moto_server: S3Server, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server, proxy = moto_server, FaultyProxy(moto_server.endpoint_url, rate=0, seed=0)
    port = proxy.port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("kms", endpoint_url=server.endpoint_url, region_name=server.region)
    key = client.create_key()["KeyMetadata"]["KeyId"]
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"aws-kms:{key}?endpoint_url={port.endpoint}&region={server.region}")
    try:
        Secret(value="sesame").save("one")
        rotating.stage(home.key_provider(), ["block"])
        rotating.promote(home.key_provider(), ["block"])
        ring = home.ring()
    finally:
        proxy.close()
    assert Secret.load("one").get() == "sesame"
    path = entrepot_home / "keyring.json"
    monkeypatch.setattr(home, "_PATIENCE", 3600.0)
    os.utime(path, (0, 0))  # it looks changed, whatever the steps of the file's times: it would be read again
    with caplog.at_level("WARNING", "entrepot.keys"):
        assert Secret.load("one").get() == "sesame"
        Secret(value="still").save("two")
        assert home.ring() is ring
    assert len([record for record in caplog.records if record.name == "entrepot.keys"]) == 1, "it is not asked again"
    failed = run(LOAD)
    assert failed.returncode != 0
    assert f"the key {key} of the key provider aws-kms, which does not answer" in failed.stderr


def test_vault_that_refuses_closes_new_processes(vault_server: VaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_ADDR", vault_server.url)
    monkeypatch.setenv("VAULT_TOKEN", vault_server.token)
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"vault:{vault_server.key()}")
    Secret(value="sesame").save("one")
    monkeypatch.setenv("VAULT_TOKEN", "another")
    assert Secret.load("one").get() == "sesame", "the keys are in memory"
    home._rings.clear()  # as a new process
    with pytest.raises(KeyProviderError, match=r"key provider vault, which refuses it.*VAULT_TOKEN") as caught:
        Secret.load("one")
    assert caught.value.provider == "vault"
    monkeypatch.setenv("VAULT_ADDR", "http://127.0.0.1:9")
    with pytest.raises(KeyProviderError, match="does not answer"):
        home.ring()
