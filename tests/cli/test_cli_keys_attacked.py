"""What people and accidents do to `entrepot keys`: wrong files and places, a full disk, Ctrl-C, services that fail."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from servers import S3Server, VaultServer

from entrepot import home
from entrepot.blocks import BlockDocuments, Secret, String
from entrepot.errors import ConfigurationError, KeyProviderError
from entrepot.keys import rotating
from entrepot_test_full import Disk, small_disk

from .conftest import Invoke

GOOD = "correct horse battery staple"

pytestmark = pytest.mark.usefixtures("quick_passphrases")


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    (tmp_path / "passphrase.txt").write_text(GOOD + "\n")
    return str(tmp_path / "passphrase.txt")


def states() -> set[str]:
    return {key.state for key in home.ring().all_keys()}


class TestSlips:
    @pytest.mark.parametrize(
        "setting", ["file:keys.json", "passphrase:keys.json", "vault:k?file=k", "aws-kms:k?file=k"]
    )
    def test_a_relative_place_would_be_another_one_in_each_folder(
        self, setting: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", setting)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ConfigurationError, match="another one in each working folder: write the whole path"):
            home.key_provider()
        assert "working folder" in invoke("keys", "init", exit_code=1).stderr
        assert list(tmp_path.rglob("*.json")) == []

    def test_a_key_that_is_not_there_is_offered_those_that_are(self, invoke: Invoke) -> None:
        key = home.ring().primary("block").id
        for command in (["disable"], ["enable"], ["destroy", "--yes"]):
            assert key in invoke("keys", *command, "k123", exit_code=1).stderr

    def test_a_staged_key_is_not_enabled_past_its_rotation(self, invoke: Invoke) -> None:
        invoke("keys", "rotate", "--stage-only", "--purpose", "block")
        (staged,) = [key.id for key in home.ring().all_keys() if key.state == "staged"]
        said = invoke("keys", "enable", staged, exit_code=1).stderr
        assert "entrepot keys rotate --purpose block" in said
        invoke("keys", "rotate", "--purpose", "block")
        assert home.ring().primary("block").id == staged

    def test_nobody_is_asked_for_a_passphrase_for_a_file_that_cannot_be(self, invoke: Invoke, tmp_path: Path) -> None:
        home.ring()
        (tmp_path / "there").write_text("x")
        (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
        for name in ("there", "dangling"):
            said = invoke("keys", "export", str(tmp_path / name), exit_code=1).stderr
            assert "is there already" in said, "and not that there is nobody to ask"
        assert "No such file" in invoke("keys", "import", str(tmp_path / "absent"), exit_code=1).stderr
        assert not (tmp_path / "nowhere").exists()

    def test_a_passphrase_on_the_command_line_is_refused_and_not_repeated(self, invoke: Invoke, tmp_path: Path) -> None:
        for words in (["--passphrase", GOOD], [f"--passphrase={GOOD}"]):
            said = invoke("keys", "export", str(tmp_path / "x"), *words, exit_code=2)
            assert "--passphrase-file" in said.stderr
            assert GOOD not in said.stderr

    def test_a_keyring_under_which_nothing_here_was_sealed_is_not_imported(
        self, invoke: Invoke, tmp_path: Path, secret_file: str, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Secret(value="s").save("one")
        right, wrong = str(tmp_path / "right"), str(tmp_path / "wrong")
        invoke("keys", "export", right, "--passphrase-file", secret_file)
        (entrepot_home / "keyring.json").rename(tmp_path / "away.json")
        with monkeypatch.context() as patch:
            patch.setenv("ENTREPOT_HOME", str(tmp_path / "other"))
            invoke("keys", "init")
            invoke("keys", "export", wrong, "--passphrase-file", secret_file)
        said = invoke("keys", "import", wrong, "--passphrase-file", secret_file, exit_code=1).stderr
        assert "no block here was sealed under it: version 1 of the block secret/one" in said
        assert not (entrepot_home / "keyring.json").exists()
        invoke("keys", "import", right, "--passphrase-file", secret_file)
        assert Secret.load("one").get() == "s"
        (entrepot_home / "keyring.json").unlink()
        invoke("keys", "import", wrong, "--passphrase-file", secret_file, "--force")
        assert "another keyring" in invoke("keys", "doctor", exit_code=1).stdout


class TestAccidents:
    def test_ctrl_c_stops_a_rotation_and_says_how_to_go_on(
        self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(30):
            String(value="x").save(f"s{number}")
        seen: list[object] = []
        reseal = BlockDocuments.reseal

        def interrupted(self: BlockDocuments, *args: Any) -> bytes | None:
            seen.append(args)
            if len(seen) == 10:
                raise KeyboardInterrupt
            return reseal(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(BlockDocuments, "reseal", interrupted)
            said = invoke("keys", "rotate", "--purpose", "block", exit_code=130).stderr
        assert said.endswith("what is left is sealed again by: entrepot keys rewrap\n")
        assert String.load("s29").value == "x"
        invoke("keys", "rewrap")
        assert {place["count"] for place in _primary(invoke)["places"]} == {30}

    def test_programs_that_rotate_at_the_same_moment_lose_no_key_and_no_block(self, invoke: Invoke) -> None:
        for number in range(10):
            String(value=str(number)).save(f"s{number}")
        command = [sys.executable, "-m", "entrepot", "keys", "rotate", "--purpose", "block"]
        running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for each in running:
            said = each.communicate(timeout=120)[1]
            assert each.returncode == 0, said
        assert [String.load(f"s{number}").value for number in range(10)] == [str(number) for number in range(10)]
        invoke("keys", "rewrap")
        assert {place["count"] for place in _primary(invoke)["places"]} == {10}
        assert states() == {"enabled"}
        assert "0 problems" in invoke("keys", "doctor").stderr

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Disk]:
        with small_disk(tmp_path / "disk") as disk:
            yield disk

    def test_a_full_disk_leaves_keys_blocks_and_no_half_export(
        self, disk: Disk, invoke: Invoke, secret_file: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_HOME", str(disk.path / "home"))
        Secret(value="s").save("one")
        old = home.ring().primary("block").id
        disk.fill()
        said = invoke("keys", "rotate", exit_code=1).stderr
        assert "No space left" in said
        assert home.ring().primary("block").id == old
        assert Secret.load("one").get() == "s"
        out = disk.path / "out"
        assert (
            "No space left" in invoke("keys", "export", str(out), "--passphrase-file", secret_file, exit_code=1).stderr
        )
        assert not out.exists()
        assert list(disk.path.rglob("*.tmp")) == []
        disk.free()
        invoke("keys", "rotate")
        assert Secret.load("one").get() == "s"


def _primary(invoke: Invoke) -> Any:
    (key,) = [
        each
        for each in invoke("keys", "status", "--json").data["keys"]
        if each["primary"] and each["purpose"] == "block"
    ]
    return key


class TestServices:
    """A provider that is down: new programs end and say why, running ones go on, and nothing is half changed."""

    @pytest.fixture
    def vault(self, vault_server: VaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VAULT_ADDR", vault_server.url)
        monkeypatch.setenv("VAULT_TOKEN", vault_server.token)
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"vault:{vault_server.key()}")

    @pytest.mark.usefixtures("vault")
    def test_vault(self, program: Invoke, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Secret(value="s").save("one")
        before = (entrepot_home / "keyring.json").read_bytes()
        monkeypatch.setenv("VAULT_TOKEN", "revoked-0123456789")
        said = program("keys", "rotate")
        assert said.exit_code == 1
        assert "VAULT_TOKEN" in said.stderr
        assert "revoked-0123456789" not in said.stdout + said.stderr
        with pytest.raises(KeyProviderError):
            rotating.stage(home.key_provider(), ["block"])
        assert (entrepot_home / "keyring.json").read_bytes() == before
        assert Secret.load("one").get() == "s", "this program has the keys"
        Secret(value="t").save("two")
        assert Secret.load("two").get() == "t"

    def test_an_alias_of_kms_that_was_moved_is_named(
        self, moto_server: S3Server, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto_server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto_server.secret_key)
        client = boto3.client("kms", endpoint_url=moto_server.endpoint_url, region_name=moto_server.region)
        first, second = (str(client.create_key()["KeyMetadata"]["KeyId"]) for _ in range(2))
        alias = f"alias/{first}"
        client.create_alias(AliasName=alias, TargetKeyId=first)
        where = f"?endpoint_url={moto_server.endpoint_url}&region={moto_server.region}"
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"aws-kms:{alias}{where}")
        home.ring()
        client.update_alias(AliasName=alias, TargetKeyId=second)
        said = invoke("keys", "rotate", exit_code=1).stderr
        assert first in said
        assert "has an alias moved since?" in said
        monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", f"aws-kms:{first}{where}")
        assert "is the primary one now" in invoke("keys", "rotate").stderr
