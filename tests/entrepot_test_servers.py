"""Fixtures for the real servers of `tools/servers.py`: each starts once a pytest process, when a test first asks."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from servers import (
    GCSServer,
    S3Server,
    VaultServer,
    start_azurite,
    start_gcs,
    start_moto,
    start_openbao,
    start_rclone,
    start_seaweedfs,
)

# The account that Azure's emulator documents for everyone to use.
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="session", autouse=True)
def _loopback_without_proxy() -> None:
    """Servers on loopback are never asked through a proxy, and clients never look for a machine's cloud identity."""
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def _run(start: Callable[..., Any], factory: pytest.TempPathFactory) -> Iterator[Any]:
    try:
        server = start(factory.mktemp(start.__name__))
    except RuntimeError as error:
        pytest.fail(str(error), pytrace=False)
    yield server
    server.process.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS: a real S3 server with signatures, persistence and conditional writes."""
    yield from _run(start_seaweedfs, tmp_path_factory)


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """moto: S3 in memory, without a check of signatures."""
    yield from _run(start_moto, tmp_path_factory)


@pytest.fixture(scope="session")
def rclone_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """`rclone serve s3`: a server that takes conditional writes and ignores the condition."""
    yield from _run(start_rclone, tmp_path_factory)


@pytest.fixture(scope="session")
def vault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    """OpenBao: a real server with Vault's API and the transit engine."""
    yield from _run(start_openbao, tmp_path_factory)


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GCSServer]:
    """fake-gcs-server: Google Cloud Storage in memory, with generation conditions."""
    yield from _run(start_gcs, tmp_path_factory)


@pytest.fixture(scope="session")
def azurite_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Azurite: Azure's blobs, with e-tags and conditions; its port. It is no Python package, and may be missing."""
    program = shutil.which("azurite-blob")
    if program is None or subprocess.run([program, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("azurite-blob is not installed (npm install --global azurite), or not wholly")
    for server in _run(start_azurite, tmp_path_factory):
        yield server.port


def azure_connection_string(port: int, key: str = EMULATOR_KEY) -> str:
    """Return what opens the account of the emulator."""
    return (
        f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={key};"
        f"BlobEndpoint=http://127.0.0.1:{port}/devstoreaccount1;"
    )
