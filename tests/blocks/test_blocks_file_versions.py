"""Files of blocks say of which schema version they are: older ones climb, newer are refused, rounds are exact."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from entrepot.blocks import JSON, Block, Secret, SecretReference, as_code, migrates
from entrepot.blocks._files import read_blocks, write_blocks
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, use_documents
from entrepot.crypto.keyring import Keyring
from entrepot.errors import BlockFileError, IntegrityError
from entrepot.plugins import BLOCKS
from entrepot.storage import MemoryStorage

GOLDEN = Path(__file__).parent.parent / "golden" / "blocks-files"
HUNTER = "hunter2-correct-horse"

pytestmark = pytest.mark.usefixtures("documents")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    BLOCKS.forget("depot")


def define_old() -> type[Block]:
    BLOCKS.forget("depot")

    class Depot(Block):
        address: str
        password: SecretStr
        raw: SecretBytes = SecretBytes(b"")
        folder: str = "/"
        inside: Secret | None = None
        since: datetime | None = None

    return Depot


def define_new() -> type[Block]:
    BLOCKS.forget("depot")

    class Depot(Block):
        _schema_version = 3

        host: str
        port: int
        login: SecretStr
        raw_bytes: SecretBytes = SecretBytes(b"")
        url: str = "file:///"
        key: Secret | None = None
        since: datetime | None = None

        @migrates(from_version=1)
        @staticmethod
        def _split(fields: dict[str, Any]) -> dict[str, Any]:
            host, _, port = fields.pop("address").partition(":")
            fields |= {"host": host, "port": int(port)}
            if "inside" in fields:
                fields["key"] = fields.pop("inside")
            return fields

        @migrates(from_version=2)
        @staticmethod
        def _rename(fields: dict[str, Any]) -> None:
            fields["login"] = fields.pop("password")
            for old, new in (("folder", "url"), ("raw", "raw_bytes")):
                if old in fields:
                    fields[new] = fields.pop(old)

    return Depot


def planned(file: Path, *, live: bool = False) -> list[as_code.Planned]:
    return as_code.plan(read_blocks(file), live=live)


def export_to(file: Path) -> str:
    file.write_text(write_blocks(as_code.export(Block.list()).blocks, file))
    return file.read_text()


class TestOlder:
    @pytest.mark.parametrize("suffix", ["toml", "yaml"])
    def test_what_an_older_class_wrote_is_applied_into_a_newer_one(
        self, suffix: str, tmp_path: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / f"b.{suffix}"
        Secret(value="inner").save("inner")
        since = datetime(2026, 1, 2, tzinfo=UTC)
        old = define_old()
        old(
            address="db.example.com:5433",
            password=HUNTER,
            raw=b"bytes",
            folder="file:///data",
            inside=Secret.load("inner"),
            since=since,
        ).save("d")
        export_to(file)
        new = define_new()
        for name, value in [("PASSWORD", HUNTER), ("RAW", "bytes")]:
            monkeypatch.setenv(f"DEPOT_D_{name}", value)
        monkeypatch.setenv("SECRET_INNER_VALUE", "inner")
        assert [each.step for each in planned(file)] == ["same", "same"], "what is saved climbs, too"
        with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: ring)):
            assert [each.step for each, _ in as_code.apply(planned(file))] == ["create", "create"]
            made: Any = new.load("d")
            assert (made.host, made.port, made.url, made.since) == ("db.example.com", 5433, "file:///data", since)
            assert made.login.get_secret_value() == HUNTER
            assert made.raw_bytes.get_secret_value() == b"bytes"
            Secret(value="changed").save("inner", overwrite=True)
            assert new.load("d").key.get() == "changed", "it is a reference still"  # type: ignore[attr-defined]

    def test_references_of_all_schemes_end_as_references_where_the_new_class_has_secrets(self, tmp_path: Path) -> None:
        file = tmp_path / "b.toml"
        define_new()
        for reference in ("vault://kv/x#y", "file:///run/secrets/x", "env://LATER", "block://secret/x"):
            file.write_text(
                f'[blocks.depot.d]\n"$schema_version" = 1\naddress = "h:1"\npassword = "{reference}"\n'
                f'raw = "{reference}"\n'
            )
            (made,) = planned(file, live=True)
            assert made.block.login == SecretReference(reference)  # type: ignore[attr-defined]
            assert made.block.raw_bytes.reference == reference  # type: ignore[attr-defined]

    def test_all_variables_that_are_not_set_are_named_at_once(self, tmp_path: Path) -> None:
        file = tmp_path / "b.toml"
        define_new()
        file.write_text(
            '[blocks.depot.d]\n"$schema_version" = 1\naddress = "h:1"\npassword = "env://NOT_A"\nraw = "env://NOT_B"\n'
        )
        with pytest.raises(BlockFileError, match=r"NOT_A is not set.*NOT_B is not set"):
            planned(file)

    def test_a_secret_in_clear_that_a_migration_moves_is_refused(self, tmp_path: Path) -> None:
        file = tmp_path / "b.toml"
        define_new()
        file.write_text(f'[blocks.depot.d]\n"$schema_version" = 1\naddress = "h:1"\npassword = "{HUNTER}"\n')
        with pytest.raises(BlockFileError, match="the secret of the field login is in clear") as caught:
            planned(file)
        assert HUNTER not in repr((str(caught.value), caught.value.__cause__, caught.value.__context__))

    def test_a_secret_that_a_migration_makes_up_is_none_of_the_file(self, tmp_path: Path) -> None:
        class Depot(Block):
            _schema_version = 2
            token: SecretStr

            @migrates(from_version=1)
            @staticmethod
            def _default(fields: dict[str, Any]) -> None:
                fields["token"] = "nobody"

        file = tmp_path / "b.toml"
        file.write_text('[blocks.depot.d]\n"$schema_version" = 1\n')
        (made,) = planned(file)
        assert made.block.token.get_secret_value() == "nobody"  # type: ignore[attr-defined]

    def test_a_migration_that_fails_is_named_without_values(self, tmp_path: Path) -> None:
        file = tmp_path / "b.toml"
        define_new()
        file.write_text(f'[blocks.depot.d]\n"$schema_version" = 1\naddress = "h:{HUNTER}"\npassword = "env://HOME"\n')
        with pytest.raises(BlockFileError, match=r"is of schema version 1, .*_split, raised ValueError") as caught:
            planned(file)
        assert HUNTER not in repr((str(caught.value), caught.value.__cause__, caught.value.__context__))

    def test_a_variable_of_the_environment_climbs_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        new = define_new()
        monkeypatch.setenv(
            "ENTREPOT_BLOCK__DEPOT__D", '{"$schema_version": 1, "address": "h:7", "password": "env://DEPOT_PASSWORD"}'
        )
        monkeypatch.setenv("DEPOT_PASSWORD", HUNTER)
        made: Any = new.load("d")
        assert (made.port, made.login.get_secret_value()) == (7, HUNTER)


class TestNewer:
    def test_what_a_newer_class_wrote_is_refused_with_both_versions(self, tmp_path: Path) -> None:
        file = tmp_path / "b.toml"
        define_new()
        file.write_text('[blocks.depot.d]\n"$schema_version" = 4\nhost = "h"\n')
        with pytest.raises(BlockFileError, match=r"depot/d is written for a newer.* version 4.* up to 3; upgrade"):
            planned(file)

    @pytest.mark.parametrize("version", ["0", "-1", "true", '"2"', "1.0"])
    def test_what_is_no_version_is_refused(self, version: str, tmp_path: Path) -> None:
        file = tmp_path / "b.toml"
        file.write_text(f'[blocks.string.d]\n"$schema_version" = {version}\nvalue = "x"\n')
        with pytest.raises(BlockFileError, match=r'blocks\.string\.d: "\$schema_version" is a schema version'):
            read_blocks(file)

    def test_without_a_version_it_is_of_that_of_the_class_and_an_error_says_what_else_it_could_be(
        self, tmp_path: Path
    ) -> None:
        file = tmp_path / "b.toml"
        define_new()
        file.write_text('[blocks.depot.d]\nhost = "h"\nport = 1\nlogin = "vault://kv/x#y"\n')
        assert [each.step for each in planned(file)] == ["create"]
        file.write_text('[blocks.depot.d]\naddress = "h:1"\npassword = "vault://kv/x#y"\n')
        with pytest.raises(BlockFileError, match=r"no field named 'address'.*say so: \"\$schema_version\" = 1"):
            planned(file)

    def test_a_block_that_needs_that_name_for_a_field_is_not_written(self, tmp_path: Path) -> None:
        class KeepsVersion(Block, extra="allow"):
            pass

        KeepsVersion(**{"$schema_version": "x"}).save("l")
        with pytest.raises(BlockFileError, match="a file has another use for it"):
            export_to(tmp_path / "b.toml")
        BLOCKS.forget("keeps-version")

    def test_one_whose_class_is_older_keeps_the_version_that_it_has(self, tmp_path: Path) -> None:
        define_new()(host="h", port=1, login=SecretStr(HUNTER)).save("d")  # type: ignore[call-arg]
        define_old()
        found = as_code.export(Block.list())
        assert found.as_stored == ("depot/d",)
        assert found.blocks["depot", "d"]["$schema_version"] == 3


class Golden(Block):
    _schema_version = 2

    text: str
    secret: SecretStr
    when: datetime
    amount: Decimal
    headers: dict[str, SecretStr]
    inner: Secret
    inline: Secret
    anything: Any


@pytest.mark.parametrize("name", ["blocks.toml", "blocks.yaml"])
def test_the_text_of_a_file_does_not_change_unnoticed(name: str, tmp_path: Path) -> None:
    """Written anew with UPDATE_GOLDEN=1, after a look at what would no longer be read."""
    Secret(value=HUNTER).save("inner")
    Golden(
        text="t",
        secret=SecretStr(HUNTER),
        when=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
        amount=Decimal("1.10"),
        headers={"Authorization": SecretStr(HUNTER)},
        inner=Secret.load("inner"),
        inline=Secret(value="x"),
        anything={"pair": (1, "a"), "list": [1.5]},
    ).save("g")
    text = export_to(tmp_path / name)
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()
    assert set(read_blocks(GOLDEN / name)) == {("golden", "g"), ("secret", "inner")}


_LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.datetimes(timezones=st.just(UTC)),
    st.text(min_size=1, max_size=8).map(SecretStr),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    value=st.recursive(
        _LEAVES,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.text(max_size=4), inner, max_size=3),
            st.tuples(inner, inner),
        ),
        max_leaves=6,
    ),
    suffix=st.sampled_from(["toml", "yaml"]),
)
def test_export_apply_export_is_the_same_text(value: Any, suffix: str, tmp_path: Path, ring: Keyring) -> None:
    with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: ring)):
        JSON(value=value).save("j")
        found = as_code.export(Block.list())
        file = tmp_path / f"b.{suffix}"
        text = export_to(file)
    with pytest.MonkeyPatch.context() as patch:
        for variable in found.variables:
            patch.setenv(variable, f"the secret {variable}")
        with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: ring)):
            list(as_code.apply(planned(file)))
            assert export_to(file) == text


def test_a_block_without_class_that_says_no_schema_version_is_not_exported(documents: BlockDocuments) -> None:
    body = memoryview(b'{"fields": {"value": 1}}')
    ref = documents.save("gone", "x", body, header={"schema_version": "x"}, overwrite=False)
    with pytest.raises(IntegrityError, match=r"version 1 of the block gone/x .*says no schema version"):
        as_code.export([ref])


@pytest.mark.parametrize("key", ["again", "1", "2024-01-02", "!!binary aGk="])
def test_a_key_that_is_there_twice_is_found_among_many(key: str, tmp_path: Path) -> None:
    path = tmp_path / "blocks.yaml"
    many = [f"b{number}" for number in range(300)]
    lines = [f"    {name}: {{}}" for name in (*many, key, *reversed([f"c{name}" for name in many]), key)]
    path.write_text("\n".join(["blocks:", "  json:", *lines]))
    with pytest.raises(BlockFileError, match="is there twice at line 3"):
        read_blocks(path)


def test_what_can_be_no_key_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "blocks.yaml"
    path.write_text("blocks:\n  json:\n    ? [a, b]\n    : {}\n")
    with pytest.raises(BlockFileError, match="unhashable key at line 3"):
        read_blocks(path)
