"""Settings: environment over file over defaults, read on demand, with errors that say what to do."""

import logging
import os
import stat
import subprocess
import sys
import threading
from dataclasses import fields
from pathlib import Path

import pytest

from entrepot import settings
from entrepot.errors import ConfigurationError
from entrepot.settings import model, reading


def write_config(home: Path, text: str) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "config.toml"
    path.write_text(text)
    return path


def value_of(name: str) -> object:
    return getattr(settings.current(), name)


class TestDefaults:
    def test_the_documented_defaults_hold(self, entrepot_home: Path) -> None:
        found = settings.current()
        assert found == settings.Settings(home=entrepot_home)
        assert found.logging_level == "INFO"
        assert found.results_storage is None
        assert found.results_persist is False
        assert found.results_serializer == "auto"
        assert found.results_allow is None
        assert found.results_encrypt is False
        assert found.runs_record is True
        assert found.blocks_storage is None
        assert found.progress == "auto"

    def test_every_field_is_described_and_nothing_else(self) -> None:
        assert list(settings.SETTINGS) == [field.name for field in fields(settings.Settings)]

    def test_reading_makes_no_folder(self, entrepot_home: Path) -> None:
        settings.current()
        settings.view()
        assert not entrepot_home.exists()

    def test_home_is_in_the_users_folder_by_default(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("ENTREPOT_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert settings.current().home == tmp_path / ".entrepot"

    def test_a_relative_home_stays_where_it_was_when_the_process_moves(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("ENTREPOT_HOME", "here")
        assert settings.current().home == tmp_path / "here"
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert settings.current().home == tmp_path / "here"

    def test_a_tilde_in_the_home_is_the_users_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("ENTREPOT_HOME", "~/depot")
        assert settings.home_folder() == tmp_path / "depot"


class TestPrecedence:
    def test_the_file_is_over_the_default(self, entrepot_home: Path) -> None:
        write_config(entrepot_home, 'logging_level = "debug"\nresults_persist = true\n')
        assert value_of("logging_level") == "DEBUG"
        assert value_of("results_persist") is True

    def test_the_environment_is_over_the_file(self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_config(entrepot_home, 'results_storage = "/from/file"\nresults_persist = true\n')
        monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "s3://from/env")
        monkeypatch.setenv("ENTREPOT_RESULTS_PERSIST", "0")
        assert value_of("results_storage") == "s3://from/env"
        assert value_of("results_persist") is False

    def test_an_empty_variable_sets_nothing(self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_config(entrepot_home, 'results_storage = "/from/file"\n')
        monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "")
        assert value_of("results_storage") == "/from/file"

    @pytest.mark.parametrize(
        ("text", "expected"),
        [("1", True), ("TRUE", True), ("yes", True), (" on ", True), ("0", False), ("False", False), ("off", False)],
    )
    def test_flags_are_read_from_their_usual_words(
        self, text: str, expected: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_RUNS_RECORD", text)
        assert value_of("runs_record") is expected

    @pytest.mark.parametrize("line", ['"json, parquet,json"', '["json", "parquet"]'])
    def test_allowed_serializers_are_a_list_or_a_text(self, line: str, entrepot_home: Path) -> None:
        write_config(entrepot_home, f"results_allow = {line}\n")
        assert value_of("results_allow") == ("json", "parquet")

    @pytest.mark.parametrize(
        ("line", "expected"), [('"auto"', "auto"), ('" Off"', "off"), ('"no"', "off"), ("false", "off"), ("true", "on")]
    )
    def test_progress_is_a_word_or_a_flag(self, line: str, expected: str, entrepot_home: Path) -> None:
        write_config(entrepot_home, f"progress = {line}\n")
        assert value_of("progress") == expected


class TestChanges:
    def test_an_unchanged_world_gives_the_same_object(self) -> None:
        assert settings.current() is settings.current()

    def test_a_changed_variable_is_seen_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert value_of("results_encrypt") is False
        monkeypatch.setenv("ENTREPOT_RESULTS_ENCRYPT", "true")
        assert value_of("results_encrypt") is True
        monkeypatch.delenv("ENTREPOT_RESULTS_ENCRYPT")
        assert value_of("results_encrypt") is False

    def test_a_changed_file_is_seen_at_once(self, entrepot_home: Path) -> None:
        assert value_of("logging_level") == "INFO"
        path = write_config(entrepot_home, 'logging_level = "ERROR"\n')
        assert value_of("logging_level") == "ERROR"
        path.write_text('logging_level = "WARN"\n')
        assert value_of("logging_level") == "WARNING"
        path.unlink()
        assert value_of("logging_level") == "INFO"

    def test_a_change_of_home_changes_the_file_that_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_config(tmp_path / "one", 'logging_level = "ERROR"\n')
        write_config(tmp_path / "two", 'logging_level = "DEBUG"\n')
        for home, level in (("one", "ERROR"), ("two", "DEBUG"), ("one", "ERROR")):
            monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / home))
            assert value_of("logging_level") == level

    def test_threads_see_only_whole_settings(self, tmp_path: Path) -> None:
        homes = [tmp_path / "a", tmp_path / "b"]
        write_config(homes[0], 'logging_level = "ERROR"\nresults_storage = "/a"\n')
        write_config(homes[1], 'logging_level = "DEBUG"\nresults_storage = "/b"\n')
        wrong: list[object] = []
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                found = settings.current()
                if (found.logging_level, found.results_storage) not in {("ERROR", "/a"), ("DEBUG", "/b")}:
                    wrong.append(found)

        os.environ["ENTREPOT_HOME"] = str(homes[0])
        readers = [threading.Thread(target=look) for _ in range(3)]
        for reader in readers:
            reader.start()
        for turn in range(200):
            os.environ["ENTREPOT_HOME"] = str(homes[turn % 2])
        done.set()
        for reader in readers:
            reader.join()
        assert wrong == []


class TestBadInput:
    @pytest.mark.parametrize(
        ("name", "value", "allowed"),
        [
            ("results_persist", "maybe", "true or false"),
            ("logging_level", "LOUD", "DEBUG, INFO"),
            ("progress", "sometimes", "auto, on or off"),
            ("results_serializer", "../pickle", "compressed/json"),
            ("results_serializer", "compressed/", "compressed/json"),
            ("results_allow", "json,", "json,parquet"),
            ("results_allow", "json;parquet", "json,parquet"),
            ("results_storage", "a\nb", "s3://bucket/prefix"),
            ("home", "   ", "the path of a folder"),
        ],
    )
    def test_a_bad_variable_is_named_with_its_value_and_what_is_allowed(
        self, name: str, value: str, allowed: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        variable = f"ENTREPOT_{name.upper()}"
        monkeypatch.setenv(variable, value)
        with pytest.raises(ConfigurationError) as caught:
            settings.current()
        message = str(caught.value)
        assert variable in message
        assert repr(value) in message
        assert allowed in message
        assert caught.value.setting == name

    @pytest.mark.parametrize(
        "line", ['results_persist = "maybe"', "results_persist = 1", "logging_level = 10", "results_storage = ['a']"]
    )
    def test_a_bad_value_in_the_file_names_the_file(self, line: str, entrepot_home: Path) -> None:
        path = write_config(entrepot_home, line + "\n")
        with pytest.raises(ConfigurationError) as caught:
            settings.current()
        assert str(path) in str(caught.value)
        assert line.split(" ", maxsplit=1)[0] in str(caught.value)

    def test_credentials_in_a_url_are_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "s3://key:hunter2@host/bucket\x07?sig=hunter3")
        with pytest.raises(ConfigurationError) as caught:
            settings.current()
        assert "hunter" not in str(caught.value)
        monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "az://key:hunter2@host/bucket?sig=hunter3")
        (row,) = [row for row in settings.view() if row.name == "results_storage"]
        assert row.value == "az://***@host/bucket?***"
        assert settings.current().results_storage == "az://key:hunter2@host/bucket?sig=hunter3"

    def test_an_unknown_name_in_the_file_gets_the_nearest_known_one(self, entrepot_home: Path) -> None:
        write_config(entrepot_home, 'result_storage = "/x"\n')
        with pytest.raises(ConfigurationError, match=r"did you mean 'results_storage'\?.*config unset result_storage"):
            settings.current()

    def test_home_in_the_file_is_refused_with_the_way_out(self, entrepot_home: Path) -> None:
        write_config(entrepot_home, 'home = "/x"\n')
        with pytest.raises(ConfigurationError, match="set the variable ENTREPOT_HOME"):
            settings.current()

    @pytest.mark.parametrize("data", [b"logging_level = \n", b"\xff\xfe", b'a = "b', b"[results\n"])
    def test_a_file_that_is_not_toml_is_named(self, data: bytes, entrepot_home: Path) -> None:
        path = write_config(entrepot_home, "")
        path.write_bytes(data)
        with pytest.raises(ConfigurationError, match=r"config\.toml are not TOML"):
            settings.current()

    def test_a_folder_in_the_place_of_the_file_is_an_error(self, entrepot_home: Path) -> None:
        (entrepot_home / "config.toml").mkdir(parents=True)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            settings.current()

    def test_an_unknown_variable_is_warned_about_once_without_its_value(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(reading, "_warned", set())
        monkeypatch.setenv("ENTREPOT_RESULT_STORAGE", "hunter2")
        monkeypatch.setenv("ENTREPOT_KEYRING", "{}")
        monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", "y")
        monkeypatch.setenv("ENTREPOT_API_URL", "http://localhost")
        with caplog.at_level(logging.WARNING):
            settings.current()
            monkeypatch.setenv("ENTREPOT_RUNS_RECORD", "1")
            settings.current()
        (record,) = caplog.records
        assert "ENTREPOT_RESULT_STORAGE" in record.getMessage()
        assert "did you mean 'ENTREPOT_RESULTS_STORAGE'?" in record.getMessage()
        assert "hunter2" not in record.getMessage()

    def test_a_bad_file_does_not_hide_behind_an_earlier_good_look(self, entrepot_home: Path) -> None:
        settings.current()
        write_config(entrepot_home, "results_persist = 7\n")
        for _ in range(2):
            with pytest.raises(ConfigurationError):
                settings.current()


class TestView:
    def test_each_row_says_where_its_value_is_from(self, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_config(entrepot_home, 'logging_level = "DEBUG"\nresults_persist = true\n')
        monkeypatch.setenv("ENTREPOT_RESULTS_PERSIST", "false")
        rows = {row.name: row for row in settings.view()}
        assert list(rows) == list(settings.SETTINGS)
        assert (rows["home"].value, rows["home"].source) == (entrepot_home, "environment")
        assert (rows["logging_level"].value, rows["logging_level"].source) == ("DEBUG", str(path))
        assert (rows["results_persist"].value, rows["results_persist"].source) == (False, "environment")
        assert (rows["runs_record"].value, rows["runs_record"].source) == (True, "default")
        assert rows["runs_record"].variable == "ENTREPOT_RUNS_RECORD"
        assert all(row.doc for row in rows.values())


class TestSetting:
    def test_a_set_value_is_read_back_typed(self, entrepot_home: Path) -> None:
        path = settings.set_value("results_persist", "yes")
        assert path == entrepot_home / "config.toml"
        assert path.read_text() == "results_persist = true\n"
        assert settings.current().results_persist is True

    def test_file_and_home_are_for_the_owner_only(self, entrepot_home: Path) -> None:
        path = settings.set_value("logging_level", "ERROR")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(entrepot_home.stat().st_mode) == 0o700

    def test_comments_and_order_stay(self, entrepot_home: Path) -> None:
        write_config(entrepot_home, '# mine\nlogging_level = "INFO"  # loud enough\n\nruns_record = false\n')
        settings.set_value("logging_level", "error")
        assert (entrepot_home / "config.toml").read_text() == (
            '# mine\nlogging_level = "ERROR"  # loud enough\n\nruns_record = false\n'
        )

    @pytest.mark.parametrize("name", ["ENTREPOT_RESULTS_STORAGE", "entrepot_results_storage", "results-storage"])
    def test_a_setting_can_be_called_by_its_variable(self, name: str) -> None:
        settings.set_value(name, "s3://b/p")
        assert settings.current().results_storage == "s3://b/p"

    def test_unset_gives_the_default_back_and_says_whether_it_was_set(self) -> None:
        assert settings.unset_value("runs_record") is False
        settings.set_value("runs_record", value=False)
        assert settings.current().runs_record is False
        assert settings.unset_value("runs_record") is True
        assert settings.current().runs_record is True
        assert settings.unset_value("runs_record") is False

    def test_a_slip_in_the_file_can_be_unset(self, entrepot_home: Path) -> None:
        write_config(entrepot_home, 'result_storage = "/x"\n')
        assert settings.unset_value("result_storage") is True
        assert settings.current().results_storage is None

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("result_storage", "/x", "did you mean 'results_storage'"),
            ("results_persist", "maybe", "use true or false"),
            ("home", "/x", "ENTREPOT_HOME"),
        ],
    )
    def test_what_cannot_be_set_is_refused_and_nothing_is_written(
        self, name: str, value: str, message: str, entrepot_home: Path
    ) -> None:
        with pytest.raises(ConfigurationError, match=message):
            settings.set_value(name, value)
        assert not entrepot_home.exists()

    def test_unset_of_an_unknown_name_is_an_error(self, entrepot_home: Path) -> None:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="no setting named 'nonsense'"):
                settings.unset_value("nonsense")
            write_config(entrepot_home, "runs_record = true\n")

    def test_a_file_that_is_not_toml_is_left_as_it_is(self, entrepot_home: Path) -> None:
        path = write_config(entrepot_home, "runs_record = \n")
        with pytest.raises(ConfigurationError, match="not TOML"):
            settings.set_value("runs_record", "true")
        assert path.read_text() == "runs_record = \n"

    @pytest.mark.parametrize("broken", ["write", "fsync", "replace"])
    def test_a_failed_write_leaves_the_old_file_and_no_litter(
        self, broken: str, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = settings.set_value("logging_level", "ERROR")
        before = path.read_bytes()

        def fail(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        target = {"write": "os.fdopen", "fsync": "os.fsync", "replace": "pathlib.Path.replace"}[broken]
        with monkeypatch.context() as patch:
            patch.setattr(target, fail)
            with pytest.raises(ConfigurationError, match="No space left on device; nothing was changed"):
                settings.set_value("logging_level", "DEBUG")
        assert path.read_bytes() == before
        assert [entry.name for entry in entrepot_home.iterdir()] == ["config.toml"]

    def test_a_home_that_cannot_be_made_is_one_clear_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "file" / "home"))
        with pytest.raises(ConfigurationError, match="cannot be"):
            settings.set_value("logging_level", "DEBUG")

    def test_writers_in_many_processes_lose_nothing(self, entrepot_home: Path) -> None:
        script = "import sys; from entrepot import settings; settings.set_value(sys.argv[1], sys.argv[2])"
        wanted = {
            "results_persist": "true",
            "results_encrypt": "true",
            "runs_record": "false",
            "logging_level": "ERROR",
            "results_storage": "/r",
            "blocks_storage": "/b",
        }
        children = [subprocess.Popen([sys.executable, "-c", script, *item]) for item in wanted.items()]
        assert [child.wait() for child in children] == [0] * len(wanted)
        assert {row.name for row in settings.view() if row.source.endswith("config.toml")} == set(wanted)


def test_reading_needs_no_heavy_module(entrepot_home: Path) -> None:
    write_config(entrepot_home, "runs_record = true\n")
    script = (
        "import sys; from entrepot import settings; settings.current(); "
        "print([name for name in ('pydantic', 'tomlkit', 'sqlite3', 'asyncio', 'fsspec') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_masking_leaves_plain_places_as_they_are() -> None:
    for place in ("/a/b?c@d", "s3://bucket/key", "file:///x", "s3/prod"):
        assert model.masked(place) == place


def test_settings_print_without_the_credentials_of_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "s3://AKIA:hush@bucket/x?sig=hush")
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", "sftp://me:hush@host/y")
    shown = f"{settings.current()!r} {settings.current()}"
    assert "hush" not in shown
    assert "bucket/x" in shown
    assert "host/y" in shown
    assert "results_persist=False" in shown
