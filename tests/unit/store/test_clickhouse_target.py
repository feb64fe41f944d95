"""Where a ClickHouse store is, and what its servers are told: no server is needed to read that."""

import pytest

from clew.errors import ConfigError
from clew.store.clickhouse import schema
from clew.store.clickhouse.connect import explain
from clew.store.clickhouse.target import read_target
from clew.store.url import shown


def test_a_url_names_servers_database_and_cluster():
    """Several hosts are for a cluster: each gets its tables, and any of them is asked."""
    target = read_target("clickhouse://me:s%40cret@one:9000,two/clew?cluster=big&secure=1&keep_days=30&replicated=1")
    assert target.hosts == (("one", 9000), ("two", 8443))
    assert (target.user, target.password, target.database, target.cluster) == ("me", "s@cret", "clew", "big")
    assert (target.secure, target.replicated, target.keep_days) == (True, True, 30)


def test_what_a_url_does_not_say_is_as_clickhouse_has_it():
    """A server that was just installed."""
    target = read_target("clickhouse://localhost")
    assert (target.hosts, target.user, target.password) == ((("localhost", 8123),), "default", "")
    assert (target.database, target.cluster, target.replicated, target.keep_days) == ("default", "", False, None)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("clickhouse://", "no host"),
        ("clickhouse://host:no-port/db", "port"),
        ("clickhouse://me:secret@host,/db", "no host"),
        ("clickhouse://host/db?claster=a", "claster"),
        ("clickhouse://host/db?replicated=yes", "0 or 1"),
        ("clickhouse://host/db?keep_days=0", "keep_days"),
        ("clickhouse://host/db?cluster=a'b", "no name of a cluster"),
        ("clickhouse://host/d`b", "no name of a database"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_without_its_password(url, says):
    """A name goes into statements as it is, so it has to be one."""
    with pytest.raises(ConfigError, match=says) as refused:
        read_target(url)
    assert "secret" not in str(refused.value)


def test_a_password_is_never_shown():
    """Errors and figures name the place."""
    assert shown("clickhouse://me:secret@host:8123/db?cluster=a") == "clickhouse://me@host:8123/db?cluster=a"


def test_every_table_waits_for_the_disk():
    """ClickHouse does not, unless it is told to: acknowledged would mean little."""
    made = schema.statements(read_target("clickhouse://host/db"))
    assert len(made) == len(schema.TABLES)
    assert all("fsync_after_insert = 1, fsync_part_directory = 1" in each for each in made)
    assert not any("Replicated" in each or "Distributed" in each or "TTL day" in each for each in made)


def test_a_cluster_has_a_table_of_each_shard_and_one_over_all():
    """A trace lies whole on one shard, and so does the log of a project."""
    made = schema.statements(read_target("clickhouse://one,two/db?cluster=big"))
    locals_, over = made[::2], made[1::2]
    for table, each in zip(schema.TABLES, locals_, strict=True):
        assert f"CREATE TABLE IF NOT EXISTS {table}_local (" in each
    assert "Distributed('big', 'db', 'clew_pieces_local', cityHash64(trace_id))" in over[0]
    assert "Distributed('big', 'db', 'clew_log_local', cityHash64(project))" in over[3]


def test_replicas_share_a_table_by_shard_and_name():
    """Written here, run where there is a Keeper."""
    made = schema.statements(read_target("clickhouse://one/db?cluster=big&replicated=1"))
    name = "'/clickhouse/tables/{shard}/db/clew_traces', '{replica}', version"
    assert any(f"ENGINE = ReplicatedReplacingMergeTree({name})" in each for each in made)
    assert any("ReplicatedMergeTree(" in each and "replicated_deduplication_window" in each for each in made)
    assert not any("ENGINE = MergeTree" in each for each in made)


def test_days_go_by_themselves_where_the_url_says_so():
    """Whole parts, which costs nothing; what was learned stays."""
    made = schema.statements(read_target("clickhouse://host/db?keep_days=30"))
    going = [each for each in made if "TTL day + INTERVAL 30 DAY DELETE" in each]
    assert len(going) == 2
    assert all("ttl_only_drop_parts = 1" in each for each in going)


@pytest.mark.parametrize(
    ("code", "kind"), [(516, "ConfigError"), (81, "ConfigError"), (252, "StoreBusy"), (243, "StoreUnavailable")]
)
def test_what_the_server_says_is_said_with_what_to_do(code, kind):
    """Over capacity is to be tried again, a wrong password is not."""
    from clickhouse_connect.driver.exceptions import DatabaseError

    error = DatabaseError("no")
    error.code = code
    assert type(explain(error, "here")).__name__ == kind
