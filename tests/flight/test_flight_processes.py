"""Single flight between processes: everything once while they live, nothing late when they are stopped or killed."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import S3Server

from entrepot.results.claims import is_claim
from entrepot_test_processes import Program
from entrepot_test_servers import azure_connection_string

PROGRAM = Path(__file__).parent / "flight_program.py"
SOAK = int(os.environ.get("ENTREPOT_SOAK", "0"))  # read here: the fixture for the home forgets such variables


def run(**task: Any) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, PROGRAM], input=json.dumps(task) + "\n", text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    sys.stdout.write(f"{ {name: what for name, what in found.items() if name != 'calls'} }\n")
    return found


def campaign(folder: Path, place: str | None = None, options: dict[str, Any] | None = None, **more: Any) -> Any:
    # A claim ends with its holder, or here after an hour: however busy the machine is, none is lost by who lives.
    task = {"seed": 1, "work": 0.01, "every": 0.05, "blows": 0, "limit": 240, "seconds": 3600}
    return run(
        do="campaign",
        folder=str(folder),
        place=place or str(folder / "store"),
        options=options or {},
        **{**task, **more},
    )


def nothing_is_wrong(found: dict[str, Any]) -> None:
    assert found.get("hang") is None, "processes hang"
    assert found["failed"] == 0
    assert found["absent"] == 0
    assert found["double commits"] == 0
    assert found["differing"] == 0


def each_once(found: dict[str, Any], keys: int) -> None:
    nothing_is_wrong(found)
    assert (found["computed"], found["refused"]) == (keys, 0)


class TestOnDisk:
    def test_every_key_is_computed_once(self, tmp_path: Path) -> None:
        each_once(campaign(tmp_path, processes=8, keys=60), 60)

    def test_with_holders_stopped_and_killed_one_result_of_a_key_is_kept(self, tmp_path: Path) -> None:
        found = campaign(tmp_path, processes=8, keys=16, seconds=0.4, work=0.6, blows=40)
        nothing_is_wrong(found)
        assert found["kills"] > 0
        assert found["pauses"] > 0

    def test_a_holder_that_is_stopped_before_any_system_call_of_its_commit_commits_in_time_or_not_at_all(
        self, tmp_path: Path
    ) -> None:
        found = run(do="stops", folder=str(tmp_path))
        assert found["late"] > 15
        assert found["in time"] > 0
        assert {"flock", "rename", "fsync"} <= set(found["calls"])

    @pytest.mark.soak
    @pytest.mark.timeout(0)
    @pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to anything but 0")
    def test_soak_of_fifty_processes_and_a_thousand_keys(self, tmp_path: Path) -> None:
        each_once(campaign(tmp_path, processes=50, keys=1000, seconds=30, limit=3000), 1000)

    @pytest.mark.soak
    @pytest.mark.timeout(0)
    @pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to the number of kills and pauses")
    def test_soak_of_blows(self, tmp_path: Path) -> None:
        found = campaign(tmp_path, processes=50, keys=1000, seconds=2, work=0.5, blows=SOAK, limit=3000)
        nothing_is_wrong(found)


class TestOnS3:
    def test_every_key_is_computed_once(self, tmp_path: Path, s3_server: S3Server) -> None:
        place = f"s3://{s3_server.bucket()}/results"
        each_once(campaign(tmp_path, place, s3_server.storage_options(), processes=4, keys=25), 25)

    @pytest.mark.soak
    @pytest.mark.timeout(0)
    @pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to anything but 0")
    def test_soak_of_fifty_processes_and_a_thousand_keys(self, tmp_path: Path, s3_server: S3Server) -> None:
        place = f"s3://{s3_server.bucket()}/results"
        options = s3_server.storage_options()
        found = campaign(tmp_path, place, options, processes=50, keys=1000, seconds=30, limit=3000)
        each_once(found, 1000)

    @pytest.mark.soak
    @pytest.mark.timeout(0)
    @pytest.mark.skipif(not SOAK, reason="set ENTREPOT_SOAK to the number of kills and pauses")
    def test_soak_of_blows(self, tmp_path: Path, s3_server: S3Server) -> None:
        place = f"s3://{s3_server.bucket()}/results"
        options = s3_server.storage_options()
        found = campaign(tmp_path, place, options, processes=20, keys=200, seconds=4, work=0.5, blows=SOAK, limit=3000)
        nothing_is_wrong(found)


class TestOnAzure:
    def test_every_key_is_computed_once(self, tmp_path: Path, azurite_server: int) -> None:
        blob = pytest.importorskip("azure.storage.blob")
        opens = azure_connection_string(azurite_server)
        container = f"c-{uuid.uuid4().hex}"
        blob.BlobServiceClient.from_connection_string(opens).create_container(container)
        place = f"abfs://{container}/results"
        each_once(campaign(tmp_path, place, {"connection_string": opens}, processes=4, keys=15), 15)


TASK = """
import sys
from pathlib import Path
from entrepot import task
from entrepot.cache_policies import INPUTS

@task(name="shared", cache_policy=INPUTS, single_flight=True, result_storage=sys.argv[1], result_serializer="json")
def shared(number):
    print("computes")
    return sys.stdin.readline().strip()

print("returned", shared(1))
"""


class TestTasks:
    """Whole programs with a task, as users have them."""

    @pytest.fixture(autouse=True)
    def _leases_outlast_the_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_LEASE_SECONDS", "3600")

    def test_one_that_waits_gets_the_value(self, tmp_path: Path, start_program: Callable[..., Program]) -> None:
        first = start_program(TASK, str(tmp_path / "store"))
        first.says("computes")
        second = start_program(TASK, str(tmp_path / "store"))
        first.tell("value")
        first.says("returned value")
        second.says("returned value")
        first.end()
        second.end()

    def test_one_that_is_killed_frees_its_key_at_once(
        self, tmp_path: Path, start_program: Callable[..., Program]
    ) -> None:
        first = start_program(TASK, str(tmp_path / "store"))
        first.says("computes")
        first.kill()
        second = start_program(TASK, str(tmp_path / "store"))
        second.says("computes")  # long before its lease is over: the process is known to be dead
        second.tell("second")
        second.says("returned second")
        second.end()

    def test_one_that_ends_by_an_error_frees_its_key(
        self, tmp_path: Path, start_program: Callable[..., Program]
    ) -> None:
        failing = TASK.replace("return sys", "raise ValueError")
        first = start_program(failing, str(tmp_path / "store"))
        first.says("computes")
        first.end(1)
        second = start_program(TASK, str(tmp_path / "store"))
        second.says("computes")
        second.tell("second")
        second.says("returned second")
        second.end()

    def test_one_that_was_stopped_returns_its_value_and_keeps_nothing(
        self, tmp_path: Path, start_program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ENTREPOT_RESULTS_LEASE_SECONDS", "1")
        first = start_program(TASK, str(tmp_path / "store"))
        first.says("computes")
        first.stop()
        monkeypatch.setenv("ENTREPOT_RESULTS_LEASE_SECONDS", "3600")  # it stays as it is while it is looked at
        second = start_program(TASK, str(tmp_path / "store"))
        second.says("computes")
        first.go_on()
        first.tell("first")
        first.says("returned first")
        _, err = first.end()
        assert "is not kept: another run computes it, since" in err
        (record,) = tmp_path.glob("store/records/*/*")
        assert is_claim(record.read_bytes())
        second.tell("second")
        second.says("returned second")
        second.end()
        assert b"second" in record.read_bytes()

    def test_an_interrupt_ends_the_wait(self, tmp_path: Path, start_program: Callable[..., Program]) -> None:
        first = start_program(TASK, str(tmp_path / "store"))
        first.says("computes")
        begins = "import logging\nfrom entrepot.results import patience\npatience._FIRST_WORD = 0.01\n"
        second = start_program(begins + TASK, str(tmp_path / "store"))
        assert second.process.stderr is not None
        while "It has waited for" not in (said := second.process.stderr.readline()):
            assert said, "it ended"
        second.process.send_signal(signal.SIGINT)
        _, err = second.process.communicate(timeout=120)
        assert second.process.returncode != 0
        assert "KeyboardInterrupt" in err
        first.tell("value")
        first.says("returned value")
        first.end()
