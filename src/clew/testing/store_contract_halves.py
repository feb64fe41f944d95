"""The contract of a store on spans that come in two halves: a start event and an end event."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from clew.model import Span
from clew.model.halves import EVENT, START_IS_DERIVED
from clew.store.protocol import Store, TraceFilter
from clew.testing.store_contract import (
    DAY_NS,
    MINUTE_NS,
    SECOND_NS,
    START_NS,
    OpensStore,
    a_span,
    a_span_id,
    a_trace_id,
    ids,
    put,
)


def a_start(trace: int = 0, number: int = 1, **fields: Any) -> Span:
    """Give what a start event says."""
    fields = {"inputs": {"city": "Paris"}, "kind": "tool", "attributes": {"who": "agent"}} | fields
    return a_span(trace, number, end_ns=None, status="unset", **fields)


def an_end(trace: int = 0, number: int = 1, *, took_ns: int = SECOND_NS, **fields: Any) -> Span:
    """Give what an end event says: its start is only reckoned."""
    end_ns = a_span(trace, number).end_ns or 0
    fields = {"outputs": "sunny", "kind": "tool", "parent_id": None, "start_ns": end_ns - took_ns} | fields
    return a_span(trace, number, attributes={EVENT: "end", START_IS_DERIVED: True, "code": 200}, **fields)


def a_whole(trace: int = 0, number: int = 1) -> Span:
    """Give what both say together."""
    both = a_start(trace, number)
    return msgspec.structs.replace(
        both,
        end_ns=an_end(trace, number).end_ns,
        status="ok",
        outputs="sunny",
        attributes={"who": "agent", "code": 200},
    )


def spans_of(store: Store, trace: int = 0) -> list[Span]:
    """Give the spans of a trace."""
    found = store.trace("default", a_trace_id(trace))
    return found.spans if found else []


class HalvesContract(OpensStore):
    """What every store must do with halves; see `clew.model.halves`."""

    @pytest.mark.parametrize("order", list(itertools.permutations(["start", "end", "start", "end"])))
    @pytest.mark.parametrize("together", [True, False])
    def test_both_halves_make_one_span_in_any_order(self, store: Store, order: tuple[str, ...], together: bool) -> None:
        """The start's inputs and parent, the end's outputs: events come over different connections, or twice."""
        halves = [a_start() if half == "start" else an_end() for half in order]
        written = [put(store, *halves)] if together else [put(store, half) for half in halves]
        assert spans_of(store) == [a_whole()]
        assert sum(each.spans for each in written) == 2
        assert sum(each.duplicates for each in written) == 2

    @pytest.mark.parametrize("end_first", [True, False])
    def test_a_span_of_two_halves_is_counted_once(self, store: Store, end_first: bool) -> None:
        """With how long it took by its start, not by what the end reckoned; also in the minute of its start."""
        halves = [a_start(), an_end(took_ns=3 * MINUTE_NS)]
        for half in reversed(halves) if end_first else halves:
            put(store, half)
        ask = {"since_ns": START_NS - DAY_NS, "until_ns": START_NS + DAY_NS, "group_by": ("kind", "name")}
        [latency] = store.latency("default", **ask)  # type: ignore[arg-type]
        assert (latency.count, latency.name) == (1, "step 1")
        assert latency.mean_ms == pytest.approx(1000)
        assert latency.p99_ms == pytest.approx(1000, rel=0.01)
        assert store.stats()["spans"] == 1

    def test_what_nothing_is_left_of_is_not_counted_as_nothing(self, store: Store) -> None:
        """The lone end had another name; when its start tells the right one, the wrong one is gone."""
        put(store, an_end(name="unknown"))
        put(store, a_start(name="weather"))
        found = store.latency("default", since_ns=0, until_ns=START_NS + DAY_NS, group_by=("name",))
        assert [(latency.name, latency.count) for latency in found] == [("weather", 1)]

    def test_an_end_without_a_start_is_kept_and_shown(self, store: Store) -> None:
        """A span lost is worse than a span late."""
        put(store, an_end())
        [span] = spans_of(store)
        assert (span.outputs, span.duration_ns) == ("sunny", SECOND_NS)
        assert len(store.latency("default", since_ns=0, until_ns=START_NS + DAY_NS)) == 1

    def test_both_halves_can_be_searched(self, store: Store) -> None:
        """By what went in and by what came out."""
        put(store, an_end())
        put(store, a_start())
        assert ids(store, TraceFilter(text="paris sunny")) == [a_trace_id(0)]

    @pytest.mark.parametrize("whole_first", [True, False])
    def test_a_whole_span_wins_over_its_halves(self, store: Store, whole_first: bool) -> None:
        """It says everything itself."""
        whole = a_span(0, 1, name="whole")
        for span in (whole, an_end()) if whole_first else (an_end(), whole):
            put(store, span)
        put(store, a_start())
        assert spans_of(store) == [whole]

    def test_a_child_comes_under_the_parent_that_only_the_start_named(self, store: Store) -> None:
        """The tree is mended like any other."""
        put(store, a_span(0, 0))
        put(store, an_end())
        put(store, a_start())
        [summary] = store.list_traces("default", TraceFilter(), limit=9).traces
        assert (summary.span_count, summary.orphan_count) == (2, 0)
        assert [span.parent_id for span in spans_of(store)] == [None, a_span_id(0)]
