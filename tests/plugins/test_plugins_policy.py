"""Whose plugins are loaded: allow and deny lists, strict mode, manifests; and that stored data loads no other."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot import errors
from entrepot.blocks import Block, Secret
from entrepot.filesystems.base import StorageBlock
from entrepot.plugins import BLOCKS, HASHERS, SERIALIZERS, PluginRegistry
from entrepot.plugins._claims import OWN, PROGRAM, Claim
from entrepot.plugins.manifest import FILE_NAME, manifest_of
from entrepot.plugins.policy import PluginPolicy
from entrepot.serializers import get_serializer
from entrepot_test_sites import FakeSite

SALT = """
from entrepot.blocks import Block
class AcmeSalt(Block):
    _block_type_slug = "acme-salt"
    grams: int
    inner: Block | None = None
"""


@pytest.fixture
def acme(site: FakeSite) -> Iterator[FakeSite]:
    site.module("acme_salt", SALT)
    site.distribution("Acme.Salt", blocks="acme-salt = acme_salt:AcmeSalt")
    yield site
    BLOCKS.forget("acme-salt")


def unload() -> None:
    BLOCKS.forget("acme-salt")
    sys.modules.pop("acme_salt", None)


def write_manifest(site: FakeSite, package: str = "acme_pkg", **fields: Any) -> Path:
    folder = site.folder / package
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    path = folder / FILE_NAME
    path.write_text(json.dumps({"format": 1, **fields}))
    return path


def registry(group: str = "entrepot.blocks") -> PluginRegistry[Any]:
    return PluginRegistry(group, kind="block type", builtins={}, known_elsewhere={})


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        (PluginPolicy(), True),
        (PluginPolicy(allow=("acme-salt",)), True),
        (PluginPolicy(allow=("ACME_Salt",)), True),
        (PluginPolicy(allow=("acme-*",)), True),
        (PluginPolicy(allow=("acme",)), False),
        (PluginPolicy(deny=("acme_salt",)), False),
        (PluginPolicy(deny=("*",)), False),
        (PluginPolicy(allow=("*",), deny=("*salt",)), False),
        (PluginPolicy(strict=True), False),
        (PluginPolicy(allow=("acme-salt",), strict=True), True),
    ],
)
def test_lists_go_by_normalised_names_and_deny_wins(policy: PluginPolicy, *, allowed: bool) -> None:
    assert (policy.refusal("Acme.Salt") == "") is allowed
    assert policy.refusal_of(Claim("s3", "entrepot.filesystems:S3", OWN)) == ""
    assert policy.refusal_of(Claim("mine", "__main__:Mine", PROGRAM)) == ""


class TestStoredDataImportsNothingThatIsDenied:
    @pytest.fixture(autouse=True)
    def _saved(self, acme: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
        salt = BLOCKS.get("acme-salt")
        salt(grams=1).save("mine")
        salt(grams=2, inner=Secret(value="hush")).save("outer")
        unload()
        monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "acme-salt")

    @pytest.mark.parametrize("name", ["mine", "acme-salt/mine", "acme-salt/outer"])
    def test_by_loading_a_block(self, name: str) -> None:
        with pytest.raises(errors.PluginDeniedError, match="nothing of it was imported: the setting plugins_deny") as e:
            Block.load(name)
        assert (e.value.distribution, e.value.name) == ("Acme.Salt", "acme-salt")
        assert isinstance(e.value, PermissionError)
        assert "acme_salt" not in sys.modules

    def test_by_listing_and_finding(self) -> None:
        assert "acme-salt" not in BLOCKS.names()
        assert StorageBlock.list() == []
        assert [ref.slug for ref in Block.list()] == ["acme-salt", "acme-salt"]
        assert Block.exists("acme-salt/mine")
        with pytest.raises(errors.BlockNotFoundError):
            StorageBlock.load("mine")
        assert [entry.status for entry in BLOCKS.report(load=True) if entry.name == "acme-salt"] == ["denied"]
        assert "acme_salt" not in sys.modules

    def test_even_where_the_program_imported_it_itself(self) -> None:
        import acme_salt  # noqa: PLC0415  the program's own doing

        with pytest.raises(errors.PluginDeniedError):
            Block.load("acme-salt/mine")
        assert acme_salt.AcmeSalt.load("mine").grams == 1  # by the class, the program asks for it itself


def test_a_denied_serializer_and_hasher_are_not_imported(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.module("acme_lines", "raise RuntimeError('imported')")
    site.distribution("acme-lines", serializers="lines = acme_lines:Lines", hashers="decimal.Context = acme_lines:h")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "acme-*")
    with pytest.raises(errors.PluginDeniedError):
        get_serializer("lines")
    assert "decimal.Context" not in HASHERS.names()
    assert "lines" not in SERIALIZERS.names()
    assert "acme_lines" not in sys.modules


def test_what_is_denied_conflicts_with_nothing(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    for one in ("one", "two"):
        site.module(f"acme_{one}", "class Block: ...")
        site.distribution(f"acme-{one}", blocks=f"note = acme_{one}:Block\ndeque = acme_{one}:Block")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "acme-two")
    assert registry().get("note").__module__ == "acme_one"
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "acme-one,acme-two")
    names = PluginRegistry("entrepot.blocks", kind="block type", builtins={"deque": "collections:deque"})
    assert names.get("deque").__name__ == "deque"


class TestManifests:
    @pytest.fixture
    def names(self, site: FakeSite) -> PluginRegistry[Any]:
        site.module("acme_salt", "class Salt: ...")
        site.distribution("acme-salt", blocks="salt = acme_salt:Salt", manifest="acme-salt = acme_pkg")
        return registry()

    def test_one_is_read_without_importing_its_package(self, site: FakeSite, names: PluginRegistry[Any]) -> None:
        path = write_manifest(
            site, plugins={"entrepot.blocks": {"salt": {"target": "acme_salt:Salt", "title": "Salt"}}}
        )
        found = manifest_of("Acme_Salt")
        assert found is not None
        assert found.path == path
        entry = found.entry("entrepot.blocks", "salt")
        assert entry is not None
        assert entry.title == "Salt"
        assert "acme_pkg" not in sys.modules
        assert manifest_of("another") is None

    def test_one_that_needs_another_api_keeps_the_plugin_from_being_imported(
        self, site: FakeSite, names: PluginRegistry[Any]
    ) -> None:
        write_manifest(site, api={"entrepot.blocks": 2})
        with pytest.raises(errors.PluginLoadError, match=r"version 2 of the API of entrepot.blocks.* upgrade entrepot"):
            names.get("salt")
        assert names.report()[0].status == "other API"
        assert "acme_salt" not in sys.modules
        write_manifest(site, api={"entrepot.blocks": 0})
        with pytest.raises(errors.PluginLoadError, match="has 1; upgrade the plugin"):
            names.get("salt")
        write_manifest(site, api={"entrepot.blocks": 1, "entrepot.unheard": 7})
        assert names.get("salt").__name__ == "Salt"

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("{", "it is not JSON"),
            ("[" * 100_000, "it is not JSON"),
            ("[]", 'no object with "format": 1'),
            ('{"format": 2}', 'no object with "format": 1'),
            ('{"format": 1, "apis": {}}', "unknown field 'apis'; known: api, format, plugins"),
            ('{"format": 1, "api": {"entrepot.blocks": "1"}}', "a number for each group"),
            ('{"format": 1, "plugins": {"entrepot.blocks": 3}}', "no object of objects"),
            ('{"format": 1, "plugins": {"g": {"n": {}}}}', 'g n is no object with a "target"'),
            ('{"format": 1, "plugins": {"g": {"n": {"target": "a:b", "x": 1}}}}', "unknown field 'x'"),
            ('{"format": 1, "plugins": {"g": {"n": {"target": "a:b", "logo": 1}}}}', "is no text"),
            ('{"format": 1, "plugins": {"g": {"n": {"target": "a:b", "schema": 1}}}}', "the schema of g n"),
            (None, f"there is no file {FILE_NAME}"),
        ],
    )
    def test_one_that_is_damaged_breaks_its_plugins_and_says_how(
        self, site: FakeSite, names: PluginRegistry[Any], content: str | None, why: str
    ) -> None:
        path = write_manifest(site)
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(errors.PluginLoadError) as caught:
            names.get("salt")
        assert why in str(caught.value)
        assert names.report()[0].status == "broken"
        assert "acme_salt" not in sys.modules

    def test_strict_mode_takes_only_what_is_allowed_and_declared(
        self, site: FakeSite, names: PluginRegistry[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_PLUGINS_STRICT", "1")
        declared = {"entrepot.blocks": {"salt": {"target": "acme_salt:Salt"}}}
        write_manifest(site, plugins=declared)
        with pytest.raises(errors.PluginDeniedError, match="plugins_strict is set and the setting plugins_allow"):
            names.get("salt")
        monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", "acme-salt")
        for other in ({}, {"entrepot.blocks": {"salt": {"target": "acme_salt:Other"}}}):
            write_manifest(site, plugins=other)
            with pytest.raises(errors.PluginDeniedError, match="no manifest of it declares the name"):
                names.get("salt")
        assert "acme_salt" not in sys.modules
        write_manifest(site, plugins=declared)
        assert names.get("salt").__name__ == "Salt"

    def test_classes_of_the_program_itself_need_no_leave(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_PLUGINS_STRICT", "1")
        names = registry()
        mine = type("Mine", (), {})
        names.register("mine", mine)
        assert names.get("mine") is mine
        assert names.report()[0].status == "loaded"
