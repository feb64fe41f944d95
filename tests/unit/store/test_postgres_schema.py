"""The schema, the way to it, and a partition for each day."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import psycopg
import pytest

from clew.errors import SchemaTooNew, StoreUnavailable
from clew.store import open_store
from clew.store.postgres import connect, database, partitions
from clew.store.postgres.migrate import Migration, check, migrate, migrations
from clew.testing.store_contract import a_span, a_trace_id, ids, put

DAY_NS = partitions.DAY_NS


@pytest.fixture
def connection(postgres_schema):
    """An open connection to the empty schema."""
    with connect.open_connection(connect.conninfo(postgres_schema), to_write=True) as opened:
        yield opened


def tables(connection):
    """Every column, index and option of the schema."""
    columns = connection.execute(
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
        "  FROM information_schema.columns WHERE table_schema = current_schema()"
    ).fetchall()
    indexes = connection.execute(
        "SELECT replace(indexdef, schemaname, '') FROM pg_indexes WHERE schemaname = current_schema()"
    ).fetchall()
    options = connection.execute(
        "SELECT relname, relkind, relpersistence, reloptions FROM pg_class"
        " WHERE relnamespace = to_regnamespace(current_schema())"
    ).fetchall()
    schema = connection.execute("SELECT current_schema()").fetchone()[0]
    return {str(row).replace(schema, "") for row in [*columns, *indexes, *options]}


def names(connection):
    rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
    return {name for (name,) in rows}


def test_the_migrations_make_exactly_the_schema(connection):
    """schema.sql is what people read; the migrations are what runs."""
    migrate(connection, migrations())
    migrated = tables(connection)
    schema = connection.execute("SELECT current_schema()").fetchone()[0]
    connection.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}".encode(), prepare=False)
    connection.execute(files("clew.store.postgres").joinpath("schema.sql").read_bytes(), prepare=False)
    assert tables(connection) == migrated
    assert len(migrated) > 200


def test_migrations_are_numbered_without_gaps():
    """The number is what a schema remembers."""
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))


def test_a_migration_that_breaks_leaves_the_one_before_and_can_be_resumed(connection):
    """Killed in the middle of an upgrade, the next start goes on."""
    first = Migration(1, migrations()[0].sql)
    with pytest.raises(psycopg.errors.SyntaxError):
        migrate(connection, [first, Migration(2, "CREATE TABLE b (x text); CREATE TABLE nonsense")])
    assert "b" not in names(connection)
    assert check(connection, "here", known=9) == 1
    migrate(connection, [first, Migration(2, "CREATE TABLE b (x text)")])
    assert "b" in names(connection)
    assert check(connection, "here", known=9) == 2


def test_servers_that_start_at_once_migrate_once(postgres_schema):
    """The others wait; nobody meets a table that is half there."""
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: open_store(postgres_schema), range(6)))
    written = [put(store, a_span(number)) for number, store in enumerate(stores)]
    assert [each.spans for each in written] == [1] * 6
    for store in stores:
        store.close()


def test_an_older_store_is_upgraded_with_its_rows(postgres_schema, monkeypatch):
    """Upgrades lose nothing."""
    store = open_store(postgres_schema)
    put(store, a_span())
    store.close()
    steps = [*migrations(), Migration(len(migrations()) + 1, "CREATE TABLE later (x text)")]
    monkeypatch.setattr(database, "migrations", lambda: steps)
    with pytest.raises(StoreUnavailable, match="older"):
        open_store(postgres_schema, read_only=True)
    newer = open_store(postgres_schema)
    assert newer.stats()["schema"] == len(steps)
    assert len(ids(newer)) == 1
    newer.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_a_newer_clew_is_refused_untouched(postgres_schema, connection, read_only):
    """Writing to what one does not know would break it for the newer one."""
    open_store(postgres_schema).close()
    connection.execute("INSERT INTO clew_schema (number) VALUES (999)")
    before = tables(connection)
    with pytest.raises(SchemaTooNew, match=r"schema 999.*upgrade Clew"):
        open_store(postgres_schema, read_only=read_only)
    assert tables(connection) == before


def test_the_tables_of_another_program_are_left_alone(postgres_schema, connection):
    """A database that is there anyway may well have a table `projects`."""
    connection.execute("CREATE TABLE projects (precious text)")
    with pytest.raises(StoreUnavailable, match=r"another program \(projects\).*search_path"):
        open_store(postgres_schema)
    assert names(connection) == {"projects"}


def test_a_commit_waits_for_the_disk_whatever_the_default_is(postgres_schema, connection):
    """`synchronous_commit = off` for a role or a database would lose the last commits with the power."""
    connection.execute("ALTER ROLE clew SET synchronous_commit = off")
    try:
        store = open_store(postgres_schema)
        assert store._connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        store.close()
    finally:
        connection.execute("ALTER ROLE clew RESET synchronous_commit")


# Days.


def days_of(connection, table):
    return sorted(name for name in names(connection) if name.startswith(f"{table}_2"))


def test_partitions_are_made_ahead_of_time(postgres_schema, connection):
    """So that midnight finds them, also where several servers open the store."""
    today = partitions.day_of(time.time_ns())
    for _ in range(2):
        open_store(postgres_schema).close()
    expected = [partitions.name_of("traces", today + ahead) for ahead in range(4)]
    assert days_of(connection, "traces") == expected


def test_a_server_that_runs_for_days_makes_the_next_ones(postgres_schema, connection, monkeypatch):
    """And a clock that is set back, or far ahead, finds a partition too."""
    store = open_store(postgres_schema)
    now_ns = time.time_ns()
    for number, days in enumerate((0, 1, 3, 4, 40, -400)):
        monkeypatch.setattr("time.time_ns", lambda days=days: now_ns + days * DAY_NS)
        assert put(store, a_span(number)) == (1, 0)
    assert len(ids(store)) == 6
    assert partitions.name_of("trace_payloads", partitions.day_of(now_ns) + 5) in names(connection)
    store.close()


def test_a_trace_stays_in_the_day_of_its_arrival(postgres_schema, connection, monkeypatch):
    """So all of it goes when that day goes."""
    store = open_store(postgres_schema)
    put(store, a_span(0))
    now_ns = time.time_ns()
    monkeypatch.setattr("time.time_ns", lambda: now_ns + DAY_NS)
    put(store, a_span(0, 1), a_span(1))
    today = partitions.day_of(now_ns)
    found = connection.execute(
        "SELECT tableoid::regclass::text, count(*) FROM trace_spans GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert found == [
        (partitions.name_of("trace_spans", today), 2),
        (partitions.name_of("trace_spans", today + 1), 1),
    ]
    connection.execute(f"DROP TABLE {partitions.name_of('traces', today)}".encode())
    assert ids(store) == [a_trace_id(1)]
    store.close()
