"""What goes wrong with a PostgreSQL is said in words, harms nothing, and mends itself where it can."""

import signal
from urllib.parse import urlsplit

import psycopg
import pytest

from clew.errors import ConfigError, StoreUnavailable
from clew.store import open_store
from clew.testing.store_contract import a_span, a_trace_id, ids, put
from clew.testing.store_contract_graph import due, learn_all


@pytest.fixture
def admin(postgres):
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(postgres_schema):
    opened = open_store(postgres_schema)
    yield opened
    opened.close()


@pytest.fixture
def locked_out(postgres, admin):
    """A role that needs a password, and may have one connection."""
    [hba_file] = admin.execute("SHOW hba_file").fetchone()
    with open(hba_file, encoding="utf-8") as file:
        before = file.read()
    with open(hba_file, "w", encoding="utf-8") as file:
        file.write("host all locked 127.0.0.1/32 scram-sha-256\n" + before)
    admin.execute("SELECT pg_reload_conf()")
    admin.execute("CREATE ROLE locked LOGIN PASSWORD 'sesame' CONNECTION LIMIT 1")
    parts = urlsplit(postgres.url)
    yield lambda password: parts._replace(netloc=f"locked:{password}@127.0.0.1:{parts.port}").geturl()
    admin.execute("DROP ROLE locked")
    with open(hba_file, "w", encoding="utf-8") as file:
        file.write(before)
    admin.execute("SELECT pg_reload_conf()")


# At the start.


def test_a_wrong_password_is_a_wrong_setting_and_is_not_shown(locked_out):
    """Trying again will not help."""
    with pytest.raises(ConfigError, match=r"password authentication failed.*correct user and password") as refused:
        open_store(locked_out("open-says-me"))
    assert "open-says-me" not in str(refused.value)


def test_a_database_that_is_not_there_is_a_wrong_setting(postgres):
    """With the command that makes it."""
    with pytest.raises(ConfigError, match=r"\"nowhere\" does not exist.*createdb"):
        open_store(urlsplit(postgres.url)._replace(path="/nowhere").geturl())


def test_a_schema_that_is_not_there_is_a_wrong_setting(postgres):
    """search_path says nothing of it by itself."""
    with pytest.raises(ConfigError, match="CREATE SCHEMA"):
        open_store(f"{postgres.url}?options=-csearch_path%3Dnowhere")


def test_a_url_that_cannot_be_read_is_a_wrong_setting():
    """And not quoted: it may hold a password."""
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        open_store("postgresql://ana:sesame@host:port/db")
    assert "sesame" not in str(refused.value)


def test_tls_that_the_server_does_not_speak_is_a_wrong_setting(postgres):
    with pytest.raises(ConfigError, match="sslmode"):
        open_store(f"{postgres.url}?sslmode=require")


def test_a_server_that_is_not_there_may_come(postgres):
    """Nobody listens on this port: a server without a thing is refused its connection."""
    with pytest.raises(StoreUnavailable, match=r"refused.*is PostgreSQL running"):
        open_store("postgresql://clew@127.0.0.1:1/postgres")


def test_one_that_may_make_no_tables_is_told_which_right_it_lacks(admin, locked_out):
    """Since version 15 the schema `public` is no longer everybody's."""
    with pytest.raises(ConfigError, match=r"permission denied.*search_path"):
        open_store(locked_out("sesame"))


# Out of connections.


def test_out_of_connections_is_a_matter_of_time(admin, locked_out):
    with (
        psycopg.connect(locked_out("sesame")),
        pytest.raises(StoreUnavailable, match=r"too many connections.*max_connections"),
    ):
        open_store(locked_out("sesame"))


# While it runs.


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
def test_a_server_that_stops_and_comes_back_needs_nobodys_help(postgres, store, how):
    """Writing, reading and learning go on over new connections; what was acknowledged is there."""
    put(store, a_span(0))
    assert len(due(store)) == 1
    postgres.stop(how)
    try:
        for ask in (lambda: put(store, a_span(1)), lambda: ids(store), lambda: due(store), store.stats):
            with pytest.raises(StoreUnavailable, match="nothing was written"):
                ask()
    finally:
        postgres.start()
    assert put(store, a_span(1)) == (1, 0)
    assert ids(store) == [a_trace_id(1), a_trace_id(0)]
    assert learn_all(store) == 2


def test_connections_that_were_cut_while_idle_are_replaced_unnoticed(admin, store):
    """By a firewall, or by whoever restarts the database at night."""
    put(store, a_span(0))
    assert len(ids(store)) == 1
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'clew' AND pid <> %s",
        (admin.info.backend_pid,),
    )
    assert put(store, a_span(1)) == (1, 0)
    assert len(ids(store)) == 2


def test_an_answer_to_commit_that_is_lost_doubles_nothing(store, monkeypatch):
    """It committed, and nobody was told: the client sends it again."""
    execute = psycopg.Connection.execute

    def lose_the_answer(connection, query, *args, **how):
        done = execute(connection, query, *args, **how)
        if query == "COMMIT" and connection is store._connection:
            with connection.pipeline() as pipeline:
                pipeline.sync()
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return done

    monkeypatch.setattr(psycopg.Connection, "execute", lose_the_answer)
    with pytest.raises(StoreUnavailable):
        put(store, a_span(0, kind="tool"))
    monkeypatch.undo()
    assert put(store, a_span(0, kind="tool")) == (0, 1)
    assert store.stats()["spans"] == 1


def test_tables_that_were_dropped_are_made_again(admin, store, postgres_schema):
    """Somebody empties a test database under a server that runs."""
    put(store, a_span(0))
    schema = postgres_schema.rpartition("%3D")[2]
    admin.execute(f"DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")
    with pytest.raises(StoreUnavailable, match="gone"):
        put(store, a_span(1))
    assert put(store, a_span(1)) == (1, 0)
    assert ids(store) == [a_trace_id(1)]


def test_a_wrong_setting_is_a_matter_of_time_once_it_ran(store, monkeypatch):
    """A password that is changed first here and then there: what is sent is refused, and not dropped."""
    put(store, a_span(0))
    store._forget()
    monkeypatch.setattr(store, "_info", store._info.replace("dbname=postgres", "dbname=nowhere"))
    with pytest.raises(StoreUnavailable, match="does not exist"):
        put(store, a_span(1))
    monkeypatch.undo()
    assert put(store, a_span(1)) == (1, 0)


def test_a_read_only_store_writes_nothing_and_makes_nothing(postgres_schema):
    """`clew traces --store` only looks."""
    with pytest.raises(StoreUnavailable, match="no Clew store"):
        open_store(postgres_schema, read_only=True)
    writer = open_store(postgres_schema)
    put(writer, a_span(0))
    reader = open_store(postgres_schema, read_only=True)
    assert len(ids(reader)) == 1
    with pytest.raises(StoreUnavailable, match="read only"):
        put(reader, a_span(1))
    reader.close()
    writer.close()
