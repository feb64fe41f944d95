"""
The contract of a store, as tests. A backend passes by inheriting all of it.

    class TestMine(StoreContract, HalvesContract, GraphContract, DeltasContract, ChoicesContract, QuestionsContract):
        def open(self, folder, *, text_search=True):
            return MyStore(folder / "mine", text_search=text_search)

Here is what concerns traces; `store_contract_halves` has spans that come in two halves,
`store_contract_graph` what is learned, `store_contract_deltas` what SDKs learned by themselves,
`store_contract_choices` templates, arms and suggestions, `store_contract_questions` quantiles, heat maps,
filters on attributes, and words.

What a random order must give is compared with `clew.store.memory`, the plain reference.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.errors import BadFilter, MalformedBody, StoreUnavailable
from clew.model import KINDS, Batch, Event, Flag, Link, Score, Span
from clew.store.memory import MemoryStore
from clew.store.protocol import KeyRecord, Latency, Store, TraceFilter

START_NS = 1_763_700_000_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS
ANY = TraceFilter()


def a_trace_id(number: int) -> str:
    """Give the trace id that stands for *number*."""
    return f"{number + 1:032x}"


def a_span_id(number: int) -> str:
    """Give the span id that stands for *number*."""
    return f"{number + 1:016x}"


def a_span(trace: int = 0, number: int = 0, **fields: Any) -> Span:
    """Give a finished span of one second; the first of a trace is its root."""
    defaults: dict[str, Any] = {
        "trace_id": a_trace_id(trace),
        "span_id": a_span_id(number),
        "parent_id": a_span_id(0) if number else None,
        "name": f"step {number}",
        "start_ns": START_NS + number * 1_000_000,
        "end_ns": START_NS + number * 1_000_000 + SECOND_NS,
        "status": "ok",
    }
    return Span(**defaults | fields)


def a_rich_span() -> Span:
    """Give a span with something in every field."""
    return a_span(
        kind="generation",
        parent_id=a_span_id(99),
        status="error",
        status_message="quota",
        model="gpt-5-mini",
        strategy="hybrid",
        input_tokens=12,
        output_tokens=34,
        cost_usd=0.1 + 0.2,
        confidence=1 / 3,
        first_token_ms=1.5,
        user_id="ana",
        session_id="s-1",
        response_chars=4,
        input_preview="ask",
        output_preview="said",
        attributes={"top_k": 5, "nested": {"deep": [1, 2.5, None, True]}, "raw": b"\x00\xff"},
        inputs=[{"role": "user", "content": "Wie heißt du? \x00 '; DROP TABLE traces;--"}],
        outputs={"text": "said", "big": (1 << 63) - 1, "emoji": "🧵"},
        events=[Event(name="token", at_ns=START_NS + 5, attributes={"n": 1})],
        links=[Link(trace_id=a_trace_id(7), span_id=a_span_id(7), attributes={"why": "retry"})],
        resource={"service.name": "shop"},
        scope="lib@1",
        otel_kind="client",
        problems=["end before start: clamped"],
    )


def put(store: Store, *spans: Span, project: str = "default", scores: Sequence[Score] = ()) -> Any:
    """Write spans and scores as one batch."""
    return store.write([Batch(project=project, spans=list(spans), scores=list(scores))])


def ids(store: Store, where: TraceFilter = ANY, *, project: str = "default", limit: int = 1000) -> list[str]:
    """Give the ids of the traces that a filter finds, newest first."""
    return [summary.trace_id for summary in store.list_traces(project, where, limit=limit).traces]


def answers(store: Store, project: str) -> dict[str, Any]:
    """Give everything that can be asked of a project, but for its name, as one comparable value."""
    page = store.list_traces(project, ANY, limit=1000)
    everything: dict[str, Any] = {
        "traces": [msgspec.structs.replace(summary, project="") for summary in page.traces],
        "whole": [_whole(store, project, summary.trace_id) for summary in page.traces],
    }
    for where in FILTERS:
        everything[str(where)] = ids(store, where, project=project)
    for group_by in (("kind",), ("kind", "name", "model"), ()):
        everything[f"latency by {group_by}"] = _latencies(store, project, group_by)
    return everything


def _whole(store: Store, project: str, trace_id: str) -> Any:
    trace = store.trace(project, trace_id)
    assert trace is not None
    return msgspec.structs.replace(trace.summary, project=""), trace.spans, trace.scores


def _latencies(store: Store, project: str, group_by: Sequence[str]) -> list[Any]:
    found = store.latency(project, since_ns=0, until_ns=START_NS + 900 * DAY_NS, group_by=group_by)
    return [_roughly(latency) for latency in found]


def _roughly(latency: Latency) -> dict[str, Any]:
    """Percentiles within the promised 1 %, sums of fractions but for their last digit."""
    fields = msgspec.structs.asdict(latency)
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        fields[name] = pytest.approx(fields[name], rel=0.0101)
    for name in ("mean_ms", "cost_usd"):
        fields[name] = pytest.approx(fields[name])
    return fields


FILTERS = [
    TraceFilter(user_id="ana"),
    TraceFilter(session_id="s-1", status="error"),
    TraceFilter(from_ns=START_NS + SECOND_NS, to_ns=START_NS + 30 * SECOND_NS),
    TraceFilter(min_duration_ns=SECOND_NS),
    TraceFilter(max_duration_ns=SECOND_NS, user_id="ana"),
    *(TraceFilter(flag=flag) for flag in Flag),
    *(TraceFilter(status=status) for status in ("unset", "ok", "error")),
    *(TraceFilter(kind=kind) for kind in KINDS),
    TraceFilter(model="gpt"),
    TraceFilter(model='"'),
    TraceFilter(model="gpt", flag=Flag.EMPTY, kind="generation"),
    TraceFilter(text="Paris"),
    TraceFilter(text="paris, LYON!"),
    TraceFilter(text="東京", user_id="ana"),
    TraceFilter(text='cafe AND "lyon" OR (NOT *)'),
]

_TEXTS = ["Paris", "Lyon and Paris", "café", "東京タワー", 'say "AND" OR NOT', "x_y-z", 'a"b*', "", "été\nà"]


@st.composite
def _span_versions(draw: st.DrawFn, trace: int, number: int) -> list[Span]:
    """One span as it may come: finished, perhaps running before, perhaps only running."""
    start_ns = START_NS + draw(st.integers(0, 90)) * SECOND_NS
    finished = a_span(
        trace,
        number,
        parent_id=draw(st.sampled_from([None, *map(a_span_id, range(6))])),
        name=draw(st.sampled_from(["ask", "retrieve", "answer"])),
        kind=draw(st.sampled_from(KINDS)),
        start_ns=start_ns,
        end_ns=start_ns + draw(st.sampled_from([0, 1, 999, SECOND_NS, 7 * MINUTE_NS])),
        status=draw(st.sampled_from(["unset", "ok", "error"])),
        status_message=draw(st.sampled_from(["", "Lyon failed"])),
        model=draw(st.sampled_from([None, "gpt", 'odd "]\n,', ",", '"'])),
        user_id=draw(st.sampled_from([None, "ana", "bo"])),
        session_id=draw(st.sampled_from([None, "s-1"])),
        input_tokens=draw(st.sampled_from([None, 0, 7])),
        cost_usd=draw(st.sampled_from([None, 0.1])),
        confidence=draw(st.sampled_from([None, 0.2, 0.9])),
        response_chars=draw(st.sampled_from([None, 3, 300])),
        inputs=draw(st.sampled_from([None, *_TEXTS, {"q": ["Paris", 5]}])),
        outputs=draw(st.sampled_from([None, *_TEXTS])),
    )
    running = msgspec.structs.replace(finished, end_ns=None, status="unset", outputs=None, inputs="Lyon", model=None)
    return draw(st.sampled_from([[finished], [running, finished], [running]]))


@st.composite
def _stories(draw: st.DrawFn) -> tuple[list[Span], list[Score], list[list[Batch]]]:
    """Spans and scores, and a way in which they come: out of order, repeated, split over commits."""
    spans: list[Span] = []
    for trace in range(draw(st.integers(1, 4))):
        for number in range(draw(st.integers(1, 4))):
            spans += draw(_span_versions(trace, number))
    scores = [
        Score(trace_id=a_trace_id(draw(st.integers(0, 4))), name="rating", value=draw(st.integers(0, 5)), at_ns=at + 1)
        for at in range(draw(st.integers(0, 3)))
    ]
    things: list[Span | Score] = [*spans, *scores]
    things += draw(st.lists(st.sampled_from(things), max_size=6))
    things = draw(st.permutations(things))
    cuts = sorted(draw(st.lists(st.integers(0, len(things)), max_size=5)))
    batches = [things[a:b] for a, b in itertools.pairwise([0, *cuts, len(things)])]
    commits = [draw(st.integers(0, 3)) for _ in batches]
    return spans, scores, _commits(batches, commits)


def _commits(batches: list[list[Any]], commits: list[int]) -> list[list[Batch]]:
    made = [
        Batch(
            spans=[thing for thing in things if isinstance(thing, Span)],
            scores=[thing for thing in things if isinstance(thing, Score)],
        )
        for things in batches
    ]
    # Neighbours with the same number go into one commit.
    groups = itertools.groupby(zip(commits, made, strict=True), key=lambda pair: pair[0])
    return [[batch for _, batch in group] for _, group in groups]


class OpensStore:
    """What every part of the contract starts from."""

    durable = True
    """It outlives its process."""

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        """Open the store that lies in *folder*; the same store each time, if it is durable."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """An empty store."""
        store = self.open(tmp_path)
        yield store
        store.close()


class StoreContract(OpensStore):
    """What every store must keep; see `clew.store.protocol`."""

    # Durable, visible, whole.

    def test_what_was_written_is_visible_at_once(self, store: Store) -> None:
        """`write` has returned: every later read MUST see it."""
        put(store, a_span())
        assert ids(store) == [a_trace_id(0)]

    def test_what_was_written_is_there_after_opening_again(self, tmp_path: Path) -> None:
        """Acknowledged means durable."""
        if not self.durable:
            pytest.skip("this store forgets by design")
        store = self.open(tmp_path)
        put(store, a_rich_span(), scores=[Score(trace_id=a_trace_id(0), name="rating", value=1)])
        before = answers(store, "default")
        store.close()
        again = self.open(tmp_path)
        assert answers(again, "default") == before
        again.close()

    def test_a_span_comes_back_as_it_was_written(self, store: Store) -> None:
        """Raw attributes are kept, hostile or not, and so is what was derived from them."""
        put(store, a_rich_span())
        trace = store.trace("default", a_trace_id(0))
        assert trace is not None
        assert trace.spans == [a_rich_span()]

    def test_a_batch_is_written_whole_or_not_at_all(self, store: Store) -> None:
        """A span that no store can keep takes its batch with it, and leaves nothing behind."""
        with pytest.raises(Exception):  # noqa: B017, PT011
            put(store, a_span(0), a_span(1, attributes={"thing": object()}))
        assert ids(store) == []
        assert store.stats()["spans"] == 0
        assert put(store, a_span(0)) == (1, 0)

    def test_an_empty_write_is_no_error(self, store: Store) -> None:
        """A group commit may find that everything in it was refused."""
        assert store.write([]) == (0, 0)

    # Once.

    def test_the_same_batch_three_times_is_the_same_as_once(self, store: Store) -> None:
        """A retry never duplicates: not rows, not totals, not histograms."""
        spans = [a_span(trace, number, kind="tool") for trace in range(3) for number in range(4)]
        assert put(store, *spans) == (12, 0)
        before = answers(store, "default")
        assert put(store, *spans) == (0, 12)
        assert put(store, *spans, *spans) == (0, 24)
        assert answers(store, "default") == before
        assert store.stats()["spans"] == 12
        assert store.stats()["traces"] == 3

    def test_a_finished_span_replaces_a_running_one(self, store: Store) -> None:
        """It is counted when it ends, and what it said while it ran is gone."""
        running = a_span(end_ns=None, status="unset", inputs="draft")
        assert put(store, running) == (1, 0)
        assert store.latency("default", since_ns=0, until_ns=START_NS + DAY_NS) == []
        finished = a_span(inputs="final")
        assert put(store, finished) == (1, 0)
        assert put(store, running, finished) == (0, 2)
        trace = store.trace("default", a_trace_id(0))
        assert trace is not None
        assert trace.spans == [finished]
        assert ids(store, TraceFilter(text="draft")) == []
        assert ids(store, TraceFilter(text="final")) == [a_trace_id(0)]
        assert [latency.count for latency in store.latency("default", since_ns=0, until_ns=START_NS + DAY_NS)] == [1]
        assert store.stats()["spans"] == 1

    def test_the_first_finished_version_of_a_span_stays(self, store: Store) -> None:
        """A span that changes after its end is a client's mistake, and must not change the counts."""
        put(store, a_span(name="first"))
        assert put(store, a_span(name="second", end_ns=START_NS + 9 * SECOND_NS)) == (0, 1)
        trace = store.trace("default", a_trace_id(0))
        assert trace is not None
        assert [span.name for span in trace.spans] == ["first"]

    # In any order.

    def test_a_child_before_its_parent_is_kept_and_mended(self, store: Store) -> None:
        """A span lost is worse than a span late."""
        put(store, a_span(0, 1, name="child"))
        [early] = store.list_traces("default", ANY, limit=9).traces
        assert (early.has_root, early.orphan_count, early.name) == (False, 1, "child")
        put(store, a_span(0, 0, name="root"))
        [late] = store.list_traces("default", ANY, limit=9).traces
        assert (late.has_root, late.orphan_count, late.name, late.span_count) == (True, 0, "root", 2)

    def test_a_trace_of_many_small_commits_is_whole(self, store: Store) -> None:
        """An agent that works for hours sends its spans one by one."""
        spans = [a_span(0, number, inputs=f"word{number}") for number in range(40)]
        for span in spans:
            put(store, span)
        trace = store.trace("default", a_trace_id(0))
        assert trace is not None
        assert trace.spans == spans
        assert ids(store, TraceFilter(text="word0 word17 word39")) == [a_trace_id(0)]

    def test_any_order_gives_the_same_answers_as_the_plain_reference(self, store: Store) -> None:
        """Out of order, repeated, split over batches and commits: the answers MUST be the same."""
        projects = (f"project {number}" for number in itertools.count())

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(_stories())
        def check(story: tuple[list[Span], list[Score], list[list[Batch]]]) -> None:
            spans, scores, commits = story
            project = next(projects)
            for batches in commits:
                store.write([Batch(project=project, spans=each.spans, scores=each.scores) for each in batches])
            reference = MemoryStore()
            reference.write([Batch(project=project, spans=spans, scores=scores)])
            assert answers(store, project) == answers(reference, project)

        check()

    # Projects.

    def test_one_project_never_sees_another(self, store: Store) -> None:
        """Two clients may even use the same ids."""
        put(store, a_span(0, user_id="ana"), project="a", scores=[Score(trace_id=a_trace_id(0), name="r", value=0)])
        put(store, a_span(0, user_id="bo"), a_span(1), project="b")
        assert ids(store, project="a") == [a_trace_id(0)]
        assert ids(store, TraceFilter(user_id="ana"), project="b") == []
        trace = store.trace("b", a_trace_id(0))
        assert trace is not None
        assert trace.scores == []
        assert trace.summary.user_id == "bo"
        assert store.trace("a", a_trace_id(1)) is None
        assert ids(store, TraceFilter(text="step"), project="c") == []
        assert store.latency("c", since_ns=0, until_ns=START_NS + DAY_NS) == []
        assert [latency.count for latency in store.latency("a", since_ns=0, until_ns=START_NS + DAY_NS)] == [1]
        assert store.projects() == ["a", "b"]

    def test_projects_that_use_the_same_ids_never_touch(self, store: Store) -> None:
        """Whatever comes for one, in whatever turn: each MUST answer as if it had its store to itself."""
        names = (f"project {number}" for number in itertools.count())

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.lists(_stories(), min_size=2, max_size=3), st.randoms())
        def check(stories: list[Any], turns: random.Random) -> None:
            mine = {next(names): story for story in stories}
            waiting = {name: list(commits) for name, (_, _, commits) in mine.items()}
            while any(waiting.values()):
                name = turns.choice([name for name, commits in waiting.items() if commits])
                batches = waiting[name].pop(0)
                store.write([Batch(project=name, spans=each.spans, scores=each.scores) for each in batches])
            for name, (spans, scores, _) in mine.items():
                reference = MemoryStore()
                reference.write([Batch(project=name, spans=spans, scores=scores)])
                assert answers(store, name) == answers(reference, name)

        check()

    # Pages.

    def test_pages_neither_repeat_nor_skip(self, store: Store) -> None:
        """Many traces may start in one nanosecond: ties go by id."""
        for trace in random.Random(4).sample(range(30), 30):  # noqa: S311
            put(store, a_span(trace, start_ns=START_NS + trace // 7))
        whole = ids(store)
        assert whole == [a_trace_id(trace) for trace in reversed(range(30))]
        seen: list[str] = []
        cursor = None
        for _ in range(30):
            page = store.list_traces("default", ANY, limit=4, after=cursor)
            seen += [summary.trace_id for summary in page.traces]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == whole

    def test_new_traces_do_not_disturb_the_pages_behind_the_first(self, store: Store) -> None:
        """Somebody reads on while traffic comes in: an offset would show traces twice."""
        for trace in range(6):
            put(store, a_span(trace, start_ns=START_NS + trace))
        first = store.list_traces("default", ANY, limit=3)
        put(store, a_span(99, start_ns=START_NS + 99))
        second = store.list_traces("default", ANY, limit=3, after=first.next_cursor)
        assert [one.trace_id for one in second.traces] == [a_trace_id(2), a_trace_id(1), a_trace_id(0)]
        assert second.next_cursor is None

    def test_a_full_last_page_says_that_it_is_the_last(self, store: Store) -> None:
        """A cursor promises that there is more."""
        put(store, a_span(0), a_span(1))
        assert store.list_traces("default", ANY, limit=2).next_cursor is None

    # Refusal, not approximation.

    def test_text_is_refused_when_it_cannot_be_searched(self, tmp_path: Path) -> None:
        """An empty page would read as "no such traces"."""
        store = self.open(tmp_path, text_search=False)
        put(store, a_span(inputs="Paris"))
        with pytest.raises(BadFilter, match="CLEW_TEXT_SEARCH"):
            ids(store, TraceFilter(text="Paris"))
        store.close()

    def test_a_search_that_would_miss_traces_is_refused(self, tmp_path: Path) -> None:
        """What was stored while text search was off is in no index."""
        if not self.durable:
            pytest.skip("this store forgets by design")
        store = self.open(tmp_path, text_search=False)
        put(store, a_span(inputs="Paris"))
        store.close()
        again = self.open(tmp_path)
        with pytest.raises(BadFilter, match="CLEW_TEXT_SEARCH"):
            ids(again, TraceFilter(text="Paris"))
        again.close()

    @pytest.mark.parametrize("text", ["!!!", " ", "\x00", " ".join(map(str, range(100)))])
    def test_a_search_for_no_word_or_too_many_is_refused(self, store: Store, text: str) -> None:
        """There is no exact answer to it, or not a quick one."""
        with pytest.raises(BadFilter):
            ids(store, TraceFilter(text=text))

    def test_a_page_of_nothing_is_refused(self, store: Store) -> None:
        """So is a cursor that no page gave, a window backwards, an unknown grouping."""
        with pytest.raises(BadFilter):
            store.list_traces("default", ANY, limit=0)
        with pytest.raises(BadFilter):
            store.list_traces("default", ANY, limit=1, after=(0, "no hex"))
        with pytest.raises(BadFilter):
            store.latency("default", since_ns=2, until_ns=1)
        with pytest.raises(BadFilter):
            store.latency("default", since_ns=1, until_ns=2, group_by=["user"])

    @pytest.mark.parametrize("text", ['"', "a OR b", "NEAR(", "col:x", "a* -b ^c", "'; DROP TABLE traces", "\ud800 x"])
    def test_a_search_text_is_never_a_query_language(self, store: Store, text: str) -> None:
        """Quotes and operators are what users type, not what they mean."""
        put(store, a_span(inputs="plain"))
        try:
            assert ids(store, TraceFilter(text=text)) == []
        except BadFilter as refused:
            assert refused.field == "text"  # noqa: PT017

    def test_absurd_bounds_find_nothing_or_everything(self, store: Store) -> None:
        """A number that no column holds is still a number."""
        put(store, a_span())
        assert ids(store, TraceFilter(from_ns=1 << 80)) == []
        assert ids(store, TraceFilter(from_ns=-(1 << 80), to_ns=1 << 80)) == [a_trace_id(0)]
        assert ids(store, TraceFilter(user_id="\ud800")) == []
        assert store.trace("default", "no id at all") is None
        assert store.trace("\ud800", a_trace_id(0)) is None

    # Scores.

    def test_a_late_score_flags_the_trace_again(self, store: Store) -> None:
        """Users judge minutes later."""
        put(store, a_span(kind="root", response_chars=500))
        assert ids(store, TraceFilter(flag=Flag.NORMAL)) == [a_trace_id(0)]
        put(store, scores=[Score(trace_id=a_trace_id(0), name="rating", value=2, best=5)])
        [summary] = store.list_traces("default", TraceFilter(flag=Flag.USER_NEGATIVE), limit=9).traces
        assert summary.flag_reason == "a user scored it 2 of 5"
        assert summary.worst_user_score == (2, 5)
        assert ids(store, TraceFilter(flag=Flag.NORMAL)) == []

    def test_a_score_before_its_trace_counts_when_it_comes(self, store: Store) -> None:
        """The browser may be quicker than the SDK's next batch."""
        put(store, scores=[Score(trace_id=a_trace_id(0), name="rating", value=0, best=1)])
        assert ids(store) == []
        assert store.trace("default", a_trace_id(0)) is None
        assert store.projects() == []
        put(store, a_span())
        assert ids(store, TraceFilter(flag=Flag.USER_NEGATIVE)) == [a_trace_id(0)]

    def test_a_later_score_of_the_same_name_replaces_the_earlier(self, store: Store) -> None:
        """By when it was given, not by when it came."""
        later = Score(trace_id=a_trace_id(0), name="rating", value=5, at_ns=20, comment="on reflection")
        earlier = Score(trace_id=a_trace_id(0), name="rating", value=1, at_ns=10)
        other = Score(trace_id=a_trace_id(0), name="rating", value=3, at_ns=5, span_id=a_span_id(0))
        put(store, a_span(), scores=[later, earlier, other])
        trace = store.trace("default", a_trace_id(0))
        assert trace is not None
        assert trace.scores == [other, later]

    def test_a_score_without_a_time_was_given_when_it_came(self, store: Store) -> None:
        """0 means "when it was received"."""
        put(store, a_span(), scores=[Score(trace_id=a_trace_id(0), name="rating", value=4)])
        trace = store.trace("default", a_trace_id(0))
        assert trace is not None
        assert trace.scores[0].at_ns > START_NS - 100 * 365 * DAY_NS

    @pytest.mark.parametrize(("value", "best"), [(1, 0), (math.nan, 5), (1, math.inf), (1, -5)])
    def test_a_score_that_means_nothing_is_refused(self, store: Store, value: float, best: float) -> None:
        """Kept for a trace to come, it would spoil that trace for ever."""
        with pytest.raises(MalformedBody):
            put(store, a_span(), scores=[Score(trace_id=a_trace_id(0), name="rating", value=value, best=best)])
        assert ids(store) == []

    # Latency.

    def test_percentiles_are_at_most_one_percent_off(self, store: Store) -> None:
        """Against the exact value at the nearest rank, from nanoseconds to hours."""
        draw = random.Random(7)  # noqa: S311
        durations_ns = [int(draw.lognormvariate(15, 4)) for _ in range(3000)]
        spans = [
            a_span(at // 50, at % 50, start_ns=START_NS + at * 7 * SECOND_NS, end_ns=START_NS + at * 7 * SECOND_NS + ns)
            for at, ns in enumerate(durations_ns)
        ]
        for at in range(0, 3000, 500):
            put(store, *spans[at : at + 500])
        [latency] = store.latency("default", since_ns=START_NS, until_ns=START_NS + DAY_NS)
        durations_ns.sort()
        for share, found_ms in ((0.5, latency.p50_ms), (0.95, latency.p95_ms), (0.99, latency.p99_ms)):
            exact_ms = durations_ns[math.ceil(share * 3000) - 1] / 1e6
            assert found_ms == pytest.approx(exact_ms, rel=0.01)
        assert latency.mean_ms == pytest.approx(sum(durations_ns) / 3000 / 1e6)
        assert latency.count == 3000

    @pytest.mark.parametrize(
        ("since_min", "until_min"),
        [(0, 1), (0, 61), (59, 4000), (61, 1440), (1, 11_519), (-9999, 99_999), (5000, 5001)],
    )
    def test_a_window_counts_exactly_what_started_in_it(self, store: Store, since_min: int, until_min: int) -> None:
        """Minutes at its edges, hours and days in its middle, nothing twice and nothing missed."""
        starts_ns = [START_NS - START_NS % DAY_NS + minute * MINUTE_NS for minute in range(0, 8 * 1440, 17)]
        put(store, *(a_span(at, start_ns=at_ns, end_ns=at_ns + 1) for at, at_ns in enumerate(starts_ns)))
        first_ns = START_NS - START_NS % DAY_NS
        since_ns, until_ns = first_ns + since_min * MINUTE_NS + 7, first_ns + until_min * MINUTE_NS - 7
        found = store.latency("default", since_ns=since_ns, until_ns=until_ns, group_by=[])
        expected = sum(since_min <= (at_ns - first_ns) // MINUTE_NS < until_min for at_ns in starts_ns)
        assert sum(latency.count for latency in found) == expected

    def test_latencies_are_grouped_as_asked(self, store: Store) -> None:
        """What is not named is summed."""
        put(
            store,
            a_span(0, 0, kind="root", name="ask", status="error"),
            a_span(0, 1, kind="generation", name="chat", model="big", input_tokens=5, output_tokens=7, cost_usd=0.5),
            a_span(0, 2, kind="generation", name="chat", model="small", input_tokens=1),
        )
        ask = partial(store.latency, "default", since_ns=START_NS, until_ns=START_NS + 1)
        by_kind = ask()
        assert [(one.kind, one.name, one.model, one.count, one.errors) for one in by_kind] == [
            ("generation", "", None, 2, 0),
            ("root", "", None, 1, 1),
        ]
        assert (by_kind[0].input_tokens, by_kind[0].output_tokens, by_kind[0].cost_usd) == (6, 7, 0.5)
        by_model = ask(kind="generation", group_by=["kind", "name", "model"])
        assert [(one.name, one.model, one.count) for one in by_model] == [("chat", "big", 1), ("chat", "small", 1)]

    # Keys and the rest.

    def test_keys_are_kept_found_and_forgotten(self, store: Store) -> None:
        """By their hash; a prefix of nothing, or of wildcards, forgets none."""
        keys = [
            KeyRecord(key_hash=f"{number}f" * 32, scope="ingest", project="a", label=f"k{number}", created_ns=number)
            for number in (2, 1)
        ]
        for key in keys:
            store.add_key(key)
        store.add_key(msgspec.structs.replace(keys[0], label="again"))
        assert [key.label for key in store.list_keys()] == ["k1", "again"]
        assert store.find_key("1f" * 32) == keys[1]
        assert store.find_key("none") is None
        assert [store.remove_key(prefix) for prefix in ("", "%", "_f", "1f", "1f")] == [0, 0, 0, 1, 0]
        assert [key.label for key in store.list_keys()] == ["again"]

    def test_a_closed_store_says_so(self, store: Store) -> None:
        """Closing twice is no error; using it afterwards is one that can be named."""
        store.close()
        store.close()
        with pytest.raises(StoreUnavailable):
            put(store, a_span())
        with pytest.raises(StoreUnavailable):
            ids(store)
