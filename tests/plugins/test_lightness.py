"""What is imported when, seen from fresh processes."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from entrepot import settings
from entrepot.errors import ConfigurationError
from entrepot.plugins import PluginRegistry, _standing, discovery
from entrepot.plugins.manifest import FILE_NAME
from entrepot_test_sites import FakeSite

HEAVY = ["pydantic", "fsspec", "cryptography", "sqlite3", "asyncio", "http", "blake3", "rich", "importlib.metadata"]


def loaded_after(code: str, *, path: Path | None = None) -> set[str]:
    """Run code in a new process and return the modules that it loaded."""
    script = "import sys\n"
    script += f"sys.path.insert(0, {str(path)!r})\n" if path else ""
    script += f"{code}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    # Without the .pth files of the environment: they may import what we are looking for.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


NOTHING = loaded_after("")


def test_importing_the_registries_loads_nothing_heavy() -> None:
    assert not (loaded_after("import entrepot.plugins") - NOTHING) & set(HEAVY)


def test_a_builtin_name_and_an_unknown_one_need_no_metadata_reader_where_no_plugin_is_installed(tmp_path: Path) -> None:
    code = """
import entrepot.errors, entrepot.plugins as plugins
# Only what the environment of this test has installed counts as installed.
sys.path[:] = [entry for entry in sys.path if "site-packages" not in entry]
names = plugins.PluginRegistry("entrepot.blocks", kind="block", builtins={"deque": "collections:deque"})
names.get("deque")
try:
    names.get("dequeue")
except entrepot.errors.UnknownNameError as error:
    print(error)
"""
    assert "importlib.metadata" not in loaded_after(code) - NOTHING


def test_a_miss_with_a_plugin_installed_imports_that_plugin_only_and_no_reader_of_metadata(tmp_path: Path) -> None:
    site = FakeSite(tmp_path)
    for one in ("one", "two"):
        site.module(f"acme_{one}", "class Block: ...")
        site.distribution(f"acme-{one}", blocks=f"{one} = acme_{one}:Block")
    loaded = loaded_after(
        "from entrepot.plugins import PluginRegistry\nPluginRegistry('entrepot.blocks', kind='block').get('one')",
        path=tmp_path,
    )
    assert "acme_one" in loaded
    assert not {"importlib.metadata", "acme_two"} & (loaded - NOTHING)


# What would take longer to import than all of a look-up; some of it is there before, where an environment has hooks.
SLOW = [
    *("ast", "collections", "contextlib", "csv", "dataclasses", "datetime", "difflib", "email", "enum", "fnmatch"),
    *("functools", "inspect", "json", "logging", "pathlib", "re", "tempfile", "threading", "tomllib", "typing"),
    *(
        "entrepot._sentinels",
        "entrepot.plugins._manifest_file",
        "entrepot.plugins.entry",
        "entrepot.plugins.manifest",
        "entrepot.plugins.policy",
    ),
    *("entrepot.protocols", "entrepot.settings", "importlib.util", "urllib", "zipfile"),
]


def plugins_of(folder: Path, count: int, *, manifests: bool = False) -> None:
    site = FakeSite(folder)
    for number in range(count):
        site.module(f"acme_{number}.blocks", "class Block: ...")
        (folder / f"acme_{number}" / FILE_NAME).write_text('{"format": 1, "api": {"entrepot.blocks": 1}}')
        groups = {"manifest": f"acme-{number} = acme_{number}"} if manifests else {}
        site.distribution(f"acme-{number}", blocks=f"acme-{number} = acme_{number}.blocks:Block", **groups)


LOOK_UP = """
started = set(sys.modules)
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
from entrepot.plugins import BLOCKS
before = set(sys.modules)
assert BLOCKS.get("acme-17").__module__ == "acme_17.blocks"
ours = {"acme_17", "acme_17.blocks"}
theirs = [path.removeprefix(FOLDER) for path in opened if path.startswith(FOLDER)]
"""


def test_one_type_among_those_of_300_distributions_imports_one_module(tmp_path: Path) -> None:
    plugins_of(tmp_path, 300)
    code = f"""FOLDER = {str(tmp_path)!r}
{LOOK_UP}
assert set(sys.modules) - before == ours, set(sys.modules) - before
slow = {SLOW!r}
assert not ({{*sys.modules}} - started) & {{*slow}}, sorted(({{*sys.modules}} - started) & {{*slow}})
assert sum("entry_points.txt" in path for path in theirs) == 300
assert not [path for path in theirs if "METADATA" in path]
"""
    assert {name for name in loaded_after(code, path=tmp_path) if name.startswith("acme_")} == {
        "acme_17",
        "acme_17.blocks",
    }


@pytest.mark.parametrize("manifests", [False, True])
def test_a_look_up_opens_one_file_of_each_distribution_and_those_of_the_one_that_it_finds(
    tmp_path: Path, *, manifests: bool
) -> None:
    plugins_of(tmp_path, 40, manifests=manifests)
    code = f"""FOLDER = {str(tmp_path)!r}
{LOOK_UP}
of_others = [path for path in theirs if "acme_17" not in path]
assert len(of_others) == 39 == len({{*of_others}}), of_others
of_it = [path for path in theirs if "acme_17" in path and "__pycache__" not in path]
assert len(of_it) == {4 if manifests else 3}, of_it
assert ("json" in set(sys.modules) - started) is {manifests}  # a parser, and what that needs
slow = {{"dataclasses", "inspect", "pathlib", "typing", "entrepot.plugins.manifest", "entrepot.plugins.policy"}}
assert not ({{*sys.modules}} - started) & slow, ({{*sys.modules}} - started) & slow
"""
    assert "acme_17" in loaded_after(code, path=tmp_path)


def test_an_unset_policy_is_found_without_reading_settings_wherever_the_home_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    for given in (str(home), f"  {home} ", "~/of-a-user", "", None):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("ENTREPOT_HOME", given) if given is not None else monkeypatch.delenv("ENTREPOT_HOME")
        assert _standing._nothing_is_set()
        file = settings.config_path()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("plugins_deny = 'acme-*'")
        assert not _standing._nothing_is_set()
        found = _standing.policy()
        assert found is not None
        assert found.deny == ("acme-*",)
        file.unlink()


def test_the_variables_of_the_policy_are_those_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("plugins_allow", "plugins_deny", "plugins_strict")
    assert tuple(settings.SETTINGS[name].variable for name in names) == _standing._VARIABLES
    monkeypatch.delenv("ENTREPOT_HOME")
    assert settings.SETTINGS["home"].variable == _standing._HOME
    assert settings.home_folder() == Path(_standing._DEFAULT_HOME).expanduser()
    assert settings.config_path().name == _standing._FILE
    for name in names:
        assert _standing._nothing_is_set() is True
        monkeypatch.setenv(settings.SETTINGS[name].variable, "1")
        assert _standing._nothing_is_set() is False
        monkeypatch.delenv(settings.SETTINGS[name].variable)


def test_settings_that_cannot_be_read_refuse_plugins_and_not_the_other_way_round(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.module("acme_one", "class Block: ...")
    site.distribution("acme-one", blocks="one = acme_one:Block")
    names = PluginRegistry[type]("entrepot.blocks", kind="block", builtins={})
    file = settings.config_path()
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    file.parent.write_text("the home is no folder")
    with pytest.raises(ConfigurationError):
        names.get("one")
    file.parent.unlink()
    file.mkdir(parents=True)
    with pytest.raises(ConfigurationError):
        names.get("one")
    monkeypatch.setenv("ENTREPOT_HOME", " ")
    with pytest.raises(ConfigurationError):
        names.get("one")
    assert "acme_one" not in sys.modules


def test_folders_are_read_as_importlib_metadata_reads_them(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site.distribution("Acme.One", "2.0", blocks="one = acme.one:One [extra]\ntwo=acme:Two", serializers="x = acme:X")
    site.distribution("acme-two", blocks="# a comment\n\n  two  =  acme : Two  \n two = acme : Two")
    site.distribution("acme-bad", text="[entrepot.blocks]\nno entry point")
    site.distribution("entrepot", "99", blocks="own = acme:Own")
    (site.distribution("acme-crlf", text="[entrepot.blocks]\r\nthree = a:b\r\n") / "METADATA").write_bytes(
        b"Name: Acme-CRLF\r\nVersion: 3\r\n\r\nName: not this\r\n"
    )
    egg = site.folder / "acme_egg-1.0-py3.egg" / "EGG-INFO"
    old = site.folder / "acme_old-1.5-py3.11.egg-info"
    for folder, name in ((egg, "acme-egg"), (old, "acme-old")):
        folder.mkdir(parents=True)
        (folder / "PKG-INFO").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (folder / "entry_points.txt").write_text(f"[entrepot.blocks]\n{name} = acme:Egg\n")
    older = site.another("older")
    older.distribution("acme_one", "1.0", blocks="gone = acme:Gone")
    monkeypatch.setattr(sys, "path", [*sys.path, str(older.folder), str(egg.parent), str(site.folder)])
    for group in ("entrepot.blocks", "entrepot.serializers", "entrepot.hashers", "entrepot.manifest"):
        plain, real = discovery.entry_points_of(group), discovery._read(group)
        assert discovery._scan_plain(tuple(sys.path)) is not None
        assert dict(plain.claims) == dict(real.claims)
        assert [whose for whose, _ in plain.unreadable] == [whose for whose, _ in real.unreadable]
    assert {"one", "two", "three", "acme-egg", "acme-old"} <= {*discovery.entry_points_of("entrepot.blocks").claims}
    assert "gone" not in discovery.entry_points_of("entrepot.blocks").claims


def test_what_is_no_folder_is_left_to_importlib_metadata(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = site.folder.parent / "plugins.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("acme_zip-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme-zip\nVersion: 1.0\n")
        file.writestr("acme_zip-1.0.dist-info/entry_points.txt", "[entrepot.blocks]\nzipped = acme_zip:Block\n")
        file.writestr("acme_zip.py", "class Block: ...")
    monkeypatch.syspath_prepend(str(archive))
    names = PluginRegistry[type]("entrepot.blocks", kind="block", builtins={})
    assert names.get("zipped").__module__ == "acme_zip"


@pytest.mark.parametrize(
    ("slug", "module", "others"),
    [
        ("secret", "entrepot.blocks.system", ["entrepot.filesystems", "entrepot.blocks.webhook", "fsspec"]),
        ("webhook", "entrepot.blocks.webhook", ["entrepot.filesystems", "fsspec"]),
        ("s3", "entrepot.filesystems", ["entrepot.blocks.webhook", "s3fs", "gcsfs", "adlfs", "botocore"]),
    ],
)
def test_looking_up_one_builtin_block_loads_only_its_module(slug: str, module: str, others: list[str]) -> None:
    loaded = loaded_after(f"from entrepot.plugins import BLOCKS\nBLOCKS.get({slug!r})")
    assert module in loaded
    assert not loaded & set(others)
