"""Serializers by name."""

import subprocess
import sys

import pytest

from entrepot.errors import PluginConflictError, PluginLoadError, UnknownNameError
from entrepot.plugins import SERIALIZERS
from entrepot.protocols.serializer import Serializer
from entrepot.serializers import (
    ArrowSerializer,
    AutoSerializer,
    BytesSerializer,
    CompressedSerializer,
    JSONSerializer,
    NpySerializer,
    ParquetSerializer,
    PickleSerializer,
    get_serializer,
    register_serializer,
)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("json", JSONSerializer),
        ("pickle", PickleSerializer),
        (None, AutoSerializer),
        ("auto", AutoSerializer),
        ("arrow", ArrowSerializer),
        ("bytes", BytesSerializer),
        ("npy", NpySerializer),
        ("parquet", ParquetSerializer),
        ("compressed/json", CompressedSerializer),
        ("compressed/pickle", CompressedSerializer),
    ],
)
def test_a_name_gives_one_instance(name: str | None, kind: type) -> None:
    serializer = get_serializer(name)
    assert type(serializer) is kind
    assert name is None or serializer.name == name
    assert get_serializer(name) is serializer
    assert isinstance(serializer, Serializer)


def test_an_instance_is_returned_as_it_is() -> None:
    serializer = CompressedSerializer("json", level=19)
    assert get_serializer(serializer) is serializer


def test_an_unknown_name_says_what_is_known() -> None:
    with pytest.raises(UnknownNameError, match=r"no serializer named 'jsn'.*json, npy, parquet, pickle"):
        get_serializer("jsn")


@pytest.mark.parametrize("given", [JSONSerializer, 3, object(), {"name": "json"}])
def test_what_is_no_serializer_is_refused(given: object) -> None:
    with pytest.raises(UnknownNameError, match="instance"):
        get_serializer(given)  # type: ignore[arg-type]


class Upper:
    """A serializer of this program."""

    name = "test-upper"
    extension = "txt"
    is_text = True
    reads_code = False

    def dumps(self, value: object) -> list[bytes]:
        return [str(value).upper().encode()]

    def loads(self, data: memoryview) -> object:
        return str(data, "utf-8")


@pytest.fixture
def upper() -> object:
    yield register_serializer(Upper)
    SERIALIZERS.forget("test-upper")


@pytest.mark.usefixtures("upper")
def test_a_registered_class_is_found_by_its_name_compressed_too() -> None:
    assert type(get_serializer("test-upper")) is Upper
    assert get_serializer("compressed/test-upper").extension == "txt.zst"


def test_a_built_in_name_cannot_be_taken() -> None:
    with pytest.raises(PluginConflictError, match="json"):
        register_serializer(type("Mine", (Upper,), {"name": "json"}))


def test_a_class_that_lacks_a_part_cannot_be_registered() -> None:
    with pytest.raises(PluginLoadError, match="lacks extension, is_text, reads_code, dumps, loads"):
        register_serializer(type("Bare", (), {"name": "bare"}))


def test_a_class_without_a_name_cannot_be_registered() -> None:
    with pytest.raises(PluginLoadError, match="cannot be registered"):
        register_serializer(type("Bare", (), {}))


def test_the_package_imports_none_of_its_modules_before_they_are_asked_for() -> None:
    program = (
        "import sys, entrepot.serializers;"
        "print([m for m in sys.modules if m.startswith('entrepot.serializers.')]);"
        "print('zstandard' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\nFalse\n"


def test_the_public_names_are_all_there() -> None:
    import entrepot.serializers as package  # noqa: PLC0415  the module itself is what is looked at

    for name in {*package.__all__} - {"COMPRESSED"}:
        assert getattr(package, name).__name__ == name
    assert package.COMPRESSED == "compressed/"
    with pytest.raises(AttributeError):
        package.NoSuchThing  # noqa: B018  the look-up is the test
