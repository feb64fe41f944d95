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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.model import Score, Span
from clew.store import sieve
from clew.store.memory import MemoryStore
from clew.store.protocol import Condition, LatencyHeat, Store, TraceFilter
from clew.testing.store_contract import (
    DAY_NS,
    MINUTE_NS,
    SECOND_NS,
    START_NS,
    OpensStore,
    a_span,
    a_trace_id,
    ids,
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
        asked: list[dict[str, Any]] = [{"kind": "tool"}, {"name": "b"}, {"model": "m"}]
        for of in asked:
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


KEYS = ("user_tier", "top_k", "ok", "tags", "a.b", "deep", "odd ' \" %_\x00\n", "__proto__", "ключ")
VALUES: list[Any] = [
    "gold", "Gold", "silver", "5", 5, 5.0, 12, -1, 0.25, True, False, None, "true", "", " ", "東京", "é",
    "'; DROP TABLE traces;--",
    ["gold", "new"], [3, 12], [], "gold, new", {"b": "gold"}, {"b": {"c": 5}}, 2**63 - 1, math.nan, b"gold", "x" * 300,
]  # fmt: skip
ASKED = (
    "gold",
    "5",
    "12",
    "0.25",
    "5e0",
    "true",
    "FALSE",
    "new",
    "東京",
    "",
    " ",
    "-1",
    str(2**63 - 1),
    "'; DROP TABLE traces;--",
    "*",
)


def _attributes(draw: random.Random) -> dict[str, Any]:
    keys = draw.sample([*KEYS, "a"], draw.randint(0, 4))
    return {key: draw.choice(VALUES) for key in keys}


def _population(seed: int) -> tuple[list[Span], list[Score]]:
    """Some traces that differ in all that can be filtered on."""
    draw = random.Random(seed)  # noqa: S311
    spans, scores = [], []
    for trace in range(40):
        for number in range(draw.randint(1, 3)):
            start_ns = START_NS + draw.randint(0, 9) * SECOND_NS
            spans.append(
                a_span(
                    trace,
                    number,
                    name=draw.choice(["ask", "search", "ключ", "?"]),
                    kind=draw.choice(["root", "generation", "tool"]),
                    start_ns=start_ns,
                    end_ns=start_ns + draw.choice([1, SECOND_NS]),
                    user_id=draw.choice([None, "ana"]),
                    status=draw.choice(["ok", "error"]),
                    inputs=draw.choice(["Paris", "Lyon", None]),
                    input_tokens=draw.choice([None, 0, 100, 2**62]),
                    output_tokens=draw.choice([None, 7, 2**62]),
                    cost_usd=draw.choice([None, 0.0, 0.1]),
                    attributes=_attributes(draw),
                    resource=draw.choice([{}, {"service.name": "shop", "user_tier": "gold"}]),
                )
            )
        for _ in range(draw.randint(0, 3)):
            label, name, value = draw.choice(["", "good"]), draw.choice(["rating", "fit"]), draw.randint(0, 5)
            source: Any = draw.choice(["user", "code"])
            scores.append(
                Score(trace_id=a_trace_id(trace), name=name, value=value, label=label, source=source, at_ns=1)
            )
    return spans, scores


def _conditions(keys: Sequence[str], values: Sequence[str], bounds: Sequence[str]) -> st.SearchStrategy[Condition]:
    key = st.sampled_from(keys)
    return st.one_of(
        st.builds(Condition, key),
        st.builds(Condition, key, st.sampled_from(["=", "!="]), st.sampled_from(values)),
        st.builds(Condition, key, st.sampled_from([">=", "<="]), st.sampled_from(bounds)),
    )


def _perhaps(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, None, None, *values])


_WHERE = st.builds(
    TraceFilter,
    user_id=_perhaps(["ana"]),
    status=_perhaps(["error"]),
    kind=_perhaps(["tool"]),
    text=_perhaps(["Paris", "paris lyon"]),
    min_tokens=_perhaps([0, 1, 107, 2**63]),
    max_tokens=_perhaps([0, 107]),
    min_cost_usd=_perhaps([0.0, 0.1, 0.15]),
    max_cost_usd=_perhaps([0.0, 0.1]),
    name=_perhaps(["ask", "ключ", "ASK"]),
    tags=st.sampled_from([(), (), ("gold",), ("gold", "new"), ("x",)]),
    attributes=st.lists(_conditions((*KEYS, "a", "a.b.c", "service.name"), ASKED, ("5", "0.25", "-1")), max_size=3).map(
        tuple
    ),
    scores=st.lists(_conditions(("rating", "fit"), ("3", "good", "bad"), ("2", "4.5")), max_size=2).map(tuple),
)


class FilterQuestionsContract(OpensStore):
    """Which traces every store finds, and how their pages follow each other."""

    def test_any_filter_finds_what_the_plain_reference_finds(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Page by page, whatever a page holds and may cost: every trace once, in one order."""
        spans, scores = _population(5)
        reference = MemoryStore()
        for each in (store, reference):
            for at in range(0, len(spans), 9):
                put(each, *spans[at : at + 9])
            put(each, scores=scores)

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(_WHERE, st.sampled_from([1, 3, 50]), st.sampled_from([1, 7, 10_000]), st.sampled_from([1, 5]))
        def check(where: TraceFilter, limit: int, most: int, at_once: int) -> None:
            monkeypatch.setattr(sieve, "MOST_TRACES", most)
            monkeypatch.setattr(sieve, "AT_ONCE", at_once)
            assert _pages(store, where, limit) == ids(reference, where)

        check()

    def test_a_page_may_end_before_it_is_full_and_says_so(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """What one page looks through has an end; nobody shall take that for the end of what there is."""
        put(store, *(a_span(trace, start_ns=START_NS + trace, attributes={"tier": trace % 10}) for trace in range(40)))
        monkeypatch.setattr(sieve, "MOST_TRACES", 16)
        monkeypatch.setattr(sieve, "AT_ONCE", 4)
        where = TraceFilter(attributes=(Condition("tier", "=", "2"),))
        page = store.list_traces("default", where, limit=3)
        if not page.unfinished:
            pytest.skip("this store looks through as many as it likes")
        assert [one.trace_id for one in page.traces] == [a_trace_id(32)]
        assert page.next_cursor == (START_NS + 24, a_trace_id(24))
        assert _pages(store, where, 3) == [a_trace_id(trace) for trace in (32, 22, 12, 2)]

    def test_what_many_bytes_hold_is_looked_through_in_pieces(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A page of large traces must not hold up everybody else's."""
        long = "word " * 2_000
        put(store, *(a_span(trace, inputs=long, attributes={"tier": trace}) for trace in range(6)))
        monkeypatch.setattr(sieve, "MOST_BYTES", 15_000)
        monkeypatch.setattr(sieve, "AT_ONCE", 1)
        assert _pages(store, TraceFilter(attributes=(Condition("tier", "<=", "1"),)), 5) == [
            a_trace_id(1),
            a_trace_id(0),
        ]

    def test_a_page_that_is_full_says_whether_there_are_more(self, store: Store) -> None:
        """As without such a filter."""
        put(store, *(a_span(trace, name="ask") for trace in range(3)))
        where = TraceFilter(name="ask")
        assert store.list_traces("default", where, limit=3)[1:] == (None, False)
        assert store.list_traces("default", where, limit=2)[1:] == ((START_NS, a_trace_id(1)), False)

    def test_conditions_on_one_key_are_met_by_one_span(self, store: Store) -> None:
        """Between 5 and 9 is no trace with a 3 here and a 12 there; two keys may be met apart."""
        put(store, a_span(0, 0, attributes={"k": 3, "tier": "gold"}), a_span(0, 1, attributes={"k": 12}))
        put(store, a_span(1, 0, attributes={"k": 7}))
        between = (Condition("k", ">=", "5"), Condition("k", "<=", "9"))
        assert ids(store, TraceFilter(attributes=between)) == [a_trace_id(1)]
        apart = (Condition("k", "=", "12"), Condition("tier", "=", "gold"))
        assert ids(store, TraceFilter(attributes=apart)) == [a_trace_id(0)]

    def test_a_dot_is_part_of_a_name_or_a_step_into_what_is_nested(self, store: Store) -> None:
        """Both are common, and nobody remembers which client does which."""
        put(store, a_span(0, attributes={"app.plan": "pro"}), a_span(1, attributes={"app": {"plan": "pro", "x": 1}}))
        put(store, a_span(2, attributes={"app": "plan pro"}), a_span(3, resource={"app.plan": "pro"}))
        where = TraceFilter(attributes=(Condition("app.plan", "=", "pro"),))
        assert ids(store, where) == [a_trace_id(3), a_trace_id(1), a_trace_id(0)]

    @pytest.mark.parametrize(
        "odd", ["a'b", 'a"b', "%", "_", "$.a[0]", "\x00", "\ud800", "x" * 65_536, "🧵", "\\", "*", ""]
    )
    def test_odd_names_and_values_are_only_compared(self, store: Store, odd: str) -> None:
        """They are bound or compared, and never part of a statement or a pattern."""
        kept = odd.encode("utf-8", "replace").decode()
        put(store, a_span(0, attributes={kept: "here"}), a_span(1, attributes={"here": kept}), a_span(2))
        put(store, scores=[Score(trace_id=a_trace_id(0), name=kept, value=1, label=kept)])
        put(store, a_span(3, name="other"))
        found = [a_trace_id(0)] if kept == odd else []
        assert ids(store, TraceFilter(attributes=(Condition(odd, "=", "here"),))) == found
        assert ids(store, TraceFilter(attributes=(Condition("here", "=", odd),))) == ([a_trace_id(1)] if found else [])
        assert ids(store, TraceFilter(attributes=(Condition("here", ">=", odd),))) == []
        assert ids(store, TraceFilter(name=odd or None, tags=(odd,))) == []
        if found:
            assert ids(store, TraceFilter(scores=(Condition(odd, "=", odd),))) == found

    def test_another_project_is_never_looked_through(self, store: Store) -> None:
        """Nor are scores of the same trace id there."""
        put(store, a_span(0, name="ask", attributes={"tier": "gold", "tags": ["new"]}), project="a")
        put(store, a_span(0, name="no"), project="b", scores=[Score(trace_id=a_trace_id(0), name="fit", value=1)])
        gold, fit = (Condition("tier", "=", "gold"),), (Condition("fit"),)
        for where in (TraceFilter(name="ask"), TraceFilter(attributes=gold), TraceFilter(tags=("new",))):
            assert ids(store, where, project="a") == [a_trace_id(0)]
            assert ids(store, where, project="b") == ids(store, where, project="c") == []
        assert ids(store, TraceFilter(scores=fit), project="a") == []
        assert ids(store, TraceFilter(scores=fit), project="b") == [a_trace_id(0)]

    def test_what_a_running_span_said_is_forgotten_when_it_ends(self, store: Store) -> None:
        """An attribute that the finished span no longer has finds nothing."""
        put(store, a_span(end_ns=None, attributes={"draft": 1}))
        assert ids(store, TraceFilter(attributes=(Condition("draft"),))) == [a_trace_id(0)]
        put(store, a_span(attributes={"final": 1}))
        assert ids(store, TraceFilter(attributes=(Condition("draft"),))) == []
        assert ids(store, TraceFilter(attributes=(Condition("final"),))) == [a_trace_id(0)]


def _pages(store: Store, where: TraceFilter, limit: int) -> list[str]:
    """Follow the cursors to the end."""
    seen: list[str] = []
    cursor = None
    for _ in range(1_000):
        page = store.list_traces("default", where, limit=limit, after=cursor)
        assert len(page.traces) <= limit
        assert len(page.traces) == limit or page.unfinished or page.next_cursor is None
        seen += [one.trace_id for one in page.traces]
        cursor = page.next_cursor
        if cursor is None:
            return seen
    raise AssertionError("the pages have no end")


WORDS = [
    # German, accents, case.
    (
        "Die Straßenbahn fährt über die Brücke",
        ["straßenbahn", "FÄHRT", "fahrt", "uber", "Brücke die"],
        ["strassenbahn", "fähr"],
    ),
    ("Crème brûlée à la carte", ["creme", "BRULEE", "brûlée", "à la"], ["crem"]),
    # Identifiers: what is no letter or digit ends a word.
    (
        "get_user_by_id(user.email, v2) -> HTTP404",
        ["get_user_by_id", "user email", "v2", "http404", "by id"],
        ["getuser", "404"],
    ),
    ("camelCase kebab-case C++ x86-64", ["camelcase", "kebab case", "c++", "x86", "64"], ["camel", "x8664"]),
    # Chinese and Japanese: each character is a word; Korean and Cyrillic have spaces.
    ("東京タワーはどこですか", ["東京", "京東", "タワー", "は"], ["大阪"]),
    ("我想订一张机票", ["机票", "票"], ["酒店"]),
    ("서울 타워 Привет Мир", ["서울", "타워", "привет", "МИР"], ["서", "прив"]),
    # Emoji are no words; what stands beside them is.
    ("thread🧵needle 👍🏽 ok", ["thread", "needle", "🧵 ok"], ["threadneedle"]),
    # Punctuation, numbers, markup.
    (
        'say "no" (never!) 3.14 <b>bold</b> a@b.example',
        ["no never", "3 14", "bold", "b example", '"no"'],
        ["says", "nobold"],
    ),
    ("naïve ﬁancée № Ⅷ ½", ["naive"], ["nai"]),
]


class WordQuestionsContract(OpensStore):
    """The same words are found in every store."""

    @pytest.mark.parametrize(("text", "finds", "misses"), WORDS, ids=[text[:12] for text, *_ in WORDS])
    def test_words_are_found_whole_without_case_and_accents(
        self, store: Store, text: str, finds: list[str], misses: list[str]
    ) -> None:
        """Half a word finds nothing: there is no search by prefix."""
        put(store, a_span(0, inputs=text), a_span(1, inputs="something else"))
        for query in finds:
            assert ids(store, TraceFilter(text=query)) == [a_trace_id(0)], query
        for query in misses:
            assert ids(store, TraceFilter(text=query)) == [], query

    def test_words_of_many_traces_in_one_commit_are_told_apart(self, store: Store) -> None:
        """However the words of a commit are kept together."""
        put(
            store,
            *(a_span(trace, inputs=f"shared word{trace} {'even' if trace % 2 == 0 else 'odd'}") for trace in range(30)),
        )
        put(store, a_span(4, 1, outputs="late"))
        assert len(ids(store, TraceFilter(text="shared"))) == 30
        assert ids(store, TraceFilter(text="word7 ODD")) == [a_trace_id(7)]
        assert ids(store, TraceFilter(text="word7 even")) == []
        assert ids(store, TraceFilter(text="late word4")) == [a_trace_id(4)]
        assert _pages(store, TraceFilter(text="shared even"), 4) == [a_trace_id(trace) for trace in range(28, -1, -2)]


class QuestionsContract(LatencyQuestionsContract, FilterQuestionsContract, WordQuestionsContract):
    """All of it."""
