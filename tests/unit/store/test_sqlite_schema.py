"""The schema, and the way to it."""

import re
from importlib.resources import files

import apsw
import pytest

from clew.errors import SchemaTooNew, StoreUnavailable
from clew.model import KINDS
from clew.store import open_store
from clew.store.columns import KIND_BITS
from clew.store.sqlite import file as sqlite_file
from clew.store.sqlite.migrate import Migration, migrate, migrations
from clew.testing.store_contract import a_span, ids, put


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clew.db"


def tables(connection):
    """Every object and its SQL, but for spaces and comments."""
    rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {name: " ".join(re.sub(r"--.*", "", sql).split()) for name, sql in rows}


def test_the_migrations_make_exactly_the_schema():
    """schema.sql is what people read; the migrations are what runs."""
    written, migrated = apsw.Connection(":memory:"), apsw.Connection(":memory:")
    written.execute(files("clew.store.sqlite").joinpath("schema.sql").read_text())
    migrate(migrated, migrations())
    assert tables(migrated) == tables(written)
    settings = "SELECT * FROM trace_text_config ORDER BY 1"
    assert migrated.execute(settings).fetchall() == written.execute(settings).fetchall()
    assert migrated.pragma("user_version") == migrations()[-1].number


def test_migrations_are_numbered_without_gaps():
    """The number is what a file remembers."""
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))


def test_migrating_again_changes_nothing(path):
    """Every start does it."""
    store = open_store(f"sqlite:///{path}")
    put(store, a_span())
    store.close()
    before = path.read_bytes()
    open_store(f"sqlite:///{path}").close()
    assert path.read_bytes() == before


def test_a_migration_that_breaks_leaves_the_one_before_and_can_be_resumed(path):
    """Killed in the middle of an upgrade, the next start goes on."""
    connection = apsw.Connection(str(path))
    first = Migration(1, "CREATE TABLE a (x)")
    with pytest.raises(apsw.SQLError):
        migrate(connection, [first, Migration(2, "CREATE TABLE b (x); CREATE TABLE nonsense")])
    assert tables(connection).keys() == {"a"}
    assert connection.pragma("user_version") == 1
    migrate(connection, [first, Migration(2, "CREATE TABLE b (x)")])
    assert tables(connection).keys() == {"a", "b"}
    assert connection.pragma("user_version") == 2


def test_an_older_store_is_upgraded_with_its_rows(path, monkeypatch):
    """Upgrades lose nothing."""
    store = open_store(f"sqlite:///{path}")
    put(store, a_span())
    store.close()
    steps = [*migrations(), Migration(len(migrations()) + 1, "CREATE TABLE later (x TEXT) STRICT")]
    monkeypatch.setattr(sqlite_file, "migrations", lambda: steps)
    with pytest.raises(StoreUnavailable, match="older"):
        open_store(f"sqlite:///{path}", read_only=True)
    newer = open_store(f"sqlite:///{path}")
    assert newer.stats()["schema"] == len(steps)
    assert len(ids(newer)) == 1
    newer.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_of_a_newer_clew_is_refused_untouched(path, read_only):
    """Writing to what one does not know would break it for the newer one."""
    store = open_store(f"sqlite:///{path}")
    put(store, a_span())
    store.close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaTooNew, match=r"schema 999.*upgrade Clew"):
        open_store(f"sqlite:///{path}", read_only=read_only)
    assert path.read_bytes() == before


def test_the_file_of_another_program_is_refused_untouched(path):
    """`--store` may be a typing mistake."""
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE precious (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="another program"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_commit_is_durable_and_pages_are_as_measured(path):
    """WAL without synchronous=FULL would lose the last commits with the power."""
    store = open_store(f"sqlite:///{path}")
    pragma = store._connection.pragma
    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("page_size") == 4096
    assert pragma("auto_vacuum") == 2
    store.close()


def test_every_kind_has_a_bit_of_its_own():
    """A new kind needs a new bit, and no old one may move."""
    assert KIND_BITS.keys() == set(KINDS)
    assert sorted(KIND_BITS.values()) == [1 << at for at in range(len(KINDS))]
