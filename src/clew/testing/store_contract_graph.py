"""The contract of a store on what is learned: once, with its marks, and corrected by what comes late."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clew.errors import StoreUnavailable
from clew.graph import Call, Graph, TraceCalls, learn, learn_into
from clew.graph.state import KEPT_TRACES
from clew.model import Batch, Span
from clew.model.graph import Node
from clew.model.halves import EVENT, START_IS_DERIVED
from clew.store.memory import MemoryStore
from clew.store.protocol import LearnedTrace, Lesson, StaleLesson, Store, Unlearned
from clew.testing.store_contract import (
    DAY_NS,
    SECOND_NS,
    START_NS,
    OpensStore,
    a_span,
    a_span_id,
    a_trace_id,
    put,
)

NOW_NS = 1 << 62
"""Long after everything, so that all is quiet."""


def calls(trace_id: str, spans: Iterable[Span]) -> TraceCalls:
    """Read spans as calls, in the plainest way."""
    made = [
        Call(
            call_id=span.span_id,
            parent_id=span.parent_id,
            kind=span.kind,
            name=span.name,
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            ok=span.status != "error",
            arguments=tuple(sorted(span.inputs)) if isinstance(span.inputs, dict) else (),
        )
        for span in spans
    ]
    return TraceCalls(trace_id=trace_id, calls=made)


def day_of(trace: TraceCalls) -> str:
    """Name the slice of a trace: here days are counted."""
    return f"day:{min(call.start_ns for call in trace.calls) // DAY_NS}"


def lesson_of(traces: Sequence[Unlearned], skip: Sequence[str] = ()) -> Lesson:
    """Learn traces of one project as a job does."""
    lesson = Lesson(project=traces[0].project, delta=Graph(), traces=[], slices={})
    for trace in traces:
        skipped = trace.trace_id in skip
        lesson.traces.append(LearnedTrace(trace.trace_id, trace.mark, skipped))
        if not skipped:
            _teach(lesson, calls(trace.trace_id, trace.before), -1)
            _teach(lesson, calls(trace.trace_id, trace.finished), 1)
    return lesson


def _teach(lesson: Lesson, trace: TraceCalls, times: int) -> None:
    if not trace.calls:
        return
    taught = learn(trace)
    for graph in (lesson.delta, lesson.slices.setdefault(day_of(trace), Graph())):
        graph.merge(taught, times=times)


def due(store: Store, *, limit: int = 1000, **bounds: int) -> list[Unlearned]:
    """Give all that is due."""
    bounds = {"quiet_since_ns": NOW_NS, "rootless_quiet_since_ns": NOW_NS} | bounds
    return store.unlearned(limit=limit, **bounds)


def learn_all(store: Store) -> int:
    """Learn what is due; gives how many traces."""
    traces = due(store)
    for project in dict.fromkeys(trace.project for trace in traces):
        store.save_lesson(lesson_of([trace for trace in traces if trace.project == project]))
    return len(traces)


def learned_at_once(traces: Iterable[Sequence[Span]]) -> Graph:
    """Give what the finished spans of each trace teach, each trace learned once and whole."""
    graph = Graph()
    for spans in traces:
        finished = [span for span in spans if span.end_ns is not None]
        learn_into(graph, calls(spans[0].trace_id, finished))
    return graph


def a_graph(
    *edges: tuple[str, str], declared: int = 0, count: int = 1, trace: str = "", at_ns: int = START_NS
) -> Graph:
    """Give a graph of `dependency` edges if they are declared, else of `sequence` edges."""
    graph = Graph()
    for origin, target in edges:
        ends = [graph.node(Node("tool", name)) for name in (origin, target)]
        for end in ends:
            graph.count_node(end, count=count, failures=0, ended=count, duration_ns=5, heat=1, last_ns=at_ns)
        counts: dict[str, Any] = {"declared": declared} if declared else {"count": count, "heat": 7, "last_ns": at_ns}
        exemplars = ((at_ns, trace),) if trace else ()
        row = graph.row(ends[0], ends[1], "dependency" if declared else "sequence")
        graph.count_edge(row, exemplars=exemplars, **counts)
    return graph


def names_of(graph: Graph) -> set[tuple[str, str, str]]:
    """Give the edges of a graph by name."""
    return {(edge.origin.name, edge.target.name, edge.type) for edge in graph.edges()}


@st.composite
def _pieces(draw: st.DrawFn, trace: int, number: int) -> list[Span]:
    """One span as it may come: finished, running before, only running, in two halves, or only its end."""
    start_ns = START_NS + draw(st.integers(0, 6)) * SECOND_NS + draw(st.sampled_from([0, DAY_NS]))
    whole = a_span(
        trace,
        number,
        parent_id=draw(st.sampled_from([None, *map(a_span_id, range(5))])),
        name=draw(st.sampled_from(["ask", "search", "book"])),
        kind=draw(st.sampled_from(["tool", "capability"])),
        start_ns=start_ns,
        end_ns=start_ns + draw(st.integers(0, 4)) * SECOND_NS,
        status=draw(st.sampled_from(["ok", "error"])),
        inputs=draw(st.sampled_from([None, {"q": 1}, {"a": 1, "b": 2}])),
    )
    running = msgspec.structs.replace(whole, end_ns=None, status="unset")
    end = msgspec.structs.replace(
        whole,
        name=draw(st.sampled_from([whole.name, "unknown"])),
        parent_id=None,
        inputs=None,
        start_ns=whole.end_ns,
        attributes={EVENT: "end", START_IS_DERIVED: True},
    )
    return draw(st.sampled_from([[whole], [whole], [running, whole], [running], [running, end], [end]]))


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[Span], list[tuple[list[Span], int]]]:
    """Spans, and a way in which they come and are learned: in some order, and so many traces after each commit."""
    spans: list[Span] = []
    for trace in range(draw(st.integers(1, 3))):
        for number in range(draw(st.integers(1, 4))):
            spans += draw(_pieces(trace, number))
    arriving = draw(st.permutations([*spans, *draw(st.lists(st.sampled_from(spans), max_size=3))]))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=5)))
    commits = [arriving[a:b] for a, b in itertools.pairwise([0, *cuts, len(arriving)])]
    return spans, [(commit, draw(st.integers(0, 3))) for commit in commits]


class GraphContract(OpensStore):
    """What every store must keep of what is learned; see `clew.store.graph_protocol`."""

    # Once, and corrected.

    def test_a_trace_is_learned_once(self, store: Store) -> None:
        """Saved with the mark that says so: it is due no longer, and a retry of its spans changes nothing."""
        spans = [a_span(0, number, kind="tool") for number in range(3)]
        put(store, *spans)
        assert store.graph_version("default") == 0
        assert learn_all(store) == 1
        put(store, *spans)
        assert due(store) == []
        assert store.graph("default").content() == learned_at_once([spans]).content()
        assert store.graph_version("default") == 1

    def test_what_was_learned_is_there_after_opening_again(self, tmp_path: Path) -> None:
        """And so is what is still due."""
        if not self.durable:
            pytest.skip("this store forgets by design")
        store = self.open(tmp_path)
        put(store, a_span(0), a_span(0, 1))
        learn_all(store)
        put(store, a_span(1))
        before = store.graph("default").content()
        store.close()
        again = self.open(tmp_path)
        assert again.graph("default").content() == before
        assert [trace.trace_id for trace in due(again)] == [a_trace_id(1)]
        again.close()

    def test_a_late_span_makes_the_trace_due_and_corrects_it(self, store: Store) -> None:
        """What it taught before is known exactly: the very spans that were learned."""
        early, late = [a_span(0, 0), a_span(0, 1)], a_span(0, 2)
        put(store, *early)
        learn_all(store)
        put(store, late)
        [trace] = due(store)
        assert trace.learned == {span.span_id for span in early}
        assert trace.before == early
        assert trace.finished == [*early, late]
        learn_all(store)
        assert due(store) == []
        expected = learned_at_once([[*early, late]])
        assert store.graph("default").content(when=False) == expected.content(when=False)

    def test_only_finished_spans_are_learned(self, store: Store) -> None:
        """One that ends after its trace was learned is a late one; one that only starts is no news."""
        running = a_span(0, 1, end_ns=None, status="unset")
        put(store, a_span(0, 0), running)
        learn_all(store)
        assert store.graph("default").content() == learned_at_once([[a_span(0, 0)]]).content()
        put(store, a_span(0, 2, end_ns=None, status="unset"))
        assert due(store) == []
        put(store, a_span(0, 1))
        [trace] = due(store)
        assert trace.learned == {a_span_id(0)}

    def test_a_span_that_changes_after_it_was_learned_is_given_as_it_was(self, store: Store) -> None:
        """A lone end teaches what it knows, until its start comes and tells better."""
        end = a_span(0, 0, name="unknown", attributes={EVENT: "end", START_IS_DERIVED: True})
        put(store, end)
        learn_all(store)
        put(store, a_span(0, 0, name="search", start_ns=START_NS - SECOND_NS, end_ns=None, status="unset"))
        [trace] = due(store)
        assert trace.before == [end]
        [whole] = trace.finished
        assert whole.name == "search"
        learn_all(store)
        assert set(store.graph("default").content()["nodes"]) == {Node("other", "search")}
        assert due(store) == []

    def test_late_spans_of_many_commits_are_all_late(self, store: Store) -> None:
        """Until they are learned; then none of them is."""
        put(store, a_span(0, 0))
        learn_all(store)
        for number in range(1, 40):
            put(store, a_span(0, number))
        [trace] = due(store)
        assert trace.learned == {a_span_id(0)}
        assert len(trace.finished) == 40
        learn_all(store)
        put(store, a_span(0, 40))
        [trace] = due(store)
        assert len(trace.learned) == 40

    def test_any_order_and_grouping_gives_the_same_graph(self, store: Store) -> None:
        """Out of order, repeated, learned in parts and corrected: as if each trace had been learned once, whole."""
        projects = (f"project {number}" for number in itertools.count())

        @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(_histories())
        def check(history: tuple[list[Span], list[tuple[list[Span], int]]]) -> None:
            spans, commits = history
            project = next(projects)
            for commit, learned in commits:
                store.write([Batch(project=project, spans=commit)])
                if learned and (traces := due(store)):
                    store.save_lesson(lesson_of(traces[:learned]))
            learn_all(store)
            assert due(store) == []
            _check_graph(store, project, spans)

        check()

    # Marks.

    def test_a_trace_that_was_written_to_since_it_was_read_is_refused(self, store: Store) -> None:
        """And with it the lesson, whose sums hold it: nothing is saved, all of it is still due."""
        put(store, a_span(0))
        put(store, a_span(1))
        lesson = lesson_of(due(store))
        put(store, a_span(1, 1))
        with pytest.raises(StaleLesson) as stale:
            store.save_lesson(lesson)
        assert stale.value.trace_ids == (a_trace_id(1),)
        assert store.graph_version("default") == 0
        assert store.graph("default").content() == Graph().content()
        assert len(due(store)) == 2
        store.save_lesson(lesson_of([trace for trace in due(store) if trace.trace_id == a_trace_id(0)]))
        assert [trace.trace_id for trace in due(store)] == [a_trace_id(1)]

    def test_a_mark_never_comes_twice_whatever_the_clock_does(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A clock that stands, or is set back, must not make a changed trace look unchanged."""
        put(store, a_span(0))
        monkeypatch.setattr("time.time_ns", lambda: 1)
        lesson = lesson_of(due(store))
        put(store, a_span(0, 1))
        with pytest.raises(StaleLesson):
            store.save_lesson(lesson)
        again = lesson_of(due(store))
        put(store, a_span(0, 2))
        with pytest.raises(StaleLesson):
            store.save_lesson(again)

    def test_two_learners_never_learn_a_trace_twice(self, store: Store) -> None:
        """Two servers may share a store: the one that comes second is told so."""
        put(store, a_span(0))
        first, second = lesson_of(due(store)), lesson_of(due(store))
        assert store.save_lesson(first) == 1
        with pytest.raises(StaleLesson):
            store.save_lesson(second)
        assert store.graph("default").trace_count == 1

    def test_a_trace_that_is_not_there_is_stale(self, store: Store) -> None:
        """It may have been deleted meanwhile."""
        put(store, a_span(0))
        lesson = lesson_of(due(store))
        lesson.traces = [LearnedTrace(a_trace_id(5), lesson.traces[0].mark)]
        with pytest.raises(StaleLesson):
            store.save_lesson(lesson)

    def test_a_trace_that_cannot_be_learned_is_set_aside_until_more_of_it_comes(self, store: Store) -> None:
        """It must not block the rest; and nothing of it counts as learned."""
        put(store, a_span(0), a_span(1))
        store.save_lesson(lesson_of(due(store), skip=[a_trace_id(0)]))
        assert due(store) == []
        assert store.graph("default").trace_count == 1
        put(store, a_span(0, 1))
        [trace] = due(store)
        assert (trace.trace_id, trace.learned) == (a_trace_id(0), frozenset())
        learn_all(store)
        assert store.graph("default").trace_count == 2

    def test_what_was_learned_of_a_trace_stays_when_its_correction_is_set_aside(self, store: Store) -> None:
        """It is taken back when the correction succeeds, and only once."""
        put(store, a_span(0))
        learn_all(store)
        put(store, a_span(0, 1))
        store.save_lesson(lesson_of(due(store), skip=[a_trace_id(0)]))
        put(store, a_span(0, 2))
        [trace] = due(store)
        assert trace.learned == {a_span_id(0)}
        learn_all(store)
        spans = [a_span(0, number) for number in range(3)]
        assert store.graph("default").content(when=False) == learned_at_once([spans]).content(when=False)

    # What is due.

    def test_a_trace_is_left_in_peace_until_it_is_quiet(self, store: Store) -> None:
        """And longer while its root has not come: most of it may be on its way."""
        put(store, a_span(0, 0))
        put(store, a_span(1, 1, parent_id=a_span_id(9)))
        assert due(store, quiet_since_ns=START_NS - 900 * DAY_NS) == due(store, quiet_since_ns=1)[:1] != []
        assert due(store, quiet_since_ns=1, rootless_quiet_since_ns=1) == []
        [rooted] = due(store, rootless_quiet_since_ns=1)
        assert rooted.trace_id == a_trace_id(0)
        put(store, a_span(1, 9, parent_id=None))
        assert len(due(store, rootless_quiet_since_ns=1)) == 2

    def test_the_oldest_is_given_first_and_no_more_than_asked(self, store: Store) -> None:
        """By when it was last written to."""
        for trace in range(5):
            put(store, a_span(trace))
        put(store, a_span(1, 1))
        expected = [a_trace_id(trace) for trace in (0, 2, 3, 4, 1)]
        assert [trace.trace_id for trace in due(store)] == expected
        assert [trace.trace_id for trace in due(store, limit=2)] == expected[:2]

    def test_no_more_spans_are_given_than_asked_but_one_trace_always(self, store: Store) -> None:
        """A long trace is a round alone."""
        for trace, length in enumerate((3, 1, 1, 5)):
            put(store, *(a_span(trace, number) for number in range(length)))
        sizes = []
        while traces := due(store, most_spans=2):
            sizes.append([len(trace.spans) for trace in traces])
            store.save_lesson(lesson_of(traces))
        assert sizes == [[3], [1, 1], [5]]

    def test_a_score_makes_no_trace_due(self, store: Store) -> None:
        """It teaches nothing of what calls what."""
        put(store, a_span(0))
        learn_all(store)
        put(store, scores=[])
        assert due(store) == []

    # Projects, slices, deltas.

    def test_one_project_never_learns_from_another(self, store: Store) -> None:
        """Two clients may even use the same ids and names."""
        put(store, a_span(0), project="a")
        put(store, a_span(0), a_span(0, 1), project="b")
        assert learn_all(store) == 2
        assert store.graph("a").trace_count == 1
        assert len(store.graph("a").nodes) == 1
        assert len(store.graph("b").nodes) == 2
        assert store.graph("c").content() == Graph().content()
        assert store.graph_version("c") == 0
        assert store.slice_names("c") == []
        assert store.graph_slice("c", store.slice_names("a")).trace_count == 0

    def test_slices_add_up(self, store: Store) -> None:
        """Days make a week, in whatever order they are named; what is not there is nothing."""
        spans = [[a_span(day, number, start_ns=START_NS + day * DAY_NS) for number in range(2)] for day in range(3)]
        for trace in spans:
            put(store, *trace)
        learn_all(store)
        names = store.slice_names("default")
        assert names == sorted(day_of(calls("", trace)) for trace in spans)
        assert store.graph_slice("default", names[:1]).trace_count == 1
        both = store.graph_slice("default", [names[2], names[0], names[0], "day:none"])
        expected = learned_at_once([spans[0], spans[2]])
        assert _plain(both) == _plain(expected)

    def test_the_graph_is_the_callers_own(self, store: Store) -> None:
        """Who asks may add to it."""
        put(store, a_span(0))
        learn_all(store)
        before = store.graph("default").content()
        store.graph("default").merge(a_graph(("a", "b")))
        assert store.graph("default").content() == before

    def test_a_delta_is_applied_once(self, store: Store) -> None:
        """An SDK that got no answer sends it again."""
        delta = a_graph(("a", "b"))
        assert store.apply_delta("default", "one", delta, {"version:1": delta}) is True
        assert store.apply_delta("default", "one", delta, {"version:1": delta}) is False
        assert store.apply_delta("default", "two", delta, {}) is True
        assert store.apply_delta("other", "one", delta, {}) is True
        [edge] = store.graph("default").edges()
        assert edge.count == 2
        assert store.graph_version("default") == 2
        [sliced] = store.graph_slice("default", ["version:1"]).edges()
        assert sliced.count == 1

    def test_a_delta_declares_nothing(self, store: Store) -> None:
        """Only a template does, and that can be taken back."""
        delta = a_graph(("a", "b"))
        delta.merge(a_graph(("c", "d"), declared=3))
        store.apply_delta("default", "one", delta, {})
        assert names_of(store.graph("default")) == {("a", "b", "sequence")}

    # What is kept.

    def test_the_newest_few_traces_are_kept_as_exemplars(self, store: Store) -> None:
        """By when they ended, in whatever order they were learned."""
        for at in (5, 1, 9, 3, 7):
            store.apply_delta("default", str(at), a_graph(("a", "b"), trace=a_trace_id(at), at_ns=START_NS + at), {})
        [edge] = store.graph("default").edges()
        assert edge.traces == tuple(a_trace_id(at) for at in (9, 7, 5))[:KEPT_TRACES]
        assert edge.last_seen_ns == START_NS + 9

    def test_sums_stop_where_a_number_ends(self, store: Store) -> None:
        """A client with a broken clock fills eight bytes in one day; learning goes on."""
        graph = a_graph(("a", "b"))
        for node in range(2):
            graph.count_node(node, count=1, failures=0, ended=1, duration_ns=1 << 62, heat=1 << 62, last_ns=0)
        [row] = graph.rows()
        graph.count_edge(row, count=1, duration_ns=1 << 62, heat=1 << 62)
        for number in range(4):
            store.apply_delta("default", str(number), graph, {"day:1": graph})
        whole, sliced = store.graph("default"), store.graph_slice("default", ["day:1"])
        [edge] = whole.edges()
        assert (edge.count, edge.duration_ns, edge.heat) == (8, (1 << 63) - 1, (1 << 63) - 1)
        assert whole.node_duration_ns[0] == (1 << 63) - 1
        [edge] = sliced.edges()
        assert (edge.count, edge.duration_ns) == (8, (1 << 63) - 1)

    @pytest.mark.parametrize("name", ["x" * 10_000, "a\x00b", "'; DROP TABLE graph_nodes;--", "東京 🧵", '"]\\', ""])
    def test_a_name_is_never_more_than_a_name(self, store: Store, name: str) -> None:
        """What a trace contains is hostile."""
        graph = a_graph((name, "b"), (name, f"{name}2"), trace=a_trace_id(0))
        for number in range(2):
            store.apply_delta("default", str(number), graph, {name or "day:1": graph})
        doubled = Graph()
        doubled.merge(graph)
        doubled.merge(graph)
        assert store.graph("default").content() == doubled.content()
        assert store.slice_names("default") == [name or "day:1"]
        assert _plain(store.graph_slice("default", [name or "day:1"])) == _plain(doubled)

    def test_a_closed_store_says_so_of_its_graph(self, store: Store) -> None:
        """Whoever still learns is told, not hung."""
        put(store, a_span(0))
        lesson = lesson_of(due(store))
        store.close()
        asked: list[Callable[[], object]] = [
            lambda: due(store),
            lambda: store.save_lesson(lesson),
            lambda: store.graph("default"),
            lambda: store.graph_version("default"),
            lambda: store.apply_delta("default", "one", Graph(), {}),
        ]
        for ask in asked:
            with pytest.raises(StoreUnavailable):
                ask()


def _check_graph(store: Store, project: str, spans: Sequence[Span]) -> None:
    """Compare with all of it learned at once, from what the plain reference has."""
    reference = MemoryStore()
    reference.write([Batch(project=project, spans=list(spans))])
    stored = [store.trace(project, trace_id) for trace_id in dict.fromkeys(span.trace_id for span in spans)]
    expected = learned_at_once([trace.spans for trace in stored if trace is not None])
    assert store.graph(project).content(when=False) == expected.content(when=False)
    learn_all(reference)
    assert reference.graph(project).content(when=False) == expected.content(when=False)
    for name in {*store.slice_names(project), *reference.slice_names(project)}:
        # A slice from which all was taken back may still be named.
        assert _plain(store.graph_slice(project, [name])) == _plain(reference.graph_slice(project, [name]))


def _plain(graph: Graph) -> Any:
    """What a slice keeps of a graph."""
    nodes = {
        node: (graph.node_count[at], graph.node_failures[at], graph.node_ended[at], graph.node_duration_ns[at])
        for at, node in enumerate(graph.nodes)
        if graph.node_count[at]
    }
    edges = {
        (edge.origin, edge.target, edge.type): (edge.count, edge.inferred, edge.failures, edge.duration_ns)
        for edge in graph.edges()
    }
    return graph.trace_count, nodes, edges
