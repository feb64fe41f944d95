"""What comes next: the rules that every arm keeps, and what the learned arm takes into account."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.graph.calls import Call, Context, TraceCalls
from clew.graph.learn import learn_into
from clew.graph.state import Graph
from clew.graph.suggest import ARMS, MOST_SUGGESTED, WEIGHTS, context_of, rank, suggest
from clew.graph.templates import read_template, template_graph
from clew.model.graph import Node


def tool(name: str) -> Node:
    return Node("tool", name)


def call(name: str, at: int, parent: str | None = None, *, took: int = 1, **more: object) -> Call:
    """One call; times are in steps of ten, so that calls follow each other unless they take long."""
    return Call(
        call_id=f"{parent}/{at}",
        parent_id=parent,
        kind="tool",
        name=name,
        start_ns=10 * at,
        end_ns=10 * at + took,
        **more,
    )


def run(trace_id: str, names: Sequence[str], *, within: str | None = None, **more: object) -> TraceCalls:
    """A trace of tools one after another, inside of a capability if one is named."""
    if within is None:
        return TraceCalls(trace_id=trace_id, calls=[call(name, at, **more) for at, name in enumerate(names)])
    scope = Call(call_id="scope", kind="capability", name=within, start_ns=0, end_ns=10_000)
    return TraceCalls(
        trace_id=trace_id, calls=[scope, *(call(name, at + 1, "scope", **more) for at, name in enumerate(names))]
    )


def learned(*traces: TraceCalls) -> Graph:
    graph = Graph()
    for trace in traces:
        learn_into(graph, trace)
    return graph


def runs(spec: dict[str, int], *, within: str | None = None) -> list[TraceCalls]:
    """Traces by their tools, one letter each, and how often: {"abc": 3}."""
    return [
        run(f"{within} {names} {number}", names, within=within)
        for names, count in spec.items()
        for number in range(count)
    ]


def chances(graph: Graph, context: Context, arm: str = "learned") -> dict[str, float]:
    return {graph.nodes[node].name: share for node, share in rank(graph, context, arm=arm).items()}


def after(graph: Graph, *called: object, within: str | None = None, pending: Sequence[str] | None = None) -> Context:
    return context_of(graph, called, within, pending)  # type: ignore[arg-type]


def top(graph: Graph, context: Context, arm: str = "learned") -> str:
    return suggest(graph, context, k=1, arm=arm).suggestions[0].node.name


@pytest.mark.parametrize("arm", ARMS)
def test_an_empty_graph_suggests_nothing(arm):
    """A project without a trace is asked on its first day."""
    graph = Graph()

    assert suggest(graph, after(graph, "search", within="book"), arm=arm).suggestions == ()
    assert rank(graph, after(graph), arm=arm) == {}


@pytest.mark.parametrize("arm", ARMS)
@given(
    traces=st.lists(st.text("abcde", min_size=1, max_size=6), min_size=1, max_size=12),
    called=st.lists(st.sampled_from("abcdexy"), max_size=6),
    within=st.sampled_from([None, "work", "nowhere"]),
)
@settings(max_examples=25, deadline=None)
def test_probabilities_are_above_nothing_and_sum_to_at_most_one(arm, traces, called, within):
    """What is left over is for what was never seen."""
    graph = learned(
        *(run(str(at), names, within=("work", None)[at % 2]) for at, names in enumerate(traces)),
    )
    shares = rank(graph, after(graph, *called, within=within), arm=arm)

    assert all(0 <= share <= 1 for share in shares.values())
    assert sum(shares.values()) <= 1 + 1e-9


@pytest.mark.parametrize("arm", ARMS)
def test_suggestions_are_the_first_of_the_ranks(arm):
    """`suggest` looks at fewer candidates than `rank`; what it gives must be the same."""
    graph = learned(*runs({"abcd": 5, "abdc": 3, "acbd": 2, "dcba": 1}), *runs({"bca": 4}, within="work"))
    for context in (after(graph), after(graph, "a"), after(graph, "a", "b"), after(graph, "b", within="work")):
        shares = chances(graph, context, arm)
        given_ = suggest(graph, context, k=3, arm=arm).suggestions

        assert [one.probability for one in given_] == pytest.approx(sorted(shares.values(), reverse=True)[:3])
        assert all(shares[one.node.name] == pytest.approx(one.probability) for one in given_)


def test_a_graph_with_a_thousand_tools_suggests_as_it_ranks():
    """Contexts with many outcomes offer only their likeliest as candidates: those must be the right ones."""
    draw = random.Random(5)
    names = [f"tool {number}" for number in range(1000)]
    traces = [
        run(str(at), [names[min(999, int(draw.expovariate(0.005)))] for _ in range(12)], within=f"work {at % 3}")
        for at in range(400)
    ]
    graph = learned(*traces)
    for at in range(5):
        context = after(graph, *draw.choices(names[:300], k=2), within=f"work {at % 3}")
        shares = chances(graph, context)
        first = suggest(graph, context).suggestions

        assert [one.probability for one in first] == pytest.approx(sorted(shares.values(), reverse=True)[:5])


def test_what_usually_followed_comes_first():
    """The plainest rule."""
    graph = learned(*runs({"abc": 9, "abd": 1}))

    for arm in ("follows", "backoff", "learned"):
        assert top(graph, after(graph, "a", "b"), arm) == "c"
    assert chances(graph, after(graph, "a", "b"))["c"] == pytest.approx(0.9, abs=0.1)


def test_popularity_does_not_look_at_what_came_before():
    """It is what all others are held against."""
    graph = learned(*runs({"aab": 5, "ca": 3}))

    assert chances(graph, after(graph), "popularity") == chances(graph, after(graph, "c"), "popularity")
    assert chances(graph, after(graph), "popularity")["a"] == pytest.approx(13 / 21)


def test_follows_counts_what_came_next_after_the_last_call():
    """Five observations, and popularity as one more."""
    graph = learned(*runs({"ab": 4, "ac": 1}))

    shares = chances(graph, after(graph, "c", "a"), "follows")
    assert shares == pytest.approx({"a": 0.5 / 6, "b": (4 + 0.4) / 6, "c": (1 + 0.1) / 6})


def test_the_fixed_arm_weighs_an_edge_by_type_and_source_alone():
    """The original design, kept exactly: two often seen edges weigh the same, a rare one seven tenths."""
    graph = learned(*runs({"ab": 50, "ac": 3, "ad": 1}))

    shares = chances(graph, after(graph, "a"), "fixed")
    assert shares["b"] == shares["c"]
    assert shares["d"] == pytest.approx(shares["b"] * 0.7)
    assert chances(graph, after(graph, "a", within="nowhere"), "fixed") == shares


def test_the_fixed_arm_prefers_what_the_capability_contains():
    """0.8 for contains, 0.5 for sequence: that is why it loses, and still it is that design."""
    graph = learned(*runs({"ab": 5, "cd": 5}, within="work"))

    shares = chances(graph, after(graph, "a", within="work"), "fixed")
    assert shares["b"] == shares["d"] == max(shares.values())


def test_order_further_back_decides_where_the_last_call_does_not():
    """After b both are as likely; what was before b says which."""
    graph = learned(*runs({"xbc": 10, "ybd": 10}))

    assert top(graph, after(graph, "x", "b")) == "c"
    assert top(graph, after(graph, "y", "b")) == "d"


def test_the_containing_capability_conditions_what_comes():
    """The same tool leads elsewhere in another capability, and so does having called nothing yet."""
    graph = learned(
        *runs({"ab": 10}, within="order"), *runs({"ac": 10}, within="refund"), *runs({"d": 8}, within="look")
    )

    assert top(graph, after(graph, "a", within="order")) == "b"
    assert top(graph, after(graph, "a", within="refund")) == "c"
    assert top(graph, after(graph, within="look")) == "d"
    assert top(graph, after(graph, within="order")) == "a"


def test_a_failure_changes_what_comes_next():
    """Retry or ask for help, where success would have gone on."""
    good = [run(f"good {at}", ["a", "b"]) for at in range(20)]
    bad = [TraceCalls(trace_id=f"bad {at}", calls=[call("a", 0, ok=False), call("help", 1)]) for at in range(10)]
    graph = learned(*good, *bad)

    assert top(graph, after(graph, "a")) == "b"
    assert top(graph, after(graph, {"name": "a", "ok": False})) == "help"


def test_a_failure_counts_whatever_the_arguments_were():
    """Failures are rare, and their arguments differ; together they still say what comes."""
    good = [run(f"good {at}", ["a", "b"], arguments=(f"key {at}",)) for at in range(30)]
    bad = [
        TraceCalls(trace_id=f"bad {at}", calls=[call("a", 0, ok=False, arguments=(f"bad {at}",)), call("help", 1)])
        for at in range(8)
    ]
    graph = learned(*good, *bad)

    well, badly = ({"name": "a", "ok": ok, "arguments": ["new"]} for ok in (True, False))
    assert chances(graph, after(graph, badly))["help"] > 2 * chances(graph, after(graph, well))["help"]


def test_argument_names_change_what_comes_next():
    """search(by=id) and search(by=text) are two uses of one tool."""
    traces = [
        TraceCalls(trace_id=f"{key} {at}", calls=[call("a", 0, arguments=(key,)), call(then, 1)])
        for at in range(10)
        for key, then in (("id", "open"), ("text", "list"))
    ]
    graph = learned(*traces)

    assert top(graph, after(graph, {"name": "a", "arguments": ["id"]})) == "open"
    assert top(graph, after(graph, {"name": "a", "arguments": ["text"]})) == "list"


def test_outputs_that_nothing_has_used_lift_who_uses_them():
    """After the same calls, what is still pending decides."""
    draw = random.Random(2)
    traces = []
    for at in range(60):
        pending = [f"get.field{number}" for number in range(6) if draw.random() < 0.5]
        names = ["buy" if "get.field0" in pending else "leave"]
        used = ("get.field0",) if names == ["buy"] else ()
        then = call(names[0], 1, pending=tuple(pending), consumed=used)
        traces.append(TraceCalls(trace_id=str(at), calls=[call("get", 0), then]))
    graph = learned(*traces)

    with_it = chances(graph, after(graph, "get", pending=["get.field0", "get.field9"]))
    without = chances(graph, after(graph, "get", pending=["get.field9"]))
    assert with_it["buy"] > without["buy"]


def test_calls_side_by_side_are_siblings_like_others():
    """A fan-out goes on with its next branch; that they overlapped is no reason to forget them."""
    fan = [
        TraceCalls(
            trace_id=str(at),
            calls=[
                call("a", 0),
                *(
                    Call(call_id=name, kind="tool", name=name, start_ns=10 + number, end_ns=60)
                    for number, name in enumerate("bcd")
                ),
            ],
        )
        for at in range(10)
    ]
    graph = learned(*fan)

    assert top(graph, after(graph, "a", "b")) == "c"
    assert top(graph, after(graph, "a", "b", "c")) == "d"
    assert not graph.out("sequence").get(graph.find("b"))


def test_what_runs_in_another_capability_does_not_stand_between():
    """Only siblings are looked at: a child of an earlier call is not what came before."""
    traces = []
    for at in range(10):
        first = Call(call_id="1", kind="capability", name="a", start_ns=0, end_ns=9)
        child = Call(call_id="2", parent_id="1", kind="tool", name="deep", start_ns=1, end_ns=2)
        then = Call(call_id="3", kind="tool", name="b", start_ns=10, end_ns=11)
        traces.append(TraceCalls(trace_id=str(at), calls=[first, child, then]))
    graph = learned(*traces)

    assert top(graph, Context(calls=traces[0].calls[:2])) == "b"
    assert top(graph, Context(calls=traces[0].calls[:1], parent_id="1")) == "deep"


def test_a_parent_that_no_call_is_means_the_top():
    """Some sources group calls by a turn that is no call; the learner puts those at the top."""
    traces = [
        TraceCalls(trace_id=str(at), calls=[call("a", 0, "turn 0"), call("b", 1, "turn 0"), call("c", 2, "turn 1")])
        for at in range(10)
    ]
    graph = learned(*traces)

    assert top(graph, Context(calls=traces[0].calls[:2], parent_id="turn 1")) == "c"
    assert top(graph, Context(calls=traces[0].calls[:1], parent_id=None)) == "b"


def test_the_parent_may_stand_anywhere_among_the_calls():
    """Recorded workflows number a sub-node before the agent that it belongs to."""
    graph = learned(*runs({"ab": 10}, within="agent"))
    calls = run("now", "a", within="agent").calls

    assert top(graph, Context(calls=calls[::-1], parent_id="scope")) == "b"


def test_a_tool_that_was_never_seen_does_no_harm():
    """A new tool was called; what came before it still counts, and it may come again."""
    graph = learned(*runs({"abc": 10}), *runs({"xyz": 2}))
    found = suggest(graph, after(graph, "a", "brand new"), k=10).suggestions

    assert {one.node.name for one in found} >= {"a", "b", "c", "brand new"}
    assert all(node < len(graph.nodes) for node in rank(graph, after(graph, "brand new")))
    assert suggest(graph, after(graph, "a", within="nowhere")).suggestions[0].node == tool("b")


def test_after_a_stranger_what_is_usual_counts_more_than_that_it_comes_again():
    """Nothing is known but how often each tool is called; one new call is no reason to be sure."""
    graph = learned(*runs({"abc": 30}))

    known = sum(rank(graph, after(graph, "brand new", "brand new", within="nowhere")).values())
    assert 0.5 < known < 1


def test_a_stranger_is_not_taken_for_the_top():
    """Python hashes -1 and -2 alike; ids below those of the graph must stay apart from TOP."""
    graph = learned(*runs({"ab": 20}), *runs({"cd": 5}, within="work"))
    told = [reason.text for one in suggest(graph, after(graph, within="nowhere")).suggestions for reason in one.reasons]

    assert told
    assert not any("nowhere" in text for text in told)


def test_a_run_that_repeats_itself_is_taken_to_go_on():
    """Where other runs repeat whatever they called, this one's tool is likely again, though it is new."""
    graph = learned(*(run(str(at), [f"tool {at}"] * 5) for at in range(30)))

    assert top(graph, after(graph, "unheard of", "unheard of")) == "unheard of"


def test_a_tool_that_runs_once_is_not_suggested_again():
    """Logging in comes next after each of the others as well, but never twice."""
    draw = random.Random(1)
    traces = []
    for at in range(80):
        names = draw.choices("abc", k=5)
        names.insert(draw.randrange(5), "login")
        traces.append(run(str(at), names))
    graph = learned(*traces)

    before = chances(graph, after(graph, "a", "b", "a"))["login"]
    assert chances(graph, after(graph, "login", "b", "a"))["login"] < before / 4


def test_a_template_speaks_before_anything_was_traced():
    """What it declares to depend on what has run comes next; what waits for more does not."""
    graph = template_graph(read_template({"find": [], "check": ["find"], "pay": ["check", "find"]}))
    found = suggest(graph, after(graph, "find")).suggestions

    assert [one.node.name for one in found] == ["check"]
    assert "declared" in found[0].reasons[-1].text
    assert top(graph, after(graph, "find", "check")) == "pay"


@pytest.mark.parametrize("arm", ARMS)
def test_equals_stand_in_the_order_of_their_names(arm):
    """Neither the order of learning nor that of a dict may show, not even where only some of them fit."""
    names = [f"tool {number:03}" for number in range(150)]
    traces = [run(name, ["start", name]) for name in names]
    for order in (traces, traces[::-1]):
        graph = learned(*order)
        shown = [one.node.name for one in suggest(graph, after(graph, "start"), k=25, arm=arm).suggestions]
        assert [name for name in shown if name != "start"] == names[: len(shown) - ("start" in shown)]


def test_each_suggestion_tells_what_speaks_for_it():
    """The contexts with their counts, the edges with exemplar traces."""
    graph = learned(*runs({"abc": 9, "abd": 1}, within="work"))
    (first, *_) = suggest(graph, after(graph, "a", "b", within="work"), k=1).suggestions

    contexts = [reason for reason in first.reasons if reason.type == "context"]
    assert any(reason.count == 9 and "9 of 10" in reason.text for reason in contexts)
    assert contexts == sorted(contexts, key=lambda reason: -(reason.weight or 0))
    (sequence,) = [reason for reason in first.reasons if reason.type == "sequence"]
    assert (sequence.origin, sequence.target, sequence.count) == (tool("b"), tool("c"), 9)
    assert len(sequence.traces) == 3
    assert set(sequence.traces) <= {f"work abc {number}" for number in range(9)}
    assert [reason.count for reason in first.reasons if reason.type == "contains"] == [9]


@pytest.mark.parametrize("arm", ARMS)
def test_each_arm_gives_reasons_and_says_which_it_is(arm):
    """An answer without a reason cannot be judged."""
    graph = learned(*runs({"ab": 5}, within="work"))
    answer = suggest(graph, after(graph, "a", within="work"), arm=arm, version=7)

    assert (answer.arm, answer.arm_version) == (arm, 7)
    assert all(one.reasons for one in answer.suggestions)


def test_every_kind_of_context_can_be_told_in_words():
    """Each kind that speaks needs its sentence; a run with failures and dataflow has all of them."""
    calls = [
        call(name, at, pending=("a.x", "b.y[]")[: at and 2], consumed=("a.x",) if at else (), ok=name != "d")
        for at, name in enumerate("abcde")
    ]
    graph = learned(*(TraceCalls(trace_id=str(at), calls=calls) for at in range(5)))
    for arm in ARMS:
        context = Context(calls=calls[:4], pending=("a.x", "b.y[]"))
        assert suggest(graph, context, k=5, arm=arm).suggestions[0].reasons


@pytest.mark.parametrize("k", [0, -1, MOST_SUGGESTED + 1, 10**30, 2.5, None, "5"])
def test_a_silly_k_is_refused(k):
    """It came from a query string."""
    graph = learned(*runs({"ab": 1}))
    with pytest.raises(BadFilter, match=r"^k: .*ask for 1 to"):
        suggest(graph, after(graph, "a"), k=k)


def test_an_unknown_arm_is_refused_and_the_arms_are_named():
    """So that the next try is right."""
    graph = learned(*runs({"ab": 1}))
    with pytest.raises(BadFilter, match="popularity, follows, fixed, backoff, learned"):
        rank(graph, after(graph, "a"), arm="psychic" * 1000)


@pytest.mark.parametrize(
    ("arm", "weights"),
    [
        ("learned", {"magic": 1.0}),
        ("learned", {"order": -1.0}),
        ("learned", {"order": math.nan}),
        ("learned", {"order": math.inf}),
        ("fixed", {"order": 1.0}),
        ("popularity", {"order": 1.0}),
    ],
)
def test_weights_that_an_arm_has_not_or_that_are_no_weights_are_refused(arm, weights):
    """Stored weights may be of another arm, or of a tuning that went wrong."""
    graph = learned(*runs({"ab": 1}))
    with pytest.raises(BadFilter, match=r"^weights: "):
        rank(graph, after(graph, "a"), arm=arm, weights=weights)


def test_the_arms_own_weights_are_what_it_does_without_any():
    """So that a stored version that was not tuned answers as the default does."""
    graph = learned(*runs({"abc": 4, "abd": 2}, within="work"))
    context = after(graph, "a", "b", within="work")
    for arm, weights in WEIGHTS.items():
        assert rank(graph, context, arm=arm, weights=weights) == rank(graph, context, arm=arm)


def test_weights_scale_what_was_fitted():
    """With order believed more and all else less, the answer leans to what followed."""
    graph = learned(*runs({"ab": 9, "ac": 1}), *runs({"ac": 30}, within="work"))
    context = after(graph, "a", within="work")
    leaning = {"order": 100.0, "scope": 0.01, "whole": 0.01, "outcome": 0.01}

    assert rank(graph, context, weights=leaning) != rank(graph, context)
    assert sum(rank(graph, context, weights=leaning).values()) <= 1 + 1e-9


@pytest.mark.parametrize("name", sorted(set(WEIGHTS["learned"]) - {"declared"}))
def test_each_weight_moves_the_answer(name):
    """One that moves nothing would be tuned in vain."""
    draw = random.Random(3)
    traces = []
    for at in range(60):
        calls = [
            call(draw.choice("abcd"), number, "scope", ok=draw.random() < 0.8, arguments=(draw.choice("xy"),))
            for number in range(6)
        ]
        for number, each in enumerate(calls[1:]):
            each.pending = ("a.x",) if number % 2 else ("a.x", "b.y")
            each.consumed = ("a.x",) if each.name == "c" else ()
        scope = Call(call_id="scope", kind="capability", name="work", start_ns=0, end_ns=100)
        traces.append(TraceCalls(trace_id=str(at), calls=[scope, *calls]))
    graph = learned(*traces)
    context = Context(calls=traces[0].calls[:5], parent_id="scope", pending=("a.x",))

    assert rank(graph, context, weights={name: 0.5}) != rank(graph, context)


def test_all_weights_at_nothing_still_give_an_answer():
    """Tuning walks far."""
    graph = learned(*runs({"abc": 4}))

    assert suggest(graph, after(graph, "a"), weights=dict.fromkeys(WEIGHTS["learned"], 0.0)).suggestions
    assert rank(graph, after(graph, "a"), arm="fixed", weights=dict.fromkeys(WEIGHTS["fixed"], 0.0)) == {}


def _habits(count: int, seed: int) -> list[TraceCalls]:
    """Traces of an agent with habits: what comes next depends on the last call, the last two, and how it began."""
    draw = random.Random(seed)
    traces = []
    for at in range(count):
        names = [draw.choice("abc")]
        while len(names) < 8:
            last = names[-1]
            usual = {"a": "bd", "b": "ce", "c": "af", "d": names[0] + "b", "e": "ed", "f": "bb"}[last]
            names.append(draw.choice("abcdef") if draw.random() < 0.2 else usual[draw.random() < 0.3])
        traces.append(run(f"{seed} {at}", names))
    return traces


def _hits(graph: Graph, traces: Sequence[TraceCalls], arm: str) -> list[tuple[float, bool]]:
    found = []
    for trace in traces:
        for at in range(1, len(trace.calls)):
            (first,) = suggest(graph, Context(calls=trace.calls[:at]), k=1, arm=arm).suggestions
            found.append((first.probability, first.node == trace.calls[at].node))
    return found


def test_the_learned_arm_is_not_below_the_counts_it_is_held_against():
    """On traces that it has not seen, with habits that the last call alone does not show."""
    graph, unseen = learned(*_habits(150, 1)), _habits(60, 2)
    hits = {arm: sum(hit for _, hit in _hits(graph, unseen, arm)) for arm in ("popularity", "follows", "learned")}

    assert hits["learned"] > hits["follows"] > hits["popularity"]


def test_said_probabilities_are_how_often_it_comes_true():
    """Over all first suggestions the mean of what was said is near to how often it was right, and so by thirds."""
    graph, unseen = learned(*_habits(150, 3)), _habits(100, 4)
    hits = sorted(_hits(graph, unseen, "learned"))
    third = len(hits) // 3

    for part in (hits[:third], hits[third : 2 * third], hits[2 * third :]):
        said, was = (sum(column) / len(part) for column in zip(*part, strict=True))
        assert said == pytest.approx(was, abs=0.07)
