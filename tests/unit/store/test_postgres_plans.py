"""How PostgreSQL goes about questions that are asked all the time."""

from clew.store import open_store
from clew.store.postgres import connect
from clew.store.postgres.percentiles import QUERIES
from clew.testing.store_contract import START_NS, a_span, put

MINUTE_NS = 60 * 10**9


def test_the_last_minute_that_has_anything_is_read_from_the_end_of_its_index(postgres_schema):
    """By max() all minutes of a week were read for it, which was half of the time of a window's percentiles."""
    store = open_store(postgres_schema)
    for trace in range(50):
        start_ns = START_NS + trace * MINUTE_NS
        put(store, a_span(trace, start_ns=start_ns, end_ns=start_ns + 1))
    with connect.open_connection(connect.conninfo(postgres_schema), to_write=False) as connection:
        asked = connection.execute(b"EXPLAIN " + QUERIES["last_bucket"], {"project_id": 1})
        plan = "\n".join(line for (line,) in asked)
    store.close()
    assert "Index Only Scan Backward" in plan
    assert "Aggregate" not in plan
