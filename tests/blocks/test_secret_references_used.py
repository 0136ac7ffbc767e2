"""Built-in blocks with references: what they lead to is looked at when it is used, and shown nowhere."""

import logging
import os
from pathlib import Path

import pytest
from pydantic import SecretStr, computed_field

from entrepot import flow, get_run_logger, task
from entrepot.blocks import Block, MicrosoftTeamsWebhook, Secret, SecretReference, SqlAlchemyConnector, Webhook
from entrepot.blocks._inputs import references_in
from entrepot.blocks.documents import use_documents
from entrepot.errors import ConfigurationError, DatabaseError, SecretReferenceError
from entrepot.filesystems import GCS, RemoteFileSystem
from entrepot.task_runners import ProcessPoolTaskRunner
from entrepot.testing.fakes import memory_documents

HUNTER = "hunter2-of-the-users"


class TextOfReference(Block):
    """A block that puts its secret into a text."""

    password: SecretStr

    @computed_field  # type: ignore[prop-decorator]
    @property
    def url(self) -> str:
        """What pydantic prints, too."""
        return f"db://me:{self.password.get_secret_value()}@host"


@pytest.fixture(autouse=True)
def _set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USED", HUNTER)
    monkeypatch.delenv("NOT_SET_HERE", raising=False)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Webhook(url="env://NOT_SET_HERE").call(),
        lambda: Webhook(url="https://127.0.0.1:1", headers={"A": "env://NOT_SET_HERE"}, allow_private_urls=True).call(),
        lambda: MicrosoftTeamsWebhook(url="env://NOT_SET_HERE").notify("x"),
        lambda: SqlAlchemyConnector(driver="sqlite", database=":memory:", password="env://NOT_SET_HERE").fetch_all("x"),
        lambda: GCS(bucket_path="bucket/x", service_account_info="env://NOT_SET_HERE").as_storage().get("x"),
    ],
)
def test_a_secret_that_cannot_be_had_is_said_so_by_whatever_uses_it(call: object) -> None:
    with pytest.raises(SecretReferenceError, match="the variable NOT_SET_HERE is not set"):
        call()  # type: ignore[operator]


def test_what_a_reference_leads_to_is_checked_then() -> None:
    with pytest.raises(ConfigurationError, match="no https:// URL") as caught:
        MicrosoftTeamsWebhook(url="env://USED").notify("x")
    assert HUNTER not in str(caught.value)
    with pytest.raises(ConfigurationError, match="service_account_info is not the JSON") as caught:
        GCS(bucket_path="bucket/x", service_account_info="env://USED").as_storage().get("x")
    assert HUNTER not in str(caught.value)


def test_the_password_of_a_database(tmp_path: Path) -> None:
    block = SqlAlchemyConnector(driver="sqlite", database=str(tmp_path / "db"), connect_args={"timeout": 5})
    assert block.fetch_all("select 1")
    with pytest.raises(ValueError, match="taken apart when the block is made"):
        SqlAlchemyConnector(url="env://DB_URL")
    with pytest.raises(DatabaseError) as caught:
        SqlAlchemyConnector(
            driver="postgresql+psycopg", host="127.0.0.1", port=1, database="d", username="u", password="env://USED"
        ).fetch_all("select 1")
    assert HUNTER not in str(caught.value)


def test_options_whose_names_sound_secret_take_references_too() -> None:
    block = RemoteFileSystem(basepath="smb://host/share", settings={"password": "env://USED", "path": "env://X"})
    assert [(path, found.reference) for path, found in references_in(block)] == [("settings.password", "env://USED")]


def test_a_text_that_a_class_makes_of_what_was_looked_up_is_masked_in_its_print() -> None:
    block = TextOfReference(password="env://USED")
    assert HUNTER in block.url
    assert HUNTER not in repr(block)
    assert HUNTER not in str(block)


def test_logs_and_failures_of_runs_have_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    @flow
    def main() -> None:
        found = Secret(value="env://USED").get()
        get_run_logger().warning("got %s", found)
        raise RuntimeError(f"no use for {found}")

    with caplog.at_level(logging.INFO):
        state = main(return_state=True)
    assert HUNTER not in caplog.text
    assert "got **********" in caplog.text
    assert HUNTER not in str(state)


def test_a_parameter_is_not_looked_up_before_it_is_used() -> None:
    @task
    def use(secret: SecretStr) -> str:
        return repr(secret)

    @flow
    def main(secret: SecretStr, block: Secret) -> str:
        return use(secret) + repr(block)

    missing = "env://NOT_SET_HERE"
    assert "NOT_SET_HERE" in main(SecretReference(missing), Secret(value=missing))


def test_other_processes_of_a_run_look_it_up_themselves() -> None:
    @task
    def use(block: Secret) -> tuple[int, str]:
        return os.getpid(), block.value.get_secret_value()[:7]

    @flow(task_runner=ProcessPoolTaskRunner(max_workers=1))
    def main() -> tuple[int, str]:
        found: tuple[int, str] = use.submit(Secret(value="env://USED")).result()
        return found

    pid, begin = main()
    assert pid != os.getpid()
    assert begin == HUNTER[:7]


def test_a_run_whose_source_is_out_fails_and_says_why() -> None:
    @flow
    def main() -> str:
        return Secret(value="env://NOT_SET_HERE").get()

    state = main(return_state=True)
    assert state.is_failed()
    assert "Secret: value: the secret env://NOT_SET_HERE cannot be had" in str(state.message)


def test_a_run_does_not_give_the_secret_of_one_set_of_documents_for_that_of_another() -> None:
    ours, theirs = memory_documents(), memory_documents()
    for documents, value in ((ours, "of-ours"), (theirs, "of-theirs")):
        with use_documents(documents):
            Secret(value=value).save("key")

    @flow
    def both() -> list[bool]:
        found = []
        for documents, value in ((ours, "of-ours"), (theirs, "of-theirs")):
            with use_documents(documents):
                found.append(SecretReference("block://secret/key").get_secret_value() == value)
        return found

    assert both() == [True, True]
