"""Our own names: the table, the entry points in our metadata, and the classes behind them."""

import importlib.metadata
import tomllib
from pathlib import Path

import pytest

from entrepot.plugins import BLOCKS, KEY_PROVIDERS, SERIALIZERS, TASK_RUNNERS
from entrepot.plugins.builtin import (
    BLOCK_GROUP,
    BUILTINS,
    KEY_PROVIDER_GROUP,
    KNOWN_ELSEWHERE,
    SERIALIZER_GROUP,
    TASK_RUNNER_GROUP,
)

GROUPS = [BLOCK_GROUP, KEY_PROVIDER_GROUP, SERIALIZER_GROUP, TASK_RUNNER_GROUP]


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
    hints = " ".join(KNOWN_ELSEWHERE[BLOCK_GROUP].values())
    assert {part.split("]")[0] for part in hints.split("entrepot[")[1:]} <= extras.keys()


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
