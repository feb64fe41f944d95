"""What tests of several sorts start from."""

from __future__ import annotations

from collections.abc import Iterator

import postgres_server
import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.PostgresServer]:
    """Give a real PostgreSQL. Whoever stops it starts it again."""
    folder = postgres_server.binaries()
    if folder is None:
        pytest.skip(postgres_server.NO_BINARIES)
    server = postgres_server.PostgresServer(folder)
    yield server
    server.remove()
