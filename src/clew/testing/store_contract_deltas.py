"""The contract of a store on what SDKs learned from traffic that they did not send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clew.errors import StoreUnavailable
from clew.graph import Graph
from clew.model import Span
from clew.model.tally import Minutes, count
from clew.store.protocol import Latency, Store
from clew.testing.store_contract import MINUTE_NS, SECOND_NS, START_NS, OpensStore, a_span, put


def told(*spans: Span) -> Minutes:
    """Count spans as an SDK does that does not send them."""
    return count(spans)


def some(numbers: range, **fields: Any) -> list[Span]:
    """Give generations of so many milliseconds, one a trace."""
    ends = ((number, START_NS + number * 1_000_000) for number in numbers)
    return [
        a_span(number, name="ask", kind="generation", start_ns=START_NS, end_ns=end_ns, **fields)
        for number, end_ns in ends
    ]


def latency(store: Store, project: str = "default", **asked: Any) -> list[Latency]:
    """Ask for the percentiles of the minutes around the first span."""
    window: dict[str, Any] = {"since_ns": START_NS - MINUTE_NS, "until_ns": START_NS + 5 * MINUTE_NS}
    return store.latency(project, **window | asked)


class DeltasContract(OpensStore):
    """What a store promises of deltas beside their graphs."""

    def test_percentiles_are_those_of_all_traffic_stored_or_not(self, store: Store) -> None:
        """A tenth is stored, nine tenths are only told of: the answer is as if all were stored."""
        spans = some(range(1, 201), input_tokens=3, output_tokens=2, cost_usd=0.5)
        put(store, *spans[::10])
        store.apply_delta("default", "one", Graph(), {}, told(*[span for at, span in enumerate(spans) if at % 10]))
        [all_of_it] = latency(store)
        assert (all_of_it.count, all_of_it.errors) == (200, 0)
        assert (all_of_it.input_tokens, all_of_it.output_tokens, all_of_it.cost_usd) == (600, 400, 100.0)
        assert all_of_it.mean_ms == pytest.approx(100.5)
        for found, true in ((all_of_it.p50_ms, 100), (all_of_it.p95_ms, 190), (all_of_it.p99_ms, 198)):
            assert found == pytest.approx(true, rel=0.01)

    def test_what_is_told_can_be_asked_by_kind_name_and_model(self, store: Store) -> None:
        """As what is stored can."""
        spans = [*some(range(1, 3), model="m"), *some(range(1, 2), status="error")]
        spans.append(a_span(9, name="look", kind="tool", start_ns=START_NS))
        store.apply_delta("default", "one", Graph(), {}, told(*spans))
        by_all = latency(store, group_by=("kind", "name", "model"))
        assert [(each.kind, each.name, each.model, each.count, each.errors) for each in by_all] == [
            ("generation", "ask", None, 1, 1),
            ("generation", "ask", "m", 2, 0),
            ("tool", "look", None, 1, 0),
        ]
        assert [each.count for each in latency(store, kind="tool")] == [1]

    def test_what_is_told_has_its_minute(self, store: Store) -> None:
        """A window reads what began in it, and no more."""
        spans = [a_span(at, start_ns=START_NS + at * MINUTE_NS) for at in range(4)]
        store.apply_delta("default", "one", Graph(), {}, told(*spans))
        window: dict[str, Any] = {"since_ns": START_NS + MINUTE_NS, "until_ns": START_NS + 2 * MINUTE_NS + SECOND_NS}
        [found] = store.latency("default", **window)
        whole = -(-window["until_ns"] // MINUTE_NS) - window["since_ns"] // MINUTE_NS
        assert found.count == min(whole, 3)

    def test_a_delta_sent_twice_counts_once(self, store: Store) -> None:
        """The answer to the first may be lost; the graph and the percentiles are one transaction."""
        minutes = told(*some(range(1, 4)))
        assert store.apply_delta("default", "one", Graph(), {}, minutes) is True
        assert store.apply_delta("default", "one", Graph(), {}, minutes) is False
        assert [each.count for each in latency(store)] == [3]
        assert store.apply_delta("default", "two", Graph(), {}, minutes) is True
        assert [each.count for each in latency(store)] == [6]

    def test_what_is_taken_back_was_never_told(self, store: Store) -> None:
        """A trace that is sent after all, since a user complained of it, is counted by the store itself."""
        spans = some(range(1, 6), cost_usd=1.0)
        store.apply_delta("default", "one", Graph(), {}, told(*spans))
        gone = {key: tally.negative() for key, tally in told(spans[4]).items()}
        store.apply_delta("default", "two", Graph(), {}, gone)
        [left] = latency(store)
        assert (left.count, left.cost_usd, left.mean_ms) == (4, 4.0, 2.5)
        assert left.p99_ms == pytest.approx(4, rel=0.01)
        put(store, spans[4])
        [all_of_it] = latency(store)
        assert (all_of_it.count, all_of_it.mean_ms) == (5, 3.0)

    def test_an_operation_of_which_nothing_is_left_is_not_shown(self, store: Store) -> None:
        """Taking back may also come first, over two connections."""
        minutes = told(*some(range(1, 3)))
        store.apply_delta("default", "one", Graph(), {}, {key: tally.negative() for key, tally in minutes.items()})
        assert latency(store) == []
        store.apply_delta("default", "two", Graph(), {}, minutes)
        assert latency(store) == []
        store.apply_delta("default", "three", Graph(), {}, minutes)
        assert [each.count for each in latency(store)] == [2]

    def test_one_projects_deltas_are_not_anothers(self, store: Store) -> None:
        """Ids of deltas are the clients': two projects may choose the same."""
        minutes = told(*some(range(1, 4)))
        assert store.apply_delta("a", "one", Graph(), {}, minutes) is True
        assert latency(store, "b") == []
        assert store.apply_delta("b", "one", Graph(), {}, minutes) is True
        assert [each.count for each in latency(store, "b")] == [3]

    def test_what_is_told_stays_the_callers(self, store: Store) -> None:
        """A store may add up in place, but not in what it was given."""
        minutes = told(*some(range(1, 4)))
        for delta_id in ("one", "two"):
            store.apply_delta("default", delta_id, Graph(), {}, minutes)
        assert sum(tally.count for tally in minutes.values()) == 3

    def test_deltas_outlive_the_process(self, tmp_path: Path) -> None:
        """They were acknowledged."""
        if not self.durable:
            pytest.skip("this store forgets by design")
        store = self.open(tmp_path)
        store.apply_delta("default", "one", Graph(), {}, told(*some(range(1, 4))))
        store.close()
        again = self.open(tmp_path)
        try:
            assert [each.count for each in latency(again)] == [3]
            assert again.apply_delta("default", "one", Graph(), {}, told(*some(range(1, 4)))) is False
        finally:
            again.close()

    def test_a_closed_store_takes_no_delta(self, store: Store) -> None:
        """Whoever sends it keeps it."""
        store.close()
        with pytest.raises(StoreUnavailable):
            store.apply_delta("default", "one", Graph(), {}, told(*some(range(1, 4))))
