"""Ways around the policy for plugins, each tried: by names, by metadata, by groups, by other libraries, by pickles."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from entrepot import errors, settings, task
from entrepot import plugins as every_registry
from entrepot.blocks import Secret, SqlAlchemyConnector
from entrepot.blocks._references import SecretReference
from entrepot.filesystems import RemoteFileSystem
from entrepot.plugins import PluginRegistry, discovery
from entrepot.plugins.distributions import plugin_distributions
from entrepot.plugins.foreign import FILE_SYSTEMS, check_foreign
from entrepot.storage import open_storage
from entrepot_test_sites import FakeSite

REGISTRIES = [each for each in vars(every_registry).values() if isinstance(each, PluginRegistry)]


def registry() -> PluginRegistry[Any]:
    return PluginRegistry("entrepot.blocks", kind="block type", builtins={}, known_elsewhere={})


def evil(
    site: FakeSite, folder: str = "evil-1.0.dist-info", metadata: str | None = "Name: evil\nVersion: 1.0\n"
) -> None:
    """Install a distribution whose module must not be imported."""
    site.module("evil_module", "raise RuntimeError('imported')")
    info = site.folder / folder
    info.mkdir()
    if metadata is not None:
        (info / "METADATA").write_text(metadata)
    (info / "entry_points.txt").write_text("[entrepot.blocks]\nnote = evil_module:Note\n")


def refused(names: PluginRegistry[Any] | None = None) -> str:
    """Return why the name is refused; whatever happens, nothing is imported."""
    with pytest.raises(errors.PluginDeniedError) as caught:
        (names or registry()).get("note")
    assert "evil_module" not in sys.modules
    assert "note" not in registry().names()
    return str(caught.value)


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["Foo_Bar", "foo.bar", "FOO-BAR", "foo__bar", "Foo._-bar"])
@pytest.mark.parametrize("denied", ["foo-bar", "FOO_bar", "foo.*", "*-BAR", "*"])
def test_a_name_is_denied_however_it_is_spelled(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch, spelling: str, denied: str
) -> None:
    evil(site, f"{spelling.replace('-', '_')}-1.0.dist-info", f"Name: {spelling}\n")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", denied)
    refused()


@pytest.mark.parametrize("pattern", ["[a-z]vil", "e?il", "evil\n", "ev|il", "e..l", "évil"])
def test_a_pattern_knows_stars_and_nothing_else(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", pattern)
    if pattern in {"evil\n", "e..l"}:  # white space around it, and two separators that are one
        assert settings.current().plugins_allow == (pattern.strip(),)
        return
    with pytest.raises(errors.ConfigurationError):
        settings.current()


# --- metadata -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metadata",
    [
        "Name: good\nVersion: 1.0\n",
        "Name: GOOD\nName: evil\n",
        "Name: evil\nName: good\n",
        "X: y\n\nName: evil\n",
        "Name: entrepot\nVersion: 1.0\n",
        "Name: entrepot\n",
        "",
        None,
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_distribution_is_known_by_its_folder_as_well_as_by_what_it_calls_itself(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, metadata: str | None, *, zipped: bool
) -> None:
    evil(site, metadata=metadata)
    if zipped:
        archive = tmp_path / "evil.zip"
        with zipfile.ZipFile(archive, "w") as file:
            for path in site.folder.rglob("*"):
                if path.is_file():
                    file.write(path, path.relative_to(site.folder))
        monkeypatch.setattr(sys, "path", [str(archive), *(entry for entry in sys.path if entry != str(site.folder))])
    if zipped and metadata is not None and "Name: entrepot" in metadata:
        assert "note" not in registry().names()  # there it is taken at its word, and nothing of ours is in metadata
        return
    for variable, value in (("ALLOW", "good"), ("DENY", "evil"), ("STRICT", "true")):
        with monkeypatch.context() as patch:
            patch.setenv(f"ENTREPOT_PLUGINS_{variable}", value)
            refused()
    if metadata == "Name: good\nVersion: 1.0\n":
        monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "good")
        assert "its metadata calls it 'good', and its folder 'evil'" in refused()


def test_a_folder_that_shadows_a_distribution_speaks_for_it_alone(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.module("good_module", "class Note: ...")
    site.distribution("good", blocks="note = good_module:Note")
    front = site.another("front")
    evil(front, "good-99.dist-info", "Name: evil\n")
    monkeypatch.setattr(sys, "path", [str(front.folder), *sys.path])
    monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", "good")
    assert "evil" in refused()
    (front.folder / "good-99.dist-info" / "entry_points.txt").write_text("[entrepot.blocks]\nother = evil_module:X\n")
    discovery.reset()
    assert registry().names() == []  # neither: whoever comes first on the path is the distribution, as for imports


def test_a_manifest_of_another_distribution_declares_nothing(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    evil(site)
    package = site.folder / "good_package"
    package.mkdir()
    said = {"format": 1, "plugins": {"entrepot.blocks": {"note": {"target": "evil_module:Note"}}}}
    (package / "entrepot-manifest.json").write_text(json.dumps(said))
    site.distribution("good", manifest="evil = good_package")
    monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", "good,evil")
    monkeypatch.setenv("ENTREPOT_PLUGINS_STRICT", "true")
    assert "no manifest of it declares the name" in refused()


@pytest.mark.parametrize("target", ["evil_module:Note.inner", "evil_module:Note [extra]", "other:Note"])
def test_strict_mode_takes_a_name_only_for_what_is_declared(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    evil(site)
    package = site.folder / "evil_package"
    package.mkdir()
    said = {"format": 1, "plugins": {"entrepot.blocks": {"note": {"target": target}}}}
    (package / "entrepot-manifest.json").write_text(json.dumps(said))
    points = site.folder / "evil-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "[entrepot.manifest]\nevil = evil_package\n")
    monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", "evil")
    monkeypatch.setenv("ENTREPOT_PLUGINS_STRICT", "true")
    refused()


# --- groups -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", REGISTRIES, ids=lambda names: names.group)
def test_every_kind_of_plugin_asks_the_policy(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch, names: PluginRegistry[Any]
) -> None:
    evil(site)
    points = site.folder / "evil-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[{names.group}]\nnote = evil_module:Note\n")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "evil")
    refused(names)
    assert [entry.status for entry in names.report(load=True) if entry.name == "note"] == ["denied"]
    assert [each.refusal != "" for each in plugin_distributions() if each.name == "evil"] == [True]


@pytest.mark.parametrize("names", REGISTRIES, ids=lambda names: names.group)
def test_nothing_is_no_plugin_of_any_kind(site: FakeSite, names: PluginRegistry[Any]) -> None:
    site.distribution("odd", text=f"[{names.group}]\nodd-thing = builtins:None\n")
    with pytest.raises(errors.PluginLoadError, match="builtins:None"):
        names.get("odd-thing")


@pytest.mark.parametrize("target", ["os:name", "os:system", "sys:modules", "os:environ"])
def test_what_another_module_happens_to_have_is_no_block_and_no_key_provider(site: FakeSite, target: str) -> None:
    site.distribution("odd", blocks=f"odd-thing = {target}", key_providers=f"odd-thing = {target}")
    for names in (every_registry.BLOCKS, every_registry.KEY_PROVIDERS):
        with pytest.raises(errors.PluginLoadError):
            names.get("odd-thing")


# --- what is stored -----------------------------------------------------------------------------------------------

LINES = """
import json
class Lines:
    name = extension = "note"
    is_text, reads_code = True, False
    def dumps(self, value): return [json.dumps(value).encode()]
    def loads(self, data): return json.loads(bytes(data))
"""


def test_a_stored_result_cannot_have_its_reader_import_the_serializer_that_it_names(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.module("evil_lines", LINES)
    site.distribution("evil", serializers="note = evil_lines:Lines")

    @task(persist_result=True, cache_key_fn=lambda *_: "one key", result_serializer="note")
    def write() -> str:
        return "written"

    assert write() == "written"
    every_registry.SERIALIZERS.forget("note")
    del sys.modules["evil_lines"]
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "evil")
    for reader in (write, write.with_options(result_serializer="json")):
        with pytest.raises(errors.EntrepotError, match="not allowed here"):
            reader()
    assert "evil_lines" not in sys.modules


def test_a_setting_cannot_have_a_denied_key_provider_imported(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    evil(site)
    (site.folder / "evil-1.0.dist-info" / "entry_points.txt").write_text(
        "[entrepot.key_providers]\nnote = evil_module:Note\n[entrepot.secret_sources]\nnote = evil_module:Note\n"
    )
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "evil")
    monkeypatch.setenv("ENTREPOT_KEY_PROVIDER", "note:somewhere")
    with pytest.raises(errors.PluginDeniedError):
        Secret(value="hush").save("mine")
    monkeypatch.delenv("ENTREPOT_KEY_PROVIDER")
    with pytest.raises(errors.EntrepotError, match="not allowed here"):
        Secret(value=SecretReference("note://somewhere")).get()
    assert "evil_module" not in sys.modules


# --- other libraries ----------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """Install a distribution that gives fsspec a protocol, and SQLAlchemy a dialect and a plugin."""
    import fsspec  # noqa: PLC0415  what it does when it is imported first: take in entry points

    evil(site)
    points = site.folder / "evil-1.0.dist-info" / "entry_points.txt"
    points.write_text(
        "[fsspec.specs]\nevilfs = evil_module:Files\n"
        "[sqlalchemy.dialects]\nevildb = evil_module:Dialect\nsqlite.evil = evil_module:Dialect\n"
        "[sqlalchemy.plugins]\nevil = evil_module:Plugin\n"
    )
    fsspec.register_implementation("evilfs", "evil_module.Files", clobber=True)
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "evil")
    return site


def test_a_stored_block_cannot_have_fsspec_import_what_is_denied(foreign: FakeSite) -> None:
    RemoteFileSystem(basepath="evilfs://bucket/folder").save("remote")
    with pytest.raises(errors.PluginDeniedError, match="of evil is not allowed here"):
        RemoteFileSystem.load("remote").as_storage()
    assert "evil_module" not in sys.modules


def test_nor_can_the_options_of_a_store(foreign: FakeSite) -> None:
    with pytest.raises(errors.PluginDeniedError, match="of evil is not allowed here"):
        open_storage("dir://x", target_protocol="evilfs", path="/")
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize(
    ("driver", "query"), [("evildb", {}), ("evildb+x", {}), ("sqlite+evil", {}), ("sqlite", {"plugin": "evil"})]
)
def test_a_stored_block_cannot_have_sqlalchemy_import_what_is_denied(
    foreign: FakeSite, driver: str, query: dict[str, str]
) -> None:
    SqlAlchemyConnector(driver=driver, database=":memory:", query=query).save("database")
    with pytest.raises(errors.PluginDeniedError, match="of evil is not allowed here"):
        SqlAlchemyConnector.load("database").engine()
    assert "evil_module" not in sys.modules


def test_what_our_own_extras_install_needs_no_place_in_the_list_of_what_is_allowed(
    foreign: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = foreign.another("more")
    info = site.distribution("adlfs", text="[fsspec.specs]\nabfss = adlfs:X\n")
    monkeypatch.setattr(sys, "path", [str(info.parent), *sys.path])
    monkeypatch.delenv("ENTREPOT_PLUGINS_DENY")
    check_foreign(FILE_SYSTEMS, "evilfs", "abfss")  # nothing is set
    monkeypatch.setenv("ENTREPOT_PLUGINS_ALLOW", "good")
    check_foreign(FILE_SYSTEMS, "abfss", "block", "s3", "no-such-thing")
    with pytest.raises(errors.PluginDeniedError):
        check_foreign(FILE_SYSTEMS, "abfss", "evilfs")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "adlfs")
    with pytest.raises(errors.PluginDeniedError):
        check_foreign(FILE_SYSTEMS, "abfss")


# --- the working directory ----------------------------------------------------------------------------------------


def test_a_folder_that_a_program_happens_to_run_in_is_asked_for_no_plugins_by_the_command_line(
    site: FakeSite, tmp_path: Path
) -> None:
    evil(FakeSite(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "entrepot", "plugins", "ls"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "evil" not in done.stdout
