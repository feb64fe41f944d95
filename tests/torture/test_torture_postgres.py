"""PostgreSQL itself is killed, stopped, frozen and used up under a server that takes spans."""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import postgres_server
import psycopg
import pytest
import torture_rig as rig

pytestmark = pytest.mark.slow

AWAY_S = 1.0 if not rig.LONG else 120.0
FROZEN_S = 1.0 if not rig.LONG else 30.0


@pytest.fixture(scope="module")
def fragile():
    """A server of its own that waits for the disk: others' tests must not notice what happens to it."""
    folder = postgres_server.binaries()
    if folder is None:
        pytest.skip(postgres_server.NO_BINARIES)
    server = postgres_server.PostgresServer(folder, durable=True)
    yield server
    server.remove()


@pytest.fixture
def url(fragile, request):
    name = f"torture_{abs(hash(request.node.name)):x}"
    with psycopg.connect(fragile.url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    return f"{fragile.url}?options=-csearch_path%3D{name}"


def test_a_postgres_that_is_killed_loses_nothing_that_was_acknowledged(fragile, url, tmp_path, accept):
    """SIGKILL of its first process under load; the server itself stays up and goes on by itself."""
    kills = rig.times(2, 30)
    with rig.serving(url, tmp_path) as server:
        with rig.Load(lambda: server.port) as load:
            for _ in range(kills):
                load.wait_for(10)
                fragile.stop(signal.SIGKILL)
                load.wait_for_answer("503")
                fragile.start()
            load.wait_for(10)
        assert server.process.poll() is None
        accept(f"{kills} kill -9 of PostgreSQL", rig.judge(server, load))


def test_while_postgres_is_stopped_all_is_refused_and_memory_is_bounded(fragile, url, tmp_path, accept):
    """For minutes, under a load that never ceases; then it goes on by itself."""
    with rig.serving(url, tmp_path) as server:
        with rig.Load(lambda: server.port) as load:
            load.wait_for(10)
            fragile.stop()
            try:
                load.wait_for_answer("503")
                before = len(load.acknowledged)
                rig.pass_by(AWAY_S)
                assert len(load.acknowledged) == before
            finally:
                fragile.start()
            load.wait_for(10)
        accept(f"PostgreSQL stopped for {AWAY_S:.0f} s", rig.judge(server, load))


def test_while_postgres_is_frozen_nothing_is_acknowledged(fragile, url, tmp_path, accept):
    """SIGSTOP: it takes connections and never answers. It thaws, and all goes on."""
    with rig.serving(url, tmp_path) as server:
        with rig.Load(lambda: server.port) as load:
            load.wait_for(10)
            with ExitStack() as thawing:
                for pid in family(fragile.pid):
                    os.kill(pid, signal.SIGSTOP)
                    thawing.callback(os.kill, pid, signal.SIGCONT)
                rig.pass_by(0.2)  # What was under way has come back.
                before = len(load.acknowledged)
                rig.pass_by(FROZEN_S)
                assert len(load.acknowledged) == before
            load.wait_for(10)
        accept(f"PostgreSQL frozen for {FROZEN_S:.0f} s", rig.judge(server, load))


def family(pid):
    """A process and its children, the parent first, so that it starts no more."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split())]


def test_out_of_connections_is_refused_until_there_are_some(fragile, url, tmp_path, accept):
    """Others take every connection just when ours is cut."""
    with rig.serving(url, tmp_path) as server:
        with rig.Load(lambda: server.port) as load:
            load.wait_for(10)
            with ExitStack() as others:
                admin = others.enter_context(psycopg.connect(fragile.url, autocommit=True))
                use_up(fragile, admin, others)
                load.wait_for_answer("503")
            load.wait_for(10)
        accept("out of connections", rig.judge(server, load))


def use_up(fragile, admin, others):
    """Cut Clew's connections and take all that are free, until none is left to it."""
    ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'clew'"

    def take_all():
        admin.execute(ours)
        try:
            while True:
                others.enter_context(psycopg.connect(fragile.url, autocommit=True))
        except psycopg.OperationalError:
            [left] = admin.execute(ours.replace("pg_terminate_backend(pid)", "pid")).fetchone()
            return "all" if left == 0 else None

    rig.wait_until(take_all, "Clew keeps a connection")
