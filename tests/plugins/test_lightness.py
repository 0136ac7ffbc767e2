"""What is imported when, seen from fresh processes."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from entrepot.plugins import PluginRegistry, discovery
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


def test_one_type_among_those_of_300_distributions_imports_one_module(tmp_path: Path) -> None:
    site = FakeSite(tmp_path)
    for number in range(300):
        site.module(f"acme_{number}", "class Block: ...")
        site.distribution(f"acme-{number}", f"1.{number}", blocks=f"acme-{number} = acme_{number}:Block")
    code = f"""
from entrepot.plugins import BLOCKS
before = set(sys.modules)
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
assert BLOCKS.get("acme-177").__module__ == "acme_177"
assert sorted(set(sys.modules) - before) == ["acme_177"], set(sys.modules) - before
of_ours = [path for path in opened if {str(tmp_path)!r} in path]
assert sum("entry_points.txt" in path for path in of_ours) == 300
assert [path for path in of_ours if "METADATA" in path] == [{str(tmp_path)!r} + "/acme_177-1.177.dist-info/METADATA"]
"""
    assert {name for name in loaded_after(code, path=tmp_path) if name.startswith("acme_")} == {"acme_177"}


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
        assert isinstance(plain.claims, discovery._PlainClaims)
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
