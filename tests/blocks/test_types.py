"""Block classes: slugs, descriptions, capabilities, registration, fingerprints."""

import gc
import subprocess
import sys
from abc import abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from pydantic import Field, SecretStr, ValidationError

import entrepot.blocks
from entrepot.blocks.core import Block
from entrepot.blocks.system import JSON, Secret, String
from entrepot.errors import InvalidNameError, PluginConflictError, UnknownBlockTypeError
from entrepot.plugins import BLOCKS

T = TypeVar("T")


class TestSlugsAndNames:
    def test_a_slug_is_made_from_the_class_name(self) -> None:
        class MyHTTPThing(Block):
            pass

        assert MyHTTPThing.get_block_type_slug() == "my-http-thing"
        assert MyHTTPThing.get_block_type_name() == "MyHTTPThing"

    def test_or_from_the_display_name(self) -> None:
        class Odd(Block):
            _block_type_name = "My Odd Thing"

        assert Odd.get_block_type_slug() == "my-odd-thing"

    def test_class_attributes_work_with_and_without_annotations(self) -> None:
        class Bare(Block):
            _block_type_slug = "bare-one"
            _schema_version = 3

        class Annotated(Block):
            _block_type_slug: ClassVar[str] = "annotated-one"

        class Sloppy(Block):
            _block_type_slug: str = "sloppy-one"
            _block_type_name: str = "Sloppy One"

        assert [cls.get_block_type_slug() for cls in (Bare, Annotated, Sloppy)] == [
            "bare-one",
            "annotated-one",
            "sloppy-one",
        ]
        assert Sloppy.get_block_type_name() == "Sloppy One"
        assert Bare._schema_version == 3
        assert BLOCKS.get("sloppy-one") is Sloppy

    def test_slugs_and_names_are_not_inherited(self) -> None:
        class FirstOfTwo(Block):
            _block_type_slug = "first-of-two"
            _block_type_name = "The first"
            _schema_version = 2
            _description = "Something."

        class SecondOfTwo(FirstOfTwo):
            pass

        assert SecondOfTwo.get_block_type_slug() == "second-of-two"
        assert SecondOfTwo.get_block_type_name() == "SecondOfTwo"
        assert SecondOfTwo.get_description() is None
        assert SecondOfTwo._schema_version == 2
        assert BLOCKS.get("first-of-two") is FirstOfTwo

    @pytest.mark.parametrize("slug", ["../x", "Upper", "a b", "x" * 101, "a/b", "söt", "a\0"])
    def test_a_slug_that_is_no_name_is_refused_where_the_class_is_defined(self, slug: str) -> None:
        with pytest.raises(InvalidNameError, match="_block_type_slug"):
            type("Bad", (Block,), {"_block_type_slug": slug, "__module__": __name__})

    def test_a_class_name_that_gives_no_slug_asks_for_one(self) -> None:
        with pytest.raises(InvalidNameError, match="_block_type_slug"):
            type("Блок", (Block,), {"__module__": __name__})


class TestDescriptions:
    def test_description_links_and_capabilities(self) -> None:
        class Described(Block):
            """Opens doors.

            And closes them.
            """

            _documentation_url = "https://example.com/doors"
            _block_capabilities: ClassVar[list[str]] = ["open"]

        class More(Described):
            _description = "Says so."
            _block_schema_capabilities: ClassVar[list[str]] = ["close"]

        assert Described.get_description() == "Opens doors."
        assert Described.get_documentation_url() == "https://example.com/doors"
        assert Described.get_block_capabilities() == {"open"}
        assert More.get_description() == "Says so."
        assert More.get_documentation_url() is None
        assert More.get_block_capabilities() == {"open", "close"}

    def test_a_class_without_a_docstring_has_no_description(self) -> None:
        class Silent(Block):
            pass

        assert Silent.get_description() is None

    def test_built_in_blocks_describe_themselves(self) -> None:
        for cls, slug in ((Secret, "secret"), (String, "string"), (JSON, "json")):
            assert cls.get_block_type_slug() == slug
            assert cls.get_description()
            assert BLOCKS.get(slug) is cls


class TestRegistration:
    def test_a_class_of_the_program_is_known_while_it_lives(self) -> None:
        class Fleeting(Block):
            pass

        assert BLOCKS.get("fleeting") is Fleeting
        del Fleeting
        gc.collect()
        with pytest.raises(UnknownBlockTypeError):
            BLOCKS.get("fleeting")

    def test_a_built_in_slug_is_taken(self) -> None:
        with pytest.raises(PluginConflictError, match="secret"):
            type("Secret", (Block,), {"__module__": __name__})

    def test_abstract_classes_are_not_registered(self) -> None:
        from abc import ABC  # noqa: PLC0415  beside abstractmethod, for this test

        class Openable(Block, ABC):
            @abstractmethod
            def open(self) -> str: ...

        class Door(Openable):
            def open(self) -> str:
                return "creak"

        assert "openable" not in BLOCKS.names()
        assert BLOCKS.get("door") is Door

    def test_a_generic_class_is_registered_once(self) -> None:
        class Crate(Block, Generic[T]):
            content: T

        assert Crate[int].get_block_type_slug() == "crate"
        assert BLOCKS.get("crate") is Crate
        assert Crate[int](content="3").content == 3  # type: ignore[arg-type]

    def test_something_that_is_no_block_is_refused_by_the_registry(self) -> None:
        from entrepot.blocks.core import _check_class  # noqa: PLC0415  what the registry calls

        with pytest.raises(TypeError, match="no subclass"):
            _check_class("x", int)
        with pytest.raises(TypeError, match="no subclass"):
            _check_class("x", "text")
        with pytest.raises(ValueError, match="secret"):
            _check_class("x", Secret)


class TestFields:
    def test_a_value_without_a_name_is_refused_in_words_of_the_class(self) -> None:
        with pytest.raises(TypeError, match=r"^Secret takes its fields by name: Secret\(value=\.\.\.\)$"):
            Secret("hunter2")  # type: ignore[call-arg]

        class Positional(Block):
            value: int

            def __init__(self, value: int) -> None:
                super().__init__(value=value)

        assert Positional(3).value == 3

    def test_a_misspelt_field_is_an_error(self) -> None:
        with pytest.raises(ValidationError, match="valeu"):
            Secret(valeu="x")  # type: ignore[call-arg]

    def test_a_subclass_may_allow_more(self) -> None:
        class Tolerant(Block):
            model_config: ClassVar[Any] = {"extra": "allow"}

        assert Tolerant(a=1).a == 1  # type: ignore[call-arg,attr-defined]

    def test_checking_what_connects_to_nothing_passes(self) -> None:
        assert Secret(value="x").check() == ""


def define(name: str, /, **fields: Any) -> type[Block]:
    annotations = {field: kind for field, (kind, _) in fields.items()}
    defaults = {field: info for field, (_, info) in fields.items()}
    return type(name, (Block,), {"__module__": __name__, "__annotations__": annotations, **defaults})


class TestFingerprints:
    def test_fields_make_the_fingerprint_and_words_do_not(self) -> None:
        one = define("Print", a=(int, Field(default=1, description="x")), b=(SecretStr, Field()))
        same = define("Print", a=(int, Field(default=2, description="y", title="T")), b=(SecretStr, Field()))
        more = define("Print", a=(int, Field()), b=(SecretStr, Field()), c=(str, Field("")))
        other = define("Print", a=(str, Field()), b=(SecretStr, Field()))
        prints = [cls.get_block_schema_fingerprint() for cls in (one, same, more, other)]
        assert len(prints[0]) == 16
        assert prints[0] == prints[1]
        assert len(set(prints)) == 3

    def test_fields_that_are_called_like_words_of_a_schema_count(self) -> None:
        one = define("Words", title=(int, Field()), description=(int, Field()))
        other = define("Words", title=(str, Field()), description=(int, Field()))
        assert one.get_block_schema_fingerprint() != other.get_block_schema_fingerprint()

    def test_types_that_json_schema_does_not_know_are_fine(self, recwarn: pytest.WarningsRecorder) -> None:
        class Anything:
            pass

        cls = define("Odd", a=(Anything, Field()), b=(Any, Field(default=SecretStr("x"))))
        assert len(cls.get_block_schema_fingerprint()) == 16
        # What other tests left open is found out at any moment, and warned of.
        assert [one for one in recwarn if one.category is not ResourceWarning] == []

    def test_a_subclass_has_its_own(self) -> None:
        base = define("Base", a=(int, Field(default=1)))
        before = base.get_block_schema_fingerprint()
        derived = type("Derived", (base,), {"__module__": __name__, "__annotations__": {"b": int}})
        assert derived.get_block_schema_fingerprint() != before


class TestImports:
    def run(self, script: str) -> None:
        subprocess.run([sys.executable, "-c", script], check=True, timeout=120)

    def test_the_package_loads_nothing_until_asked(self) -> None:
        self.run(
            "import sys, entrepot.blocks\n"
            "assert 'pydantic' not in sys.modules and 'entrepot.blocks.core' not in sys.modules\n"
            "from entrepot.blocks import Block, Secret\n"
            "from entrepot.blocks.system import Secret as Again\n"
            "assert Again is Secret\n"
        )

    def test_defining_a_class_loads_no_keyring_storage_or_cipher(self) -> None:
        self.run(
            "import sys\n"
            "from entrepot.blocks.core import Block\n"
            "from pydantic import SecretStr\n"
            "class Mine(Block):\n"
            "    token: SecretStr\n"
            "Mine(token='x')\n"
            "loaded = [name for name in sys.modules if name.startswith(('cryptography', 'fsspec', 'entrepot.home',"
            " 'entrepot.crypto', 'entrepot.storage', 'blake3', 'sqlite3'))]\n"
            "assert not loaded, loaded\n"
        )

    def test_the_facade_names_what_there_is(self) -> None:
        assert {"Block", "Secret", "JSON", "String"} <= set(dir(entrepot.blocks))
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            _ = entrepot.blocks.Nothing  # type: ignore[attr-defined]
