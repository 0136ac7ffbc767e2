"""The bytes of saved blocks: what earlier versions wrote must load, and bodies must not change unnoticed."""

import enum
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretBytes, SecretStr

from entrepot.blocks._encoding import encode_fields
from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.blocks.system import Secret
from entrepot.crypto.keyring import Keyring
from entrepot.storage import LocalStorage

GOLDEN = Path(__file__).parent.parent / "golden"


class Side(enum.Enum):
    LEFT = "left"


class Model(BaseModel):
    token: SecretStr


@dataclass
class Data:
    token: SecretStr


class GoldenBlock(Block):
    _schema_version = 7

    text: str
    secret: SecretStr
    raw: SecretBytes
    when: datetime
    side: Side
    model: Model
    data: Data
    anything: Any
    inline: Secret
    saved: Secret


@pytest.fixture(autouse=True)
def golden_documents() -> Iterator[BlockDocuments]:
    ring = Keyring.from_document((GOLDEN / "crypto" / "keyring.json").read_bytes(), location="golden")
    documents = BlockDocuments(StorageDocumentStore(LocalStorage(GOLDEN / "blocks")), lambda: ring)
    with use_documents(documents):
        yield documents


def example() -> GoldenBlock:
    return GoldenBlock(
        text="tëxt",
        secret="a secret",
        raw=b"\x00\xff",
        when=datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC),
        side=Side.LEFT,
        model={"token": "in a model"},
        data=Data(SecretStr("in a dataclass")),
        anything={"a": (1, SecretStr("in Any")), 2: {3}},
        inline=Secret(value="inside"),
        saved=Secret.load("nested"),
    )


def test_what_an_earlier_version_saved_loads() -> None:
    loaded = GoldenBlock.load("everything")
    assert loaded == example()
    assert loaded.saved.get() == "nested and saved"
    assert Block.names() == ["golden-block/everything", "secret/nested"]


def test_its_header_can_be_read(golden_documents: BlockDocuments) -> None:
    header = golden_documents.header(golden_documents.latest("golden-block", "everything"))
    # The fingerprint is made from what pydantic says of the fields, and may differ from one pydantic to the next.
    assert header == {"schema": "d509c1ef5277d6f4", "schema_version": 7}


def test_the_body_has_not_changed() -> None:
    block = example()
    body = encode_fields(block, lambda nested: ("secret", "nested") if nested is block.saved else None)
    assert body == json.loads((GOLDEN / "blocks" / "body.json").read_text())
