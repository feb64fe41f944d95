"""What tests of several sorts start from."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator

import clickhouse_server
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


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[clickhouse_server.ClickhouseServer]:
    """Give a real ClickHouse. Whoever kills it starts it again."""
    library = clickhouse_server.library()
    if library is None:
        pytest.skip(clickhouse_server.NO_LIBRARY)
    server = clickhouse_server.ClickhouseServer(library)
    yield server
    server.remove()


_databases = itertools.count()


@pytest.fixture
def clickhouse_database(clickhouse: clickhouse_server.ClickhouseServer) -> Iterator[str]:
    """Give the URL of an empty database, dropped afterwards."""
    name = f"test_{next(_databases)}"
    clickhouse.ask(f"CREATE DATABASE {name}")
    yield f"{clickhouse.url}/{name}"
    clickhouse.ask(f"DROP DATABASE {name}")
