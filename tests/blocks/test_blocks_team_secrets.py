"""Secrets hunted through history, migrations, files and the environment: errors, their chains, their frames, texts."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr, field_validator

from entrepot.blocks import as_code, migrates
from entrepot.blocks._files import read_blocks, write_blocks
from entrepot.blocks.core import Block
from entrepot.blocks.doctor import examine_all, migrate
from entrepot.blocks.documents import BlockDocuments, current_documents
from entrepot.blocks.history import diff, stored
from entrepot.blocks.system import JSON, Secret
from entrepot.crypto.keyring import Keyring
from entrepot.crypto.seal import seal
from entrepot.errors import EntrepotError
from entrepot.plugins import BLOCKS
from entrepot.storage import MemoryStorage
from entrepot_test_secrets import SECRET, leaks, our_frames

pytestmark = pytest.mark.usefixtures("documents")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    BLOCKS.forget("locker")


def save_old() -> None:
    class Key(BaseModel):
        token: SecretStr

    class Locker(Block):
        plain: str
        token: SecretStr
        keys: list[Key]

    for name in ("one", "two"):
        Locker(plain="p", token=SECRET, keys=[Key(token=SecretStr(SECRET))]).save(name)
    Locker(plain="q", token=SECRET, keys=[]).save("two", overwrite=True)
    BLOCKS.forget("locker")


def bad(step: Callable[[dict[str, Any]], Any]) -> type[Block]:
    class Locker(Block):
        _schema_version = 2

        token: int

        _step = migrates(from_version=1)(step)

        @field_validator("token", mode="before")
        @classmethod
        def _check(cls, value: Any) -> Any:
            shown = value.get_secret_value() if isinstance(value, SecretStr) else value
            raise ValueError(f"no good: {shown}")

    return Locker


def crash(fields: dict[str, Any]) -> Any:
    text = fields["token"].get_secret_value()
    raise LookupError(text)


def keep_one(fields: dict[str, Any]) -> Any:
    return {"token": fields["token"].get_secret_value()}


def wrong(fields: dict[str, Any]) -> Any:
    return [fields["token"].get_secret_value()]


def nothing(fields: dict[str, Any]) -> Any:
    return None


@pytest.mark.parametrize("step", [crash, keep_one, wrong, nothing])
def test_a_migration_that_fails(step: Callable[[dict[str, Any]], Any]) -> None:
    save_old()
    cls = bad(step)
    with pytest.raises(EntrepotError) as caught:
        cls.load("one")
    assert not leaks(our_frames(caught.value))
    findings = [*examine_all(), *(migrate(ref, current_documents()) for ref in Block.list())]
    assert {each.health for each in findings} == {"fails"}
    assert not leaks(repr(findings))
    for each in findings:
        assert each.error is not None
        assert not leaks(our_frames(each.error))


def test_what_is_shown_compared_and_written_without_a_class(tmp_path: Path) -> None:
    save_old()
    shown = [stored("one"), diff("two"), Block.history("two"), Block.rollback("two", 1), list(examine_all())]
    exported = as_code.export(Block.list())
    texts = [write_blocks(exported.blocks, tmp_path / name) for name in ("b.toml", "b.yaml")]
    assert not leaks(repr((shown, exported, texts)))


def test_bodies_that_are_malformed(storage: MemoryStorage, ring: Keyring) -> None:
    for version, body in enumerate((SECRET.encode(), json.dumps([SECRET]).encode(), json.dumps(SECRET).encode()), 1):
        storage.put(
            f"locker/x/{version:08d}.json",
            seal(ring, body, place={"type": "locker", "name": "x", "version": version}),
        )
    calls: list[Callable[[], object]] = [
        *(lambda version=version: stored("locker/x", version) for version in (1, 2, 3)),  # type: ignore[misc]
        *(lambda version=version: Block.rollback("locker/x", version) for version in (1, 2, 3)),  # type: ignore[misc]
        lambda: diff("locker/x"),
        lambda: as_code.export(Block.list()),
    ]
    for call in calls:
        with pytest.raises(EntrepotError) as caught:
            call()
        assert not leaks(our_frames(caught.value))
    assert not leaks(repr(Block.history("locker/x")))


def test_an_export_that_ends_half_way(storage: MemoryStorage) -> None:
    save_old()
    Secret(value=SECRET).save("z")
    storage.put("secret/z/00000001.json", b"damaged")
    with pytest.raises(EntrepotError) as caught:
        as_code.export(Block.list())
    assert not leaks(our_frames(caught.value))


def test_references_in_a_file_whose_block_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents: BlockDocuments
) -> None:
    class Locker(Block):
        token: SecretStr
        number: int = 1

        @field_validator("token")
        @classmethod
        def _check(cls, value: SecretStr) -> SecretStr:
            if cls.mood:  # type: ignore[attr-defined]
                raise RuntimeError(value.get_secret_value())
            raise ValueError(f"no good: {value.get_secret_value()}")

    monkeypatch.setenv("TOKEN", SECRET)
    file = tmp_path / "b.toml"
    file.write_text('[blocks.locker.a]\ntoken = "env://TOKEN"\n')
    for mood in (True, False):
        Locker.mood = mood  # type: ignore[attr-defined]
        with pytest.raises(EntrepotError) as caught:
            as_code.plan(read_blocks(file))
        assert not leaks(our_frames(caught.value))
    assert Block.names() == []


@pytest.mark.parametrize(
    "value",
    [
        json.dumps({"value": [SECRET]}),
        json.dumps({"value": SECRET, "more": 1}),
        json.dumps([SECRET]),
        json.dumps({"value": SECRET})[:-1],
        json.dumps({"value": {"$type": "nonsense", "value": SECRET}}),
        json.dumps({"value": SECRET, "x": "env://NOT_SET_HERE"}),
    ],
)
def test_a_variable_that_makes_no_block(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", value)
    JSON(value=1).save("other")
    for load in (lambda: Secret.load("x"), lambda: Block.load("secret/x"), lambda: Block.load("x")):
        with pytest.raises(EntrepotError) as caught:
            load()
        assert not leaks(our_frames(caught.value))
