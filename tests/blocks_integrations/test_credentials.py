"""`DockerRegistryCredentials` and `KubernetesClusterConfig`: data that tools take."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from entrepot.blocks import DockerRegistryCredentials, KubernetesClusterConfig
from entrepot.errors import ConfigurationError
from entrepot_test_secrets import leaks, our_frames

SECRET = "hush-the-token"
CONFIG: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "dev",
    "clusters": [{"name": "one", "cluster": {"server": "https://k8s.example.test:6443"}}],
    "users": [{"name": "me", "user": {"token": SECRET}}],
    "contexts": [
        {"name": "dev", "context": {"cluster": "one", "user": "me"}},
        {"name": "broken", "context": {"cluster": "two", "user": "me"}},
    ],
}


def test_docker_credentials_are_what_clients_take() -> None:
    block = DockerRegistryCredentials(username="me", password=SECRET, registry_url="ghcr.io")
    block.save("registry")
    loaded = DockerRegistryCredentials.load("registry")
    assert loaded.auth_config() == {"username": "me", "password": SECRET, "registry": "ghcr.io"}
    auth = json.loads(loaded.config_json())["auths"]["ghcr.io"]["auth"]
    assert base64.b64decode(auth).decode() == f"me:{SECRET}"
    assert not leaks(f"{block!r} {block.model_dump_json()}", SECRET)


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump], ids=["json", "yaml"])
def test_a_kubeconfig_is_read_saved_and_given_back(tmp_path: Path, write: Any) -> None:
    (tmp_path / "config").write_text(write(CONFIG))
    block = KubernetesClusterConfig.from_file(tmp_path / "config")
    assert block.context_name == "dev"
    block.save("cluster")
    loaded = KubernetesClusterConfig.load("cluster")
    assert loaded.as_dict() == CONFIG
    assert "https://k8s.example.test:6443" in loaded.check()
    assert not leaks(f"{block!r} {block.model_dump_json()}", SECRET)
    assert KubernetesClusterConfig(config=CONFIG, context_name="dev").as_dict() == CONFIG


@pytest.mark.parametrize(
    ("content", "context", "match"),
    [
        (json.dumps(CONFIG), "nosuch", "no context 'nosuch'; known: broken, dev"),
        (json.dumps(CONFIG), "broken", "no cluster 'two'; known: one"),
        ("[1, 2]", "dev", "no mapping"),
        ("a: [", "dev", "neither JSON nor YAML"),
        ("{}", None, "no context ''; known: none"),
    ],
)
def test_what_is_no_kubeconfig_is_one_clear_error(
    tmp_path: Path, content: str, context: str | None, match: str
) -> None:
    (tmp_path / "config").write_text(content)
    with pytest.raises(ConfigurationError, match=match):
        KubernetesClusterConfig.from_file(tmp_path / "config", context)


def test_a_file_that_is_not_there_is_one_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the kubeconfig"):
        KubernetesClusterConfig.from_file(tmp_path / "absent")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({**CONFIG, "clusters": 5}),
        json.dumps({**CONFIG, "contexts": [{"name": "dev", "context": SECRET}]}),
        yaml.safe_dump({**CONFIG, "users": []}),
        f"a: 2020-13-45\nb: {SECRET}",
        f"b: {SECRET}\n" + "[" * 100_000,
    ],
)
def test_an_odd_kubeconfig_is_one_error_that_leads_to_no_secret(tmp_path: Path, content: str) -> None:
    (tmp_path / "config").write_text(content)
    for act in (
        lambda: KubernetesClusterConfig.from_file(tmp_path / "config", "dev"),
        lambda: KubernetesClusterConfig(config=content, context_name="dev").check(),
    ):
        with pytest.raises(ConfigurationError) as caught:
            act()
        assert not leaks(our_frames(caught.value), SECRET)


def test_a_docker_user_has_no_colon() -> None:
    with pytest.raises(ValidationError, match="colon"):
        DockerRegistryCredentials(username="a:b", password=SECRET)
