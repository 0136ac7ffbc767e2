"""Our own names: the table, the entry points in our metadata, and the classes behind them."""

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from entrepot.plugins import BLOCKS, KEY_PROVIDERS, SERIALIZERS, TASK_RUNNERS
from entrepot.plugins.builtin import (
    BLOCK_GROUP,
    BUILTINS,
    EXTRAS,
    KEY_PROVIDER_GROUP,
    KNOWN_ELSEWHERE,
    SECRET_SOURCE_GROUP,
    SERIALIZER_GROUP,
    TASK_RUNNER_GROUP,
)

GROUPS = [BLOCK_GROUP, KEY_PROVIDER_GROUP, SECRET_SOURCE_GROUP, SERIALIZER_GROUP, TASK_RUNNER_GROUP]


@pytest.mark.parametrize("group", GROUPS)
def test_the_table_equals_the_entry_points_of_the_installed_distribution(group: str) -> None:
    points = importlib.metadata.distribution("entrepot").entry_points.select(group=group)
    assert {point.name: point.value for point in points} == BUILTINS[group]


def test_the_table_equals_pyproject() -> None:
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    points = tomllib.loads(pyproject.read_text())["project"]["entry-points"]
    assert {group: points[group] for group in points if group in GROUPS} == BUILTINS


def test_hints_are_only_for_names_that_we_do_not_have() -> None:
    for group in GROUPS:
        assert not KNOWN_ELSEWHERE[group].keys() & BUILTINS[group].keys()


def test_hints_name_extras_that_exist() -> None:
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"]
    hints = " ".join((*KNOWN_ELSEWHERE[BLOCK_GROUP].values(), *(f"{each} " for each in EXTRAS.values())))
    assert {part.split("]")[0] for part in hints.split("entrepot[")[1:]} <= extras.keys()


_WITHOUT_EXTRAS = """
import json, sys
from entrepot.plugins.builtin import EXTRAS
sys.modules |= dict.fromkeys([*EXTRAS, "adlfs", "apprise", "gcsfs", "paramiko", "s3fs", "sqlalchemy", "yaml"])
from entrepot.errors import PluginLoadError
from entrepot.plugins import BLOCKS, KEY_PROVIDERS, SECRET_SOURCES, SERIALIZERS, TASK_RUNNERS
said = {}
for registry in (BLOCKS, KEY_PROVIDERS, SECRET_SOURCES, SERIALIZERS, TASK_RUNNERS):
    for name in registry.names():
        try:
            registry.get(name)
        except PluginLoadError as error:
            said[f"{registry.group} {name}"] = str(error)
print(json.dumps(said))
"""


def test_what_lacks_its_library_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT_EXTRAS], capture_output=True, check=True)
    advised = {name: message.rpartition("; ")[2] for name, message in json.loads(done.stdout).items()}
    assert advised == {
        "entrepot.key_providers aws-kms": 'run: pip install "entrepot[aws]"',
        "entrepot.key_providers keyring": 'run: pip install "entrepot[keyring]"',
        "entrepot.key_providers vault": 'run: pip install "entrepot[vault]"',
        "entrepot.secret_sources aws-sm": 'run: pip install "entrepot[aws]"',
        "entrepot.secret_sources vault": 'run: pip install "entrepot[vault]"',
        "entrepot.serializers arrow": 'run: pip install "entrepot[frames]"',
        "entrepot.serializers npy": 'run: pip install "numpy"',
        "entrepot.serializers parquet": 'run: pip install "entrepot[frames]"',
    }


@pytest.mark.parametrize("name", sorted(BUILTINS[BLOCK_GROUP]))
def test_every_builtin_block_loads_and_calls_itself_by_its_name(name: str) -> None:
    assert BLOCKS.get(name).get_block_type_slug() == name


@pytest.mark.parametrize("name", sorted(BUILTINS[KEY_PROVIDER_GROUP]))
def test_every_builtin_key_provider_loads_and_can_be_opened(name: str) -> None:
    assert callable(KEY_PROVIDERS.get(name).open)


@pytest.mark.parametrize("name", sorted(BUILTINS[SERIALIZER_GROUP]))
def test_every_builtin_serializer_loads_and_calls_itself_by_its_name(name: str) -> None:
    assert SERIALIZERS.get(name)().name == name


@pytest.mark.parametrize("name", sorted(BUILTINS[TASK_RUNNER_GROUP]))
def test_every_builtin_task_runner_loads_and_calls_itself_by_its_name(name: str) -> None:
    assert TASK_RUNNERS.get(name)().name == name
