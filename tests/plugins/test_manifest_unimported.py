"""A manifest is found and read without running anything of its distribution, wherever that lies."""

import importlib.util
import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from entrepot.errors import ConfigurationError
from entrepot.plugins import PluginRegistry, discovery
from entrepot.plugins.distributions import plugin_distributions
from entrepot.plugins.manifest import FILE_NAME, manifest_of
from entrepot_test_sites import FakeSite

GROUP = "entrepot.blocks"


def packages(folder: Path, *names: str, manifest: str = '{"format": 1, "api": {"entrepot.blocks": 7}}') -> Path:
    """Write packages, each in the one before it, that leave a mark when they are imported; the last has a manifest."""
    marks = folder.parent / "marks"
    marks.mkdir(exist_ok=True)
    for name in names:
        folder /= name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(f"import pathlib\npathlib.Path({str(marks / name)!r}).touch()\n")
    (folder / FILE_NAME).write_text(manifest)
    return folder


def imported(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder.parent / "marks").iterdir())


def api(name: str) -> int:
    found = manifest_of(name)
    assert found is not None
    return found.api[GROUP]


def test_the_packages_around_it_are_not_imported(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    packages(site.folder, "acme_outer", "middle", "inner")
    site.distribution("acme-outer", blocks="x = acme_outer:X", manifest="acme = acme_outer.middle.inner")
    monkeypatch.setenv("ENTREPOT_PLUGINS_DENY", "acme-*")
    assert api("acme-outer") == 7
    assert [each.refusal != "" for each in plugin_distributions()] == [True]
    assert PluginRegistry[type](GROUP, kind="block", builtins={}).report(load=True)[0].status == "denied"
    assert imported(site.folder) == []


def test_that_of_an_editable_install_is_found_by_its_finder(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = site.folder.parent / "sources"
    inner = packages(sources, "acme_src", "inner")

    class Mapped:
        """As the finders that build tools write for editable installs: a table of packages."""

        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
            table = {"acme_top": inner.parent, "acme_top.deep": inner}
            if name not in table:
                return None
            return importlib.util.spec_from_file_location(name, table[name] / "__init__.py")

    class Broken:
        @staticmethod
        def find_spec(name: str, path: object = None, target: object = None) -> None:
            raise RuntimeError("of no use")

    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path, Mapped])
    site.distribution("acme-top", manifest="acme = acme_top.deep")
    assert api("acme-top") == 7
    assert imported(sources) == []


def test_that_in_a_namespace_that_several_share_is_found(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    other = site.another("other")
    for folder, name in ((site.folder, "one"), (other.folder, "two")):
        packages(folder / "acme_shared", name)
    monkeypatch.setattr(sys, "path", [*sys.path, str(other.folder)])
    site.distribution("acme-two", manifest="acme = acme_shared.two")
    assert api("acme-two") == 7


@pytest.mark.parametrize("target", ["acme_bad..x", "../acme", "acme/bad", ".acme", "", "acme_bad.no", "os.path", "sys"])
def test_what_names_no_package_is_said_and_nothing_is_looked_for_elsewhere(site: FakeSite, target: str) -> None:
    packages(site.folder, "acme_bad")
    site.distribution("acme-bad", text=f"[entrepot.manifest]\nacme = {target}\n")
    with pytest.raises(ConfigurationError, match=r"acme-bad 1\.0 says that its manifest is in"):
        manifest_of("acme-bad")
    assert imported(site.folder) == []


DEEP = "[" * 100_000
BAD = {
    "not JSON": "{",
    "nothing": "",
    "not UTF-8": b"\xff\xfe{}",
    "a list": "[]",
    "too deep": '{"format": 1, "plugins": ' + DEEP,
    "of another format": '{"format": 2}',
    "an endless number": '{"format": 1, "api": {"entrepot.blocks": ' + "9" * 10_000 + "}}",
    "a long number": '{"format": 1, "api": {"entrepot.blocks": ' + "9" * 4_000 + "}}",
    "too large": '{"format": 1}' + " " * (4 * 1024 * 1024),
    "plugins that are a list": '{"format": 1, "plugins": []}',
    "a target that is a number": '{"format": 1, "plugins": {"entrepot.blocks": {"x": {"target": 1}}}}',
}


@pytest.mark.parametrize("what", BAD)
def test_a_manifest_that_is_none_breaks_its_own_distribution_and_says_why_in_short(site: FakeSite, what: str) -> None:
    content = BAD[what]
    package = packages(site.folder, "acme_bad")
    (package / FILE_NAME).write_bytes(content if isinstance(content, bytes) else content.encode())
    site.distribution("acme-bad", blocks="bad = acme_bad:X", manifest="acme = acme_bad")
    site.module("acme_good", "class X: ...")
    site.distribution("acme-good", blocks="good = acme_good:X")
    names = PluginRegistry[type](GROUP, kind="block", builtins={})
    assert {entry.name: entry.status for entry in names.report()} == {"bad": "broken", "good": "available"}
    with pytest.raises(ConfigurationError, match="is no manifest of plugins") as caught:
        manifest_of("acme-bad")
    assert len(str(caught.value)) < 500
    assert names.get("good").__module__ == "acme_good"
    assert imported(site.folder) == []


def test_a_pipe_a_folder_and_a_device_are_no_manifest_and_keep_nobody_waiting(site: FakeSite) -> None:
    package = packages(site.folder, "acme_odd")
    site.distribution("acme-odd", manifest="acme = acme_odd")
    file = package / FILE_NAME
    for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")):
        file.unlink()
        make(file)
        with pytest.raises(ConfigurationError, match="there is no file"):
            manifest_of("acme-odd")
        if file.is_dir():
            file.rmdir()
            file.touch()


def test_a_link_to_what_is_no_manifest_shows_nothing_of_it(site: FakeSite, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("hush-hush-hush")
    package = packages(site.folder, "acme_link")
    (package / FILE_NAME).unlink()
    (package / FILE_NAME).symlink_to(tmp_path / "private")
    site.distribution("acme-link", manifest="acme = acme_link")
    with pytest.raises(ConfigurationError) as caught:
        manifest_of("acme-link")
    assert "hush" not in str(caught.value)


def test_one_distribution_of_many_with_manifests_reads_its_own_alone(site: FakeSite) -> None:
    for number in range(5):
        packages(site.folder, f"acme_{number}", manifest=json.dumps({"format": 1, "api": {GROUP: number}}))
        site.distribution(f"acme-{number}", manifest=f"acme-{number} = acme_{number}")
    discovery.reset()
    opened: list[str] = []
    listening = True
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if listening and event == "open" else None)
    assert api("acme-3") == 3
    listening = False
    assert [Path(path).parent.name for path in opened if path.endswith(FILE_NAME)] == ["acme_3"]
    assert not [path for path in opened if path.endswith("METADATA")]
