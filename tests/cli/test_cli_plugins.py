"""`entrepot plugins`: states, one distribution, checks and manifests."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.plugins import BLOCKS
from entrepot_test_sites import FakeSite, fake_site

Invoke = Callable[..., Any]

SALT = """
from entrepot.blocks import Block
class AcmeSalt(Block):
    "Salt, in grams."
    _block_type_slug = "acme-salt"
    grams: int
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSite]:
    with fake_site(tmp_path / "site", monkeypatch, for_children=True) as made:
        made.module("acme_salt_in_cli.blocks", SALT)
        made.distribution(
            "acme-salt",
            "2.5",
            blocks="acme-salt = acme_salt_in_cli.blocks:AcmeSalt",
            manifest="acme = acme_salt_in_cli",
        )
        yield made


def forget_modules() -> None:
    for name in [name for name in sys.modules if name.startswith("acme_salt_in_cli")]:
        del sys.modules[name]


def write(site: FakeSite, **fields: Any) -> Path:
    path = site.folder / "acme_salt_in_cli" / "entrepot-manifest.json"
    path.write_text(json.dumps({"format": 1, **fields}))
    return path


def state(invoke: Invoke) -> str:
    (row,) = [row for row in invoke("plugins", "ls", "--json").data if row["name"] == "acme-salt"]
    return row["status"]


def test_ls_tells_the_state_of_each_without_importing(
    site: FakeSite, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site)
    assert state(invoke) == "available"
    write(site, api={"entrepot.blocks": 7})
    assert state(invoke) == "other API"
    assert "upgrade entrepot" in invoke("plugins", "ls").stderr
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "acme-salt")
    assert state(invoke) == "denied"
    found = invoke("plugins", "ls", "--load")
    assert "denied" in found.stdout
    assert "the setting plugins_deny names it" in found.stderr
    assert not [name for name in sys.modules if name.startswith("acme_salt_in_cli")]


def test_show_tells_what_a_distribution_offers(site: FakeSite, invoke: Invoke) -> None:
    write(
        site,
        api={"entrepot.blocks": 1},
        plugins={
            "entrepot.blocks": {
                "acme-salt": {
                    "target": "acme_salt_in_cli.blocks:AcmeSalt",
                    "description": "Salt, in grams.",
                    "schema": {"properties": {"grams": {"type": "integer"}}, "required": ["grams"]},
                }
            }
        },
    )
    said = invoke("plugins", "show", "Acme_Salt").stdout
    for word in ("acme-salt 2.5", "Salt, in grams.", "API of entrepot.blocks", "grams", "integer", "yes"):
        assert word in said
    data = invoke("plugins", "show", "acme-salt", "--json").data
    assert data["plugins"][0]["status"] == "available"
    assert data["manifest"]["api"] == {"entrepot.blocks": 1}
    assert not [name for name in sys.modules if name.startswith("acme_salt_in_cli")]
    assert "did you mean 'acme-salt'?" in invoke("plugins", "show", "acme-slat", exit_code=1).stderr


def test_manifest_makes_what_check_then_accepts(site: FakeSite, invoke: Invoke) -> None:
    path = write(site, plugins={"entrepot.blocks": {"acme-pepper": {"target": "a:b"}}})
    found = invoke("plugins", "check", "acme-salt", exit_code=1)
    assert "it declares entrepot.blocks acme-pepper, and no entry point does" in found.stderr
    assert "it does not declare entrepot.blocks acme-salt" in found.stderr
    _, _, command = found.stderr.partition("run: entrepot ")
    named = shlex.split(command.splitlines()[0])
    assert named == ["plugins", "manifest", "acme-salt", "--output", str(path)]
    invoke(*named)
    assert json.loads(invoke("plugins", "manifest", "acme-salt").stdout) == json.loads(path.read_text())
    found = invoke("plugins", "check", "acme-salt", "--all")
    assert "two equal ones are made" in found.stdout
    assert "failed" not in found.stdout
    assert found.stderr == ""


def test_a_document_of_a_denied_type_in_a_shared_store_is_listed_and_never_imports_it(
    site: FakeSite, tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site)
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(tmp_path / "shared"))
    BLOCKS.get("acme-salt")(grams=1).save("mine")
    BLOCKS.forget("acme-salt")
    forget_modules()
    monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", "some-other")
    assert "mine" in invoke("block", "ls").stdout
    assert "not allowed here" in invoke("block", "check", "acme-salt/mine", exit_code=1).stderr
    invoke("block", "types")
    assert "denied" in invoke("plugins", "--load").stdout
    monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", "acme-salt")
    monkeypatch.setenv("ENTREPOT_PLUGINS_STRICT", "1")  # allowed by name, and not declared
    assert "no manifest of it declares the name" in invoke("block", "types").stderr
    assert "denied" in invoke("plugins", "--load").stdout
    assert not [name for name in sys.modules if name.startswith("acme_salt_in_cli")]


def test_a_type_is_shown_with_its_logo_and_description_and_so_is_its_distribution(
    site: FakeSite, invoke: Invoke
) -> None:
    entry = {"target": "acme_salt_in_cli.blocks:AcmeSalt", "logo": "logo.svg"}
    path = write(site, plugins={"entrepot.blocks": {"acme-salt": entry}})
    logo = str(path.with_name("logo.svg"))
    assert invoke("block", "types", "acme-salt", "--json").data["logo"] == logo
    for command in (("block", "types", "acme-salt"), ("plugins", "show", "acme-salt")):
        assert logo in invoke(*command).stdout
    (row,) = [row for row in invoke("block", "types", "--json").data if row["slug"] == "acme-salt"]
    assert row["logo"] == logo
    said = invoke("block", "types", "acme-salt").stdout
    for word in ("Salt, in grams.", "acme-salt 2.5", "grams", "required"):
        assert word in said
    entry["logo"] = "https://example.com/salt.png"
    write(site, plugins={"entrepot.blocks": {"acme-salt": entry}})
    assert invoke("block", "types", "acme-salt", "--json").data["logo"] == "https://example.com/salt.png"
    path.write_text("{")
    assert invoke("block", "types", "acme-salt", "--json").data["logo"] is None
