"""`entrepot config` and `entrepot plugins`."""

from pathlib import Path

import pytest

from entrepot import settings
from entrepot.plugins import BLOCKS
from entrepot.plugins.entry import PluginEntry

from .conftest import Invoke


class TestConfig:
    def test_a_setting_is_set_seen_and_unset(self, invoke: Invoke, entrepot_home: Path) -> None:
        found = invoke("config", "set", "results_persist", "yes")
        assert found.stdout == ""
        assert found.stderr == f"results_persist is set in {entrepot_home / 'config.toml'}\n"
        assert settings.current().results_persist is True
        assert "results_persist   " in invoke("config", "view").stdout
        invoke("config", "unset", "results_persist")
        assert settings.current().results_persist is False
        assert "was not set" in invoke("config", "unset", "results_persist").stderr

    @pytest.mark.parametrize("word", ["ENTREPOT_RESULTS_STORAGE=s3/prod", "results_storage=s3/prod"])
    def test_one_word_with_an_equals_sign_will_do(self, word: str, invoke: Invoke) -> None:
        invoke("config", "set", word)
        assert settings.current().results_storage == "s3/prod"

    def test_a_variable_that_wins_is_mentioned(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_LOGGING_LEVEL", "ERROR")
        found = invoke("config", "set", "logging_level", "debug")
        assert "warning: here the variable ENTREPOT_LOGGING_LEVEL is set too, and it wins" in found.stderr

    def test_for_programs(self, invoke: Invoke, entrepot_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_STORAGE", "s3://key:hunter2@host/bucket")
        invoke("config", "set", "runs_record", "false")
        rows = invoke("config", "view", "--json").data
        assert [row["name"] for row in rows] == list(settings.SETTINGS)
        assert {tuple(row) for row in rows} == {("name", "value", "source", "doc", "variable")}
        by_name = {row["name"]: row for row in rows}
        assert by_name["runs_record"]["value"] is False
        assert by_name["runs_record"]["source"] == str(entrepot_home / "config.toml")
        assert by_name["results_storage"]["value"] == "s3://***@host/bucket"
        assert by_name["home"]["value"] == str(entrepot_home)

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["set", "result_storage", "/x"], "did you mean 'results_storage'?"),
            (["set", "results_persist", "maybe"], "use true or false"),
            (["set", "results_persist"], "give a value"),
            (["set", "home", "/x"], "ENTREPOT_HOME"),
            (["unset", "nonsense"], "no setting named 'nonsense'"),
            (["set", "blocks_team", "team/blocks"], f"write the whole path, as '{Path.cwd() / 'team/blocks'}'"),
            (["set", "blocks_storage", "s3:/team/blocks"], "a URL such as s3://bucket/prefix"),
        ],
    )
    def test_what_cannot_be_set_is_one_clear_error(self, args: list[str], message: str, invoke: Invoke) -> None:
        assert message in invoke("config", *args, exit_code=1).stderr

    def test_a_place_of_blocks_is_a_whole_path_or_an_address(self, invoke: Invoke, tmp_path: Path) -> None:
        for place in (str(tmp_path), "~/team", "memory://team", "block://s3/team"):
            invoke("config", "set", "blocks_team", place)

    def test_a_key_provider_that_is_not_here_is_mentioned(self, invoke: Invoke) -> None:
        said = invoke("config", "set", "key_provider", "vaullt:entrepot").stderr
        assert "no key provider named 'vaullt'; did you mean 'vault'" in said
        assert "warning" not in invoke("config", "set", "key_provider", "file:/secure/keyring.json").stderr


class TestPlugins:
    def test_the_built_in_ones_are_listed(self, invoke: Invoke) -> None:
        text = invoke("plugins").stdout
        for word in ("entrepot.blocks", "secret", "entrepot.serializers", "pickle", "built-in"):
            assert word in text

    def test_for_programs(self, invoke: Invoke) -> None:
        rows = invoke("plugins", "--json").data
        assert {tuple(row) for row in rows} == {
            ("group", "name", "target", "distribution", "version", "status", "detail")
        }
        assert {"s3", "json"} <= {row["name"] for row in rows}

    def test_loading_finds_no_broken_one_among_ours(self, invoke: Invoke) -> None:
        rows = invoke("plugins", "--load", "--json").data
        assert [row for row in rows if row["status"] in {"broken", "conflict"}] == []

    def test_what_is_broken_says_why(self, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
        broken = PluginEntry("entrepot.blocks", "bad", "bad:Bad", "bad-plugin", "1.0", "broken", "it raises")
        monkeypatch.setattr(BLOCKS, "report", lambda *, load=False: [broken])
        found = invoke("plugins")
        assert "broken" in found.stdout
        assert found.stderr == "warning: entrepot.blocks bad: it raises\n"
