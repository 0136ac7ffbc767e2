"""Names, the objects behind them, and everything that can go wrong between the two."""

import gc
import importlib
import os
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from entrepot import errors
from entrepot.plugins import BLOCKS, SERIALIZERS, PluginRegistry, discovery
from entrepot_test_sites import FakeSite

GROUP = "entrepot.blocks"
SelfRegistering: TypeAlias = tuple[FakeSite, PluginRegistry[Any]]


def registry(**options: Any) -> PluginRegistry[Any]:
    return PluginRegistry(GROUP, **{"kind": "block type", "builtins": {}, "known_elsewhere": {}} | options)


def must_be_class_with_slug(name: str, obj: object) -> None:
    if not isinstance(obj, type):
        raise TypeError(f"{obj!r} is not a class")
    if getattr(obj, "slug", None) != name:
        raise ValueError(f"the class calls itself {getattr(obj, 'slug', None)!r}")


def a_class(name: str = "Note", module: str = "user_script") -> type:
    return type(name, (), {"__module__": module, "__qualname__": name})


class TestLookingUp:
    def test_an_entry_point_is_found_and_loaded(self, site: FakeSite) -> None:
        site.module("acme_notes", "class Note: slug = 'acme-note'")
        site.distribution("acme-notes", blocks="acme-note = acme_notes:Note")
        found = registry(check=must_be_class_with_slug).get("acme-note")
        assert found is sys.modules["acme_notes"].Note

    def test_a_nested_attribute_and_an_extra_are_understood(self, site: FakeSite) -> None:
        site.module("acme_deep", "class Outer:\n    class Inner: ...")
        site.distribution("acme-deep", blocks="deep = acme_deep:Outer.Inner [fast]")
        assert registry().get("deep").__qualname__ == "Outer.Inner"

    def test_only_the_module_of_that_name_is_imported(self, site: FakeSite) -> None:
        for one in ("one", "two"):
            site.module(f"acme_{one}", "class Block: ...")
            site.distribution(f"acme-{one}", blocks=f"{one} = acme_{one}:Block")
        names = registry()
        assert names.names() == ["one", "two"]
        assert [entry.status for entry in names.report()] == ["available", "available"]
        assert "acme_one" not in sys.modules
        names.get("one")
        assert "acme_one" in sys.modules
        assert "acme_two" not in sys.modules

    def test_the_second_look_up_does_not_scan(self, site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
        site.module("acme_fast", "class Block: ...")
        site.distribution("acme-fast", blocks="fast = acme_fast:Block")
        names = registry()
        found = names.get("fast")
        monkeypatch.setattr(discovery, "entry_points_of", lambda group: pytest.fail("scanned again"))
        assert names.get("fast") is found

    def test_a_builtin_comes_from_its_table(self) -> None:
        assert registry(builtins={"deque": "collections:deque"}).get("deque").__name__ == "deque"

    def test_many_threads_get_the_same_object(self, site: FakeSite) -> None:
        site.module("acme_slow", "import time\ntime.sleep(0.05)\nclass Block: ...")
        site.distribution("acme-slow", blocks="slow = acme_slow:Block")
        names = registry()
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(names.get("slow"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(found) == 16
        assert len(set(map(id, found))) == 1


class TestUnknownNames:
    def test_the_message_lists_what_is_known_and_the_nearest_with_its_distribution(self, site: FakeSite) -> None:
        site.distribution("acme-notes", "2.1", blocks="acme-note = acme_notes:Note")
        with pytest.raises(errors.UnknownNameError) as caught:
            registry(builtins={"deque": "collections:deque"}).get("acme-note-")
        assert "no block type named 'acme-note-'; did you mean 'acme-note' of acme-notes 2.1" in str(caught.value)
        assert "known: acme-note, deque" in str(caught.value)
        assert caught.value.known == ["acme-note", "deque"]
        assert caught.value.group == GROUP
        assert caught.value.name == "acme-note-"
        assert isinstance(caught.value, LookupError)

    def test_a_name_known_elsewhere_says_what_to_install(self) -> None:
        names = registry(known_elsewhere={"vault": 'pip install "entrepot-vault"'})
        with pytest.raises(errors.UnknownNameError, match='pip install "entrepot-vault"'):
            names.get("vault")

    def test_our_own_hints_name_extras_that_exist(self) -> None:
        with pytest.raises(
            errors.UnknownBlockTypeError, match=r"the built-in block 's3': pip install \"entrepot\[aws\]\""
        ):
            BLOCKS.get("s3-bucket")
        with pytest.raises(errors.UnknownNameError, match="'compressed/json'"):
            SERIALIZERS.get("compressed")

    @pytest.mark.parametrize("name", ["", "a" * 5000, "../secret", "nul\0", "Secret", "s\u0435cret", None, 7, ["s3"]])
    def test_a_strange_name_is_an_unknown_name(self, name: Any) -> None:
        with pytest.raises(errors.UnknownBlockTypeError) as caught:
            BLOCKS.get(name)
        assert len(str(caught.value).partition("; known: ")[0]) < 1000

    def test_the_error_survives_pickling(self) -> None:
        with pytest.raises(errors.UnknownNameError) as caught:
            SERIALIZERS.get("jsn")
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.name, again.known) == (str(caught.value), "jsn", SERIALIZERS.names())


class TestTwoClaims:
    def test_of_two_distributions_name_both(self, site: FakeSite) -> None:
        site.distribution("acme-one", "1.1", blocks="note = one:Note\nother = math:pi")
        site.distribution("acme-two", "2.2", blocks="note = two:Note")
        names = registry()
        with pytest.raises(
            errors.PluginConflictError, match=r"'acme-one 1.1' and 'acme-two 2.2'; uninstall one"
        ) as caught:
            names.get("note")
        assert sorted(caught.value.distributions) == ["acme-one 1.1", "acme-two 2.2"]
        assert names.get("other") is not None
        assert [(entry.name, entry.status) for entry in names.report()] == [
            ("note", "conflict"),
            ("note", "conflict"),
            ("other", "loaded"),
        ]

    def test_of_a_distribution_and_a_builtin_name_both(self, site: FakeSite) -> None:
        site.distribution("acme-queue", blocks="deque = acme_queue:Deque")
        with pytest.raises(errors.PluginConflictError, match=r"'entrepot .*' and 'acme-queue 1.0'"):
            registry(builtins={"deque": "collections:deque"}).get("deque")

    def test_of_our_own_distribution_are_one(self, site: FakeSite) -> None:
        site.distribution("entrepot", "9.9", blocks="deque = other:Deque\nghost = other:Ghost")
        names = registry(builtins={"deque": "collections:deque"})
        assert names.get("deque").__name__ == "deque"
        assert names.names() == ["deque"]

    def test_of_a_shadowed_copy_of_the_same_distribution_do_not_count(
        self, site: FakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.module("acme_notes", "class Note: ...")
        site.distribution("Acme.Notes", "2.0", blocks="note = acme_notes:Note")
        older = site.another("older")
        older.distribution("acme-notes", "1.0", blocks="note = acme_notes:Old\ngone = acme_notes:Gone")
        monkeypatch.setattr(sys, "path", [*sys.path, str(older.folder)])
        names = registry()
        assert names.get("note").__name__ == "Note"
        assert names.names() == ["note"]

    def test_of_a_copy_that_is_shadowed_by_one_without_claims_do_not_count(
        self, site: FakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.distribution("acme-notes", "1.0", text="[console_scripts]\nacme = acme_notes:main\n")
        newer = site.another("newer")
        newer.distribution("acme-notes", "2.0", blocks="note = acme_notes:Note")
        monkeypatch.setattr(sys, "path", [*sys.path, str(newer.folder)])
        assert registry().names() == []

    def test_of_one_distribution_name_it(self, site: FakeSite) -> None:
        site.distribution("acme-twice", blocks="note = one:Note\nnote = two:Note")
        with pytest.raises(errors.PluginConflictError, match=r"'acme-twice 1.0' and 'acme-twice 1.0'"):
            registry().get("note")

    def test_of_the_program_and_a_distribution_name_both_whichever_was_first(self, site: FakeSite) -> None:
        site.module("acme_notes", "class Note: ...")
        site.distribution("acme-notes", blocks="note = acme_notes:Note")
        mine = a_class()
        for first in ("registered", "loaded"):
            names = registry()
            if first == "loaded":
                names.get("note")
            names.register("note", mine)
            with pytest.raises(errors.PluginConflictError, match=r"'acme-notes 1.0' and 'Note in module user_script'"):
                names.get("note")
            assert {entry.status for entry in names.report()} == {"conflict"}

    def test_of_two_classes_of_the_program_name_both(self) -> None:
        names = registry()
        one, two = a_class(module="one"), a_class(module="two")
        names.register("note", one)
        with pytest.raises(errors.PluginConflictError, match="'Note in module one' and 'Note in module two'"):
            names.register("note", two)
        assert names.get("note") is one
        names.register("note", two, replace=True)
        assert names.get("note") is two

    def test_of_the_program_and_a_builtin_are_refused_at_definition(self) -> None:
        mine = a_class()
        names = registry(builtins={"deque": "collections:deque"})
        with pytest.raises(errors.PluginConflictError, match=r"'entrepot .*' and 'Note in module user_script'"):
            names.register("deque", mine)
        with pytest.raises(errors.PluginConflictError):
            names.register("deque", mine, replace=True)


class TestRegistering:
    def test_the_same_class_defined_again_replaces_the_first(self) -> None:
        names = registry()
        one, two = a_class(), a_class()
        names.register("note", one)
        assert names.get("note") is one
        names.register("note", two)
        assert names.get("note") is two

    def test_the_first_is_known_again_when_the_second_is_gone(self) -> None:
        names = registry()
        one, two, three = a_class(), a_class(), a_class()
        for each in (one, two, three):
            names.register("note", each)
        del each, three
        gc.collect()
        assert names.get("note") is two
        names.forget("note")
        other = a_class("Other")
        names.register("note", two)
        names.register("note", other, replace=True)
        del other
        gc.collect()
        with pytest.raises(errors.UnknownNameError):
            names.get("note")

    def test_a_script_that_is_imported_under_its_own_name_too_is_one_definition(
        self, site: FakeSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = site.module("flow_script", "class Note: ...")
        imported = importlib.import_module("flow_script").Note
        monkeypatch.setattr(sys.modules["__main__"], "__file__", str(path), raising=False)
        names = registry()
        as_main = a_class(module="__main__")
        names.register("note", as_main)
        names.register("note", imported)
        assert names.get("note") is imported

    def test_a_class_is_known_for_as_long_as_it_lives(self) -> None:
        names = registry()
        one = a_class(module="one")
        names.register("note", one)
        names.get("note")
        del one
        gc.collect()
        with pytest.raises(errors.UnknownNameError):
            names.get("note")
        assert names.names() == []

    def test_a_dead_class_that_was_not_collected_yet_holds_no_name(self) -> None:
        names = registry()
        names.register("note", a_class(module="one"))
        two = a_class(module="two")
        names.register("note", two)
        assert names.get("note") is two

    def test_an_object_without_weak_references_is_known_too(self) -> None:
        names = registry()
        names.register("answer", 42)
        assert names.get("answer") == 42

    def test_a_forgotten_class_is_unknown(self) -> None:
        names = registry()
        one = a_class()
        names.register("note", one)
        names.forget("note")
        names.forget("note")
        with pytest.raises(errors.UnknownNameError):
            names.get("note")

    @pytest.fixture
    def self_registering(self, site: FakeSite) -> SelfRegistering:
        """A module whose class registers itself when it is defined, as blocks do."""
        names = registry()
        hook = type(sys)("registration_hook")
        hook.register = names.register  # type: ignore[attr-defined]
        sys.modules["registration_hook"] = hook
        return site, names

    SOURCE = """
        import registration_hook
        class Note: ...
        registration_hook.register("note", Note)
    """

    def test_an_entry_point_whose_class_registers_itself_is_one_claim(self, self_registering: SelfRegistering) -> None:
        site, names = self_registering
        site.module("acme_notes", self.SOURCE)
        site.distribution("acme-notes", blocks="note = acme_notes:Note")
        assert names.get("note") is sys.modules["acme_notes"].Note
        assert [entry.status for entry in names.report()] == ["loaded"]

    def test_a_plugin_imported_before_it_was_asked_for_is_one_claim(self, self_registering: SelfRegistering) -> None:
        site, names = self_registering
        site.module("acme_notes", self.SOURCE)
        site.distribution("acme-notes", blocks="note = acme_notes:Note")
        note = importlib.import_module("acme_notes").Note
        assert names.get("note") is note

    def test_an_entry_point_that_names_a_reexport_is_one_claim(self, self_registering: SelfRegistering) -> None:
        site, names = self_registering
        site.module("acme.notes", self.SOURCE)
        (site.folder / "acme" / "__init__.py").write_text("from acme.notes import Note")
        site.distribution("acme-notes", blocks="note = acme:Note")
        note = importlib.import_module("acme").Note
        assert [entry.status for entry in names.report()] == ["loaded"]
        assert names.get("note") is note

    def test_a_reloaded_plugin_replaces_its_class(self, self_registering: SelfRegistering) -> None:
        site, names = self_registering
        site.module("acme_notes", self.SOURCE)
        site.distribution("acme-notes", blocks="note = acme_notes:Note")
        before = names.get("note")
        importlib.reload(sys.modules["acme_notes"])
        after = names.get("note")
        assert after is not before
        assert after is sys.modules["acme_notes"].Note

    def test_a_class_whose_module_failed_after_defining_it_is_not_known(
        self, self_registering: SelfRegistering
    ) -> None:
        site, names = self_registering
        path = site.module("acme_notes", self.SOURCE + "\n        raise RuntimeError('too late')")
        site.distribution("acme-notes", blocks="note = acme_notes:Note")
        for _ in range(2):  # the class is still alive in the first error's traceback
            with pytest.raises(errors.PluginLoadError, match="RuntimeError: too late"):
                names.get("note")
        with pytest.raises(RuntimeError, match="too late"):
            importlib.import_module("acme_notes")
        path.write_text("class Note: fixed = True")
        assert names.get("note").fixed

    def test_nothing_that_a_failed_import_registered_stays_known(self, self_registering: SelfRegistering) -> None:
        site, names = self_registering
        source = self.SOURCE + "\n        registration_hook.register('other', Note)\n        raise RuntimeError"
        site.module("acme_notes", source)
        site.distribution("acme-notes", blocks="note = acme_notes:Note")
        with pytest.raises(errors.PluginLoadError) as caught:
            names.get("note")
        with pytest.raises(errors.UnknownNameError):
            names.get("other")
        assert caught.value.__cause__ is not None, "whose traceback keeps the class alive"


BROKEN: dict[str, tuple[str, type[BaseException]]] = {
    "an exception": ("raise ValueError('boom')", ValueError),
    "SystemExit": ("import sys; sys.exit('boom')", SystemExit),
    "an exit without a message": ("raise SystemExit", SystemExit),
    "a missing dependency": ("import a_module_that_nobody_has", ModuleNotFoundError),
    "bad syntax": ("def (:", SyntaxError),
    "a NUL in the source": ("x = 1\0", SyntaxError),
    "no such attribute": ("pass", AttributeError),
    "an exception group": ("raise BaseExceptionGroup('boom', [SystemExit()])", BaseExceptionGroup),
    "endless recursion": ("def f(): f()\nf()", RecursionError),
}


class TestBrokenPlugins:
    @pytest.mark.parametrize("how", BROKEN)
    def test_break_only_their_own_name(self, site: FakeSite, how: str) -> None:
        source, cause = BROKEN[how]
        site.module("acme_broken", source)
        site.module("acme_sound", "class Note: ...")
        site.distribution("acme-broken", "0.3", blocks="broken = acme_broken:Note")
        site.distribution("acme-sound", blocks="sound = acme_sound:Note")
        names = registry()
        for _ in range(2):
            with pytest.raises(errors.PluginLoadError) as caught:
                names.get("broken")
            assert isinstance(caught.value.__cause__, cause) or (sys.version_info >= (3, 12) and "NUL" in how)
            assert "'broken' of acme-broken 0.3 (acme_broken:Note) cannot be loaded" in str(caught.value)
            assert "upgrade, repair or uninstall acme-broken; nothing else is affected" in str(caught.value)
            assert caught.value.distribution == "acme-broken"
            assert isinstance(caught.value, ImportError)
        assert names.get("sound").__name__ == "Note"
        assert names.names() == ["broken", "sound"]
        assert [(entry.name, entry.status) for entry in names.report(load=True)] == [
            ("broken", "broken"),
            ("sound", "loaded"),
        ]

    def test_work_once_they_are_repaired(self, site: FakeSite) -> None:
        path = site.module("acme_broken", "raise ValueError")
        site.distribution("acme-broken", blocks="broken = acme_broken:Note")
        names = registry()
        with pytest.raises(errors.PluginLoadError):
            names.get("broken")
        assert names.report()[0].status == "broken"
        path.write_text("class Note: 'now it is longer, too'")
        assert names.get("broken").__name__ == "Note"
        assert names.report()[0].status == "loaded"

    def test_work_once_a_missing_module_is_there_even_if_the_folder_looks_unchanged(self, site: FakeSite) -> None:
        site.distribution("acme-late", blocks="late = acme_late:Note")
        names = registry()
        with pytest.raises(errors.PluginLoadError, match="No module named 'acme_late'"):
            names.get("late")
        before = site.folder.stat()
        site.module("acme_late", "class Note: ...")
        os.utime(site.folder, ns=(before.st_atime_ns, before.st_mtime_ns))  # as on a disk with coarse times
        assert names.get("late").__name__ == "Note"

    def test_a_keyboard_interrupt_is_the_users_own(self, site: FakeSite) -> None:
        site.module("acme_stopped", "raise KeyboardInterrupt")
        site.distribution("acme-stopped", blocks="stopped = acme_stopped:Note")
        with pytest.raises(KeyboardInterrupt):
            registry().get("stopped")

    def test_a_missing_module_is_named(self, site: FakeSite) -> None:
        site.distribution("acme-gone", blocks="gone = acme_gone.notes:Note")
        with pytest.raises(errors.PluginLoadError, match="No module named 'acme_gone'"):
            registry().get("gone")

    @pytest.mark.parametrize("target", ["acme_odd", ":Note", "acme_odd:", "..:x", "acme odd:Note", "acme_odd:1"])
    def test_a_malformed_target_breaks_only_its_name(self, site: FakeSite, target: str) -> None:
        site.module("acme_odd", "class Note: ...")
        site.distribution("acme-odd", blocks=f"odd = {target}\nnote = acme_odd:Note")
        names = registry()
        with pytest.raises(errors.PluginLoadError):
            names.get("odd")
        assert names.get("note").__name__ == "Note"

    @pytest.mark.parametrize(
        ("source", "why"),
        [
            ("Note = 7", "TypeError: 7 is not a class"),
            ("class Note: slug = 'another'", "ValueError: the class calls itself 'another'"),
            ("class Note: ...", "ValueError: the class calls itself None"),
        ],
    )
    def test_the_wrong_kind_of_object_is_refused_and_says_why(self, site: FakeSite, source: str, why: str) -> None:
        site.module("acme_wrong", source)
        site.distribution("acme-wrong", blocks="note = acme_wrong:Note")
        names = registry()
        names.set_check(must_be_class_with_slug)
        with pytest.raises(errors.PluginLoadError) as caught:
            names.get("note")
        assert why in str(caught.value)
        assert caught.value.__cause__ is not None

    def test_a_very_long_reason_is_cut(self, site: FakeSite) -> None:
        site.module("acme_wordy", "raise ValueError('x' * 100_000)")
        site.distribution("acme-wordy", blocks="note = acme_wordy:Note")
        with pytest.raises(errors.PluginLoadError) as caught:
            registry().get("note")
        assert len(str(caught.value).partition("; known: ")[0]) < 1000


class TestDamagedMetadata:
    @pytest.mark.parametrize(
        "text",
        [
            "[entrepot.blocks]\nthis is no entry point\n",
            "[entrepot.blocks]\nnote = \n= acme:Note\n",
            "note = before:anysection\n[entrepot.blocks]\n",
            "[entrepot.blocks\nnote = acme:Note\n",
            "[entrepot.blocks]",
            "",
            "\ufeff[entrepot.blocks]\nnote = acme:Note",
        ],
    )
    def test_hides_no_other_distribution(self, site: FakeSite, text: str) -> None:
        site.distribution("aaa-damaged", text=text)
        site.module("acme_sound", "class Note: ...")
        site.distribution("acme-sound", blocks="sound = acme_sound:Note")
        names = registry()
        assert names.get("sound").__name__ == "Note"
        assert "sound" in names.names()
        names.report(load=True)

    def test_is_reported_and_told_to_who_looks_for_a_name(self, site: FakeSite) -> None:
        site.distribution("acme-damaged", text="[entrepot.blocks]\nthis is no entry point\n")
        names = registry()
        assert [(entry.distribution, entry.status) for entry in names.report()] == [("acme-damaged", "broken")]
        with pytest.raises(errors.UnknownNameError, match="the entry points of acme-damaged cannot be read"):
            names.get("note")

    @pytest.mark.parametrize("damage", ["bytes", "folder", "no metadata"])
    def test_that_cannot_be_read_at_all_hides_nothing(self, site: FakeSite, damage: str) -> None:
        info = site.distribution("acme-damaged", blocks="note = acme_damaged:Note")
        points = info / "entry_points.txt"
        if damage == "bytes":
            points.write_bytes(b"[entrepot.blocks]\nnote = \xff\xfe:Note\n")
        elif damage == "folder":
            points.unlink()
            points.mkdir()
        else:
            (info / "METADATA").unlink()
        site.module("acme_sound", "class Note: ...")
        site.distribution("acme-sound", blocks="sound = acme_sound:Note")
        assert registry().get("sound").__name__ == "Note"

    def test_a_distribution_without_metadata_still_works(self, site: FakeSite) -> None:
        info = site.distribution("acme-bare", blocks="note = acme_bare:Note")
        (info / "METADATA").unlink()
        site.module("acme_bare", "class Note: ...")
        names = registry()
        assert names.get("note").__name__ == "Note"
        assert [(each.distribution, each.version) for each in names.report()] == [("acme-bare", "")]


def test_a_new_distribution_is_seen_after_a_reset_or_a_change_of_the_path(
    site: FakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = registry()
    assert names.names() == []
    site.distribution("acme-late", blocks="late = acme_late:Note")
    discovery.reset()
    assert names.names() == ["late"]
    other = site.another("other")
    other.distribution("acme-later", blocks="later = acme_later:Note")
    monkeypatch.syspath_prepend(str(other.folder))
    assert names.names() == ["late", "later"]


def test_a_check_can_be_set_by_an_upper_layer() -> None:
    calls: list[tuple[str, object]] = []
    check: Callable[[str, object], None] = lambda name, obj: calls.append((name, obj))  # noqa: E731  a recorder
    names = registry(builtins={"deque": "collections:deque"})
    names.set_check(check)
    found = names.get("deque")
    assert calls == [("deque", found)]


def test_a_class_that_ends_while_names_are_reported_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    names = registry()
    kept = a_class("Kept")
    names.register("kept", kept)
    names.register("ending", a_class("Ending"))
    gc.collect()
    monkeypatch.setattr(names, "names", lambda: ["ending", "kept"])  # as it was a moment before
    assert [(entry.name, entry.status) for entry in names.report(load=True)] == [("kept", "loaded")]
