"""What is imported when, seen from fresh processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_miss_with_a_plugin_installed_reads_metadata_and_imports_that_plugin_only(tmp_path: Path) -> None:
    site = FakeSite(tmp_path)
    for one in ("one", "two"):
        site.module(f"acme_{one}", "class Block: ...")
        site.distribution(f"acme-{one}", blocks=f"{one} = acme_{one}:Block")
    loaded = loaded_after(
        "from entrepot.plugins import PluginRegistry\nPluginRegistry('entrepot.blocks', kind='block').get('one')",
        path=tmp_path,
    )
    assert {"importlib.metadata", "acme_one"} <= loaded
    assert "acme_two" not in loaded


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
