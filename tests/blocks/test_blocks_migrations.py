"""Classes whose fields change: what climbs by itself, what needs a function, what is refused and with which words."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from entrepot.blocks import migrates
from entrepot.blocks.as_code import plan
from entrepot.blocks.core import Block
from entrepot.blocks.documents import BlockDocuments
from entrepot.blocks.system import JSON, Secret
from entrepot.errors import BlockSchemaError, OptionError
from entrepot.plugins import BLOCKS

pytestmark = pytest.mark.usefixtures("documents")

HUNTER = "hunter2-correct-horse"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for slug in ("database", "inner"):
        BLOCKS.forget(slug)


def one() -> type[Block]:
    BLOCKS.forget("database")  # as a program of another version would, that does not have the others

    class Database(Block):
        address: str
        password: SecretStr
        since: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    return Database


def two(seen: list[dict[str, Any]] | None = None) -> type[Block]:
    BLOCKS.forget("database")

    class Database(Block):
        _schema_version = 2

        host: str
        port: int
        password: SecretStr
        since: datetime

        @migrates(from_version=1)
        @staticmethod
        def _split(fields: dict[str, Any]) -> dict[str, Any]:
            if seen is not None:
                seen.append(dict(fields))
            host, _, port = fields.pop("address").partition(":")
            return fields | {"host": host, "port": int(port or 5432)}

    return Database


def three() -> type[Block]:
    BLOCKS.forget("database")  # as a program of another version would, that does not have the others

    class Database(Block):
        _schema_version = 3

        url: str
        password: SecretStr
        since: datetime
        retries: int = 3

        @migrates(from_version=1)
        def _split(fields: dict[str, Any]) -> dict[str, Any]:  # noqa: N805  a plain function is taken as a static one
            host, _, port = fields.pop("address").partition(":")
            return fields | {"host": host, "port": int(port or 5432)}

        @migrates(from_version=2)
        @classmethod
        def _join(cls, fields: dict[str, Any]) -> None:
            fields["url"] = f"{cls.get_block_type_slug()}://{fields.pop('host')}:{fields.pop('port')}"

    return Database


def saved(define: Callable[[], type[Block]], name: str, **fields: Any) -> None:
    define()(**fields).save(name, overwrite=True)


class TestClimbing:
    def test_from_each_version_to_the_newest(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)
        saved(two, "b", host="db", port=2, password=HUNTER, since=datetime(2025, 1, 1, tzinfo=UTC))
        saved(three, "c", url="database://db:3", password=HUNTER, since=datetime(2025, 1, 1, tzinfo=UTC))
        newest = three()
        loaded = [newest.load(name) for name in "abc"]
        assert [each.url for each in loaded] == ["database://db:1", "database://db:2", "database://db:3"]  # type: ignore[attr-defined]
        assert {each.password.get_secret_value() for each in loaded} == {HUNTER}  # type: ignore[attr-defined]
        assert {each.retries for each in loaded} == {3}  # type: ignore[attr-defined]

    def test_a_function_is_given_values_and_only_once(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)
        seen: list[dict[str, Any]] = []
        two(seen).load("a")
        assert seen == [{"address": "db:1", "password": SecretStr(HUNTER), "since": datetime(2026, 1, 1, tzinfo=UTC)}]
        saved(lambda: two(seen), "a", host="h", port=1, password="", since=datetime(2026, 1, 1, tzinfo=UTC))
        two(seen).load("a")
        assert len(seen) == 1, "what is of its version already goes through nothing"

    def test_nothing_stored_changes_until_it_is_saved(self, documents: BlockDocuments) -> None:
        saved(one, "a", address="db:1", password=HUNTER)
        cls = two()
        block = cls.load("a")
        (ref,) = documents.store.versions("database", "a")
        assert documents.header(ref)["schema_version"] == 1
        block.save("a", overwrite=True)
        assert [documents.header(ref)["schema_version"] for ref in documents.store.versions("database", "a")] == [1, 2]
        assert cls.load("a", version=1) == cls.load("a", version=2)

    def test_a_step_without_a_function_changes_nothing(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)

        class Database(Block):
            _schema_version = 3

            address: str
            password: SecretStr
            since: datetime
            retries: int = 3
            note: str = ""

            @migrates(from_version=2)
            @staticmethod
            def _note(fields: dict[str, Any]) -> None:
                fields["note"] = "from two"

        block = Database.load("a")
        assert (block.address, block.retries, block.note) == ("db:1", 3, "from two")

    def test_a_derived_class_takes_the_steps_of_its_base_and_may_replace_them(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)
        base = two()
        BLOCKS.forget("database")

        class Same(base):  # type: ignore[misc, valid-type]
            _block_type_slug = "database"
            note: str = "of the derived class"

        assert (Same.load("a").host, Same.load("a").note) == ("db", "of the derived class")
        BLOCKS.forget("database")

        class Other(base):  # type: ignore[misc, valid-type]
            _block_type_slug = "database"

            @migrates(from_version=1)
            @staticmethod
            def _other(fields: dict[str, Any]) -> dict[str, Any]:
                del fields["address"]
                return fields | {"host": "replaced", "port": 1}

        assert Other.load("a").host == "replaced"

    def test_extra_fields_go_through_too(self) -> None:
        class Database(Block, extra="allow"):
            known: int = 0

        Database(known=1, more="x").save("a")  # type: ignore[call-arg]

        class Database(Block):  # type: ignore[no-redef]
            _schema_version = 2

            known: int
            more: str

            @migrates(from_version=1)
            @staticmethod
            def _louder(fields: dict[str, Any]) -> None:
                fields["more"] = fields["more"].upper()

        assert Database.load("a").more == "X"  # type: ignore[attr-defined]

    def test_a_model_that_can_no_longer_be_made_comes_as_a_dict(self) -> None:
        class Address(BaseModel):
            text: str
            token: SecretStr

        class Database(Block):
            address: Address

        Database(address=Address(text="db:1", token=SecretStr(HUNTER))).save("a")

        class Address(BaseModel):  # type: ignore[no-redef]
            host: str
            token: SecretStr

        class Database(Block):  # type: ignore[no-redef]
            _schema_version = 2

            address: Address

            @migrates(from_version=1)
            @staticmethod
            def _split(fields: dict[str, Any]) -> None:
                old = fields["address"]
                assert isinstance(old, dict)
                fields["address"] = {"host": old["text"].partition(":")[0], "token": old["token"]}

        loaded: Any = Database.load("a")
        assert (loaded.address.host, loaded.address.token.get_secret_value()) == ("db", HUNTER)

    def test_a_block_inside_another_climbs_by_its_own_version(self, documents: BlockDocuments) -> None:
        inline = one()(address="db:1", password=HUNTER)  # type: ignore[call-arg]
        JSON(value={"a": [inline]}).save("old")
        newer = two()(host="h", port=2, password=HUNTER, since=datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[call-arg]
        JSON(value=newer).save("new")
        newest = three()
        (old,) = JSON.load("old").value["a"]
        assert isinstance(old, newest)
        assert old.url == "database://db:1"
        assert JSON.load("new").value.url == "database://h:2"
        one()
        with pytest.raises(BlockSchemaError, match="in the database block inside it, it was saved under schema vers"):
            JSON.load("new")

    def test_a_reference_stays_one_after_its_block_climbed(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)
        cls = two()
        JSON(value=cls.load("a")).save("outer")
        cls.load("a").model_copy(update={"port": 7}).save("a", overwrite=True)
        assert JSON.load("outer").value.port == 7


class TestWhatCannotLoad:
    def test_a_newer_version_than_the_class_knows_is_refused_and_nothing_is_lost(
        self, documents: BlockDocuments
    ) -> None:
        saved(two, "a", host="h", port=1, password=HUNTER, since=datetime(2026, 1, 1, tzinfo=UTC))
        cls = one()
        with pytest.raises(BlockSchemaError, match=r"schema version 2, and the class .*Database here knows.* 1") as e:
            cls.load("a")
        assert (e.value.saved_version, e.value.class_version, e.value.stub) == (2, 1, "")
        with pytest.raises(
            BlockSchemaError, match=r"version, 1, is of schema version 2, .*rollback database/a VERS"
        ) as e:
            cls(address="x", password="").save("a", overwrite=True)  # type: ignore[call-arg]
        assert (e.value.saved_version, e.value.class_version) == (2, 1)
        with pytest.raises(BlockSchemaError, match="schema version 2"):
            plan({("database", "a"): {"address": "x", "password": "env://HOME"}}, live=True)
        assert len(documents.history("database", "a")) == 1
        newer = two()
        newer.rollback("a", 1)
        again: Any = newer.load("a")
        assert again.password.get_secret_value() == HUNTER

    def test_a_version_of_an_older_class_is_brought_back_on_purpose(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)
        newer = two()
        newer.load("a").save("a", overwrite=True)
        newer.rollback("a", 1)
        assert [each.action for each in newer.history("a")] == ["save", "save", "rollback"]
        again: Any = newer.load("a")
        assert (again.host, again.port) == ("db", 1), "it is migrated again"

    def test_the_error_says_which_fields_which_versions_and_what_to_write(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)

        class Database(Block):
            _schema_version = 2

            host: str
            password: int
            since: datetime

        with pytest.raises(BlockSchemaError) as caught:
            Database.load("a")
        error = caught.value
        assert (error.saved_version, error.class_version) == (1, 2)
        assert (error.missing, error.unknown, error.refused) == (("host",), ("address",), ())
        assert "it lacks the field host" in str(error)
        assert "it has the field address" in str(error)
        assert error.stub in str(error)
        assert "@migrates(from_version=1)" in error.stub
        assert "_schema_version" not in error.stub, "that is right already"

    def test_the_stub_can_be_pasted_and_is_right_for_a_renamed_field(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)
        body = "class Database(Block):\n    place: str\n    password: SecretStr\n    since: datetime\n"
        names = {"Block": Block, "SecretStr": SecretStr, "datetime": datetime, "migrates": migrates}
        exec(body, names)
        with pytest.raises(BlockSchemaError) as caught:
            names["Database"].load("a")  # type: ignore[attr-defined]
        assert max(map(len, caught.value.stub.splitlines())) < 80, "a terminal would break it"
        exec(body + caught.value.stub, names)
        loaded: Any = names["Database"].load("a")  # type: ignore[attr-defined]
        assert (loaded.place, loaded._schema_version) == ("db:1", 2)

    def test_a_refused_value_is_named_in_the_stub_and_never_shown(self) -> None:
        saved(one, "a", address=HUNTER, password=HUNTER)

        class Database(Block):
            address: int
            password: SecretStr
            since: datetime

        with pytest.raises(BlockSchemaError) as caught:
            Database.load("a")
        assert caught.value.refused == ("address",)
        assert "# the class refuses what version 1 has:\n        fields['address'] = ...\n" in caught.value.stub
        assert "_schema_version = 2" in caught.value.stub
        assert HUNTER not in str(caught.value)

    def test_a_step_that_raises_or_returns_no_fields_is_named_and_not_quoted(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)

        def bad(step: Callable[[dict[str, Any]], Any]) -> type[Block]:
            class Database(Block):
                _schema_version = 2

                _step = migrates(from_version=1)(step)

            return Database

        def crash(fields: dict[str, Any]) -> Any:
            raise RuntimeError(fields["password"].get_secret_value())

        for step, words in (
            (crash, r"the migration from version 1, .*crash, raised RuntimeError in .*test_blocks_migrations.py:\d+"),
            (lambda fields: [HUNTER], "did not return the fields as a dict"),
            (lambda fields: {1: HUNTER}, "did not return the fields as a dict"),
        ):
            with pytest.raises(BlockSchemaError, match=words) as caught:
                bad(step).load("a")
            assert "or mend its migrations" in str(caught.value)
            shown = [str(caught.value), repr(caught.value.__context__), repr(caught.value.__cause__)]
            traceback = caught.value.__traceback__
            while traceback is not None:
                shown += [repr(value) for value in traceback.tb_frame.f_locals.values() if value is not HUNTER]
                traceback = traceback.tb_next if "entrepot/blocks" in traceback.tb_frame.f_code.co_filename else None
            assert not [text for text in shown if HUNTER in text]

    def test_a_step_whose_result_does_not_fit_asks_for_the_step_to_be_mended(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)

        class Database(Block):
            _schema_version = 2

            host: str

            @migrates(from_version=1)
            @staticmethod
            def _nothing(fields: dict[str, Any]) -> None: ...

        with pytest.raises(BlockSchemaError, match="or mend its migrations") as caught:
            Database.load("a")
        assert caught.value.stub == ""

    def test_a_class_that_takes_more_fields_keeps_old_ones_as_extra(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)

        class Database(Block, extra="allow"):
            _schema_version = 2

        assert Database.load("a").model_extra.keys() == {"address", "password", "since"}  # type: ignore[union-attr]


class TestDeclaring:
    @pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None])
    def test_what_is_no_version_is_refused(self, version: Any) -> None:
        with pytest.raises(OptionError, match="a whole number from 1"):
            migrates(from_version=version)

    def test_what_is_no_function_is_refused(self) -> None:
        with pytest.raises(OptionError, match="belongs on a function"):
            migrates(from_version=1)(property(lambda self: 1))  # type: ignore[type-var]

    def test_a_step_beyond_the_class_says_what_to_write(self) -> None:
        with pytest.raises(OptionError, match=re.escape("write _schema_version = 2")):

            class Database(Block):
                @migrates(from_version=1)
                @staticmethod
                def _step(fields: dict[str, Any]) -> None: ...

        assert "database" not in BLOCKS.names()

    def test_two_steps_from_one_version_are_refused(self) -> None:
        with pytest.raises(OptionError, match="more than one @migrates"):

            class Database(Block):
                _schema_version = 2

                @migrates(from_version=1)
                @staticmethod
                def _one(fields: dict[str, Any]) -> None: ...

                @migrates(from_version=1)
                @staticmethod
                def _two(fields: dict[str, Any]) -> None: ...

    def test_a_version_may_be_annotated(self) -> None:
        class Database(Block):
            _schema_version: int = 2

            @migrates(from_version=1)
            @staticmethod
            def _step(fields: dict[str, Any]) -> None: ...

        assert Database._schema_version == Database()._schema_version == 2

    @pytest.mark.parametrize("version", [0, -1, True, "2", 1.0])
    def test_a_schema_version_that_is_none_is_refused(self, version: Any) -> None:
        with pytest.raises(OptionError, match="_schema_version is a whole number from 1"):
            type("Database", (Block,), {"__module__": __name__, "_schema_version": version})

    def test_a_step_can_be_called_by_its_tests(self) -> None:
        assert two()._split({"address": "h:1"}) == {"host": "h", "port": 1}  # type: ignore[attr-defined]

    def test_a_secret_stays_one_in_what_a_step_makes_of_it(self) -> None:
        saved(one, "a", address="db:1", password=HUNTER)

        class Database(Block):
            _schema_version = 2

            login: Secret

            @migrates(from_version=1)
            @staticmethod
            def _step(fields: dict[str, Any]) -> dict[str, Any]:
                return {"login": Secret(value=fields["password"])}

        assert Database.load("a").login.get() == HUNTER
        assert HUNTER not in repr(Database.load("a"))
