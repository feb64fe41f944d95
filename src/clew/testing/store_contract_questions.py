"""
The part of a store's contract about questions: quantiles, steps and heat maps; filters; words.

Random data is compared with exact quantiles computed here, and with `clew.store.memory`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from clew.errors import BadFilter
from clew.model import Span
from clew.store.protocol import LatencyHeat, Store
from clew.testing.store_contract import (
    DAY_NS,
    MINUTE_NS,
    SECOND_NS,
    START_NS,
    OpensStore,
    a_span,
    put,
)

MIDNIGHT_NS = START_NS - START_NS % DAY_NS
HOUR_S, DAY_S = 3_600, 86_400
SHARES = (0.0, 0.001, 0.07, 0.5, 0.9, 0.999, 1.0)


def _durations(seed: int, count: int) -> list[int]:
    draw = random.Random(seed)  # noqa: S311
    return [int(draw.lognormvariate(15, 4)) for _ in range(count)]


def _spread(durations_ns: Sequence[int], *, every_ns: int, **fields: Any) -> list[Span]:
    """One span each, *every_ns* apart, from midnight on."""
    starts = [MIDNIGHT_NS + at * every_ns for at in range(len(durations_ns))]
    return [
        a_span(at // 50, at % 50, start_ns=start_ns, end_ns=start_ns + ns, **fields)
        for at, (start_ns, ns) in enumerate(zip(starts, durations_ns, strict=True))
    ]


def _exact_ms(durations_ns: Sequence[int], share: float) -> float:
    """At the nearest rank. In thousandths, since floats are a little off."""
    rank = max(1, -(-round(share * 1000) * len(durations_ns) // 1000))
    return sorted(durations_ns)[rank - 1] / 1e6


def _window(days: float = 1) -> dict[str, Any]:
    return {"since_ns": MIDNIGHT_NS, "until_ns": MIDNIGHT_NS + int(days * DAY_NS)}


class LatencyQuestionsContract(OpensStore):
    """What every store answers from sums of histograms."""

    @pytest.mark.parametrize("seed", range(3))
    def test_any_quantile_is_at_most_one_percent_off(self, store: Store, seed: int) -> None:
        """Of the value at the nearest rank, the least and the longest among them."""
        durations_ns = _durations(seed, 1_500)
        put(store, *_spread(durations_ns, every_ns=40 * SECOND_NS))
        [latency] = store.latency("default", **_window(), quantiles=SHARES)
        assert list(latency.quantiles_ms) == list(SHARES)
        for share, found_ms in latency.quantiles_ms.items():
            assert found_ms == pytest.approx(_exact_ms(durations_ns, share), rel=0.01)

    def test_a_quantile_is_taken_as_it_is_written(self, store: Store) -> None:
        """As floats, 0.07 * 100 is over 7, and would give the eighth of a hundred."""
        put(store, *_spread([number * 1_000_000 for number in range(1, 101)], every_ns=1))
        [latency] = store.latency("default", **_window(), quantiles=[0.07, 0.29, 0.55])
        assert [round(ms) for ms in latency.quantiles_ms.values()] == [7, 29, 55]

    def test_latencies_are_of_the_name_and_model_that_were_asked_for(self, store: Store) -> None:
        """Also of hostile ones, whatever they are grouped by."""
        odd = "x' OR 1=1 --\n%\x00"
        put(
            store,
            a_span(0, 0, name="chat", kind="generation", model="big"),
            a_span(0, 1, name="chat", kind="generation", model="small"),
            a_span(0, 2, name=odd, kind="generation", model=odd),
        )

        def count(**of: Any) -> int:
            return sum(one.count for one in store.latency("default", **_window(), group_by=(), **of))

        assert [count(), count(name="chat"), count(model="big"), count(name=odd), count(model=odd)] == [3, 2, 1, 1, 1]
        assert [count(name="chat", model=odd), count(name="CHAT"), count(name="chat", kind="tool")] == [0, 0, 0]
        assert [count(name="\ud800"), count(name="z" * 65_536)] == [0, 0]

    @pytest.mark.parametrize("step_s", [60, 300, HOUR_S, 5 * HOUR_S, DAY_S, 7 * DAY_S])
    def test_steps_are_what_asking_for_each_alone_gives(self, store: Store, step_s: int) -> None:
        """Every step of the window, those of nothing too, from the first that it touches to the last."""
        put(store, *_spread(_durations(1, 300), every_ns=7 * MINUTE_NS, kind="tool"))
        since_ns, until_ns = MIDNIGHT_NS + 95 * MINUTE_NS + 1, MIDNIGHT_NS + (95 + 25 * step_s // 60) * MINUTE_NS
        until_ns = min(until_ns, MIDNIGHT_NS + 3 * DAY_NS)
        steps = store.latency_steps(
            "default", since_ns=since_ns, until_ns=until_ns, step_s=step_s, group_by=["kind"], quantiles=[0.25]
        )
        assert steps[0].from_ns == MIDNIGHT_NS + 95 * MINUTE_NS
        assert steps[-1].to_ns == until_ns
        assert all(before.to_ns == after.from_ns for before, after in itertools.pairwise(steps))
        assert all(step.from_ns % (step_s * SECOND_NS) == 0 for step in steps[1:])
        for step in steps:
            alone = store.latency("default", since_ns=step.from_ns, until_ns=step.to_ns, quantiles=[0.25])
            assert step.operations == alone
        assert any(step.operations for step in steps)

    def test_steps_carry_usage_and_errors(self, store: Store) -> None:
        """Tokens and cost are drawn over time, too."""
        for day in range(3):
            usage: dict[str, Any] = {"kind": "generation", "input_tokens": day, "output_tokens": 2, "cost_usd": 0.5}
            put(store, a_span(day, start_ns=MIDNIGHT_NS + day * DAY_NS, end_ns=MIDNIGHT_NS + day * DAY_NS, **usage))
        put(store, a_span(9, start_ns=MIDNIGHT_NS, end_ns=MIDNIGHT_NS + 5, status="error", input_tokens=100))
        steps = store.latency_steps("default", **_window(4), step_s=DAY_S)
        rows = [
            [(one.count, one.errors, one.input_tokens, one.output_tokens, one.cost_usd) for one in step.operations]
            for step in steps
        ]
        assert rows == [[(2, 1, 0, 2, 0.5)], [(1, 0, 1, 2, 0.5)], [(1, 0, 2, 2, 0.5)], []]

    @pytest.mark.parametrize("rows_per_doubling", [1, 5, 7, 35])
    def test_a_heat_map_counts_each_span_in_its_cell(self, store: Store, rows_per_doubling: int) -> None:
        """Bounds rise without a gap, and a cell's count is exact for them."""
        durations_ns = [0, 1, *_durations(2, 400)]
        put(store, *_spread(durations_ns, every_ns=5 * MINUTE_NS))
        heat = store.latency_heat("default", **_window(2), step_s=HOUR_S, rows_per_doubling=rows_per_doubling)
        assert len(heat.steps_ns) == 48
        assert heat.rows_ms[0] == (0.0, 0.0)
        assert all(lower[1] == upper[0] for lower, upper in zip(heat.rows_ms[1:], heat.rows_ms[2:], strict=False))
        assert heat.cells == sorted(heat.cells)
        assert {(column, row): count for column, row, count in heat.cells} == _counted(heat, durations_ns)

    def test_rows_double_as_often_as_asked(self, store: Store) -> None:
        """Thirty-five buckets are a doubling, but for 1 part in 20,000."""
        put(store, *_spread([1_000_000, 64_000_000], every_ns=1))
        heat = store.latency_heat("default", **_window(), step_s=DAY_S, rows_per_doubling=5)
        ratios = [upper / lower for lower, upper in heat.rows_ms]
        assert ratios == pytest.approx([2 ** (1 / 5)] * len(ratios), rel=1e-4)
        assert len(heat.rows_ms) in (30, 31)

    def test_a_heat_map_is_of_what_was_asked_for(self, store: Store) -> None:
        """One that shows every operation shows none."""
        put(store, a_span(0, 0, kind="tool", name="a", model="m"), a_span(0, 1, kind="root", name="b"))
        of: dict[str, Any]
        for of in ({"kind": "tool"}, {"name": "b"}, {"model": "m"}):
            heat = store.latency_heat("default", **_window(), step_s=DAY_S, **of)
            assert [count for *_, count in heat.cells] == [1]
        assert store.latency_heat("other", **_window(), step_s=DAY_S).cells == []

    @pytest.mark.parametrize("share", [math.nan, -0.1, 1.01, math.inf, 99])
    def test_a_quantile_that_is_none_is_refused(self, store: Store, share: float) -> None:
        """99 is most likely meant as 0.99; guessing would be wrong for 0.5."""
        with pytest.raises(BadFilter, match=r"0\.99"):
            store.latency("default", **_window(), quantiles=[0.5, share])
        with pytest.raises(BadFilter, match="quantiles"):
            store.latency_steps("default", **_window(), step_s=DAY_S, quantiles=[share])

    def test_too_many_quantiles_are_refused(self, store: Store) -> None:
        """The answer is a row of figures, not the whole distribution."""
        with pytest.raises(BadFilter, match="quantiles"):
            store.latency("default", **_window(), quantiles=[0.5] * 33)

    @pytest.mark.parametrize("step_s", [0, -60, 1, 59, 61])
    def test_a_step_that_is_not_of_whole_minutes_is_refused(self, store: Store, step_s: int) -> None:
        """Nothing finer is counted."""
        with pytest.raises(BadFilter, match="whole minutes"):
            store.latency_steps("default", **_window(), step_s=step_s)

    @pytest.mark.parametrize("days", [2, 3660, 1e6])
    def test_steps_that_make_a_million_points_are_refused(self, store: Store, days: float) -> None:
        """Before anything is read."""
        with pytest.raises(BadFilter, match="longer"):
            store.latency_heat("default", **_window(days), step_s=60)
        with pytest.raises(BadFilter, match="step"):
            store.latency_steps("default", since_ns=-(1 << 80), until_ns=1 << 80, step_s=DAY_S)

    def test_a_window_backwards_and_rows_between_buckets_are_refused(self, store: Store) -> None:
        """As a window of latencies is."""
        with pytest.raises(BadFilter, match="before it begins"):
            store.latency_steps("default", since_ns=2, until_ns=1, step_s=60)
        with pytest.raises(BadFilter, match="group_by"):
            store.latency_steps("default", **_window(), step_s=DAY_S, group_by=["user"])
        for rows_per_doubling in (0, -1, 2, 36):
            with pytest.raises(BadFilter, match="rows_per_doubling"):
                store.latency_heat("default", **_window(), step_s=DAY_S, rows_per_doubling=rows_per_doubling)

    def test_a_window_of_nothing_has_no_steps(self, store: Store) -> None:
        """It is none that makes no sense."""
        put(store, a_span())
        assert store.latency_steps("default", since_ns=MIDNIGHT_NS, until_ns=MIDNIGHT_NS, step_s=60) == []
        assert store.latency_heat("default", since_ns=0, until_ns=0, step_s=60) == LatencyHeat(
            steps_ns=[], rows_ms=[], cells=[]
        )


def _counted(heat: LatencyHeat, durations_ns: Sequence[int]) -> dict[tuple[int, int], int]:
    """What the map must show of spans that start every five minutes, by its own bounds."""
    counts: dict[tuple[int, int], int] = {}
    for at, duration_ns in enumerate(durations_ns):
        ms = duration_ns / 1e6
        row = next(
            place
            for place, (over, up_to) in enumerate(heat.rows_ms)
            if (ms == up_to == 0) or (over < ms <= up_to * (1 + 1e-12) and up_to > 0)
        )
        cell = at * 5 // 60, row
        counts[cell] = counts.get(cell, 0) + 1
    return counts
