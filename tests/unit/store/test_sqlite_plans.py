"""No filter makes SQLite read every row, or sort all of them."""

import apsw
import pytest

from clew.model import Flag
from clew.store import open_store
from clew.store.protocol import TraceFilter
from clew.store.sqlite.graph_store import QUERIES
from clew.store.sqlite.newest import Query


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clew.db"


@pytest.mark.parametrize(
    ("where", "index"),
    [
        (TraceFilter(), "traces_by_start"),
        (TraceFilter(from_ns=1, to_ns=2, kind="tool", model="m", status="ok"), "traces_by_start"),
        (TraceFilter(min_duration_ns=1, flag=Flag.NORMAL), "traces_by_start"),
        (TraceFilter(min_tokens=1, max_tokens=2, min_cost_usd=0.1, max_cost_usd=0.2), "traces_by_start"),
        (TraceFilter(flag=Flag.EMPTY, status="error"), "traces_by_flag"),
        (TraceFilter(status="error", kind="tool"), "traces_by_error"),
    ],
)
def test_a_page_is_read_off_an_index_newest_first(path, where, index):
    """So it takes as long with a million traces as with a thousand."""
    query = Query(1, where)
    query.after((9, "00" * 16))
    plan = plan_of(path, query.statement(query.source), query.values)
    assert f"USING INDEX {index}" in plan or f"USING COVERING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    ("where", "index"),
    [(TraceFilter(session_id="s", flag=Flag.EMPTY), "session"), (TraceFilter(user_id="u", session_id="s"), "user")],
)
def test_what_a_user_did_is_looked_up_in_some_blocks(path, where, index):
    """The index leads to the user's entries of each block, and nothing else is read."""
    query = Query(1, where)
    plan = plan_of(path, query.statement(query.among_blocks), query.values | {"blocks": "[1]"})
    assert f"INDEX traces_by_{index} (project_id=? AND <expr>=? AND {index}_id=?)" in plan


def plan_of(path, statement, values):
    """How SQLite would run it."""
    open_store(f"sqlite:///{path}").close()
    connection = apsw.Connection(str(path))
    rows = connection.execute("EXPLAIN QUERY PLAN " + statement, values | {"limit": 51}).fetchall()
    connection.close()
    return "\n".join(row[3] for row in rows)


def test_old_suggestions_are_found_by_an_index(path):
    """A round of retention asks for them every ten minutes, and mostly there are none."""
    plan = plan_of(path, QUERIES["drop_closed_suggestions"], {"before_ns": 9, "limit": 9})
    assert "graph_suggestions_closed_by_time" in plan
    assert "SCAN graph_suggestions" not in plan
    assert "TEMP B-TREE" not in plan
