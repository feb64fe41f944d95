"""Learning for as long as the process runs: once each, never raising, never in the way."""

import threading

import pytest

from clew.errors import StoreBusy, StoreUnavailable
from clew.graph import Graph, learn
from clew.graph.reading import calls_of
from clew.jobs import learn as learning
from clew.jobs import lessons
from clew.jobs.learn import OPEN_FOR_NS, ROOTLESS_TIMES, LearnJob
from clew.model.graph import Node
from clew.store import open_store
from clew.testing.store_contract import SECOND_NS, START_NS, a_span, a_span_id, a_trace_id, put
from clew.testing.store_contract_choices import a_suggestion
from clew.testing.store_contract_graph import NOW_NS, due


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    store = open_store("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/clew.db")
    yield store
    store.close()


def job_on(store, **fields):
    """A job for which all is long quiet."""
    return LearnJob(store, **{"now_ns": lambda: NOW_NS} | fields)


def expected(*traces):
    graph = Graph()
    for spans in traces:
        graph.merge(learn(calls_of(spans[0].trace_id, spans)))
    return graph


def trace(number, spans=3, **fields):
    return [a_span(number, at, kind="tool", name=f"step {at}", **fields) for at in range(spans)]


def test_what_is_due_is_learned_once(store):
    """A round gives how many traces it learned; the next has nothing to do."""
    put(store, *trace(0), *trace(1))
    job = job_on(store)
    assert [job.learn_once(), job.learn_once()] == [2, 0]
    assert store.graph("default").content() == expected(trace(0), trace(1)).content()
    assert "day:2025-11-21" in store.slice_names("default")


def test_a_late_span_corrects_what_was_learned(store):
    """As if it had come in time."""
    job = job_on(store)
    put(store, *trace(0)[:2])
    job.learn_once()
    put(store, trace(0)[2])
    assert job.learn_once() == 1
    assert store.graph("default").content(when=False) == expected(trace(0)).content(when=False)


def test_a_trace_is_left_in_peace_until_it_is_quiet(store, monkeypatch):
    """Longer while its root has not come."""
    written_ns = 5_000 * SECOND_NS
    for module in ("memory_graph", "sqlite.commit"):
        monkeypatch.setattr(f"clew.store.{module}.time.time_ns", lambda: written_ns)
    put(store, a_span(0, 0))
    put(store, a_span(1, 1))
    now = [written_ns]
    job = LearnJob(store, now_ns=lambda: now[0], quiet_s=2.0)
    learned = []
    for later_s in (1.9, 2.1, 2.1 * ROOTLESS_TIMES):
        now[0] = written_ns + round(later_s * SECOND_NS)
        learned.append(job.learn_once())
    assert learned == [0, 1, 1]


def test_a_round_is_bounded(store, monkeypatch):
    """So that no transaction is long, and what is read fits in memory."""
    monkeypatch.setattr(learning, "ROUND_TRACES", 2)
    monkeypatch.setattr(learning, "ROUND_SPANS", 4)
    for number, spans in enumerate((1, 1, 1, 5, 3, 2)):
        put(store, *trace(number, spans))
    job = job_on(store)
    assert [job.learn_once() for _ in range(6)] == [2, 1, 1, 1, 1, 0]


def test_projects_are_learned_apart(store):
    """One round may bring several."""
    put(store, *trace(0), project="a")
    put(store, *trace(0), *trace(1), project="b")
    told = []
    job = job_on(store, on_learned=lambda project, delta, version: told.append((project, delta.trace_count, version)))
    assert job.learn_once() == 3
    assert sorted(told) == [("a", 1, 1), ("b", 2, 1)]
    assert store.graph("a").content() == expected(trace(0)).content()


def test_who_is_told_can_keep_a_graph_current(store):
    """Each delta merged in turn gives the graph that is stored, also after corrections."""
    current = Graph()
    versions = []

    def learned(project, delta, version):
        current.merge(delta)
        versions.append(version)

    job = job_on(store, on_learned=learned)
    for spans in (trace(0)[1:], trace(1), trace(0)):
        put(store, *spans)
        job.learn_once()
    assert versions == [1, 2, 3]
    assert current.content(when=False) == store.graph("default").content(when=False)


def test_who_is_told_may_fail(store, caplog):
    """What was learned is saved all the same."""

    def fail(*_):
        raise ZeroDivisionError

    put(store, *trace(0))
    assert job_on(store, on_learned=fail).learn_once() == 1
    assert "told" in caplog.text


def test_what_changes_while_it_is_learned_is_left_to_the_next_round(store, monkeypatch):
    """A span comes between reading and saving: the others of the round are saved, and nothing is learned twice."""
    put(store, *trace(0), *trace(1, 2))
    save = store.save_lesson

    def save_late(lesson):
        monkeypatch.setattr(store, "save_lesson", save)
        put(store, trace(1)[2])
        return save(lesson)

    monkeypatch.setattr(store, "save_lesson", save_late)
    job = job_on(store)
    assert [job.learn_once(), job.learn_once(), job.learn_once()] == [1, 1, 0]
    assert store.graph("default").content() == expected(trace(0), trace(1)).content()


def test_two_jobs_never_learn_a_trace_twice(store):
    """Two servers may share a store; whoever comes second finds it learned."""
    for number in range(30):
        put(store, *trace(number))
    learned = []
    jobs = [job_on(store) for _ in range(3)]
    threads = [threading.Thread(target=lambda job=job: learned.append(job.learn_once())) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while job_on(store).learn_once():
        learned.append(0)
    assert due(store) == []
    assert store.graph("default").content() == expected(*(trace(number) for number in range(30))).content()


def test_a_trace_that_cannot_be_learned_blocks_nothing(store, monkeypatch):
    """A bug in the learner costs the traces that trip it, until more of them comes."""
    real = lessons.calls_of

    def trip(trace_id, spans):
        if trace_id == a_trace_id(0) and len(spans) < 3:
            raise ZeroDivisionError
        return real(trace_id, spans)

    monkeypatch.setattr(lessons, "calls_of", trip)
    put(store, *trace(0, 2))
    put(store, *trace(1))
    job = job_on(store)
    assert [job.learn_once(), job.learn_once()] == [1, 0]
    put(store, trace(0)[2])
    assert job.learn_once() == 1
    assert store.graph("default").content() == expected(trace(0), trace(1)).content()


def test_a_lesson_that_the_store_cannot_keep_is_taken_apart(store, monkeypatch, caplog):
    """The one trace that it chokes on is set aside, the others are saved."""
    save = store.save_lesson

    def choke(lesson):
        if any(node.name == "poison" for node in lesson.delta.nodes):
            raise TypeError("no such thing can be kept")
        return save(lesson)

    monkeypatch.setattr(store, "save_lesson", choke)
    for number in range(5):
        put(store, *trace(number))
    put(store, a_span(5, name="poison"))
    job = job_on(store)
    assert [job.learn_once(), job.learn_once()] == [5, 0]
    assert a_trace_id(5) in caplog.text
    assert store.graph("default").trace_count == 5


@pytest.mark.parametrize("error", [StoreBusy("busy"), StoreUnavailable("away"), ZeroDivisionError()])
@pytest.mark.parametrize("broken", ["unlearned", "save_lesson", "open_suggestions"])
def test_a_store_that_fails_is_asked_again(store, monkeypatch, error, broken):
    """Nothing is raised, and nothing is lost or learned twice."""
    put(store, *trace(0))
    real = getattr(store, broken)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(store, broken, fail)
    job = job_on(store)
    job.learn_once()
    monkeypatch.setattr(store, broken, real)
    if broken == "save_lesson" and isinstance(error, ZeroDivisionError):
        put(store, trace(0, 4)[3])  # It was the trace's fault, as far as anybody could see.
    job.learn_once()
    assert due(store) == []
    assert store.graph("default").trace_count == 1


# Suggestions.


def test_suggestions_are_scored_with_what_came_next(store):
    """In the run that they were given to, when it is learned."""
    ranked = [Node("tool", "step 2"), Node("tool", "step 1")]
    asked = {"ranked": ranked, "probabilities": [0.5, 0.4], "parent_span_id": a_span_id(0)}
    store.log_suggestion(a_suggestion(0, at_ns=START_NS + 1, **asked))
    store.log_suggestion(a_suggestion(1, at_ns=START_NS + 9 * SECOND_NS, **asked))
    put(store, *trace(0), *trace(1))
    job_on(store).learn_once()
    first, second = store.suggestion_records("default", "suggest", 0)
    assert (first.outcome, first.rank, first.scored) == (Node("tool", "step 1"), 2, True)
    assert (second.outcome, second.scored) == (None, False)


def test_a_suggestion_whose_trace_never_comes_is_closed_after_a_day(store):
    """Without an outcome: it counts neither as a hit nor as a miss."""
    store.log_suggestion(a_suggestion(0))
    now = [a_suggestion(0).at_ns + OPEN_FOR_NS]
    job = LearnJob(store, now_ns=lambda: now[0])
    job.learn_once()
    assert store.open_suggestions("default", [a_trace_id(0)])
    now[0] += learning.CLOSE_EVERY_NS
    job.learn_once()
    assert store.open_suggestions("default", [a_trace_id(0)]) == []
    assert not store.suggestion_records("default", "suggest", 0)[0].scored


# The thread.


class Waits:
    """Instead of sleeping: counts, and ends the job after so many."""

    def __init__(self, most=1):
        self.seconds = []
        self.job = None
        self._most = most

    def __call__(self, seconds):
        self.seconds.append(seconds)
        if len(self.seconds) >= self._most:
            self.job._closing.set()


def run(store, most, **fields):
    """Run a job's thread until it has waited so often; gives how long it would have waited."""
    waits = Waits(most)
    waits.job = job_on(store, wait=waits, **fields)
    waits.job.start()
    waits.job._thread.join()
    assert waits.job.close()
    return waits.seconds


def test_the_thread_learns_until_nothing_is_due_then_polls(store, monkeypatch):
    """It goes on at once while there is more."""
    monkeypatch.setattr(learning, "ROUND_TRACES", 1)
    for number in range(3):
        put(store, *trace(number))
    waited = run(store, 4)
    assert store.graph("default").trace_count == 3
    assert waited[3] == learning.POLL_S


def test_a_store_that_stays_away_is_asked_ever_more_seldom(store, monkeypatch, caplog):
    """And it is said once, not each time."""

    def away(**_):
        raise StoreUnavailable("the disk is gone")

    monkeypatch.setattr(store, "unlearned", away)
    waited = run(store, 9)
    assert waited == sorted(waited)
    assert waited[0] >= learning.POLL_S
    assert waited[-1] == learning.LONGEST_BACKOFF_S
    assert caplog.text.count("the disk is gone") == 1


def test_closing_ends_the_thread_before_the_store_is_closed(store):
    """Twice is no error, nor is a job that was never started."""
    put(store, *trace(0))
    job = job_on(store)
    assert job.close()
    job = job_on(store)
    job.start()
    assert job.close(timeout_s=30)
    assert job.close()
