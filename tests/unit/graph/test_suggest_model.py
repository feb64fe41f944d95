"""The learned arm's model: it follows its graph, in any order, forwards and backwards, within bounds."""

from __future__ import annotations

import gc
import random
import time
import weakref
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.graph import next_evidence, next_gates, next_intake
from clew.graph.calls import Call, Context, TraceCalls
from clew.graph.learn import learn, learn_into
from clew.graph.next_contexts import LAST, ORDERED, POSITION, SCOPE, SCOPE_LAST, UNORDERED, Walk
from clew.graph.next_evidence import SIGNALS, START, Scene
from clew.graph.next_intake import Intake
from clew.graph.next_model import model_of
from clew.graph.next_place import Seen
from clew.graph.next_tables import TOTAL, Tables
from clew.graph.state import TOP, Graph
from clew.graph.suggest import context_of, rank, suggest
from clew.model.graph import Node


def trace(number: int, names: str, *, parent: str | None = None) -> TraceCalls:
    """Tools one after another; one letter each, a capital one failed. Later numbers are newer."""
    start_ns = number * 1_000_000
    calls = [
        Call(
            call_id=str(at),
            parent_id="scope" if parent else None,
            kind="tool",
            name=name.lower(),
            start_ns=start_ns + 10 * at,
            end_ns=start_ns + 10 * at + 5,
            ok=name.islower(),
            pending=("a.x",) if at and "a" in names[:at] else (),
            consumed=("a.x",) if name == "b" else (),
        )
        for at, name in enumerate(names)
    ]
    if parent:
        scope = Call(call_id="scope", kind="capability", name=parent, start_ns=start_ns, end_ns=start_ns + 10**6)
        calls.insert(0, scope)
    return TraceCalls(trace_id=f"trace {number}", calls=calls)


TRACES = st.lists(
    st.tuples(st.text("abcD", min_size=1, max_size=6), st.sampled_from([None, "work"])), min_size=1, max_size=15
)
CONTEXTS = [([], None), (["a"], None), (["a", "b"], "work"), (["c", {"name": "d", "ok": False}], None)]


def said(graph: Graph) -> list[list[tuple[Node, float]]]:
    return [
        [(one.node, one.probability) for one in suggest(graph, context_of(graph, called, within), k=10).suggestions]
        for called, within in CONTEXTS
    ]


def counted(tables: Tables) -> dict[int, dict[int, int]]:
    found = {key: tables.at(key) for key in tables._rows}
    return {key: dict(counts) for key, counts in found.items() if counts is not None}


@given(traces=TRACES, seed=st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_the_same_traces_in_any_order_give_the_same_suggestions(traces, seed):
    """Jobs learn in parallel, and graphs are merged from parts: nothing of that may show."""
    one, other = Graph(), Graph()
    lessons = [trace(number, names, parent=within) for number, (names, within) in enumerate(traces)]
    for lesson in lessons:
        learn_into(one, lesson)
    for lesson in random.Random(seed).sample(lessons, len(lessons)):
        other.merge(learn(lesson))

    for first, second in zip(said(one), said(other), strict=True):
        assert [node for node, _ in first] == [node for node, _ in second]
        assert [chance for _, chance in first] == pytest.approx([chance for _, chance in second], abs=1e-9)


@given(before=TRACES, after=TRACES)
@settings(max_examples=25, deadline=None)
def test_a_model_that_followed_counts_what_one_made_anew_counts(before, after):
    """A served graph learns each second; its model is not made anew each second."""
    followed, at_once = Graph(), Graph()
    for number, (names, within) in enumerate(before):
        learn_into(followed, trace(number, names, parent=within))
        learn_into(at_once, trace(number, names, parent=within))
    model_of(followed)
    for number, (names, within) in enumerate(after, len(before)):
        learn_into(followed, trace(number, names, parent=within))
        learn_into(at_once, trace(number, names, parent=within))

    new, old = model_of(at_once).tables, model_of(followed).tables
    assert counted(old) == counted(new)
    assert (old.company, old.feeds, old.positions) == (new.company, new.feeds, new.positions)


@given(kept=TRACES, gone=TRACES)
@settings(max_examples=25, deadline=None)
def test_what_is_taken_back_is_forgotten(kept, gone):
    """A late span corrects a trace: the trace as it was is taken back."""
    graph = Graph()
    for number, (names, within) in enumerate(kept):
        learn_into(graph, trace(number, names, parent=within))
    before = model_of(graph).tables
    was = deepcopy((counted(before), before.feeds, before.company, before.positions))
    lessons = [learn(trace(number, names, parent=within)) for number, (names, within) in enumerate(gone, 100)]
    for lesson in lessons:
        graph.merge(lesson)
    model_of(graph)
    for lesson in lessons:
        graph.merge(lesson, times=-1)

    now = model_of(graph).tables
    assert (counted(now), now.feeds, now.company, now.positions) == was


def test_a_new_habit_is_suggested_at_once():
    """What was learned a second ago counts."""
    graph = Graph()
    for number in range(5):
        learn_into(graph, trace(number, "ab"))
    context = context_of(graph, ["a"])
    assert suggest(graph, context).suggestions[0].node.name == "b"
    for number in range(5, 40):
        learn_into(graph, trace(number, "ac"))

    assert suggest(graph, context).suggestions[0].node.name == "c"


def test_a_model_goes_with_its_graph():
    """A server drops graphs that nobody asks about; their models are the bigger part."""
    graph = learn(trace(1, "abc"))
    model = weakref.ref(model_of(graph))
    del graph
    gc.collect()

    assert model() is None


def test_of_too_many_episodes_the_newest_are_counted(monkeypatch):
    """Memory and the time to build are bounded, whatever the graph holds."""
    monkeypatch.setattr(next_intake, "MOST_PLACES", 40)
    monkeypatch.setattr(next_intake, "_SLACK", 10)
    graph = Graph()
    intake = Intake()
    for number in range(60):
        learn_into(graph, trace(number, "abcde", parent=f"work {number}"))
        if number % 7 == 0:
            intake.follow(graph)
        assert intake.tables.positions <= 50
    intake.follow(graph)
    anew = Intake()
    anew.follow(graph)

    newest = [trace(59, "abcde", parent="work 59").trace_id]
    for each in (intake, anew):
        assert 20 <= each.tables.positions <= 50
        assert newest in [list(episode.traces) for episode in each.episodes()]
        assert all(int(episode.traces[0].split()[1]) >= 45 for episode in each.episodes())


def test_an_episode_left_out_as_old_is_counted_when_it_comes_again(monkeypatch):
    """It is new again."""
    monkeypatch.setattr(next_intake, "MOST_PLACES", 20)
    graph = Graph()
    for number in range(20):
        learn_into(graph, trace(number, "abcde", parent=f"work {number}"))
    intake = Intake()
    intake.follow(graph)
    oldest = graph.find("capability:work 0")
    assert all(episode.scope != oldest for episode in intake.episodes())
    learn_into(graph, trace(99, "abcde", parent="work 0"))
    intake.follow(graph)

    assert any(episode.scope == oldest for episode in intake.episodes())


def test_contexts_of_one_outcome_are_told_from_those_of_many():
    """One outcome is kept as one number; it must read, grow and go like the others."""
    tables = Tables()
    (episode,) = learn(trace(1, "ab")).episodes()
    walk = Walk(TOP)
    walk.take(Seen(episode.steps[0].node, True, ()))
    key = walk.contexts(())[walk.kinds(()).index(LAST)]
    tables.learn(episode, 3)
    assert tables.at(key) == {episode.steps[1].node: 3, TOTAL: 3}
    tables.learn(episode, -3)

    assert tables.at(key) is None
    assert len(tables) == 0


def test_kinds_and_contexts_go_together():
    """They are made apart, since most walks need no kinds."""
    walk = Walk(TOP)
    for at in range(8):
        for pending in ((), ("a.x", "b.y")):
            assert len(walk.kinds(pending)) == len(walk.contexts(pending)) == len(set(walk.contexts(pending)))
        walk.take(Seen(at % 3, at != 4, ("key",)))


def test_a_set_of_siblings_does_not_depend_on_their_order_and_their_sequence_does():
    """Two of the contexts differ in just this."""
    walks = []
    for nodes in ((1, 2, 2, 3), (2, 1, 3)):
        walk = Walk(TOP)
        for node in nodes:
            walk.take(Seen(node, True, ()))
        walks.append(dict(zip(walk.kinds(()), walk.contexts(()), strict=True)))
    one, other = walks

    assert {kind for kind, key in one.items() if other.get(kind) == key and kind > ORDERED} == {ORDERED + 1}
    assert one[ORDERED] != other[ORDERED]


def test_a_scope_sets_some_contexts_apart_and_leaves_others_in_common():
    """What holds in one capability is no law elsewhere, and still better than nothing."""
    walks = []
    for scope in (5, 6):
        walk = Walk(scope)
        for node in (1, 2, 3, 4):
            walk.take(Seen(node, False, ()))
        walks.append(dict(zip(walk.kinds(("a.x",)), walk.contexts(("a.x",)), strict=True)))
    one, other = walks

    assert {kind for kind, key in one.items() if other[kind] != key} == {
        SCOPE,
        POSITION,
        SCOPE_LAST,
        ORDERED,
        UNORDERED,
    }


def test_what_never_comes_twice_in_a_run_is_told_from_what_does():
    """The signal `again` compares how often a node comes where it already ran with how often it comes at all."""
    graph = Graph()
    for number, names in enumerate(("abbbb", "bbabb", "bbbba", "babbb")):
        learn_into(graph, trace(number, names))
    walk = Walk(TOP)
    for name in "ab":
        walk.take(Seen(graph.find(f"tool:{name}"), True, ()))
    scene = Scene(model_of(graph).tables, walk, ())
    again = {name: scene.signals(graph.find(f"tool:{name}"), 0.5, 0.5)[SIGNALS.index("again")] for name in "ab"}

    assert again["a"] < 0 < again["b"]


def test_weights_are_fitted_anew_when_the_graph_has_grown_or_shrunk_by_a_third(monkeypatch):
    """Fitting takes most of a second for a big graph, and small changes do not move the weights."""
    fitted = []
    fit = next_gates.fit
    monkeypatch.setattr(next_gates, "fit", lambda rows: fitted.append(len(rows)) or fit(rows))
    graph = Graph()
    sizes = []
    for number in range(14):
        learn_into(graph, trace(number, "abc"))
        model_of(graph)
        sizes.append(len(fitted))
    assert sizes == [1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 7]
    for number in range(6):
        graph.merge(learn(trace(number, "abc")), times=-1)
        model_of(graph)

    assert len(fitted) == 8


def test_trust_goes_to_the_context_that_is_right():
    """Two gates at each place: one always gives what came 0.9, the other 0.1."""
    good, bad = next_gates.gate(LAST, 10, 3), next_gates.gate(ORDERED, 10, 3)
    trust = next_gates.fit([((next_gates.FLOOR, good, bad), (1e-4, 0.9, 0.1), 1.0)] * 200)

    assert trust[good] > 20 * trust[bad]


def test_without_a_place_to_fit_to_trust_is_as_at_first():
    """The first trace of a project is believed about as much as first traces were elsewhere."""
    assert next_gates.fit([]) == next_gates.at_first()
    assert all(trust > 0 for trust in next_gates.at_first())


def test_a_signal_that_tells_the_right_one_gets_weight():
    """Of two candidates that the mixture cannot tell apart, the one with the signal always came."""
    with_it, without = [-0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], [-0.7, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    weights = next_evidence.fit([([with_it, without], 0, 1.0)] * 300)

    assert weights[-1] > 1.5
    assert weights[:-1] == pytest.approx(START[:-1], abs=1e-6)


def test_without_evidence_the_mixture_is_trusted():
    """Weights are held at the start by as many observations as it takes to believe them."""
    assert next_evidence.fit([]) == pytest.approx(START)


def test_a_context_of_a_hundred_thousand_calls_is_read_in_bounded_time():
    """Runaway agents loop; only the latest calls matter."""
    graph = Graph()
    for number in range(20):
        learn_into(graph, trace(number, "abcab"))
    calls = [Call(call_id=str(at), kind="tool", name="abc"[at % 3], start_ns=at, end_ns=at) for at in range(100_000)]
    suggest(graph, Context(calls=calls[:10]))
    began = time.process_time()
    found = suggest(graph, Context(calls=calls, pending=tuple(f"a.{at}" for at in range(10_000))))

    assert found.suggestions[0].node.name == "b"
    assert time.process_time() - began < 1.0


def test_names_of_ten_kilobytes_are_answered():
    """They are kept short in the graph, and asked for at full length."""
    long = "x" * 10_000
    lessons = [
        TraceCalls(
            trace_id=str(at),
            calls=[
                Call(call_id="1", kind="tool", name=long, start_ns=1, end_ns=2),
                Call(call_id="2", kind="tool", name="b" * 10_000, start_ns=3, end_ns=4),
            ],
        )
        for at in range(5)
    ]
    graph = Graph()
    for lesson in lessons:
        learn_into(graph, lesson)
    first = suggest(graph, context_of(graph, [long])).suggestions[0]

    assert first.node.name.startswith("b" * 100)
    assert all(len(reason.text) < 500 for reason in first.reasons)
    assert suggest(graph, context_of(graph, ["y" * 10_000])).suggestions


def test_a_trace_of_very_many_calls_is_learned_in_bounded_time():
    """Episodes are cut by the kernel; a flood of one tool must not be fitted to at each of its places."""
    graph = Graph()
    draw = random.Random(0)
    for number in range(30):
        learn_into(graph, trace(number, "".join(draw.choices("abc", k=400))))
    began = time.process_time()
    rank(graph, context_of(graph, ["a"]))

    assert time.process_time() - began < 5.0
