"""The servers that other tests stand on: they start, answer, and end with the process that started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from servers import GCSServer, S3Server, ServerProcess

from entrepot_test_processes import until


@pytest.mark.parametrize("name", ["s3_server", "moto_server", "rclone_server"])
def test_an_s3_server_keeps_what_is_put_into_a_new_bucket(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    bucket = server.bucket()
    client = server.client()
    client.put_object(Bucket=bucket, Key="a/b", Body=b"bytes")
    assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"bytes"


def test_the_gcs_server_makes_buckets(gcs_server: GCSServer) -> None:
    assert gcs_server.bucket() != gcs_server.bucket()


def test_a_server_that_ends_at_once_fails_with_its_own_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such option'); sys.exit(3)"]
    process = ServerProcess("broken", command, log=tmp_path / "log")
    with pytest.raises(RuntimeError, match=r"broken ended with 3:\nno such option"):
        process.wait_until(lambda: 1 / 0)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_when_the_process_that_started_it_is_killed_alone_or_with_its_group(
    tmp_path: Path, end: signal.Signals
) -> None:
    script = (
        "import sys, time; from pathlib import Path; from servers import ServerProcess\n"
        "ServerProcess('sleeper', [sys.executable, '-c', "
        "'import os, time; print(os.getpid(), flush=True); time.sleep(600)'], log=Path(sys.argv[1]))\n"
        "time.sleep(600)"
    )
    log = tmp_path / "log"
    tools = str(Path(__file__).parents[2] / "tools")
    parent = subprocess.Popen([sys.executable, "-c", script, str(log)], cwd=tools, start_new_session=True)
    try:
        until(lambda: log.exists() and log.read_text().endswith("\n"))
        server = int(log.read_text())
    finally:
        os.killpg(parent.pid, end)
        parent.wait()
    until(lambda: not Path(f"/proc/{server}/cmdline").exists())
