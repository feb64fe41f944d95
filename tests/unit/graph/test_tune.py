"""Fitting weights on one part, and judging them on another."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from clew.errors import BadFilter
from clew.graph import evaluate_arms
from clew.graph.calls import Call, TraceCalls
from clew.graph.evaluate_tally import Tally
from clew.graph.folds import fold_of
from clew.graph.recorded import RecordedTrace
from clew.graph.statistics import Interval
from clew.graph.tune import FIT, Options, climb, outcome, toll, tune, weigh


def run(names: str, task: str, *, ok: bool = True, reward: float | None = None) -> RecordedTrace:
    """Give a run of the tools that *names* spells; the last one as it says."""
    calls = [
        Call(call_id=str(at), kind="tool", name=name, start_ns=2 * at, end_ns=2 * at + 1)
        for at, name in enumerate(names)
    ]
    calls[-1] = msgspec.structs.replace(calls[-1], ok=ok)
    return RecordedTrace(task=task, calls=TraceCalls(trace_id=task, calls=calls), reward=reward)


def peak(weights: dict[str, float]) -> float:
    """Highest, 0, at a = 8 and b = 0.5."""
    return -(math.log(weights["a"] / 8) ** 2) - math.log(weights["b"] / 0.5) ** 2


def test_a_climb_finds_the_peak():
    """The logarithm, since a weight is a factor: from 1 to 8 is as far as from 1 to 1/8."""
    start = {"a": 1.0, "b": 4.0}

    best, value, tried = climb(start, peak(start), peak, evaluations=200, seed=3)

    assert tried <= 200
    assert value == peak(best) > -0.05
    assert start == {"a": 1.0, "b": 4.0}


@pytest.mark.parametrize("evaluations", [1, 7, 30])
def test_a_climb_tries_no_more_than_it_may(evaluations):
    """Each try replays hundreds of questions."""
    asked = []

    def value_of(weights: dict[str, float]) -> float:
        asked.append(weights)
        return peak(weights)

    climb({"a": 1.0, "b": 4.0}, -100.0, value_of, evaluations=evaluations, seed=3)

    assert len(asked) == evaluations


def test_a_climb_is_the_same_with_the_same_seed():
    """A result that cannot be repeated cannot be believed."""
    start = {"a": 1.0, "b": 4.0}

    first, again, other = (climb(start, peak(start), peak, evaluations=25, seed=seed) for seed in (3, 3, 4))

    assert first == again != other


def test_nothing_is_kept_that_is_not_better():
    """On level ground the arm's own weights stay."""
    start = {"a": 1.0, "b": 4.0}

    best, value, tried = climb(start, 0.0, lambda _: 0.0, evaluations=500, seed=3)

    assert (best, value) == (start, 0.0)
    assert tried < 500


def test_a_weight_of_zero_stays_off():
    """It has no logarithm; whoever turned it off meant it."""
    best, _, _ = climb({"a": 1.0, "b": 4.0, "off": 0.0}, -100.0, peak, evaluations=50, seed=3)

    assert best["off"] == 0.0
    assert climb({"off": 0.0}, 0.0, lambda _: 1.0, evaluations=50, seed=3) == ({"off": 0.0}, 0.0, 0)


def test_a_far_way_costs_more_than_what_chance_would_give_for_it():
    """By a factor of e, 0.0005; by its square, four times as much. Up and down alike; what is off costs nothing."""
    start = {"a": 1.0, "b": 2.0, "off": 0.0}

    assert toll(start, start) == 0.0
    assert toll(start, {"a": math.e, "b": 2.0, "off": 0.0}) == pytest.approx(0.0005)
    assert toll(start, {"a": 1.0, "b": 2.0 / math.e**2, "off": 0.0}) == pytest.approx(0.002)


def test_bad_runs_count_less():
    """An arm should learn to suggest what good runs do; what bad ones do still happens."""
    assert weigh(run("ab", "t", reward=1.0)) == 1.0
    assert weigh(run("ab", "t", reward=0.0)) == 0.2
    assert weigh(run("ab", "t", reward=0.5)) == pytest.approx(0.6)
    assert outcome(run("ab", "t", reward=7.0)) == 1.0


def test_without_a_reward_the_calls_say_how_a_run_went():
    """Most traces are scored by nobody."""
    assert outcome(run("ab", "t")) == 1.0
    assert outcome(run("abcd", "t", ok=False)) == 0.75
    assert outcome(RecordedTrace(task="t", calls=TraceCalls(trace_id="t", calls=[]))) == 1.0


OWN = {"leaning": {"lean": 0.01}}
"""The arm's own weights: nearly what is usual, whatever came before."""


def lean(graph, context, *, arm="leaning", weights=None):
    """Suggest with one weight: how far to lean to what followed the last call, against what is usual."""
    much = (weights or OWN["leaning"])["lean"] if arm == "leaning" else 1e9
    scores = {node: float(count) for node, count in enumerate(graph.node_count) if count}
    last = graph.find(context.calls[-1].node) if context.calls else None
    for target, row in graph.out("sequence").get(last, {}).items():
        scores[target] += much * graph.count[row]
    total = sum(scores.values())
    return {node: score / total for node, score in scores.items()}


def answer_with(monkeypatch, own) -> None:
    answer = evaluate_arms._Answer(lean, ("follows", "leaning"), own)
    monkeypatch.setitem(evaluate_arms._ANSWERS, "next", answer)


@pytest.fixture
def leaning(monkeypatch):
    """Put it in the place of what suggests."""
    answer_with(monkeypatch, OWN)


def steady(tasks: int) -> list[RecordedTrace]:
    """Give runs in which what follows says more than what is usual."""
    return [run("aabaacd" if number % 2 else "cdcdaab", f"task {number}") for number in range(tasks)]


def test_better_weights_are_found_and_proved_on_the_other_part(leaning):
    """Fitted where it was fitted proves nothing."""
    tuned = tune(steady(60), "next", Options(evaluations=20))

    assert tuned.arm == "leaning"
    assert tuned.default_weights == {"lean": 0.01}
    assert tuned.weights["lean"] > 1
    assert tuned.fitted_to > tuned.fitted_from
    assert tuned.better
    assert tuned.gain.low > 0
    assert tuned.after.differences["hit@1"].value > 0
    assert tuned.fit_tasks + tuned.report_tasks == 60
    assert tune(steady(60), "next", Options(evaluations=20)) == tuned


def test_the_part_that_judges_is_never_fitted_on(leaning, monkeypatch):
    """Otherwise the proof is none."""
    told: list[set[str]] = []
    add = Tally.add

    def spy(self, task, *args):
        told[-1].add(task)
        add(self, task, *args)

    monkeypatch.setattr(Tally, "add", spy)
    told.append(set())
    tune(steady(60), "next", Options(evaluations=3), lambda doing: told.append(set()) if "judging" in doing else None)

    fitted, judged = told
    assert {fold_of(task) in FIT for task in fitted} == {True}
    assert {fold_of(task) in FIT for task in judged} == {False}


def test_what_is_no_better_is_not_called_better(leaning):
    """Where everything follows everything there is nothing to gain: what fitting finds is chance."""
    draw = random.Random(1)
    traces = [run("".join(draw.choices("abcd", k=6)), f"task {number}") for number in range(60)]

    tuned = tune(traces, "next", Options(evaluations=10))

    assert not tuned.better
    certain, tiny, chance = Interval(0.02, 0.01, 0.03), Interval(0.0002, 0.0001, 0.0003), Interval(0.02, -0.01, 0.05)
    verdicts = [msgspec.structs.replace(tuned, gain=gain).better for gain in (certain, tiny, chance)]
    assert verdicts == [True, False, False]


@pytest.mark.parametrize(
    ("question", "arm", "problem"),
    [
        ("next", "nonsense", "is no arm of 'next'; there are follows, leaning"),
        ("plan", "", r"\(dep\)"),
        ("search", "", r"\(text\)"),
    ],
)
def test_what_cannot_be_tuned_is_refused_and_says_why(leaning, question, arm, problem):
    """A clear word instead of weights fitted on nothing."""
    with pytest.raises(BadFilter, match=problem):
        tune(steady(20), question, Options(arm=arm))


def test_an_arm_without_weights_has_nothing_to_tune(monkeypatch):
    """Counts are what they are."""
    answer_with(monkeypatch, {"leaning": {}})

    with pytest.raises(BadFilter, match="nothing to tune"):
        tune(steady(20), "next")


def test_too_few_traces_are_refused():
    """Of three tasks no part is left to judge by."""
    with pytest.raises(BadFilter, match="too few traces"):
        tune([run("ab", "only")], "next")
