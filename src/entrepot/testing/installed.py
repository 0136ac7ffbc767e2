"""The contracts that the plugins of an installed distribution have to meet, as classes of tests.

`entrepot plugins check` runs them. Where a plugin's manifest names a contract of its own (a subclass of ours, which
knows how to make one, or which values it takes), that is the one; else there is one that does its best.
"""

import importlib
import types
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import pytest

from entrepot import testing
from entrepot.blocks.core import Block
from entrepot.errors import PluginLoadError, SerializationError
from entrepot.plugins.discovery import Claim
from entrepot.plugins.distributions import plugin_distribution
from entrepot.testing._examples import example_of
from entrepot.testing.registries import ordered_claims, registry_for

__all__ = ["CONTRACTS", "contracts_of"]

CONTRACTS: Final = {
    "entrepot.blocks": ("BlockContract", "StorageContract"),
    "entrepot.hashers": ("HasherContract",),
    "entrepot.serializers": ("SerializerContract",),
    "entrepot.task_runners": ("TaskRunnerContract",),
    "entrepot.key_providers": ("KeyProviderContract",),
    "entrepot.secret_sources": ("SecretSourceContract",),
}
"""Names of the contracts in `entrepot.testing` by group; the first is the one that goes without saying."""


def contracts_of(distribution: str, first: int = 0) -> dict[str, type]:
    """Return a class of tests for each plugin of a distribution, as `Test<number>` in the order of `ordered_claims`.

    A contract of its own that cannot be had is one test that fails: the others are run.

    Args:
        distribution: Its name.
        first: The number of the first plugin to test.
    """
    found = plugin_distribution(distribution)
    made: dict[str, type] = {}
    for number, (group, claim) in enumerate(ordered_claims(found)):
        if number < first:
            continue
        entry = None if found.manifest is None else found.manifest.entry(group, claim.name)
        own = entry.contract if entry is not None else ""
        try:
            base = _own_contract(group, claim, own) if own else _default_contract(group, claim)
        except Exception as error:  # noqa: BLE001  whatever a plugin raises
            base = _broken_contract(error)
        if base is not None:
            made[f"Test{number}"] = types.new_class(f"Test{number}", (base,))
    return made


def _own_contract(group: str, claim: Claim, target: str) -> type:
    module, _, name = target.partition(":")
    contract = getattr(importlib.import_module(module), name)
    ours = tuple(getattr(testing, known) for known in CONTRACTS[group])
    if not (isinstance(contract, type) and issubclass(contract, ours)):
        raise PluginLoadError(
            f"the contract {target} of {claim.name!r} is no subclass of {' or '.join(CONTRACTS[group])}",
            group=group,
            name=claim.name,
            distribution=claim.distribution,
        )
    return contract


def _broken_contract(error: Exception) -> type:
    def test_its_contract_can_be_had(self: object) -> None:  # noqa: ARG001  a method
        raise error

    return type("Broken", (), {"test_its_contract_can_be_had": test_its_contract_can_be_had})


def _default_contract(group: str, claim: Claim) -> type | None:
    make = _DEFAULTS.get(group)
    return None if make is None else make(registry_for(group).get(claim.name))


def _block_contract(cls: type[Block]) -> type:
    def make_block(self: object) -> Block:  # noqa: ARG001  a method
        return example_of(cls)

    return type("Default", (testing.BlockContract,), {"make_block": make_block})


def _serializer_contract(cls: type[Any]) -> type:
    usual = testing.SerializerContract.values

    def make_serializer(self: object) -> Any:  # noqa: ARG001  a method
        return cls()

    def values(self: Any) -> Iterable[object]:
        taken = []
        for value in usual(self):
            with suppress(SerializationError):
                cls().dumps(value)
                taken.append(value)
        if not taken:
            raise AssertionError("it takes none of the usual values: name a contract in the manifest that has its own")
        return taken

    return type("Default", (testing.SerializerContract,), {"make_serializer": make_serializer, "values": values})


def _task_runner_contract(cls: type[Any]) -> type:
    def task_runner(self: object) -> Any:  # noqa: ARG001  a method
        return cls()

    return type("Default", (testing.TaskRunnerContract,), {"task_runner": pytest.fixture(task_runner)})


_DEFAULTS: Final[dict[str, Callable[[Any], type]]] = {
    "entrepot.blocks": _block_contract,
    "entrepot.serializers": _serializer_contract,
    "entrepot.task_runners": _task_runner_contract,
}
