"""From traces that are due to one lesson."""

import msgspec
import pytest

from clew.graph import Graph, learn
from clew.graph.reading import calls_of
from clew.graph.slices import MAX_VERSION_CHARS, slice_names
from clew.jobs import lessons
from clew.jobs.lessons import lesson_of, read
from clew.store.protocol import Unlearned
from clew.testing.store_contract import DAY_NS, START_NS, a_span, a_span_id, a_trace_id


def due(number=0, spans=2, learned=(), **fields):
    """A trace that is due, as a store gives it."""
    of = [a_span(number, at, name=f"step {at}", kind="tool", **fields) for at in range(spans)]
    return Unlearned("p", a_trace_id(number), of, frozenset(map(a_span_id, learned)), mark=number + 1)


def lesson(*traces):
    return lesson_of("p", traces, read(traces))


def sum_of(*graphs):
    total = Graph()
    for graph in graphs:
        total.merge(graph)
    return total


def taught(trace, spans):
    return learn(calls_of(trace.trace_id, spans))


def test_a_lesson_is_what_its_traces_teach():
    """Together, and marked one by one."""
    one, two = due(0), due(1, spans=3)
    made = lesson(one, two)
    assert made.delta.content() == sum_of(taught(one, one.spans), taught(two, two.spans)).content()
    assert [tuple(mark) for mark in made.traces] == [(a_trace_id(0), 1, False), (a_trace_id(1), 2, False)]


def test_only_finished_spans_are_taught():
    """How the others end is not known."""
    trace = due(0)
    trace.spans[1].end_ns = None
    assert lesson(trace).delta.content() == taught(trace, trace.spans[:1]).content()


def test_what_was_learned_before_is_taken_back():
    """So that the graph is as if the trace had been learned once, whole."""
    graph = taught(due(0), due(0).spans[:2])
    graph.merge(lesson(due(0, spans=3, learned=[0, 1])).delta)
    assert graph.content(when=False) == taught(due(0), due(0, spans=3).spans).content(when=False)


def test_what_was_learned_in_another_form_is_taken_back_in_that_form():
    """A lone end had another name than the start that came later."""
    was = a_span(0, 0, name="unknown", kind="tool")
    trace = due(0, learned=[0])._replace(changed=(was,))
    graph = taught(trace, [was])
    graph.merge(lesson(trace).delta)
    assert graph.content(when=False) == taught(trace, trace.spans).content(when=False)


def test_each_trace_falls_in_the_slice_of_its_day_and_of_its_version():
    """By when it began, in UTC, and by what its root's process says."""
    late = due(1, start_ns=START_NS + DAY_NS, end_ns=START_NS + 2 * DAY_NS, resource={"service.version": "1.4.2"})
    made = lesson(due(0), late, due(2, resource={"service.version": "1.4.2"}))
    assert {name: graph.trace_count for name, graph in made.slices.items()} == {
        "day:2025-11-21": 2,
        "day:2025-11-22": 1,
        "version:1.4.2": 2,
    }
    assert made.delta.trace_count == 3


def test_a_trace_that_turns_out_to_have_begun_earlier_changes_its_slice():
    """What it left in the other one is taken back."""
    trace = due(0, learned=[1])
    trace.spans[0].start_ns -= DAY_NS
    made = lesson(trace)
    assert {name: graph.trace_count for name, graph in made.slices.items()} == {
        "day:2025-11-20": 1,
        "day:2025-11-21": -1,
    }
    assert made.delta.trace_count == 0


@pytest.mark.parametrize("start_ns", [-(1 << 70), 0, 1 << 70])
def test_a_day_that_no_calendar_has_is_no_error(start_ns):
    """A clock may be broken."""
    trace = calls_of("t", [msgspec.structs.replace(a_span(), start_ns=start_ns, end_ns=start_ns)])
    [name] = slice_names(trace)
    assert name.startswith("day:")


def test_a_very_long_version_is_cut():
    """What a trace contains is hostile."""
    [_, name] = slice_names(calls_of("t", due(0, resource={"service.version": "v" * 10_000}).spans))
    assert len(name) <= len("version:") + MAX_VERSION_CHARS


@pytest.mark.parametrize("tripped", ["calls_of", "learn_into"])
def test_a_trace_that_trips_the_learner_costs_only_itself(monkeypatch, caplog, tripped):
    """It is named in the log and skipped; nothing half done of it is in the lesson."""
    real = getattr(lessons, tripped)

    def trip(*args):
        done = real(*args)
        if a_trace_id(1) in (args[0], getattr(args[1], "trace_id", None)):
            raise ZeroDivisionError
        return done

    monkeypatch.setattr(lessons, tripped, trip)
    made = lesson(due(0), due(1), due(2))
    assert [mark.skipped for mark in made.traces] == [False, True, False]
    assert made.delta.content() == sum_of(*(taught(due(at), due(at).spans) for at in (0, 2))).content()
    assert a_trace_id(1) in caplog.text


def test_a_trace_whose_spans_cannot_be_read_is_skipped(caplog):
    """Its chunk is damaged: it teaches nothing, and is not taken for an empty one."""
    made = lesson(due(0, spans=0), due(1))
    assert [mark.skipped for mark in made.traces] == [True, False]
    assert a_trace_id(0) in caplog.text


def test_a_trace_that_only_runs_teaches_nothing_yet():
    """And is no error."""
    trace = due(0, spans=1)
    trace.spans[0].end_ns = None
    made = lesson(trace)
    assert [mark.skipped for mark in made.traces] == [False]
    assert (made.delta.trace_count, made.slices) == (0, {})
