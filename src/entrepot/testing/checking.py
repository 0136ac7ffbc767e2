"""Checking an installed distribution of plugins: its manifest, that they load, and that they keep the contracts."""

import importlib.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from entrepot.errors import ConfigurationError
from entrepot.plugins.discovery import Claim
from entrepot.plugins.distributions import PluginDistribution, plugin_distribution
from entrepot.testing._children import Ended, run_child
from entrepot.testing._findings import Finding, Outcome
from entrepot.testing.manifests import how_to_make
from entrepot.testing.registries import ordered_claims

__all__ = ["PATIENCE", "Finding", "Outcome", "check_plugins"]

PATIENCE: Final = 900.0
"""Seconds after which what loads or tests plugins is stopped, if nobody says otherwise."""

_MODULE: Final = """
from entrepot.testing.installed import contracts_of
globals().update(contracts_of({name!r}, {first!r}))
"""
_HOOKS: Final = "from entrepot.testing._reporting import *\n"
_NO_TESTS: Final = 5  # pytest's exit code, as are these
_DONE: Final = frozenset({0, 1})


def check_plugins(distribution: str, *, patience: float = PATIENCE) -> list[Finding]:
    """Return what was found about the plugins of an installed distribution.

    They are loaded, and the contracts run against them, in processes of their own with an empty home: one that hangs,
    exits or crashes is found to do that, and the others are checked.

    Args:
        distribution: Its name.
        patience: Seconds after which such a process is stopped.

    Raises:
        UnknownNameError: If no installed distribution of this name has plugins.
        ConfigurationError: If pytest is not installed, which the contracts need.
    """
    if importlib.util.find_spec("pytest") is None:
        raise ConfigurationError(
            "the contracts need pytest, which is not installed; run: pip install pytest", setting="pytest"
        )
    found = plugin_distribution(distribution)
    if found.refusal:
        return [Finding("", "", "allowed", "failed", f"{found.name} is not allowed here: {found.refusal}")]
    findings = [*_manifest_findings(found), *_load_findings(found, patience)]
    if not any(finding.outcome == "failed" and finding.check == "loads" for finding in findings):
        findings += _contract_findings(found, patience)
    return findings


def _manifest_findings(found: PluginDistribution) -> Iterator[Finding]:
    if found.trouble:
        yield Finding("", "", "manifest", "failed", found.trouble)
        return
    if found.manifest is None:
        yield Finding("", "", "manifest", "skipped", "it has none; `entrepot plugins manifest` makes one")
        return
    complaints = [
        *(f"it declares {group} {name}, and no entry point does"
          for group, names in found.manifest.plugins.items() for name in names
          if name not in found.claims.get(group, {})),
        *(f"it does not declare {group} {name}"
          for group, names in found.claims.items() for name in names
          if found.manifest.entry(group, name) is None),
    ]  # fmt: skip
    if complaints:
        complaints.append(how_to_make(found.name, found.manifest.path))
    complaints += filter(None, (found.manifest.needs(group) for group in found.claims))
    yield Finding("", "", "manifest", "failed" if complaints else "passed", "; ".join(complaints))


def _load_findings(found: PluginDistribution, patience: float) -> Iterator[Finding]:
    claims = ordered_claims(found)
    first = 0
    while first < len(claims):
        ended = _child("-m", "entrepot.testing._loading", found.name, str(first), patience=patience)
        yield from (Finding(**event["finding"]) for event in ended.events if "finding" in event)
        begun = [event["started"] for event in ended.events if "started" in event]
        done = [event["done"] for event in ended.events if "done" in event]
        if not begun:
            yield Finding("", "", "loads", "failed", _end_of(ended))
            return
        if begun[-1] not in done:
            group, claim = claims[begun[-1]]
            yield Finding(group, claim.name, "loads", "failed", _end_of(ended))
        elif ended.code != 0:
            yield Finding("", "", "loads", "failed", _end_of(ended))  # on its way out
        first = begun[-1] + 1


def _contract_findings(found: PluginDistribution, patience: float) -> Iterator[Finding]:
    claims = ordered_claims(found)
    first = 0
    while first < len(claims):
        module = _MODULE.format(name=found.name, first=first)
        ended = _child(
            *("-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", "--tb=short", "-p", "no:cacheprovider"),
            "test_plugin.py",
            files={"test_plugin.py": module, "conftest.py": _HOOKS},
            patience=patience,
        )
        tests = [event for event in ended.events if "test" in event]
        yield from (_of_test(event["test"], event["outcome"], event["said"], claims) for event in tests)
        begun = [event["started"] for event in ended.events if "started" in event]
        if not begun:
            if not tests:
                outcome: Outcome = "skipped" if ended.code == _NO_TESTS else "failed"
                yield Finding("", "", "contracts", outcome, _end_of(ended))
            return
        if begun[-1] in {event["test"] for event in tests}:
            if ended.code not in _DONE:
                yield Finding("", "", "contracts", "failed", _end_of(ended))  # on its way out
            return
        yield _of_test(begun[-1], "failed", _end_of(ended), claims)
        first = _number_in(begun[-1]) + 1  # of this plugin no more is tried


def _child(*arguments: str, patience: float, files: dict[str, str] | None = None) -> Ended:
    with tempfile.TemporaryDirectory(prefix="entrepot-check-", ignore_cleanup_errors=True) as folder:
        for name, text in (files or {}).items():
            (Path(folder) / name).write_text(text)
        return run_child(Path(folder), arguments, patience=patience)


def _end_of(ended: Ended) -> str:
    return f"{ended.how}{f'; the last that it said: {ended.said}' if ended.said else ''}"


def _of_test(test: str, outcome: Outcome, said: str, claims: list[tuple[str, Claim]]) -> Finding:
    number = _number_in(test)
    group, name = (claims[number][0], claims[number][1].name) if number >= 0 else ("", "")
    check = test.rpartition("::")[2].removeprefix("test_").replace("_", " ") or "contracts"
    return Finding(group, name, check, outcome, said)


def _number_in(test: str) -> int:
    """Return which plugin a test is of, by its class; -1 if of none."""
    place = test.partition("::")[2].partition("::")[0].removeprefix("Test")
    return int(place) if place.isdecimal() else -1
