"""`clew doctor` says what is wrong with a ClickHouse store, where, and what to do."""

import time

import clickhouse_server
import pytest

from clew.cli.doctor import store_findings
from clew.store import open_store
from clew.store.clickhouse import connect, health
from clew.testing.store_contract import a_span, put


def problems(url, **how):
    """What is not as it should be."""
    return [each for each in health.examine(url, **how) if each.level != "ok"]


@pytest.fixture
def made(clickhouse_database):
    """Give the URL of a store that is there."""
    open_store(clickhouse_database).close()
    return clickhouse_database


@pytest.fixture(scope="module")
def shards():
    """Give two servers, the shards of one cluster."""
    library = clickhouse_server.library()
    if library is None:
        pytest.skip(clickhouse_server.NO_LIBRARY)
    servers = clickhouse_server.start_cluster(library, 2)
    yield servers
    for server in servers:
        server.remove()


def test_nothing_is_said_of_a_store_that_is_well(made):
    """A warning that always comes is read by nobody."""
    assert [each.level for each in health.examine(made)] == ["ok"]
    assert {each.level for each in store_findings(made)} == {"ok"}


def test_a_version_that_is_too_old_is_named(made, monkeypatch):
    """Its lists would leave traces out, silently."""
    monkeypatch.setattr(health, "OLDEST", (99, 1))
    [found] = problems(made)
    assert (found.level, "99.1 or later" in found.advice) == ("fail", True)


def test_clocks_that_are_apart_are_told(made):
    """What goes after days goes by the server's clock."""
    [found] = problems(made, now_s=lambda: time.time() - 60)
    assert "+60 s" in found.says


def test_a_table_that_is_missing_or_lazy_is_named(made, clickhouse):
    """Somebody dropped it, or made it by hand."""
    database = made.rpartition("/")[2]
    clickhouse.ask(f"DROP TABLE {database}.clew_due")
    clickhouse.ask(f"ALTER TABLE {database}.clew_log MODIFY SETTING fsync_after_insert = 0")
    missing, lazy = problems(made)
    assert missing.says == "clew_due is not there"
    assert "clew serve" in missing.advice
    assert "clew_log: what was acknowledged can be lost" in lazy.says
    open_store(made).close()
    assert [each.says for each in problems(made)] == [lazy.says]


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({"async_insert": 1, "wait_for_async_insert": 0}, "fail"),
        ({"async_insert": 1, "wait_for_async_insert": 1}, "warn"),
        ({"insert_deduplicate": 0}, "fail"),
        ({"skip_unavailable_shards": 1}, "fail"),
    ],
)
def test_a_setting_that_a_profile_holds_is_told(made, monkeypatch, settings, level):
    """Clew sets them itself with each question, but a profile may have the last word."""
    monkeypatch.setattr(connect, "_SETTINGS", connect._SETTINGS | settings)
    [found] = problems(made)
    assert (found.level, next(iter(settings)) in found.says) == (level, True)


def test_too_many_parts_are_told_before_inserts_are_refused(made, clickhouse):
    """Merges that are behind do not catch up by themselves while as much comes as before."""
    database = made.rpartition("/")[2]
    clickhouse.ask(f"SYSTEM STOP MERGES {database}.clew_facts")
    row = f"INSERT INTO {database}.clew_facts VALUES ('x', 'y')"
    for _ in range(4):
        clickhouse.ask(row)
    servers = {"health_parts": connect.QUERIES["health_parts"].replace("toUInt64(value)", "toUInt64(10)")}
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(connect.QUERIES, "health_parts", servers["health_parts"])
        [found] = problems(made)
    assert "5 parts in clew_facts" in found.says
    assert problems(made) == []


def test_a_shard_that_is_away_or_empty_is_named(shards):
    """The store says that something is away; here stands what, also of a shard that the URL does not name."""
    url = f"clickhouse://default@127.0.0.1:{shards[0].port}/default?cluster={clickhouse_server.CLUSTER}"
    opened = f"clickhouse://default@127.0.0.1:{shards[0].port},127.0.0.1:{shards[1].port}/default"
    store = open_store(f"{opened}?cluster={clickhouse_server.CLUSTER}")
    put(store, a_span())
    store.close()
    assert problems(url) == []
    shards[1].ask("DROP TABLE clew_due_local SYNC")
    [found] = problems(url)
    assert found.says == f"shard 2 (127.0.0.1:{shards[1].tcp_port}) has no clew_due_local"
    shards[1].kill()
    found = problems(f"{opened}?cluster={clickhouse_server.CLUSTER}")
    assert [each.what for each in found] == [f"127.0.0.1:{shards[1].port}", "cluster"]
    assert "shard 2" in found[1].says
    assert [each.what for each in store_findings(url) if each.level == "fail"] == ["store", "cluster"]
    assert [each.what for each in problems(url.replace(clickhouse_server.CLUSTER, "nope"))] == ["cluster"]
