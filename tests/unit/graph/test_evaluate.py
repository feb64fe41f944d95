"""Replaying held-out traces, and what is counted of the answers."""

from __future__ import annotations

import pytest

from clew.errors import UnknownNode
from clew.graph import evaluate_next, evaluate_path, evaluate_plan, evaluate_search
from clew.graph.calls import Call, TraceCalls
from clew.graph.evaluate import Options, evaluate
from clew.graph.evaluate_order import false_edges
from clew.graph.evaluate_replay import Material
from clew.graph.evaluate_tally import Tally, compare
from clew.graph.folds import learned
from clew.graph.recorded import RecordedTrace
from clew.model.graph import Found, Node, Path, Paths, Plan, PlanEdge, SearchResult


def call(call_id: str, start: int, end: int | None = None, **fields: object) -> Call:
    """Give a call whose tool is named like its id up to a dot."""
    return Call(
        **{
            "call_id": call_id,
            "kind": "tool",
            "name": call_id.partition(".")[0],
            "start_ns": start,
            "end_ns": start + 1 if end is None else end,
        }
        | fields
    )


def recorded(*calls: Call, task: str = "task", **fields: object) -> RecordedTrace:
    return RecordedTrace(task=task, calls=TraceCalls(trace_id=task, calls=list(calls)), **fields)


def one_by_one(names: str, task: str = "task", **fields: object) -> RecordedTrace:
    """Give a run of the tools that *names* spells, one after the other."""
    return recorded(*(call(f"{name}.{at}", 2 * at) for at, name in enumerate(names)), task=task, **fields)


def tool(name: str) -> Node:
    return Node("tool", name)


# What comes next.


def test_a_position_has_an_earlier_sibling_or_a_known_parent():
    """Nothing says what a trace begins with."""
    trace = recorded(
        call("root", 0, 9), call("first", 1, parent_id="root"), call("second", 3, parent_id="root"), call("next", 10)
    )

    assert list(evaluate_next.positions(trace)) == [1, 2, 3]


def test_an_arm_is_shown_what_stands_before_a_call_and_nothing_of_it():
    """An arm that saw the answer would be right."""
    trace = recorded(call("root", 0, 9), call("first", 1, parent_id="root"), call("second", 3, parent_id="root"))

    context = evaluate_next.context_at(trace, 2, knows_pending=False)

    assert [each.call_id for each in context.calls] == ["root", "first"]
    assert (context.parent_id, context.pending) == ("root", None)


def test_a_known_parent_is_shown_even_where_a_clock_says_that_it_began_later():
    """It must have been running; without it the arm could not know what the call is inside of."""
    trace = recorded(call("other", 0), call("child", 1, parent_id="late"), call("late", 2))

    assert [each.call_id for each in evaluate_next.context_at(trace, 1, knows_pending=False).calls] == ["other", "late"]


def test_pending_outputs_are_unknown_only_where_nobody_recorded_them():
    """None pending and not known are two things."""
    trace = recorded(call("a", 0), call("b", 2, pending=()), call("c", 4, pending=("a.id",)))

    assert evaluate_next.context_at(trace, 1, knows_pending=True).pending == ()
    assert evaluate_next.context_at(trace, 2, knows_pending=True).pending == ("a.id",)


def test_hits_are_counted_over_the_whole_catalogue():
    """A tool that was never learned can be drawn from the rest, and no more."""
    traces = [one_by_one("ab")]
    graph = learned([one_by_one("ab").calls])
    rankers = {
        "right": lambda graph, _: {graph.find("b"): 0.8, graph.find("a"): 0.2},
        "mute": lambda _graph, _context: {},
    }
    tallies = {arm: Tally() for arm in rankers}

    evaluate_next.Replay(traces, [tool(name) for name in "abcd"], knows_pending=False).ask(graph, rankers, tallies)

    assert [tallies["right"].value(name) for name in ("hit@1", "hit@3", "MRR")] == [1.0, 1.0, 1.0]
    assert [tallies["mute"].value(name) for name in ("hit@1", "hit@3")] == [0.25, 0.75]
    assert tallies["right"].value("quadratic") == pytest.approx(2 * 0.8 - 0.8**2 - 0.2**2)
    assert [(each.said, each.was) for each in tallies["right"].shown.bins()] == [(0.2, 0.0), (0.8, 1.0)]


def test_what_one_believes_is_best_said():
    """The quadratic score must not reward boldness: with seven of ten right, 0.7 scores best."""

    def score(said: float) -> float:
        probabilities = {0: said, 1: 1 - said}
        return 0.7 * evaluate_next.quadratic(probabilities, 0) + 0.3 * evaluate_next.quadratic(probabilities, 1)

    assert max((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), key=score) == 0.7


# The way from the first tool to the last.


def test_a_run_has_something_between_two_different_ends():
    """A way from a tool to itself, or to the next, is nothing to be found."""
    trace = recorded(
        *one_by_one("aabcd").calls.calls,
        call("x", 20, parent_id="a.0"),
        call("y", 22, parent_id="a.0"),
        call("x.2", 24, parent_id="a.0"),
    )

    assert list(evaluate_path.runs(trace)) == [tuple(map(tool, "abcd"))]


def test_a_way_is_exact_or_shares_some_of_the_tools_between():
    """Half of the tools between, half of which are right, is an F1 of a half."""
    finders = {
        "exact": lambda *_, **__: Paths(arm="", arm_version=0, paths=(Path(nodes=tuple(map(tool, "abcd")), cost=1.0),)),
        "near": lambda *_, **__: Paths(arm="", arm_version=0, paths=(Path(nodes=tuple(map(tool, "abxd")), cost=1.0),)),
        "none": lambda *_, **__: Paths(arm="", arm_version=0, paths=()),
    }
    tallies = {arm: Tally() for arm in finders}

    evaluate_path.Replay([one_by_one("abcd")]).ask(learned([]), finders, tallies)

    assert {arm: (tally.value("exact"), tally.value("F1 between")) for arm, tally in tallies.items()} == {
        "exact": (1.0, 1.0),
        "near": (0.0, 0.5),
        "none": (0.0, 0.0),
    }


def test_an_end_that_was_never_learned_is_a_way_not_found():
    """Held-out traces hold new tools."""

    def refuse(*_: object, **__: object) -> Paths:
        raise UnknownNode("d")

    tallies = {"refuses": Tally()}

    evaluate_path.Replay([one_by_one("abcd")]).ask(learned([]), {"refuses": refuse}, tallies)

    assert tallies["refuses"].value("exact") == 0.0
    assert tallies["refuses"].tasks == ["task"]


# Material.


def test_every_tool_is_registered_though_it_was_never_learned():
    """Then an arm may suggest a tool that the running trace has just brought; and a search finds it by its name."""
    training, test = one_by_one("ab", task="one"), one_by_one("cd", task="other")

    graph = Material([training, test]).graph("next", [training])

    assert set(graph.nodes) == set(map(tool, "abcd"))
    assert graph.node_count[graph.find(tool("c"))] == 0


# Plans.


def plan_of(*edges: str) -> Plan:
    """Give a plan with edges such as 'ab'."""
    return Plan(
        arm="",
        arm_version=0,
        levels=(),
        edges=tuple(PlanEdge(origin=tool(one), target=tool(other), evidence=1.0) for one, other in edges),
    )


def test_planned_edges_are_held_against_the_known_ones():
    """One of two planned is right, of three there are: F1 is 2/5."""
    trace = one_by_one("abcd", deps={"b.1": ("a.0",), "c.2": ("a.0",), "d.3": ("b.1",)})
    tally = Tally()

    evaluate_plan.Replay([trace]).ask(learned([]), {"some": lambda *_: plan_of("ab", "dc")}, {"some": tally})

    assert tally.value("edge F1") == pytest.approx(2 / 5)
    assert (tally.value("precision"), tally.value("recall")) == (1 / 2, pytest.approx(1 / 3))
    assert tally.value("cyclic") == 0.0


def test_a_plan_in_a_circle_is_noticed():
    """The gate rests on it."""
    tally = Tally()
    trace = one_by_one("abc", deps={"b.1": ("a.0",)})

    evaluate_plan.Replay([trace]).ask(learned([]), {"": lambda *_: plan_of("ab", "bc", "ca")}, {"": tally})

    assert tally.value("cyclic") == 1.0
    assert not evaluate_plan.is_cyclic([("a", "b"), ("a", "c"), ("b", "c")])
    assert evaluate_plan.is_cyclic([("a", "a")])


def test_tools_are_given_to_a_planner_in_an_order_that_says_nothing():
    """By the order in which they ran, any planner would be right."""
    (run,) = evaluate_plan.runs(one_by_one("cab", deps={"a.1": ("c.0",)}))

    assert run.tools == tuple(map(tool, "abc"))
    assert run.edges == {(tool("c"), tool("a"))}


def test_replayed_in_parallel_a_call_begins_when_all_that_it_waits_for_has_ended():
    """Numbered lines would say that each call waited for the one before."""
    trace = one_by_one("abcd", deps={"a.0": (), "b.1": (), "c.2": ("a.0",), "d.3": ("c.2", "b.1")})

    times = {each.call_id: (each.start_ns, each.end_ns) for each in evaluate_plan.in_parallel(trace).calls}

    assert times == {"a.0": (0, 1), "b.1": (0, 1), "c.2": (1, 2), "d.3": (2, 3)}


def test_recorded_times_are_kept_where_calls_ran_side_by_side():
    """There they are more than numbering; `auto` looks."""
    numbered = [one_by_one("ab", deps={"b.1": ()})]
    timed = [recorded(call("a", 0, 5), call("b", 1, 3), deps={"b": ()})]

    assert Material(numbered).parallel
    assert not Material(timed).parallel
    assert Material(timed, "parallel").parallel
    assert not Material(numbered, "as-recorded").parallel


# Search.


def test_tools_that_a_search_finds_are_held_against_those_that_were_used():
    """Requests and capabilities among what is found stand for nothing and take no place."""
    trace = one_by_one("ab", text="cancel my flight")
    found = [Node("capability", "cancel"), *map(tool, "xyzabw")]
    seen: list[str] = []

    def search(_graph: object, text: str, **_: object) -> SearchResult:
        seen.append(text)
        return SearchResult(arm="", arm_version=0, found=tuple(Found(node=node, score=1.0) for node in found))

    tally = Tally()
    evaluate_search.Replay([], [trace]).ask(learned([]), {"": search}, {"": tally})

    assert seen == ["cancel my flight"]
    assert (tally.value("recall@5"), tally.value("all@5")) == (1.0, 1.0)
    found.insert(1, tool("v"))
    evaluate_search.Replay([], [trace]).ask(learned([]), {"": search}, {"": tally})
    assert (tally.value("recall@5"), tally.value("all@5")) == (0.75, 0.5)


# Arms beside each other.


def test_a_difference_is_paired_so_that_a_small_but_steady_one_shows():
    """Tasks differ far more from each other than arms do."""
    base, better = Tally(), Tally()
    for number in range(60):
        base.add(f"task {number}", "hit@1", 10.0 * (number % 2), 10.0)
        better.add(f"task {number}", "hit@1", 10.0 * (number % 2) + (0.5 if number % 3 else 0.0), 10.0)

    old, new = compare({"base": base, "better": better}, "base")

    assert old.differences == {}
    assert new.figures["hit@1"].low < old.figures["hit@1"].value
    assert new.differences["hit@1"].low > 0


# False edges.


def test_each_relation_of_calls_that_ended_one_after_the_other_is_told_apart():
    """The chronological graph joins them all."""
    trace = TraceCalls(
        trace_id="t",
        calls=[
            call("root", 0, 100),
            call("a", 1, 5, parent_id="root"),
            call("b", 6, 9, parent_id="root"),  # in sequence after a
            call("c", 7, 10, parent_id="root"),  # side by side with b
            call("inner", 11, 20, parent_id="d"),  # unrelated to c
            call("d", 10, 21, parent_id="root"),  # inner's own parent
        ],
    )

    false = false_edges([trace])

    assert false.nested
    assert false.chronological == 5
    assert false.relations == {
        "child to own parent": 0.4,  # inner to d, d to root
        "in sequence": 0.2,
        "side by side": 0.2,
        "unrelated": 0.2,
    }
    assert false.distinct_false == 0.8
    assert false.siblings_side_by_side == pytest.approx(1 / 3)  # b and c, of a-b, b-c, c-d
    assert false.clew_false == 0
    assert false.clew > 0


def test_a_false_sequence_edge_of_clew_would_be_counted(monkeypatch):
    """A gate that cannot be missed is none: a learner that joins whatever began one after the other is caught."""
    overlapping = TraceCalls(trace_id="t", calls=[call("a", 0, 5), call("b", 1, 6), call("c", 7, 8)])

    def naive(trace: TraceCalls):
        moved = [call(each.call_id, 10 * at) for at, each in enumerate(trace.calls)]
        return learned([TraceCalls(trace_id="t", calls=moved)])

    monkeypatch.setattr("clew.graph.evaluate_order.learn", naive)

    assert false_edges([overlapping]).clew_false == 1


def test_a_long_trace_is_counted_in_bounded_time():
    """Ten thousand siblings have fifty million pairs."""
    trace = TraceCalls(trace_id="t", calls=[call(f"loop.{at}", 2 * at) for at in range(10_000)])

    assert false_edges([trace]).clew_false == 0


# The whole.


def a_habit(runs: int = 60) -> list[RecordedTrace]:
    """Give runs that always go look, pick, pay, by a few roads."""
    roads = ["lpq", "lxpq", "lypq"]
    return [
        one_by_one(
            roads[number % 3],
            task=f"task {number}",
            text=f"please buy item {number}",
            deps={f"{name}.{at}": (f"{before}.{at - 1}",) for at, (before, name) in
                  enumerate(zip(roads[number % 3], roads[number % 3][1:], strict=False), start=1)},
        )
        for number in range(runs)
    ]  # fmt: skip


def test_a_habit_is_learned_and_every_question_is_measured():
    """The whole way through, with the arms that there are."""
    told: list[str] = []

    figures = evaluate("habits", a_habit(), Options(folds=3), told.append)

    assert (figures.data, figures.traces, figures.tasks, figures.tools) == ("habits", 60, 60, 5)
    by_name = {asked.question: asked for asked in figures.questions}
    assert set(by_name) == {"next", "path", "plan", "search"}
    for asked in by_name.values():
        arms = {arm.arm: arm for arm in asked.arms}
        assert asked.asked > 0
        assert {asked.baseline, asked.default} <= set(arms)
    best = {arm.arm: arm for arm in by_name["next"].arms}
    assert best["learned"].figures["hit@1"].value > best["popularity"].figures["hit@1"].value
    assert best["learned"].reliability
    assert {curve.sizes for curve in figures.curves} == {(5, 20, 40)}
    assert any("fold 3 of 3" in each for each in told)
    rules = {gate.rule: gate for gate in figures.gates}
    assert rules["no plan goes in a circle"].met
    assert rules["no sequence edge between calls that ran side by side"].met
    assert "next: learned is not below follows in hit@1" in rules


def test_what_data_lacks_to_be_asked_is_said():
    """An empty table would read as a figure of zero."""
    figures = evaluate("bare", [one_by_one("abc", task=str(at)) for at in range(10)], Options(folds=2))

    notes = {asked.question: asked.note for asked in figures.questions if not asked.arms}
    assert "(dep)" in notes["plan"]
    assert "(text)" in notes["search"]


def test_traces_of_one_call_each_have_nothing_to_ask():
    """There is no next step in them."""
    figures = evaluate("single", [one_by_one("a", task=str(at)) for at in range(10)], Options(questions=("next",)))

    assert figures.questions[0].note == "no trace has enough calls to be asked about"
    assert figures.questions[0].arms == ()


def test_only_the_arms_that_were_named_and_the_baseline_are_asked():
    """A quick run is quick."""
    figures = evaluate("habits", a_habit(30), Options(questions=("next",), arms=("popularity",), folds=2))

    assert [arm.arm for arm in figures.questions[0].arms] == ["popularity", "follows"]
