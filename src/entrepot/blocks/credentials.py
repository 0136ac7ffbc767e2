"""Credentials of container tools, as data: for Docker registries and Kubernetes clusters."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field, SecretStr, field_validator

from entrepot.blocks._quiet import call_quietly
from entrepot.blocks.core import Block
from entrepot.errors import ConfigurationError

__all__ = ["DockerRegistryCredentials", "KubernetesClusterConfig"]

T = TypeVar("T")


class DockerRegistryCredentials(Block):
    """How to log in to a registry of container images. Nothing is contacted: tools that pull and push take it."""

    _block_type_name: ClassVar[str] = "Docker Registry Credentials"
    _block_type_slug: ClassVar[str] = "docker-registry-credentials"
    _description: ClassVar[str] = "User and password of a registry of container images."

    username: str = Field(description="Who logs in; some registries want a fixed name here, such as '_json_key'.")
    password: SecretStr = Field(description="The password, or an access token.")
    registry_url: str = Field(
        default="https://index.docker.io/v1/", description="The registry: 'ghcr.io'; by default Docker Hub."
    )

    @field_validator("username")
    @classmethod
    def _check_username(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("a user name cannot have a colon in it: it ends the name")
        return value

    def auth_config(self) -> dict[str, str]:
        """Return what docker-py's `login(**...)` and `pull(auth_config=...)` take, in clear."""
        return {
            "username": self.username,
            "password": self.password.get_secret_value(),
            "registry": self.registry_url,
        }

    def config_json(self) -> str:
        """Return a `~/.docker/config.json` for this registry, in clear: what `docker --config DIR` reads.

        A Kubernetes secret of type `kubernetes.io/dockerconfigjson` holds the same text.
        """
        pair = f"{self.username}:{self.password.get_secret_value()}".encode()
        return json.dumps({"auths": {self.registry_url: {"auth": base64.b64encode(pair).decode()}}})


class KubernetesClusterConfig(Block):
    """A kubeconfig: clusters, users and contexts. Nothing is contacted: clients of Kubernetes take it."""

    _block_type_name: ClassVar[str] = "Kubernetes Cluster Config"
    _block_type_slug: ClassVar[str] = "kubernetes-cluster-config"
    _description: ClassVar[str] = "How to reach a Kubernetes cluster: a kubeconfig, and one of its contexts."

    config: SecretStr = Field(description="The kubeconfig, as JSON or YAML; a secret, since keys and tokens are in it.")
    context_name: str = Field(description="Which of its contexts to use.")

    @field_validator("config", mode="before")
    @classmethod
    def _take_dict(cls, value: Any) -> Any:
        return json.dumps(value) if isinstance(value, dict) else value

    @classmethod
    def from_file(cls, path: str | Path | None = None, context_name: str | None = None) -> Self:
        """Read a kubeconfig.

        Args:
            path: The file; by default `~/.kube/config`.
            context_name: Which context; by default its current one.

        Raises:
            ConfigurationError: If the file cannot be read or parsed, or has no such context.
        """
        file = Path(path).expanduser() if path is not None else Path.home() / ".kube" / "config"
        try:
            text = file.read_text()
        except (OSError, UnicodeError) as error:
            raise ConfigurationError(
                f"cannot read the kubeconfig {file}: {type(error).__name__}", setting="config"
            ) from error
        config = SecretStr(text)
        del text  # tracebacks can be logged with the locals of every frame
        chosen = context_name or str(_quietly(lambda: _parsed(config)).get("current-context") or "")
        found = cls(config=config, context_name=chosen)
        found.check()
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the kubeconfig with this context as its current one, in clear.

        It is what `kubernetes.config.load_kube_config_from_dict` takes.

        Raises:
            ConfigurationError: If the text is neither JSON nor YAML, or not that of a kubeconfig.
        """
        return {**_quietly(lambda: _parsed(self.config)), "current-context": self.context_name}

    def check(self) -> str:
        """See that the context, its cluster and its user are there; return which, for people. Nothing is contacted.

        Raises:
            ConfigurationError: If one is not.
        """
        return _quietly(self._checked)

    def _checked(self) -> str:
        config = _parsed(self.config)
        context = _entry(config, "contexts", self.context_name)
        cluster = _entry(config, "clusters", str(context.get("cluster")))
        _entry(config, "users", str(context.get("user")))
        server = str(cluster.get("server", "a cluster without an address"))
        if "@" in server:
            server = "a cluster whose address has a user in it"
        return f"context {self.context_name!r}: {server} (not contacted)"


def _quietly(call: Callable[[], T]) -> T:
    """Return what a call returns; an error of it leads to no frame that has the kubeconfig in clear."""
    return call_quietly(
        call, lambda error: ConfigurationError(f"it is no kubeconfig ({type(error).__name__})", setting="config")
    )


def _parsed(secret: SecretStr) -> dict[str, Any]:
    text = secret.get_secret_value()
    try:
        found = json.loads(text)
    except ValueError:
        found = _parsed_yaml(text)
    if not isinstance(found, dict):
        raise ConfigurationError("the kubeconfig is no mapping", setting="config")
    return found


def _parsed_yaml(text: str) -> object:
    try:
        import yaml  # noqa: PLC0415  only who has YAML needs it
    except ImportError:
        raise ConfigurationError(
            'the kubeconfig is no JSON; to read YAML run: pip install "entrepot[yaml]", or save it as JSON:'
            " kubectl config view --raw --flatten -o json",
            setting="config",
        ) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise ConfigurationError("the kubeconfig is neither JSON nor YAML", setting="config") from None


def _entry(config: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    """Return what stands under a name.

    Raises:
        ConfigurationError: If nothing does; tells the names that are there.
    """
    listed = config.get(kind)
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    for entry in entries:
        if entry.get("name") == name:
            found = entry.get(kind[:-1]) or {}
            if isinstance(found, dict):
                return found
            raise ConfigurationError(f"the {kind[:-1]} {name!r} in the kubeconfig is no mapping", setting="config")
    known = ", ".join(sorted(str(entry.get("name")) for entry in entries)) or "none"
    raise ConfigurationError(f"the kubeconfig has no {kind[:-1]} {name!r}; known: {known}", setting="context_name")
