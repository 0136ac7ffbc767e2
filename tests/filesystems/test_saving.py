"""Storage blocks, saved sealed and loaded by name."""

from pathlib import Path
from typing import Any

import pytest

from entrepot.blocks import Block
from entrepot.filesystems import GCS, S3, Azure, LocalFileSystem, RemoteFileSystem
from entrepot.protocols.storage import SupportsStorage

SECRET = "HUSH-wJalrXUtnFEMI"
BLOCKS: list[Block] = [
    LocalFileSystem(basepath="/data/results"),
    LocalFileSystem(),
    S3(
        bucket_path="my-bucket/x", aws_access_key_id=SECRET, aws_secret_access_key=SECRET, config_kwargs={"a": {"b": 1}}
    ),
    GCS(
        bucket_path="my-bucket",
        service_account_info={"client_email": "a", "private_key": SECRET, "token_uri": "b"},
    ),
    Azure(bucket_path="my-container", azure_storage_account_name="acc", azure_storage_account_key=SECRET),
    RemoteFileSystem(
        basepath=f"sftp://u:{SECRET}@h/x", settings={"port": 22, "deep": [{"token": SECRET}], "tuple": (1, 2)}
    ),
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.get_block_type_slug())
def test_a_block_comes_back_as_it_was_and_lies_sealed(block: Block, entrepot_home: Path) -> None:
    block.save("mine")
    slug = block.get_block_type_slug()
    again = Block.load(f"{slug}/mine")
    assert type(again) is type(block)
    assert again == block
    assert isinstance(again, SupportsStorage)
    kept = [path.read_bytes() for path in entrepot_home.rglob("*") if path.is_file()]
    assert kept
    assert not any(SECRET.encode() in content for content in kept)


def test_a_loaded_block_works(s3_server: Any) -> None:
    bucket = s3_server.bucket()
    S3(
        bucket_path=f"{bucket}/results",
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key,
        endpoint_url=s3_server.endpoint_url,
    ).save("prod")
    S3.load("prod").write_path("x", b"1")
    assert Block.load("s3/prod").read_path("x") == b"1"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [LocalFileSystem, S3, GCS, Azure, RemoteFileSystem])
def test_every_field_is_described(kind: type[Block]) -> None:
    assert all(field.description for field in kind.model_fields.values())
    assert kind.get_description()
    assert kind.get_block_type_name()
    assert {"storage", "read-path", "write-path"} <= kind.get_block_capabilities()
