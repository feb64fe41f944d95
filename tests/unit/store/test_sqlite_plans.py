"""No filter makes SQLite read every row, or sort."""

import apsw
import pytest

from clew.model import Flag
from clew.store import open_store
from clew.store.protocol import TraceFilter
from clew.store.sqlite.listing import Query


@pytest.mark.parametrize(
    ("where", "index"),
    [
        (TraceFilter(), "traces_by_start"),
        (TraceFilter(from_ns=1, to_ns=2, kind="tool", model="m", status="ok"), "traces_by_start"),
        (TraceFilter(min_duration_ns=1, flag=Flag.NORMAL), "traces_by_start"),
        (TraceFilter(min_tokens=1, max_tokens=2, min_cost_usd=0.1, max_cost_usd=0.2), "traces_by_start"),
        (TraceFilter(flag=Flag.EMPTY, status="error"), "traces_by_flag"),
        (TraceFilter(status="error", kind="tool"), "traces_by_error"),
        (TraceFilter(session_id="s", flag=Flag.EMPTY), "traces_by_session"),
        (TraceFilter(user_id="u", session_id="s"), "traces_by_user"),
    ],
)
def test_a_page_is_read_off_an_index_newest_first(tmp_path, where, index):
    """So it takes as long with a million traces as with a thousand."""
    open_store(f"sqlite:///{tmp_path}/clew.db").close()
    query = Query(1, where)
    query.after((9, "00" * 16))
    values = query.values | {"limit": 51}
    connection = apsw.Connection(str(tmp_path / "clew.db"))
    rows = connection.execute("EXPLAIN QUERY PLAN " + query.statement("list_traces"), values)
    plan = "\n".join(row[3] for row in rows)
    assert f"USING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan
    connection.close()
