"""Documents that many programs share, on a real S3 server: none is lost, nothing is readable, outages are told."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from servers import S3Server
from typer.testing import CliRunner

from entrepot import home
from entrepot.blocks import JSON, Block, BlockDocuments, Secret, StorageDocumentStore, use_documents
from entrepot.blocks.documents import current_documents
from entrepot.blocks.teams import where
from entrepot.cli.app import app
from entrepot.crypto.keyring import Keyring
from entrepot.errors import (
    BlockExistsError,
    BlockNotFoundError,
    ConfigurationError,
    IntegrityError,
    KeyringMissingError,
    StorageUnreachableError,
    UnknownKeyError,
)
from entrepot.filesystems import S3
from entrepot.protocols.documents import DocumentRef
from entrepot.storage import LocalStorage, MemoryStorage
from entrepot.testing import FrozenClock
from entrepot_test_processes import said_at_once
from entrepot_test_secrets import SECRET, leaks

pytestmark = pytest.mark.one_python

PROGRAM = Path(__file__).parent / "shared_writer.py"
# Read here: the fixture that gives each test its own home also forgets such variables.
SOAK = int(os.environ.get("ENTREPOT_SOAK", "0"))

Use = Callable[[S3Server, str], None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Give the machine the credentials of a server, and the setting that names a bucket there."""

    def use(server: S3Server, spec: str) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", server.region)
        monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", spec)

    return use


@pytest.fixture
def bucket(s3_server: S3Server, machine: Use) -> str:
    """A new bucket that the setting names, below a folder."""
    name = s3_server.bucket()
    machine(s3_server, f"s3://{name}/blocks")
    return name


def objects(server: S3Server, bucket: str) -> dict[str, bytes]:
    """Return what is in a bucket, past the code under test."""
    client = server.client()
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def put(server: S3Server, bucket: str, key: str, content: bytes) -> None:
    server.client().put_object(Bucket=bucket, Key=f"blocks/{key}", Body=content)


# --- many writers -----------------------------------------------------------------------------------------------------


def write_together(processes: int, threads: int, saves: int) -> Iterator[dict[str, Any]]:
    """Let threads of processes save one block at the same time; yield what each process says of it."""
    for said in said_at_once(*((PROGRAM, f"w{number}", threads, saves) for number in range(processes)), seconds=600):
        yield json.loads(said)


def check_that_none_is_lost(processes: int, threads: int, saves: int) -> tuple[int, int]:
    """Return how many saves were accepted, and how many refused; each accepted one has to be there, in order."""
    home.ring()  # one keyring for all, made before they start
    said = list(write_together(processes, threads, saves))
    accepted = sorted(tuple(each) for one in said for each in one["accepted"])
    refused = [error for one in said for error in one["errors"]]
    assert len(accepted) + len(refused) == processes * threads * saves
    versions = [version for version, *_ in accepted]
    assert versions == list(range(1, len(accepted) + 1)), "a number was given twice, or left out"
    assert [each.version for each in Secret.history("shared")] == versions
    for version, value, *_ in accepted:
        assert Secret.load("shared", version=version).get() == value
    latest_begin = 0.0
    for _, _, begin, end in accepted:  # what was saved before another one began to be saved has a lower number
        assert end >= latest_begin
        latest_begin = max(latest_begin, begin)
    return len(accepted), len(refused)


def test_writers_of_several_processes_lose_no_version_in_a_bucket(bucket: str) -> None:
    assert check_that_none_is_lost(2, 5, 1) == (10, 0)


def test_writers_of_several_processes_lose_no_version_in_a_folder() -> None:
    assert check_that_none_is_lost(2, 10, 3) == (60, 0)


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="ENTREPOT_SOAK is not set")
def test_two_hundred_writers_lose_no_version_in_a_bucket(bucket: str) -> None:
    accepted, refused = check_that_none_is_lost(8, 25, 1)
    assert (accepted, refused) == (200, 0)


class TestOneThatOthersAreFasterThan:
    class Overtaken(StorageDocumentStore):
        """Another writer is faster, so many times."""

        left = 0
        tries = 0

        def append(self, ref: DocumentRef, sealed: bytes) -> None:
            self.tries += 1
            if self.left:
                self.left -= 1
                super().append(ref, b"of another one")
                raise BlockExistsError("another one was faster", name=ref.name)
            super().append(ref, sealed)

    def test_it_goes_on_for_as_long_as_others_may_take(self, ring: Keyring) -> None:
        store = self.Overtaken(MemoryStorage())
        store.left = 60
        with use_documents(BlockDocuments(store, lambda: ring, clock=FrozenClock())):
            assert Secret(value="x").save("x", overwrite=True).version == 61

    def test_it_ends_with_an_error_when_they_never_end(self, ring: Keyring) -> None:
        store, clock = self.Overtaken(MemoryStorage()), FrozenClock()
        store.left = 10**6
        with (
            use_documents(BlockDocuments(store, lambda: ring, clock=clock)),
            pytest.raises(BlockExistsError, match="kept saving it"),
        ):
            Secret(value="x").save("x", overwrite=True)
        assert store.tries >= 20


# --- what the bucket sees ---------------------------------------------------------------------------------------------

PLAIN = "warehouse-7.internal.example.com"


def test_a_bucket_sees_no_field_and_no_secret_in_any_form(s3_server: S3Server, bucket: str) -> None:
    Secret(value=SECRET).save("api-key")
    Secret(value=SECRET + "new").save("api-key", overwrite=True)
    JSON(value={"host": PLAIN, "of": [{"password": SecretStr(SECRET)}]}).save("config")
    S3(bucket_path=PLAIN, aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key=SECRET).save("prod")
    Secret.rollback("api-key", 1)
    Block.delete("s3/prod")
    kept = objects(s3_server, bucket)
    assert sorted(kept) == [
        "blocks/json/config/00000001.json",
        "blocks/s3/prod/00000002.deleted.json",
        *(f"blocks/secret/api-key/0000000{version}.json" for version in (1, 2, 3)),
    ]
    everything = b"\n".join([*kept.values(), "\n".join(kept).encode()])
    for value in (SECRET, PLAIN, "AKIAIOSFODNN7EXAMPLE"):
        assert leaks(everything, value) == []
    assert leaks(everything + PLAIN.encode().hex().encode(), PLAIN), "the hunter finds what is there"
    assert Secret.load("api-key").get() == SECRET


def test_history_goes_on_in_a_bucket(s3_server: S3Server, bucket: str) -> None:
    for value in ("one", "two", "three"):
        Secret(value=value).save("x", overwrite=True)
    Secret.rollback("x", 1)
    assert [(each.version, each.action) for each in Secret.history("x")] == [
        (1, "save"),
        (2, "save"),
        (3, "save"),
        (4, "rollback"),
    ]
    assert Secret.load("x").get() == "one"
    assert Secret.load("x", version=2).get() == "two"


def test_what_is_put_back_altered_or_renamed_in_a_bucket_is_noticed(s3_server: S3Server, bucket: str) -> None:
    client = s3_server.client()
    Secret(value="old").save("x")
    Secret(value="new").save("x", overwrite=True)
    Secret(value="other").save("y")
    old, new = (objects(s3_server, bucket)[f"blocks/secret/x/0000000{version}.json"] for version in (1, 2))

    for planted in (old, objects(s3_server, bucket)["blocks/secret/y/00000001.json"], new[:-20], b"{}"):
        put(s3_server, bucket, "secret/x/00000003.json", planted)
        with pytest.raises(IntegrityError):
            Secret.load("x")
    client.delete_object(Bucket=bucket, Key="blocks/secret/x/00000003.json")
    assert Secret.load("x").get() == "new"

    client.delete_object(Bucket=bucket, Key="blocks/secret/x/00000002.json")
    with pytest.raises(IntegrityError, match="version 2 of the block secret/x was seen from here"):
        Secret.load("x")
    put(s3_server, bucket, "secret/x/00000002.json", new)

    Secret.delete("x")
    put(s3_server, bucket, "secret/x/00000002.json", new)
    with pytest.raises(BlockNotFoundError):
        Secret.load("x")
    assert Secret(value="again").save("x").version == 4


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_block_of_another_keyring_is_an_error_with_the_id_of_its_key(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Secret(value="of the team").save("x")
    key_id = home.ring().primary("block").id
    monkeypatch.setenv("ENTREPOT_KEYRING", Keyring.generate().to_document().decode())
    for call in (lambda: Secret.load("x"), lambda: Secret(value="mine").save("x", overwrite=True)):
        with pytest.raises(UnknownKeyError, match=key_id) as caught:
            call()
        assert caught.value.key_id == key_id
    with pytest.raises(UnknownKeyError, match="nothing was saved"):
        Secret(value="mine").save("y")
    with pytest.raises(UnknownKeyError, match="not deleted"):
        Secret.delete("x")
    monkeypatch.delenv("ENTREPOT_KEYRING")
    assert Secret.load("x").get() == "of the team"
    assert len(Secret.history("x")) == 1


def test_where_a_key_is_lost_a_block_is_deleted_and_saved_again(
    ring: Keyring, storage: MemoryStorage, documents: BlockDocuments
) -> None:
    Secret(value="lost").save("x")
    mine = Keyring.generate()
    with use_documents(BlockDocuments(StorageDocumentStore(storage), lambda: mine)):
        Secret.delete("x")
        assert Secret(value="new").save("x").version == 3
        assert Secret.load("x").get() == "new"


def test_no_keyring_is_made_beside_documents_that_are_shared(
    bucket: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Secret(value="of the team").save("x")
    monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "another"))
    for name in ("ENTREPOT_BLOCKS_STORAGE", "ENTREPOT_BLOCKS_TEAM"):
        monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE", raising=False)
        monkeypatch.setenv(name, f"s3://{bucket}/blocks")
        with pytest.raises(KeyringMissingError, match=f"secret/x/00000001.json in s3://{bucket}/blocks"):
            Secret.load("x")
        with pytest.raises(KeyringMissingError):
            Secret(value="mine").save("y")
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", "block://s3/team")
    monkeypatch.setenv("ENTREPOT_BLOCK__S3__TEAM", json.dumps({"bucket_path": f"{bucket}/blocks"}))
    with pytest.raises(KeyringMissingError, match="block://s3/team"):
        Secret.load("x")
    assert not (tmp_path / "another/keyring.json").exists()


# --- stores that do not answer, or cannot keep writers apart ----------------------------------------------------------


def test_an_outage_is_one_clear_error_and_never_no_such_block(
    s3_server: S3Server, machine: Use, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    machine(s3_server, "s3://bucket-that-is-not-there/blocks")
    for call in (lambda: Secret.load("x"), lambda: Secret.exists("x"), Block.list, lambda: Secret.delete("x")):
        with pytest.raises(StorageUnreachableError, match="no such bucket"):
            call()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(StorageUnreachableError, match="check the endpoint"):
        Secret.load("x")
    done = CliRunner().invoke(app, ["block", "where", "secret/x"])
    assert done.exit_code == 1
    assert "no usable answer" in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_team_store_that_does_not_answer_is_not_passed_over(
    s3_server: S3Server, machine: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(s3_server, "")
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    Secret(value="mine").save("x")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "s3://bucket-that-is-not-there/blocks")
    with pytest.raises(StorageUnreachableError):
        Secret.load("x")
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", '{"value": "of the environment"}')
    assert Secret.load("x").get() == "of the environment"


def test_a_bucket_that_ignores_conditions_takes_blocks_of_a_sole_writer_only(
    rclone_server: S3Server, machine: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(rclone_server, f"s3://{rclone_server.bucket()}/blocks")
    with pytest.raises(ConfigurationError, match="blocks_sole_writer"):
        Secret(value="x").save("x")
    monkeypatch.setenv("ENTREPOT_BLOCKS_SOLE_WRITER", "true")
    Secret(value="x").save("x")
    monkeypatch.delenv("ENTREPOT_BLOCKS_SOLE_WRITER")
    assert Secret.load("x").get() == "x"
    with pytest.raises(ConfigurationError):
        Secret.delete("x")


# --- the chain, and credentials of a block ----------------------------------------------------------------------------


def test_the_team_comes_after_the_environment_and_before_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = tmp_path / "team"
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(team))
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(team))
    Secret(value="of the team").save("x")
    assert [place.location for place in where("x")] == ["the environment", str(team)]
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    own = current_documents().store.location
    Secret(value="mine").save("x")
    Secret(value="mine").save("y")
    assert Secret.load("x").get() == "of the team"
    assert Block.load("y") == Secret(value="mine")
    assert [(place.location, place.blocks) for place in where("x")] == [
        ("the environment", ()),
        (str(team), ("secret/x",)),
        (own, ("secret/x",)),
    ]
    assert Secret.names() == ["x", "y"], "listed are one's own"
    words = ["block", "create", "secret", "x", "--overwrite", "--secret-from-stdin", "value"]
    done = CliRunner().invoke(app, words, input="mine, too")
    assert "blocks_team" in done.output
    assert "hidden" in done.output
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__X", '{"value": "of the environment"}')
    assert Secret.load("x").get() == "of the environment"


def test_what_is_taken_away_from_a_team_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", str(tmp_path))
    for value in ("leaked", "new"):
        Secret(value=value).save("x", overwrite=True)
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", str(tmp_path))
    assert Secret.load("x").get() == "new"
    (tmp_path / "secret/x/00000002.json").unlink()
    with pytest.raises(IntegrityError, match="version 2 of the block secret/x was seen from here"):
        Secret.load("x")


def test_a_block_of_this_home_gives_the_credentials_of_the_shared_store(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket()
    S3(
        bucket_path=bucket,
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key,
        endpoint_url=s3_server.endpoint_url,
        region_name=s3_server.region,
    ).save("team")
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", "block://s3/team/some/blocks")
    Secret(value="of the team").save("x")
    assert list(objects(s3_server, bucket)) == ["some/blocks/secret/x/00000001.json"]
    assert Secret.load("x").get() == "of the team"
    with pytest.raises(BlockNotFoundError):
        S3.load("team")  # it is in the folder of the home, not in the bucket
    monkeypatch.delenv("ENTREPOT_BLOCKS_STORAGE")
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "block://s3/team/some/blocks")
    assert Secret.load("x").get() == "of the team"
    assert S3.load("team").region_name == s3_server.region


def test_a_block_that_is_missing_or_no_storage_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, entrepot_home: Path
) -> None:
    monkeypatch.setenv("ENTREPOT_BLOCKS_TEAM", "block://secret/team")
    with pytest.raises(BlockNotFoundError, match=r"block://secret/team.*environment.*blocks_team"):
        Secret.load("x")
    monkeypatch.setenv("ENTREPOT_BLOCK__SECRET__TEAM", '{"value": "x"}')
    with pytest.raises(ConfigurationError, match="is no storage"):
        Secret.load("x")


def test_a_storage_block_of_the_environment_leads_to_shared_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.ring()
    monkeypatch.setenv("ENTREPOT_BLOCK__LOCAL_FILE_SYSTEM__TEAM", json.dumps({"basepath": str(tmp_path / "team")}))
    monkeypatch.setenv("ENTREPOT_BLOCKS_STORAGE", "block://local-file-system/team")
    Secret(value="x").save("x")
    assert [each.path for each in LocalStorage(tmp_path / "team").list()] == ["secret/x/00000001.json"]
