"""Functions that say what values of a type stand for: `@hasher`, entry points, and who goes before whom."""

import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import entrepot
from entrepot import hasher
from entrepot.errors import OptionError, PluginConflictError, PluginLoadError, UnhashableValueError
from entrepot.hashing import hashers
from entrepot.hashing.values import hash_value, identify
from entrepot.plugins import discovery
from entrepot.results.keys import INPUTS, TASK_SOURCE, KeyContext


@pytest.fixture(autouse=True)
def own_table(monkeypatch) -> Iterator[None]:
    """Give each test a table of its own: what it registers is gone after it."""
    monkeypatch.setattr(hashers, "_registered", type(hashers._registered)())
    hashers.FOUND.clear()
    yield
    hashers.FOUND.clear()


class Handle:
    def __init__(self, name: str, extra: object = None) -> None:
        self.name = name
        self.extra = extra


class Special(Handle):
    pass


class Keyed:
    def __init__(self, name: str) -> None:
        self.name = name

    def __entrepot_key__(self) -> str:
        return self.name.lower()


def by_name(value: Handle) -> object:
    return value.name


class TestDecorator:
    def test_it_is_a_public_name(self):
        assert entrepot.hasher is hashers.hasher

    def test_a_registered_type_counts_by_what_the_function_returns(self):
        with pytest.raises(UnhashableValueError):
            hash_value(Handle("a"))
        hasher(Handle)(by_name)
        assert hash_value(Handle("a", object())) == hash_value([Handle("a")][0]) != hash_value(Handle("b"))

    def test_it_returns_the_function(self):
        assert hasher(Handle)(by_name) is by_name

    def test_it_counts_under_its_class_not_as_what_it_returns(self):
        hasher(Handle)(by_name)
        hasher(sqlite3.Connection)(lambda _: "a")
        assert len({hash_value(Handle("a")), hash_value("a"), hash_value(sqlite3.connect(":memory:"))}) == 3

    def test_one_function_may_serve_several_types(self):
        hasher(Handle, Special)(by_name)
        assert hash_value(Handle("a")) != hash_value(Special("a"))

    def test_a_subclass_is_another_type(self):
        hasher(Handle)(by_name)
        with pytest.raises(UnhashableValueError):
            hash_value(Special("a"))

    def test_a_subclass_is_taken_where_that_was_asked_for_under_its_own_name(self):
        hasher(Handle, subclasses=True)(by_name)
        assert hash_value(Special("a")) == hash_value(Special("a")) != hash_value(Handle("a"))

    def test_the_nearest_base_decides(self):
        hasher(Handle, subclasses=True)(by_name)
        hasher(Special)(lambda value: (value.name, value.extra))
        assert hash_value(Special("a", 1)) != hash_value(Special("a", 2))
        assert hash_value(Handle("a", 1)) == hash_value(Handle("a", 2))

    def test_it_goes_before_what_the_class_says_itself(self):
        assert hash_value(Keyed("A")) == hash_value(Keyed("a"))
        hasher(Keyed)(lambda value: value.name)
        assert hash_value(Keyed("A")) != hash_value(Keyed("a"))

    def test_what_a_subclass_says_itself_goes_before_the_hasher_of_a_base(self):
        class Own(Handle):
            def __entrepot_key__(self) -> str:
                return "always"

        hasher(Handle, subclasses=True)(by_name)
        assert hash_value(Own("a")) == hash_value(Own("b"))

    def test_it_goes_before_what_we_know_of_the_type(self):
        before = hash_value(Path("a"))
        hasher(type(Path()))(str)
        assert hash_value(Path("a")) != before

    def test_values_inside_of_it_are_hashed_as_ever(self):
        hasher(Handle)(lambda value: {"name": value.name, "of": value.extra})
        assert hash_value(Handle("a", {"x": 1, "y": 2})) == hash_value(Handle("a", {"y": 2, "x": 1}))

    def test_cycles_through_it_end(self):
        hasher(Handle)(lambda value: (value.name, value.extra))

        def ring() -> Handle:
            one = Handle("one")
            one.extra = Handle("two", [one])
            return one

        assert hash_value(ring()) == hash_value(ring())


class TestMistakes:
    @pytest.mark.parametrize("kind", [int, str, dict, object, type, type(None)])
    def test_plain_data_and_everything_are_refused(self, kind):
        with pytest.raises(OptionError, match=f"no hasher can be registered for {kind.__name__}"):
            hasher(kind)

    def test_what_is_no_class_is_refused(self):
        with pytest.raises(OptionError, match="takes classes"):
            hasher("Handle")  # type: ignore[arg-type]

    def test_a_decorator_without_a_type_is_refused(self):
        with pytest.raises(OptionError, match="@hasher"):
            hasher()

    def test_two_functions_for_one_type_are_an_error_that_names_both(self):
        hasher(Handle)(by_name)
        with pytest.raises(PluginConflictError, match=r"by_name.*<lambda>.*replace=True"):
            hasher(Handle)(lambda _: 1)
        hasher(Handle, replace=True)(lambda _: 1)
        assert hash_value(Handle("a")) == hash_value(Handle("b"))

    def test_the_same_function_defined_again_replaces_it(self):
        for length in (1, 2):

            def define(value, length=length):
                return value.name[:length]

            hasher(Handle)(define)
        assert hash_value(Handle("ab")) != hash_value(Handle("ac"))

    def test_a_function_that_raises_is_one_clear_error(self):
        @hasher(Handle)
        def broken(_):
            raise LookupError("the password is hunter2")

        with pytest.raises(UnhashableValueError) as caught:
            hash_value({"db": [Handle("a")]}, name="config")
        message = str(caught.value)
        assert caught.value.path == "config['db'][0]"
        assert "broken raised LookupError" in message
        assert "hunter2" not in message
        assert isinstance(caught.value.__cause__, LookupError)

    def test_a_function_that_returns_what_cannot_be_hashed_is_an_error_that_says_where(self):
        hasher(Handle)(lambda value: [value.name, object()])
        with pytest.raises(UnhashableValueError) as caught:
            hash_value(Handle("a"), name="config")
        assert caught.value.path.startswith("config.<")
        assert caught.value.path.endswith(">[1]")

    def test_a_function_that_gives_the_value_back_is_an_error(self):
        hasher(Handle)(lambda value: value)
        with pytest.raises(UnhashableValueError, match="gave back as it is"):
            hash_value(Handle("a"))

    def test_the_refusal_says_how_to_register(self):
        with pytest.raises(UnhashableValueError) as caught:
            hash_value({"db": sqlite3.connect(":memory:")}, name="source")
        message = str(caught.value)
        for part in (
            "source['db'] is a sqlite3.Connection",
            "INPUTS - 'source'",
            "@hasher(Connection)",
            "cache_key_fn",
        ):
            assert part in message
        with pytest.raises(UnhashableValueError, match=r"@hasher\(Type\)"):
            hash_value(object())


def versions(tmp_path: Path, *bodies: str) -> list[str]:
    """Return the keys that `INPUTS` makes for one value, in a process for each body of its hasher."""
    keys = []
    for body in bodies:
        (tmp_path / "app.py").write_text(
            textwrap.dedent(
                f"""
                from entrepot import hasher
                from entrepot.results.keys import INPUTS, KeyContext

                class Thing:
                    name = "Name"

                def helper(text):
                    {body}

                @hasher(Thing)
                def thing(value):
                    return helper(value.name)

                if __name__ == "__main__":
                    context = KeyContext("app.work", thing, {{"thing": [Thing(), Thing()]}}, version="1")
                    print(INPUTS.compute(context).key)
                """
            )
        )
        ran = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        keys.append(ran.stdout.strip())
    return keys


class TestCode:
    def test_a_changed_hasher_changes_every_key_even_where_it_returns_the_same(self, tmp_path):
        same = "return text.lower()"
        first, again, otherwise = versions(tmp_path, same, f"# a comment\n                    {same}", "return 'name'")
        assert first == again != otherwise

    def test_the_class_counts_as_code_of_the_task(self):
        hasher(Handle)(by_name)
        assert identify([Handle("a")]).classes == (Handle,)
        context = KeyContext("work", by_name, {"handle": Handle("a")})
        key = (INPUTS + TASK_SOURCE).compute(context)
        assert key is not None
        assert any(part.startswith("code:") and part.endswith(":Handle") for part in key.parts)


@pytest.fixture
def package(tmp_path, monkeypatch) -> Iterator[Path]:
    """Install a package `acme_types` whose entry points offer hashers for the types of `acme_data`."""
    info = tmp_path / "acme_types-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-types\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[entrepot.hashers]\n"
        "acme_data.Table = acme_types:table\n"
        "acme_data.Base = acme_types:base\n"
        "acme_data.Broken = acme_types:missing\n"
    )
    (tmp_path / "acme_data.py").write_text(
        "class Table:\n    def __init__(self, rows): self.rows = rows\n"
        "class More(Table): pass\n"
        "class Base:\n    def __init__(self, rows): self.rows = rows\n"
        "class Derived(Base): pass\n"
        "class Broken: pass\n"
    )
    (tmp_path / "acme_types.py").write_text(
        "import acme_data\nfrom entrepot import hasher\n"
        "def table(value): return value.rows\n"
        "@hasher(acme_data.Base, subclasses=True)\ndef base(value): return value.rows\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    discovery.reset()
    yield tmp_path
    for name in ("acme_types", "acme_data"):
        sys.modules.pop(name, None)
    for name in ("acme_data.Table", "acme_data.Base", "acme_data.Broken"):
        hashers.HASHERS.forget(name)
    discovery.reset()


@pytest.mark.usefixtures("package")
class TestEntryPoints:
    def test_a_type_is_looked_up_by_its_full_name_when_it_is_met(self):
        import acme_data  # noqa: PLC0415  made by the fixture

        hash_value([1, "a", Path("b")])
        assert "acme_types" not in sys.modules
        assert hash_value(acme_data.Table([1])) == hash_value(acme_data.Table([1])) != hash_value(acme_data.Table([2]))
        assert "acme_types" in sys.modules

    def test_subclasses_are_taken_only_where_the_package_says_so(self):
        import acme_data  # noqa: PLC0415  made by the fixture

        assert hash_value(acme_data.Derived([1])) != hash_value(acme_data.Derived([2]))
        with pytest.raises(UnhashableValueError, match=r"acme_data\.More"):
            hash_value(acme_data.More([1]))

    def test_what_this_program_registers_goes_before_it(self):
        import acme_data  # noqa: PLC0415  made by the fixture

        hasher(acme_data.Table)(lambda value: len(value.rows))
        assert hash_value(acme_data.Table([1])) == hash_value(acme_data.Table([2]))
        assert "acme_types" not in sys.modules

    def test_a_broken_one_breaks_only_its_own_type_and_names_the_distribution(self):
        import acme_data  # noqa: PLC0415  made by the fixture

        with pytest.raises(PluginLoadError, match="acme-types"):
            hash_value(acme_data.Broken())
        hash_value(acme_data.Table([1]))
