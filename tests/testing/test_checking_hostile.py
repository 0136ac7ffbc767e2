"""`check_plugins` survives what it checks, and says which plugin did what."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.plugins import SERIALIZERS
from entrepot.plugins.distributions import GROUPS
from entrepot.testing import SecretSourceContract, SerializerContract
from entrepot.testing._children import run_child
from entrepot.testing.checking import Finding, check_plugins
from entrepot.testing.installed import CONTRACTS, contracts_of
from entrepot_test_sites import FakeSite, fake_site

pytestmark = pytest.mark.one_python

GOOD = """
import json
from entrepot.errors import SerializationError

class Lines:
    "Values as JSON, for a test."
    name = extension = "NAME"
    is_text, reads_code = True, False

    def dumps(self, value):
        try:
            text = json.dumps(value)
            if json.loads(text) == value:
                return [text.encode()]
            raise ValueError("it would not come back")
        except (TypeError, ValueError) as error:
            raise SerializationError(str(error), serializer=self.name, path="value") from None

    def loads(self, data):
        try:
            return json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise SerializationError(str(error), serializer=self.name, path="value") from None
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    with fake_site(tmp_path / "site", monkeypatch, for_children=True) as made:
        yield made


def install(site: FakeSite, **sources: str) -> None:
    """Install one distribution of serializers, each in a module of its own."""
    lines = []
    for name, source in sources.items():
        site.module(f"odd_{name}", f"{source}\n{GOOD}".replace("NAME", name))
        lines.append(f"{name} = odd_{name}:Lines")
    site.distribution("odd", serializers="\n".join(lines))


def of(findings: list[Finding], name: str) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings if finding.name == name}


def outcomes(findings: list[Finding], name: str) -> set[str]:
    return {finding.outcome for finding in findings if finding.name == name}


def test_a_plugin_that_ends_the_process_as_it_is_imported_is_named_and_the_others_are_loaded(
    site: FakeSite, capfd: pytest.CaptureFixture[str]
) -> None:
    install(
        site,
        a="import os; os._exit(3)",
        b="print('\\x1b[2J\\x1b]0;owned\\x07 I was here')",
        c="import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        d="raise SystemExit(4)",
        e="input('a password, please: ')",
    )
    findings = check_plugins("odd")
    assert "exit code 3" in of(findings, "a")["loads"].detail
    assert of(findings, "b")["loads"].outcome == "passed"
    assert "ended by SIGKILL" in of(findings, "c")["loads"].detail
    assert "SystemExit" in of(findings, "d")["loads"].detail
    assert "EOFError" in of(findings, "e")["loads"].detail
    assert capfd.readouterr() == ("", "")
    assert not [name for name in sys.modules if name.startswith("odd_")]


def test_a_plugin_that_ends_the_process_in_a_test_is_named_and_the_others_are_tested(site: FakeSite) -> None:
    spoilt = "\nlater = lambda self, data: __import__('os')._exit(0)\nLines.loads = later"
    install(site, a="", b="", c="")
    with (site.folder / "odd_b.py").open("a") as file:
        file.write(spoilt)
    findings = check_plugins("odd")
    assert outcomes(findings, "a") == outcomes(findings, "c") == {"passed"}
    assert outcomes(findings, "b") == {"passed", "failed"}
    (failed,) = [finding for finding in findings if finding.outcome == "failed"]
    assert failed.check == "every value comes back as it was"
    assert "exit code 0" in failed.detail


def test_what_hangs_is_stopped_and_told(site: FakeSite) -> None:
    install(site, a="import threading, time\nthreading.Thread(target=time.sleep, args=[600]).start()")  # at its end
    findings = check_plugins("odd", patience=2)
    assert [finding.check for finding in findings if finding.outcome == "failed"] == ["loads"]
    assert "it was not done after 2 seconds, and was stopped" in findings[-1].detail


def test_what_a_plugin_started_ends_with_its_check(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"import time; held = open({str(pipe)!r}, 'w'); time.sleep(600)"
    start = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {code!r}]); open({str(pipe)!r}).close()"
    assert run_child(tmp_path, ["-c", start], patience=60).code == 0
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.set_blocking(reader, True)
        assert os.read(reader, 1) == b""  # the end: nobody holds the other end, or not for longer than it takes to die
    finally:
        os.close(reader)


def declare(site: FakeSite, contracts: str, **plugins: Any) -> None:
    """Give the distribution a manifest, and a module of contracts beside it."""
    site.module("odd_pkg.contracts", contracts)
    manifest = {"format": 1, "plugins": {f"entrepot.{group}": entries for group, entries in plugins.items()}}
    (site.folder / "odd_pkg" / "entrepot-manifest.json").write_text(json.dumps(manifest))
    points = site.folder / "odd-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "[entrepot.manifest]\nodd = odd_pkg\n")


SAFE = """
from entrepot.errors import SecretReferenceError

class Safe:
    def get(self, rest):
        if rest != "door":
            raise SecretReferenceError("nothing is there")
        return "open sesame"
"""
SAFE_CONTRACT = """
from entrepot.testing import SecretSourceContract
from odd_safe import Safe

class Contract(SecretSourceContract):
    make_source = lambda self: Safe()
    known = lambda self: {"door": "open sesame"}
    unknown = malformed = lambda self: ["window"]
"""


def test_a_source_of_secrets_is_tested_by_the_contract_that_its_manifest_names(site: FakeSite) -> None:
    site.module("odd_safe", SAFE)
    site.distribution("odd", secret_sources="safe = odd_safe:Safe")
    entry = {"target": "odd_safe:Safe", "contract": "odd_pkg.contracts:Contract"}
    declare(site, SAFE_CONTRACT, secret_sources={"safe": entry})
    contract = contracts_of("odd")["Test0"]
    assert issubclass(contract, SecretSourceContract)
    contract().test_a_secret_is_given_as_it_is()


def test_every_group_of_plugins_has_a_contract() -> None:
    assert CONTRACTS.keys() == set(GROUPS)


def test_a_contract_of_its_own_that_cannot_be_had_fails_alone(site: FakeSite) -> None:
    install(site, a="", b="")
    entries: Any = {name: {"target": f"odd_{name}:Lines"} for name in "ab"}
    entries["a"]["contract"] = "odd_pkg.contracts:Contract"
    declare(site, "raise RuntimeError('no contract today')", serializers=entries)
    contracts = contracts_of("odd")
    with pytest.raises(RuntimeError, match="no contract today"):
        contracts["Test0"]().test_its_contract_can_be_had()
    assert issubclass(contracts["Test1"], SerializerContract)
    assert list(contracts_of("odd", 1)) == ["Test1"]


def test_the_policy_of_the_parent_holds_in_the_processes_too(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, a="from entrepot.plugins import SERIALIZERS\nSERIALIZERS.get('other')")
    site.module("other_lines", GOOD)
    site.distribution("other", serializers="other = other_lines:Lines")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "other")
    assert "not allowed here" in of(check_plugins("odd"), "a")["loads"].detail
    assert SERIALIZERS.names().count("a") == 1
