"""Blocks as files: what is written for a secret, what applying changes, and that a round through a file is exact."""

import enum
import string
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretBytes, SecretStr

from entrepot.blocks import SecretReference, as_code
from entrepot.blocks._files import read_blocks, write_blocks
from entrepot.blocks.core import Block
from entrepot.blocks.document_store import StorageDocumentStore
from entrepot.blocks.documents import BlockDocuments, current_documents, use_documents
from entrepot.blocks.system import JSON, Secret, String
from entrepot.blocks.webhook import Webhook
from entrepot.crypto.keyring import Keyring
from entrepot.errors import BlockExistsError, BlockFileError, InvalidNameError, UnknownBlockTypeError
from entrepot.plugins import BLOCKS
from entrepot.storage import MemoryStorage

HUNTER = "hunter2-correct-horse"


class Side(enum.Enum):
    LEFT = "left"


class Login(BaseModel):
    user: str
    token: SecretStr


@dataclass
class Point:
    x: int
    y: Decimal


class Manifold(Block):
    text: str = "t"
    secret: SecretStr = SecretStr("")
    raw: SecretBytes | None = None
    when: datetime = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    day: date = date(2026, 1, 2)
    took: timedelta = timedelta(days=1, seconds=2)
    ident: UUID = UUID(int=7)
    amount: Decimal = Decimal("1.10")
    place: Path = Path("/tmp/x")
    side: Side = Side.LEFT
    pair: tuple[int, str] = (1, "a")
    labels: set[str] = Field(default_factory=set)
    login: Login | None = None
    logins: list[Login] = Field(default_factory=list)
    point: Point | None = None
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    either: str | SecretStr = "plain"
    moment: str | datetime = "2026-01-02"
    several: list[int] | tuple[int, ...] = ()
    anything: Any = None
    inner: Secret | None = None
    inners: list[Secret] = Field(default_factory=list)
    aliased: int = Field(default=1, alias="AliasedField")


def full() -> Manifold:
    return Manifold(
        secret=HUNTER,
        raw=b"raw secret",
        labels={"x"},
        moment=datetime(2026, 1, 2, tzinfo=UTC),
        several=(1, 2),
        login=Login(user="u", token=SecretStr(HUNTER)),
        logins=[Login(user="v", token=SecretStr("another"))],
        point=Point(1, Decimal("2.5")),
        headers={"Authorization": HUNTER, "X": "third"},
        either=SecretStr("either secret"),
        anything={"s": SecretStr("in any"), (1, 2): {3}, "b": b"\xff", "n": [None, 1.5]},
        inner=Secret.load("saved"),
        inners=[Secret(value="inline secret"), Secret.load("saved")],
        AliasedField=7,
    )


def applied(file: Path) -> list[str]:
    return [planned.step for planned, _ in as_code.apply(as_code.plan(read_blocks(file)))]


def exported(file: Path) -> as_code.Exported:
    found = as_code.export(Block.list())
    file.write_text(write_blocks(found.blocks, file))
    return found


@pytest.mark.usefixtures("documents")
class TestRoundTrip:
    @pytest.mark.parametrize("name", ["blocks.toml", "blocks.yaml", "blocks.YML"])
    def test_what_is_exported_is_applied_elsewhere_as_it_was(
        self, name: str, tmp_path: Path, ring: Keyring, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / name
        Secret(value=HUNTER).save("saved")
        block = full()
        if file.suffix == ".toml":
            block.anything["n"] = [1.5]  # TOML has no null
        block.save("e")
        JSON(value={"blk": Secret.load("saved"), "text": "block://no/reference"}).save("j")
        found = exported(file)
        text = file.read_text()
        for secret in (HUNTER, "raw secret", "another", "third", "either secret", "in any", "inline secret"):
            assert secret not in text
        assert "block://secret/saved" in text
        assert set(found.variables) == {
            "SECRET_SAVED_VALUE",
            "MANIFOLD_E_SECRET",
            "MANIFOLD_E_RAW",
            "MANIFOLD_E_LOGIN_TOKEN",
            "MANIFOLD_E_LOGINS_0_TOKEN",
            "MANIFOLD_E_HEADERS_AUTHORIZATION",
            "MANIFOLD_E_HEADERS_X",
            "MANIFOLD_E_EITHER",
            *(each for each in found.variables if each.startswith(("MANIFOLD_E_ANYTHING", "MANIFOLD_E_INNERS"))),
        }
        values = {
            "SECRET_SAVED_VALUE": HUNTER,
            "MANIFOLD_E_SECRET": HUNTER,
            "MANIFOLD_E_RAW": "raw secret",
            "MANIFOLD_E_LOGIN_TOKEN": HUNTER,
            "MANIFOLD_E_LOGINS_0_TOKEN": "another",
            "MANIFOLD_E_HEADERS_AUTHORIZATION": HUNTER,
            "MANIFOLD_E_HEADERS_X": "third",
            "MANIFOLD_E_EITHER": "either secret",
        }
        for variable in found.variables:
            value = values.get(variable, "in any" if "ANYTHING" in variable else "inline secret")
            monkeypatch.setenv(variable, value)
        assert applied(file) == ["same", "same", "same"]
        with use_documents(BlockDocuments(StorageDocumentStore(MemoryStorage()), lambda: ring)):
            assert applied(file) == ["create", "create", "create"]
            assert Manifold.load("e") == block
            assert JSON.load("j").value == {"blk": Secret(value=HUNTER), "text": "block://no/reference"}
            Secret(value="new").save("saved", overwrite=True)
            assert Manifold.load("e").inner == Secret(value="new"), "it is a reference"
            assert applied(file) == ["change", "same", "same"]

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    @given(
        value=st.recursive(
            st.one_of(
                st.booleans(),
                st.integers(-(2**70), 2**70),
                st.floats(allow_nan=False),
                st.text(max_size=8),
                st.binary(max_size=4),
                st.datetimes(timezones=st.just(UTC)),
            ),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3),
                st.dictionaries(st.text(max_size=4), inner, max_size=3),
                st.tuples(inner, inner),
                st.dictionaries(st.integers(), inner, max_size=2),
            ),
            max_leaves=8,
        ),
        suffix=st.sampled_from(["toml", "yaml"]),
    )
    def test_any_value_survives_a_file(self, value: Any, suffix: str, tmp_path: Path) -> None:
        JSON(value=value).save("j", overwrite=True)
        file = tmp_path / f"b.{suffix}"
        exported(file)
        assert applied(file) == ["same"]

    def test_a_block_whose_class_is_gone_is_exported_as_it_is_stored(self, tmp_path: Path) -> None:
        class Gone(Block):
            host: str
            token: SecretStr

        Gone(host="h", token=HUNTER).save("g")
        BLOCKS.forget("gone")
        found = exported(tmp_path / "b.toml")
        assert found.as_stored == ("gone/g",)
        assert found.blocks == {
            ("gone", "g"): {
                "$schema_version": 1,
                "host": "h",
                "token": {"$type": "secret-str", "value": "env://GONE_G_TOKEN"},
            }
        }
        with pytest.raises(UnknownBlockTypeError):
            applied(tmp_path / "b.toml")


@pytest.mark.usefixtures("documents")
class TestApply:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "blocks.toml"

    def test_only_what_differs_gets_a_version(self, file: Path, documents: BlockDocuments) -> None:
        String(value="old").save("a")
        String(value="same").save("b")
        String(value="not in the file").save("c")
        file.write_text('[blocks.string]\na = {value = "new"}\nb = {value = "same"}\nd = {value = "d"}\n')
        steps = as_code.plan(read_blocks(file))
        assert [(each.name, each.step) for each in steps] == [("a", "change"), ("b", "same"), ("d", "create")]
        assert [(each.path, each.before, each.after) for each in steps[0].changes] == [("value", "old", "new")]
        assert String.load("a").value == "old", "a plan saves nothing"
        assert [None if ref is None else ref.version for _, ref in as_code.apply(steps)] == [2, None, 1]
        assert applied(file) == ["same", "same", "same"]
        assert String.names() == ["a", "b", "c", "d"]

    def test_a_save_between_plan_and_apply_is_not_overwritten(self, file: Path) -> None:
        String(value="old").save("a")
        file.write_text('[blocks.string]\na = {value = "new"}\n')
        steps = as_code.plan(read_blocks(file))
        String(value="meanwhile").save("a", overwrite=True)
        with pytest.raises(BlockExistsError, match="not the newest any more"):
            list(as_code.apply(steps))
        assert String.load("a").value == "meanwhile"

    def test_blocks_that_refer_to_each_other_are_saved_in_the_right_order(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TOKEN", HUNTER)
        file.write_text(
            '[blocks.manifold.outer]\ninner = "block://secret/inside"\n[blocks.secret.inside]\nvalue = "env://TOKEN"\n'
        )
        steps = as_code.plan(read_blocks(file))
        assert [each.slug for each in steps] == ["secret", "manifold"]
        list(as_code.apply(steps))
        Secret(value="rotated").save("inside", overwrite=True)
        loaded = Manifold.load("outer")
        assert loaded.inner is not None
        assert loaded.inner.get() == "rotated"

    def test_a_block_of_the_environment_is_referred_to_and_not_sealed_into_another(
        self, file: Path, documents: BlockDocuments, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__INSIDE", f'{{"value": "{HUNTER}"}}')
        file.write_text('[blocks.manifold.outer]\ninner = "block://secret/inside"\n')
        assert applied(file) == ["create"]
        assert HUNTER.encode() not in documents.open(documents.latest("manifold", "outer"))
        loaded = Manifold.load("outer")
        assert loaded.inner is not None
        assert loaded.inner.get() == HUNTER
        assert applied(file) == ["same"]
        for wrong in ("inside", "secret/", "../x", "secret/a/b"):
            file.write_text(f'[blocks.manifold.outer]\ninner = "block://{wrong}"\n')
            with pytest.raises(InvalidNameError):
                applied(file)

    def test_a_file_that_is_read_by_its_owner_can_hold_the_secret(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "my key").write_text(HUNTER + "\n")
        file.write_text(f'[blocks.secret.a]\nvalue = "file://{str(tmp_path / "my key").replace(" ", "%20")}"\n')
        applied(file)
        assert Secret.load("a").get() == HUNTER

    def test_references_stay_references_where_the_file_says_so_or_it_is_applied_live(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("LATER", raising=False)
        file.write_text('[blocks.secret]\na = {value = "vault://kv/x#y"}\nb = {value = "block://secret/a"}\n')
        assert applied(file) == ["create", "create"]
        assert Secret.load("a").value == SecretReference("vault://kv/x#y")
        assert Secret.load("b").value == SecretReference("block://secret/a")
        file.write_text('[blocks.secret.c]\nvalue = "env://LATER"\n')
        list(as_code.apply(as_code.plan(read_blocks(file), live=True)))
        assert Secret.load("c").value == SecretReference("env://LATER")
        assert [each.step for each in as_code.plan(read_blocks(file), live=True)] == ["same"]
        written = as_code.export(list(current_documents().store.list()))
        assert written.variables == {"LATER": "secret/c: value (looked up at each use)"}
        file.write_text(write_blocks(written.blocks, file))
        assert applied(file) == ["same", "same", "same"], (
            "what was exported is a reference again, and nothing is sealed"
        )

    def test_what_is_stored_and_cannot_be_loaded_is_replaced_and_stays_as_history(
        self, file: Path, storage: MemoryStorage
    ) -> None:
        String(value="x").save("a")
        storage.put("string/a/00000001.json", b"damaged")
        file.write_text('[blocks.string]\na = {value = "new"}\n')
        assert applied(file) == ["change"]
        assert String.load("a").value == "new"

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            (f'value = "{HUNTER}"', "secret/a: the secret of the field value is in clear"),
            ('value = "env://NOT_SET_HERE"', "secret/a: value: the variable NOT_SET_HERE is not set"),
            ('value = "env://not a name"', "env:// takes the name of a variable"),
            ('value = "file://relative"', "file:// takes an absolute path"),
            ('value = "file:///no/such/file"', "/no/such/file cannot be read: No such file"),
            ('value = "file:///dev/zero"', "/dev/zero is no regular file"),
            ('value = "volt://kv/x"', "is in clear"),
            (f'value = ["{HUNTER}"]', "value: Input should be a valid string"),
            (f'valu = "{HUNTER}"', "no field named 'valu'; known: value"),
            ("", "value: Field required"),
            (f'value = {{"$type" = "nonsense", value = "{HUNTER}"}}', "cannot read a value of the type 'nonsense'"),
        ],
    )
    def test_what_cannot_be_is_named_without_values_and_saves_nothing(
        self, fields: str, message: str, file: Path
    ) -> None:
        file.write_text(f'[blocks.string.fine]\nvalue = "x"\n[blocks.secret.a]\n{fields}\n')
        with pytest.raises(BlockFileError) as caught:
            as_code.plan(read_blocks(file))
        assert message in str(caught.value)
        assert HUNTER not in repr((str(caught.value), caught.value.__cause__, caught.value.__context__))
        assert Block.names() == []

    @pytest.mark.parametrize(
        "block",
        [
            f'[blocks.webhook.a]\nurl = "env://URL"\nheaders = {{A = "{HUNTER}"}}',
            f'[blocks.json.a]\nvalue = [{{"$type" = "secret-str", value = "{HUNTER}"}}]',
            f'[blocks.manifold.a]\nlogin = {{user = "u", token = "{HUNTER}"}}',
        ],
    )
    def test_a_secret_in_clear_is_found_at_any_depth(
        self, block: str, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("URL", "https://example.com/hook")
        file.write_text(block)
        with pytest.raises(BlockFileError, match="is in clear, and files are read by many"):
            as_code.plan(read_blocks(file))

    def test_a_webhook_keeps_what_its_validator_makes_of_it(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("URL", "https://example.com/hook")
        file.write_text('[blocks.webhook.a]\nurl = "env://URL"\ntimeout = 3\n')
        applied(file)
        assert Webhook.load("a").timeout == 3


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("b.toml", "[blocks", "is no TOML"),
            ("b.yaml", "blocks: {a: [", "is no YAML"),
            ("b.yaml", "blocks:\n  string:\n    a: {value: x}\n    a: {value: y}\n", "'a' is there twice"),
            ("b.toml", "[blok.string.a]", "is no file of blocks"),
            ("b.toml", "x = 1\n[blocks.string.a]\n", "is no file of blocks"),
            ("b.yaml", "- 1\n", "is no file of blocks"),
            ("b.yaml", "", "is no file of blocks"),
            ("b.yaml", "blocks:\n  string: 7\n", "blocks.string is no table"),
            ("b.yaml", "blocks:\n  string:\n    a: 7\n", "blocks.string.a is no table"),
            ("b.txt", "", "its name ends with .toml, .yaml or .yml"),
        ],
    )
    def test_what_is_no_file_of_blocks_says_so(self, name: str, text: str, message: str, tmp_path: Path) -> None:
        (tmp_path / name).write_text(text)
        with pytest.raises(BlockFileError, match=message):
            read_blocks(tmp_path / name)

    def test_one_that_is_not_there_or_no_text(self, tmp_path: Path) -> None:
        with pytest.raises(BlockFileError, match="No such file"):
            read_blocks(tmp_path / "b.toml")
        (tmp_path / "b.toml").write_bytes(b"\xff")
        with pytest.raises(BlockFileError, match="no UTF-8"):
            read_blocks(tmp_path / "b.toml")

    def test_names_are_checked(self, tmp_path: Path) -> None:
        (tmp_path / "b.toml").write_text('[blocks.string]\n"../x" = {value = "x"}\n')
        with pytest.raises(InvalidNameError):
            read_blocks(tmp_path / "b.toml")

    def test_a_secret_on_a_broken_line_is_not_quoted(self, tmp_path: Path) -> None:
        for name in ("b.yaml", "b.toml"):
            (tmp_path / name).write_text(f"blocks: {{ secret: '{HUNTER} : [")
            with pytest.raises(BlockFileError) as caught:
                read_blocks(tmp_path / name)
            assert HUNTER not in repr((str(caught.value), caught.value.__cause__, caught.value.__context__))

    def test_toml_has_no_null_and_offers_yaml(self, tmp_path: Path) -> None:
        with pytest.raises(BlockFileError, match=r"write YAML: .*b\.yaml"):
            write_blocks({("json", "x"): {"value": [None]}}, tmp_path / "b.toml")

    @given(
        fields=st.dictionaries(
            st.text(string.ascii_lowercase, min_size=1, max_size=5),
            st.text(max_size=20) | st.lists(st.text(max_size=5)) | st.dictionaries(st.text(max_size=5), st.integers()),
            max_size=4,
        ),
        name=st.sampled_from(["b.toml", "b.yaml"]),
    )
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
    def test_what_is_written_is_read(self, fields: dict[str, Any], name: str, tmp_path: Path) -> None:
        blocks = {("string", "a"): fields, ("string", "b"): {}, ("x", "c"): fields}
        (tmp_path / name).write_text(write_blocks(blocks, tmp_path / name), encoding="utf-8")
        assert read_blocks(tmp_path / name) == blocks
