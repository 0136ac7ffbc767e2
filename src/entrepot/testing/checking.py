"""Checking an installed distribution of plugins: its manifest, that they load, and that they keep the contracts."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from entrepot.errors import ConfigurationError, PluginError
from entrepot.plugins.builtin import BLOCK_GROUP
from entrepot.plugins.discovery import Claim
from entrepot.plugins.distributions import PluginDistribution, plugin_distribution
from entrepot.plugins.manifest import ManifestEntry
from entrepot.settings.model import PREFIX
from entrepot.testing.registries import ordered_claims, registry_for

__all__ = ["Finding", "Outcome", "check_plugins"]

Outcome: TypeAlias = Literal["passed", "failed", "skipped"]

_PATIENCE: Final = 900  # seconds for the contracts of a whole distribution
_LONGEST: Final = 300
_MODULE: Final = """
import sys
from entrepot.testing.installed import contracts_of
globals().update(contracts_of({name!r}))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        group: The entry point group; "" for what concerns the whole distribution.
        name: The plugin's name.
        check: What was looked at: "manifest", "loads", or the name of a test.
        outcome: "passed", "failed" or "skipped".
        detail: What was wrong, or why it was skipped.
    """

    group: str
    name: str
    check: str
    outcome: Outcome
    detail: str = ""


def check_plugins(distribution: str) -> list[Finding]:
    """Return what was found about the plugins of an installed distribution.

    They are imported; the contracts run in a process of their own, in an empty home.

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
    findings = [*_manifest_findings(found), *_load_findings(found)]
    if not any(finding.outcome == "failed" and finding.check == "loads" for finding in findings):
        findings += _contract_findings(found)
    return findings


# --- the manifest and the classes -----------------------------------------------------------------------------------


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
        *filter(None, (found.manifest.needs(group) for group in found.claims)),
    ]  # fmt: skip
    yield Finding("", "", "manifest", "failed" if complaints else "passed", "; ".join(complaints))


def _load_findings(found: PluginDistribution) -> Iterator[Finding]:
    for group, claim in ordered_claims(found):
        try:
            loaded = registry_for(group).get(claim.name)
        except PluginError as error:
            yield Finding(group, claim.name, "loads", "failed", str(error))
            continue
        yield Finding(group, claim.name, "loads", "passed")
        entry = None if found.manifest is None else found.manifest.entry(group, claim.name)
        if entry is not None and found.manifest is not None:
            complaint = _declared_wrongly(group, claim, entry, loaded, found.manifest.path)
            yield Finding(group, claim.name, "declared", "failed" if complaint else "passed", complaint)


def _declared_wrongly(group: str, claim: Claim, entry: ManifestEntry, loaded: Any, path: Path) -> str:
    todo = f"run: entrepot plugins manifest {claim.distribution} --output {path.name}"
    if entry.target != claim.target:
        return f"the manifest says {entry.target}, and the entry point {claim.target}; {todo}"
    if entry.logo and "://" not in entry.logo and not (path.parent / entry.logo).is_file():
        return f"its logo {entry.logo!r} is not beside the manifest"
    if group == BLOCK_GROUP and (entry.schema, entry.schema_version) != (
        loaded.model_json_schema(),
        loaded._schema_version,  # noqa: SLF001  documented as the author's to set
    ):
        return f"the schema in the manifest is not that of the class; {todo}"
    return ""


# --- the contracts --------------------------------------------------------------------------------------------------


def _contract_findings(found: PluginDistribution) -> list[Finding]:
    claims = ordered_claims(found)
    with tempfile.TemporaryDirectory(prefix="entrepot-check-", ignore_cleanup_errors=True) as folder:
        code, said, cases = _run(Path(folder), found.name)
    findings = [_finding(case, claims) for case in cases]
    if not findings and claims:
        findings.append(Finding("", "", "contracts", "skipped" if code == _NO_TESTS else "failed", said))
    return findings


_NO_TESTS: Final = 5  # pytest's exit code


def _run(folder: Path, name: str) -> tuple[int, str, list["ET.Element"]]:
    """Run the contracts; return pytest's exit code, the end of what it said, and its cases."""
    (folder / "test_plugin.py").write_text(_MODULE.format(name=name))
    report = folder / "report.xml"
    environment = {key: text for key, text in os.environ.items() if not key.startswith((PREFIX, "PYTEST_"))}
    environment[f"{PREFIX}HOME"] = str(folder / "home")
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(folder), "--tb=short",
               "-p", "no:cacheprovider", "--junitxml", str(report), str(folder / "test_plugin.py")]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603  ourselves
            command, capture_output=True, text=True, check=False, timeout=_PATIENCE, env=environment, cwd=folder
        )
    except subprocess.TimeoutExpired:
        return -1, f"they were not done after {_PATIENCE} seconds", []
    said = done.stdout.strip()[-_LONGEST:] or done.stderr.strip()[-_LONGEST:]
    try:
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314  pytest's own words
    except (OSError, ET.ParseError):  # it was ended before it could write it
        cases = []
    return done.returncode, said, cases


def _finding(case: "ET.Element", claims: list[tuple[str, Claim]]) -> Finding:
    place = case.get("classname", "").rpartition(".")[2].removeprefix("Test")
    group, name = (claims[int(place)][0], claims[int(place)][1].name) if place.isdigit() else ("", "")
    check = case.get("name", "").removeprefix("test_").replace("_", " ") or "contracts"
    for outcome, tags in (("failed", ("failure", "error")), ("skipped", ("skipped",))):
        for tag in tags:
            said = case.find(tag)
            if said is not None:
                words = " ".join((said.get("message") or said.text or "").split())
                return Finding(group, name, check, "failed" if outcome == "failed" else "skipped", words[:_LONGEST])
    return Finding(group, name, check, "passed")
