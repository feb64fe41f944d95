"""What tests of several sorts start from."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator

import postgres_server
import pytest

# Before anything is configured, and for the processes that tests start as well: what cannot be
# delivered is never kept below the home of whoever runs the tests. Tests of the spool name a folder.
STATE = tempfile.mkdtemp(prefix="clew-tests-")
os.environ.update(XDG_STATE_HOME=STATE, CLEW_SPOOL="0")


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    shutil.rmtree(STATE, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.PostgresServer]:
    """Give a real PostgreSQL. Whoever stops it starts it again."""
    folder = postgres_server.binaries()
    if folder is None:
        pytest.skip(postgres_server.NO_BINARIES)
    server = postgres_server.PostgresServer(folder)
    yield server
    server.remove()


_schemas = itertools.count()


@pytest.fixture
def postgres_schema(postgres: postgres_server.PostgresServer) -> Iterator[str]:
    """Give the URL of an empty schema, dropped afterwards."""
    import psycopg

    name = f"test_{next(_schemas)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    yield f"{postgres.url}?options=-csearch_path%3D{name}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")
