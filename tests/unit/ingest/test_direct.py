"""Straight into a store, with no server between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from clew.errors import MalformedBody, StoreUnavailable
from clew.graph import Call, TraceCalls, learn
from clew.graph.packing import pack
from clew.ingest.direct import DirectWriter
from clew.model import Batch, Score, Span
from clew.model.tally import count
from clew.store import open_store
from clew.store.protocol import Meanwhile, Written
from clew.wire import deltas
from clew.wire.deltas import DeltaBody, rows_of
from clew.wire.native import NativeBody, NativeSpan

TRACE, SPAN = "ab" * 16, "cd" * 8
START_NS = 1_763_700_000_000_000_000


def a_span(**fields: object) -> NativeSpan:
    return NativeSpan(**{"trace_id": TRACE, "span_id": SPAN, "name": "ask", "start_ns": START_NS, **fields})  # type: ignore[arg-type]


class Recorder:
    """A store that remembers what it was given."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.batches: list[Batch] = []
        self.failing = failing
        self.closed = False

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def write(self, batches: Sequence[Batch], *, meanwhile: Meanwhile | None = None) -> Written:
        if self.failing is not None:
            raise self.failing
        if any(span.name == "poison" for batch in batches for span in batch.spans):
            raise ValueError("this store chokes on poison")
        self.batches += batches
        return Written(sum(len(batch.spans) for batch in batches), 0)

    def close(self) -> None:
        self.closed = True


def test_a_body_is_mended_derived_and_stored() -> None:
    """As by a server: the store cannot tell which way a span came."""
    store = Recorder()
    body = NativeBody(
        spans=[a_span(kind="root", outputs="yes", attributes={"user_id": "u", "n": 2**70}, end_ns=START_NS - 1)],
        scores=[Score(trace_id=TRACE, name="rating", value=2)],
        resource={"service.name": "shop"},
    )
    assert DirectWriter(store, project="shop").send(body) == []  # type: ignore[arg-type]

    (batch,) = store.batches
    (span,) = batch.spans
    assert batch.project == "shop"
    assert (span.user_id, span.response_chars, span.end_ns) == ("u", 3, START_NS)
    assert span.attributes["n"] == str(2**70)
    assert span.resource == {"service.name": "shop"}
    assert batch.scores[0].at_ns > 0


def test_it_writes_into_a_real_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/clew.db"
    writer = DirectWriter(open_store(url))
    writer.send(NativeBody(spans=[a_span(kind="root", end_ns=START_NS + 5, inputs="Q", outputs="A")]))
    writer.close()

    store = open_store(url)
    try:
        stored = store.trace("default", TRACE)
    finally:
        store.close()
    assert stored is not None
    assert (stored.summary.name, stored.spans[0].inputs, stored.spans[0].outputs) == ("ask", "Q", "A")


def test_when_the_store_is_away_the_sender_hears_of_it() -> None:
    """The SDK's writer keeps the batch and tries again."""
    with pytest.raises(StoreUnavailable):
        DirectWriter(Recorder(failing=StoreUnavailable("away"))).send(NativeBody(spans=[a_span()]))  # type: ignore[arg-type]


def test_a_poisonous_span_costs_only_itself() -> None:
    store = Recorder()
    spans = [a_span(span_id=f"{number:016x}", name="poison" if number == 3 else "n") for number in range(1, 6)]
    refused = DirectWriter(store).send(NativeBody(spans=spans))  # type: ignore[arg-type]

    assert len(refused) == 1
    assert "spans[2]" in refused[0]
    assert sum(len(batch.spans) for batch in store.batches) == 4


def a_delta(delta_id: str = "d") -> bytes:
    calls = TraceCalls(trace_id="t", calls=[Call(call_id="a", kind="tool", name="look", start_ns=1, end_ns=2)])
    finished = Span(trace_id=TRACE, span_id=SPAN, name="look", kind="tool", start_ns=START_NS, end_ns=START_NS + 10**9)
    return deltas.encode(
        DeltaBody(
            delta_id=delta_id, graph=pack(learn(calls)), metrics=rows_of(count([finished])), slices={"day:1": b""}
        )
    )


def test_a_delta_is_added_once_as_by_a_server(tmp_path: Path) -> None:
    """The SDK's writer sends it again if it does not know what became of it."""
    url = f"sqlite:///{tmp_path}/clew.db"
    writer = DirectWriter(open_store(url), project="shop")
    for delta_id in ("one", "one", "two"):
        writer.send_deltas(a_delta(delta_id))
    writer.close()

    store = open_store(url)
    try:
        graph = store.graph("shop")
        [latency] = store.latency("shop", since_ns=START_NS, until_ns=START_NS + 10**9)
        slices = store.slice_names("shop")
    finally:
        store.close()
    assert list(graph.node_count) == [2]
    assert (latency.count, latency.mean_ms, slices) == (2, 1_000.0, ["day:1"])


def test_a_delta_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    writer = DirectWriter(open_store(f"sqlite:///{tmp_path}/clew.db"))
    with pytest.raises(MalformedBody):
        writer.send_deltas(b"\x00")
    writer.close()
    with pytest.raises(StoreUnavailable):
        writer.send_deltas(a_delta())


def test_closing_closes_the_store() -> None:
    store = Recorder()
    DirectWriter(store).close()  # type: ignore[arg-type]

    assert store.closed
