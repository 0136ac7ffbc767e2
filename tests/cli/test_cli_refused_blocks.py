"""`entrepot block doctor|migrate` where blocks of a team may not use secrets of this machine: they do not work here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, field_validator

from entrepot.blocks import Block, Secret, String, migrates, use_documents
from entrepot.blocks.shared import documents_at
from entrepot.plugins import BLOCKS
from entrepot.settings import current

from .conftest import Invoke

LIST = "ENTREPOT_BLOCKS_TEAM_REFERENCES"


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A team's store with `secret/plain`, and `secret/hook` that refers to a variable."""
    folder = tmp_path / "team"
    with use_documents(documents_at(str(folder), current())):
        Secret(value="x").save("plain")
        Secret(value="env://PREY").save("hook")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(folder))
    monkeypatch.setenv("PREY", "mine")
    return folder


@pytest.fixture
def lagging(team: Path) -> Iterator[type[Block]]:
    """A class of version 2; the team has a block of version 1 that refers to a variable, and one that looks at it."""

    def save() -> None:
        class Courier(Block):
            token: SecretStr

        class Curious(Block):
            token: SecretStr

        Courier(token="env://PREY").save("c")  # type: ignore[arg-type]
        Curious(token="env://PREY").save("c")  # type: ignore[arg-type]
        BLOCKS.forget("courier")
        BLOCKS.forget("curious")

    with use_documents(documents_at(str(team), current())):
        save()

    class Courier(Block):
        _schema_version = 2
        key: SecretStr

        @migrates(from_version=1)
        @staticmethod
        def _rename(fields: dict[str, Any]) -> None:
            fields["key"] = fields.pop("token")

    class Curious(Block):
        token: SecretStr

        @field_validator("token")
        @classmethod
        def _look(cls, value: SecretStr) -> SecretStr:
            assert value.get_secret_value()
            return value

    yield Courier
    BLOCKS.forget("courier")
    BLOCKS.forget("curious")


def states(invoke: Invoke, *options: str, exit_code: int) -> dict[str, str]:
    rows = invoke("block", "doctor", "--json", *options, exit_code=exit_code).data
    return {f"{row['type']}/{row['name']}": row["state"] for row in rows}


def test_a_refused_block_is_a_failure_until_what_it_needs_is_listed(
    invoke: Invoke, team: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    String(value="x").save("mine")
    found = invoke("block", "doctor", exit_code=1)
    row = next(line for line in found.stdout.splitlines() if line.startswith("secret/hook"))
    assert row.split()[:3] == ["secret/hook", "1", "refused"]
    assert 'blocks_team_references = ["env://PREY"]' in found.stdout
    assert "1 refused" in found.stderr
    assert states(invoke, exit_code=1) == {"secret/hook": "refused", "secret/plain": "ok", "string/mine": "ok"}
    assert states(invoke, "--store", "local", exit_code=0) == {"string/mine": "ok"}
    monkeypatch.setenv(LIST, "env://PREY")
    assert set(states(invoke, exit_code=0).values()) == {"ok"}


def test_a_migration_of_all_has_nothing_to_do_with_what_is_refused_and_new(invoke: Invoke, team: Path) -> None:
    for dry_run in ((), ("--dry-run",)):
        found = invoke("block", "migrate", "--all", "--store", "team", *dry_run)
        assert (found.stdout, found.stderr) == ("", "nothing to do\n")
    assert "refused" in invoke("block", "migrate", "secret/hook", "--store", "team").stdout


def test_one_that_lags_too_is_refused_and_says_both_and_is_migrated_all_the_same(
    invoke: Invoke, lagging: type[Block], team: Path
) -> None:
    assert "refused, migrates from v1 to v2" in invoke("block", "doctor", exit_code=1).stdout
    assert states(invoke, exit_code=1)["courier/c"] == "refused"
    (row,) = [row for row in invoke("block", "doctor", "--json", exit_code=1).data if row["type"] == "courier"]
    assert (row["saved_version"], row["class_version"], row["location"]) == (1, 2, str(team))
    migrate = ("block", "migrate", "courier/c", "--store", "team", "--json")
    (row,) = invoke(*migrate, "--dry-run").data
    assert (row["state"], row["location"]) == ("migrates", str(team))
    assert len(lagging.history("c")) == 1
    (row,) = invoke(*migrate).data
    assert (row["state"], row["location"]) == ("migrated", str(team))
    assert [each.schema_version for each in lagging.history("c")] == [1, 2]
    assert states(invoke, exit_code=1)["courier/c"] == "refused"


def test_one_that_does_not_even_load_cannot_be_migrated(invoke: Invoke, lagging: type[Block]) -> None:
    assert states(invoke, exit_code=1)["curious/c"] == "refused"
    for dry_run in ((), ("--dry-run",)):
        command = ("block", "migrate", "curious/c", "--store", "team", *dry_run)
        assert "1 fails" in invoke(*command, exit_code=1).stderr
