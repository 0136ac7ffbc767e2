"""The contracts of blocks and hashers: ours meet them, and each catches what it is there for."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import SecretStr

from entrepot.blocks import JSON, Block, Secret, String, Webhook
from entrepot.filesystems import GCS, S3, Azure, LocalFileSystem, RemoteFileSystem
from entrepot.testing import BlockContract, HasherContract, memory_documents

BLOCKS: dict[str, Callable[[], Block]] = {
    "json": lambda: JSON(value={"a": 1}),
    "secret": lambda: Secret(value="correct horse"),
    "string": lambda: String(value="text"),
    "webhook": lambda: Webhook(url="https://example.com/hooks/correct-horse"),
    "s3": lambda: S3(bucket_path="bucket/f", aws_access_key_id="AKIAHUSH", aws_secret_access_key="correct horse"),
    "gcs": lambda: GCS(bucket_path="bucket/f"),
    "azure": lambda: Azure(bucket_path="container/f", azure_storage_connection_string="AccountKey=correct horse"),
    "local-file-system": lambda: LocalFileSystem(basepath="/data"),
    "remote-file-system": lambda: RemoteFileSystem(basepath="sftp://me:correct-horse@host/data"),
}


@pytest.mark.parametrize("slug", BLOCKS)
class TestOurBlocks(BlockContract):
    @pytest.fixture(autouse=True)
    def _which(self, slug: str) -> None:
        self.slug = slug

    def make_block(self) -> Block:
        return BLOCKS[self.slug]()


class _Leaky(Block):
    """Shows its secret."""

    _block_type_slug: ClassVar[str] = "leaky-in-a-test"
    password: SecretStr

    def __str__(self) -> str:
        return self.password.get_secret_value()


class _Bare(Block):
    _block_type_slug: ClassVar[str] = "bare-in-a-test"
    number: int = 0


def failing(contract: type, **methods: Any) -> set[str]:
    """Return the tests of a contract that fail for something."""
    subject = type("Subject", (contract,), {name: staticmethod(fn) for name, fn in methods.items()})()
    failed = set()
    for name in dir(subject):
        if name.startswith("test_"):
            try:
                getattr(subject, name)()
            except AssertionError:
                failed.add(name)
    return failed


def test_the_contract_of_blocks_catches_leaks_silence_and_change() -> None:
    assert failing(BlockContract, make_block=lambda: _Leaky(password=SecretStr("correct horse"))) == {
        "test_its_secrets_show_nowhere"
    }
    numbers = itertools.count()
    assert failing(BlockContract, make_block=lambda: _Bare(number=next(numbers))) == {
        "test_it_tells_people_what_it_is_for",
        "test_two_equal_ones_are_made",
        "test_it_counts_by_its_fields_in_cache_keys",
    }


class _Box:
    def __init__(self, content: object) -> None:
        self.content = content


class TestAHasher(HasherContract):
    def make_hasher(self) -> Callable[[Any], object]:
        return lambda box: box.content

    def make_values(self) -> Sequence[Any]:
        return [_Box(1), _Box("1"), _Box(None)]


@pytest.mark.parametrize(
    ("hasher", "fails"),
    [
        (lambda box: 7, "test_different_values_are_told_apart"),
        (lambda box: (box.content, id(box)), "test_equal_values_are_one"),
        (lambda box: (box.content, next(_numbers)), "test_asking_changes_nothing"),
    ],
)
def test_the_contract_of_hashers_catches_what_would_give_wrong_results(hasher: Any, fails: str) -> None:
    kept: list[Any] = []  # so that no two have one address

    def values() -> list[Any]:
        made = [_Box(1), _Box(2)]
        kept.extend(made)
        return made

    assert fails in failing(HasherContract, make_hasher=lambda: hasher, make_values=values)


_numbers = itertools.count()


def test_documents_in_memory_are_each_their_own() -> None:
    one, two = memory_documents(), memory_documents()
    assert one.store.location != two.store.location
    assert one.ring() is not two.ring()


PLUGIN_SUITE = """
from pathlib import Path
from entrepot import settings
from entrepot.blocks import Secret
pytest_plugins = ["entrepot.testing.pytest_plugin"]

def test_one(entrepot_home):
    assert settings.home_folder() == entrepot_home
    Secret(value="hush").save("mine")

def test_two(frozen_clock, memory_documents):
    assert not Secret.exists("mine")
    Secret(value="hush").save("mine")
    assert not list(Path(settings.home_folder()).rglob("*.json"))
    frozen_clock.sleep(5)
    assert frozen_clock.monotonic() == 5
"""


def test_the_plugin_for_pytest_gives_every_test_a_home_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(PLUGIN_SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", "test_suite.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
