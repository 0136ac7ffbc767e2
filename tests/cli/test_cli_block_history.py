"""`entrepot block history|diff|rollback|doctor|migrate`, and blocks whose class is not installed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from entrepot.blocks import Block, Secret, String, migrates
from entrepot.plugins import BLOCKS

from .conftest import Invoke

HUNTER = "hunter2-correct-horse"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for slug in ("server", "cli-server"):
        BLOCKS.forget(slug)


def old() -> type[Block]:
    BLOCKS.forget("server")

    class Server(Block):
        name: str
        token: SecretStr = SecretStr(HUNTER)

    return Server


def new() -> type[Block]:
    BLOCKS.forget("server")

    class Server(Block):
        _schema_version = 2

        host: str
        token: SecretStr

        @migrates(from_version=1)
        @staticmethod
        def _rename(fields: dict[str, Any]) -> None:
            fields["host"] = fields.pop("name")

    return Server


def other() -> type[Block]:
    BLOCKS.forget("server")

    class Server(Block):
        host: str
        token: SecretStr

    return Server


class TestHistory:
    def test_versions_are_listed_and_made_the_newest_again(self, invoke: Invoke) -> None:
        String(value="one").save("greeting")
        String(value="two").save("greeting", overwrite=True)
        said = invoke("block", "rollback", "greeting", "1").stderr
        assert "saved string/greeting, version 3, with the content of version 1" in said
        assert String.load("greeting").value == "one"
        text = invoke("block", "history", "string/greeting").stdout
        assert "rollback of version 1" in text
        assert "entrepot 0." in text
        rows = invoke("block", "history", "greeting", "--json").data
        assert [(row["version"], row["action"], row["source"]) for row in rows] == [
            (1, "save", None),
            (2, "save", None),
            (3, "rollback", 1),
        ]
        assert {"type", "name", "saved", "by", "host", "entrepot", "distribution", "schema_version", "deleted"} <= {
            *rows[0]
        }
        assert invoke("block", "show", "greeting", "--version", "2", "--json").data["fields"] == {"value": "two"}
        assert "there are: 1, 2, 3" in invoke("block", "show", "greeting", "--version", "9", exit_code=1).stderr

    def test_a_damaged_version_and_a_deletion_are_in_it(self, invoke: Invoke, entrepot_home: Path) -> None:
        String(value="one").save("a")
        String(value="two").save("a", overwrite=True)
        (entrepot_home / "blocks/string/a/00000001.json").write_bytes(b"x")
        found = invoke("block", "history", "a")
        assert "cannot be opened" in found.stdout
        assert "warning: version 1 of the block string/a" in found.stderr
        invoke("block", "delete", "--yes", "a")
        assert [row["deleted"] for row in invoke("block", "history", "string/a", "--json").data] == [True]

    def test_changes_are_shown_and_secrets_are_not(self, invoke: Invoke) -> None:
        cls = old()
        cls(name="one").save("s")  # type: ignore[call-arg]
        cls(name="two").save("s", overwrite=True)  # type: ignore[call-arg]
        found = invoke("block", "diff", "s")
        for word in ("name", "changed", "one", "two", "token", "unchanged"):
            assert word in found.stdout
        assert HUNTER not in found.stdout + found.stderr
        assert "server/s: version 1 and version 2" in found.stderr
        data = invoke("block", "diff", "s", "2", "1", "--json").data
        assert (data["old"], data["new"]) == (2, 1)
        assert [(each["path"], each["kind"], each["secret"]) for each in data["changes"]] == [
            ("name", "changed", False),
            ("token", "unchanged", True),
        ]
        String(value="x").save("t")
        String(value="x").save("t", overwrite=True)
        assert "are the same" in invoke("block", "diff", "t").stderr


class TestWithoutTheClass:
    def test_it_is_listed_shown_and_deleted(self, invoke: Invoke) -> None:
        old()(name="one").save("s")  # type: ignore[call-arg]
        BLOCKS.forget("server")
        assert "server/s" in invoke("block", "ls").stdout
        for name in ("s", "server/s"):
            found = invoke("block", "show", name)
            assert "one" in found.stdout
            assert "**********" in found.stdout
            assert "no block type named 'server'" in found.stderr
            assert "this is how it is stored" in found.stderr
            assert HUNTER not in found.stdout + found.stderr
        assert invoke("block", "show", "s", "--json").data == {
            "type": "server",
            "fields": {"name": "one", "token": "**********"},
        }
        invoke("block", "delete", "--yes", "server/s")
        assert Block.list() == []

    def test_one_that_does_not_fit_its_class_is_shown_as_it_is_stored(self, invoke: Invoke) -> None:
        old()(name="one").save("s")  # type: ignore[call-arg]
        _keep = other()
        found = invoke("block", "show", "s")
        assert "does not fit the class" in found.stderr
        assert "one" in found.stdout


class TestDoctorAndMigrate:
    def test_a_home_where_all_is_well(self, invoke: Invoke) -> None:
        assert "nothing to do" in invoke("block", "doctor").stderr
        Secret(value=HUNTER).save("s")
        found = invoke("block", "doctor")
        assert "secret/s" in found.stdout
        assert "1 ok" in found.stderr

    def test_what_fails_says_what_to_write_and_exits_with_1(self, invoke: Invoke) -> None:
        old()(name="one").save("s")  # type: ignore[call-arg]
        _keep = other()
        found = invoke("block", "doctor", exit_code=1)
        assert "fails" in found.stdout
        assert "@migrates(from_version=1)" in found.stdout
        assert "fields['host'] = fields.pop('name')" in found.stdout
        (row,) = invoke("block", "doctor", "--json", exit_code=1).data
        assert (row["state"], row["missing"], row["unknown"]) == ("fails", ["host"], ["name"])
        assert "_schema_version = 2" in row["stub"]
        assert HUNTER not in found.stdout + found.stderr

    def test_doctor_marks_nothing_as_seen(self, invoke: Invoke, entrepot_home: Path) -> None:
        String(value="x").save("a")
        for path in entrepot_home.glob("seen/*/*/*/0*"):
            path.unlink()
        before = sorted(entrepot_home.rglob("*"))
        invoke("block", "doctor")
        assert sorted(entrepot_home.rglob("*")) == before

    def test_migrating(self, invoke: Invoke) -> None:
        old()(name="one").save("s")  # type: ignore[call-arg]
        String(value="x").save("fine")
        cls = new()
        assert "migrates from v1 to v2" in invoke("block", "doctor").stdout
        assert "migrates from v1 to v2" in invoke("block", "migrate", "--all", "--dry-run").stdout
        assert len(cls.history("s")) == 1
        found = invoke("block", "migrate", "--all")
        assert "migrated from v1 to v2" in found.stdout
        assert "string/fine" not in found.stdout
        assert len(cls.history("s")) == 2
        assert "nothing to do" in invoke("block", "migrate", "--all").stderr
        assert [row["state"] for row in invoke("block", "migrate", "s", "fine", "--json").data] == ["ok", "ok"]

    @pytest.mark.parametrize("args", [[], ["s", "--all"]])
    def test_what_to_migrate_must_be_said(self, args: list[str], invoke: Invoke) -> None:
        assert "their names, or --all" in invoke("block", "migrate", *args, exit_code=1).stderr

    def test_a_module_brings_its_types(self, program: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "cli_servers.py").write_text(
            "from entrepot.blocks import Block\nclass CliServer(Block):\n    host: str = 'h'\n"
            "if __name__ == '__main__':\n    CliServer().save('s')\n"
        )
        monkeypatch.chdir(tmp_path)
        subprocess.run([sys.executable, "cli_servers.py"], check=True, timeout=60)
        found = program("block", "doctor")
        assert "1 not installed" in found.stderr
        (row,) = [line for line in found.stdout.splitlines() if line.startswith("cli-server/s")]
        assert row.split("not installed")[1].strip() == "no block type named 'cli-server'"
        assert found.stdout.count("pass -m your.module") == 1
        said = program("block", "check", "s").stderr
        assert said.index("pass -m your.module") < said.index("known: ")
        assert "more (entrepot block types)" in said
        assert "host" in program("block", "show", "s", "-m", "cli_servers").stdout
        assert "1 ok" in program("block", "doctor", "-m", "cli_servers").stderr
        assert "loads" in program("block", "check", "s", "-m", "cli_servers").stderr
        program("block", "create", "cli-server", "t", "-f", "host=a", "-m", "cli_servers")
        program("block", "edit", "t", "-f", "host=b", "-m", "cli_servers")
        assert '"host": "b"' in program("block", "show", "t", "-m", "cli_servers", "--json").stdout
