"""A delta is one transaction: graph, slices, percentiles and the mark that it was applied, or nothing."""

from __future__ import annotations

import pytest

from clew.graph import Call, TraceCalls, learn
from clew.model import Span
from clew.model.tally import count
from clew.store import open_store
from clew.store.sqlite import graph_store

START_NS = 1_763_700_000_000_000_000


def what_was_told():
    call = Call(call_id="a", kind="tool", name="look", start_ns=START_NS, end_ns=START_NS + 5)
    span = Span(trace_id="1" * 32, span_id="1" * 16, name="look", kind="tool", start_ns=START_NS, end_ns=START_NS + 5)
    graph = learn(TraceCalls(trace_id="t", calls=[call]))
    return graph, {"day:1": graph}, count([span])


def test_a_delta_of_which_a_part_cannot_be_saved_leaves_nothing_behind(tmp_path, monkeypatch):
    """It is sent again, and must count then, and once."""
    store = open_store(f"sqlite:///{tmp_path}/clew.db")
    put = graph_store.put_tallies
    monkeypatch.setattr(graph_store, "put_tallies", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.apply_delta("default", "one", *what_was_told())
    assert (store.graph_version("default"), store.slice_names("default")) == (0, [])
    assert not list(store.graph("default").nodes)

    monkeypatch.setattr(graph_store, "put_tallies", put)
    assert store.apply_delta("default", "one", *what_was_told()) is True
    [latency] = store.latency("default", since_ns=START_NS, until_ns=START_NS + 10**9)
    assert (latency.count, list(store.graph("default").node_count)) == (1, [1])
    store.close()


def test_a_delta_adds_to_what_was_stored_at_every_resolution(tmp_path):
    """A day is the sum of its minutes, whichever way these came."""
    store = open_store(f"sqlite:///{tmp_path}/clew.db")
    for delta_id in ("one", "two"):
        store.apply_delta("default", delta_id, *what_was_told())
    with store._readers.lend() as connection:
        rows = connection.execute("SELECT resolution_s, count FROM trace_metrics ORDER BY resolution_s").fetchall()
    assert rows == [(60, 2), (3_600, 2), (86_400, 2)]
    store.close()
