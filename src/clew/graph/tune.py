"""
Fit the weights of an arm on one part of the traces, and see on another whether they are better.

A search over the logarithms of the weights: each alone up and down by a factor, and now and then
all at once by chance; what is better by more than its distance costs is kept, and the factor
shrinks. It takes a bounded number of evaluations and the same way each time. Traces count by how
they went, so that an arm learns to suggest what good runs do. Pure.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from clew.errors import BadFilter
from clew.graph.evaluate_arms import AIMS, Question, arms_of, asker, default_arm, default_weights
from clew.graph.evaluate_replay import Material, Replay, ReplayTimes
from clew.graph.evaluate_tally import ArmFigures, Tally, compare
from clew.graph.folds import FOLDS, SEED, fold_of
from clew.graph.recorded import RecordedTrace
from clew.graph.state import Graph
from clew.graph.statistics import Interval, Resamples, spread

FIT = (0, 1, 2)
"""The folds that weights are fitted on, each held out in turn from the other two."""

LEAST_WEIGHT = 0.2
"""What a run counts that went as badly as can be: what it did is still something that happens."""

LEAST_GAIN = 0.001
"""Smaller ones can be steady too, but nobody would notice."""

WIDEST, NARROWEST = math.log(2), math.log(1.1)
"""By which factors a weight is changed, as logarithms: first and last."""

TOLL = 0.0005
"""A weight that is changed by e must raise the aims by so much: what chance would do for less is left."""

Weights = dict[str, float]


class Options(msgspec.Struct, kw_only=True, frozen=True):
    """How much is tried."""

    arm: str = ""
    """The arm to tune; the default one if empty."""
    evaluations: int = 80
    """Sets of weights that are tried."""
    positions: int = 600
    """Questions of a fold that each of them is asked."""
    judged: int = 4000
    """Questions of a fold that the result is judged by."""
    seed: int = SEED
    replay: ReplayTimes = "auto"


class Tuned(msgspec.Struct, kw_only=True, frozen=True):
    """New weights beside the arm's own."""

    question: Question
    arm: str
    weights: Weights
    default_weights: Weights
    fitted_from: float
    """The mean of the aims on the part that was fitted on, with the arm's own weights."""
    fitted_to: float
    """The same with the new ones."""
    tried: int
    fit_tasks: int
    report_tasks: int
    before: ArmFigures
    """On the other part, with the arm's own weights."""
    after: ArmFigures
    """The same with the new ones, and the paired differences."""
    gain: Interval
    """By how much the mean of the figures that are aimed at rose on the other part, paired."""

    @property
    def better(self) -> bool:
        """Whether the gain is more than chance (its whole interval is above zero), and worth having."""
        return self.gain.low > 0 and self.gain.value >= LEAST_GAIN


def tune(
    traces: Sequence[RecordedTrace],
    question: Question,
    options: Options = Options(),  # noqa: B008  # Frozen.
    tick: Callable[[str], None] = lambda _: None,
) -> Tuned:
    """
    Fit on three fifths of the tasks, report on the others.

    Raises:
        BadFilter: there is no such arm, it has no weights, or the traces cannot be asked this.
    """
    arm = _checked(traces, question, options)
    ground = _Ground(Material(traces, options.replay), question, arm, options)
    start = default_weights(question, arm)
    before = ground.value(start)

    def value(weights: Weights) -> float:
        found = ground.value(weights)
        tick(f"{found:.4f}, from {before:.4f}")
        return found - toll(start, weights)

    weights, _, tried = climb(start, before, value, evaluations=options.evaluations, seed=options.seed)
    fitted = ground.value(weights)
    tick("judging on the other part")
    tallies = ground.judged({"before": start, "after": weights})
    old, new = compare(tallies, "before")
    return Tuned(
        question=question,
        arm=arm,
        weights=weights,
        default_weights=start,
        fitted_from=before,
        fitted_to=fitted,
        tried=tried,
        fit_tasks=len({trace.task for trace in ground.fit}),
        report_tasks=len(tallies["before"].tasks),
        before=old,
        after=new,
        gain=_gain(tallies["after"], tallies["before"], AIMS[question]),
    )


def outcome(trace: RecordedTrace) -> float:
    """Say how a run went, 0 to 1: its reward, or the share of its calls that went well."""
    if trace.reward is not None:
        return min(1.0, max(0.0, trace.reward))
    calls = trace.calls.calls
    return sum(call.ok for call in calls) / len(calls) if calls else 1.0


def weigh(trace: RecordedTrace) -> float:
    """Give what a run counts: from LEAST_WEIGHT to 1 as it went well."""
    return LEAST_WEIGHT + (1 - LEAST_WEIGHT) * outcome(trace)


def toll(start: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Say what going from *start* to *weights* costs: more for one far way than for several short ones."""
    return TOLL * sum(math.log(weights[name] / weight) ** 2 for name, weight in start.items() if weight > 0)


def climb(
    start: Weights, value: float, value_of: Callable[[Weights], float], *, evaluations: int, seed: int
) -> tuple[Weights, float, int]:
    """
    Look for weights of a higher value around *start*, whose value is given.

    Weights that are 0 or below stay as they are: they have no logarithm. Returns the best, its
    value, and how many were tried: at most *evaluations*.
    """
    best, names = dict(start), [name for name, weight in start.items() if weight > 0]
    draw = random.Random(seed)  # noqa: S311
    tried, width = 0, WIDEST
    while names and tried < evaluations and width >= NARROWEST:
        before = value
        for change in _changes(names, width, draw):
            if tried == evaluations:
                break
            candidate = {name: weight * math.exp(change.get(name, 0.0)) for name, weight in best.items()}
            found = value_of(candidate)
            tried += 1
            if found > value:
                best, value = candidate, found
        if value == before:
            width /= 2
    return best, value, tried


def _changes(names: Sequence[str], width: float, draw: random.Random) -> Iterator[Mapping[str, float]]:
    """Each weight alone, up and down, in an order that is drawn; then all at once."""
    for name in draw.sample(list(names), len(names)):
        yield {name: width}
        yield {name: -width}
    for _ in range(2):
        yield {name: draw.gauss(0.0, width / 2) for name in names}


class _Ground:
    """The traces in their parts, with graphs that are learned once."""

    def __init__(self, material: Material, question: Question, arm: str, options: Options) -> None:
        self.material, self.question, self.arm, self.options = material, question, arm, options
        self.fit = [trace for trace in material.traces if fold_of(trace.task) in FIT]
        self._fitting = [self._part(held, self.fit, options.positions) for held in FIT]
        if not any(replay.asked for _, replay in self._fitting):
            raise BadFilter("data", "there are too few traces to fit on: a few dozen tasks is the least")

    def _part(self, held_out: int, traces: Sequence[RecordedTrace], most: int) -> tuple[Graph, Replay]:
        training = [trace for trace in traces if fold_of(trace.task) != held_out]
        test = [trace for trace in traces if fold_of(trace.task) == held_out]
        replay = self.material.replay(self.question, training, test, most=most, weigh=weigh)
        return self.material.graph(self.question, training), replay

    def value(self, weights: Weights) -> float:
        """Give the mean of the figures that are aimed at on the part that is fitted on."""
        tally = Tally()
        for graph, replay in self._fitting:
            replay.ask(graph, {"": asker(self.question, self.arm, weights)}, {"": tally})
        figures = AIMS[self.question]
        return sum(tally.value(figure) for figure in figures) / len(figures)

    def judged(self, weights: Mapping[str, Weights]) -> dict[str, Tally]:
        """Ask the other part, each of its folds held out from all other traces."""
        askers = {name: asker(self.question, self.arm, each) for name, each in weights.items()}
        tallies = {name: Tally() for name in weights}
        for held_out in range(FOLDS):
            if held_out not in FIT:
                graph, replay = self._part(held_out, self.material.traces, self.options.judged)
                replay.ask(graph, askers, tallies)
        if not tallies["before"].tasks:
            raise BadFilter("data", "there are too few traces to judge by: a few dozen tasks is the least")
        return tallies


def _checked(traces: Sequence[RecordedTrace], question: Question, options: Options) -> str:
    arm = options.arm or default_arm(question)
    if arm not in arms_of(question):
        raise BadFilter("arm", f"{arm!r} is no arm of {question!r}; there are {', '.join(arms_of(question))}")
    lacks = Material(traces).lacks(question)
    if lacks:
        raise BadFilter("data", lacks)
    if not default_weights(question, arm):
        raise BadFilter("arm", f"{arm!r} has no weights, so there is nothing to tune")
    return arm


def _gain(after: Tally, before: Tally, figures: Sequence[str]) -> Interval:
    tasks = before.tasks
    resamples = Resamples(len(tasks))
    value, draws = 0.0, [0.0] * len(resamples.sums([0.0] * len(tasks)))
    for figure in figures:
        value += (after.value(figure) - before.value(figure)) / len(figures)
        new, old = (resamples.ratios(*tally.columns(figure, tasks)) for tally in (after, before))
        draws = [draw + (one - other) / len(figures) for draw, one, other in zip(draws, new, old, strict=True)]
    return spread(value, draws)
