"""
Replay held-out traces and measure every arm of every question, with intervals.

Each fold is held out in turn while the others are learned. What must hold on any data is a gate.
Pure: who calls it has read the traces and prints the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from clew.graph.evaluate_arms import BASELINES, HEADLINES, QUESTIONS, Question, arms_of, asker, default_arm
from clew.graph.evaluate_curve import Curve, curves
from clew.graph.evaluate_next import MOST_POSITIONS
from clew.graph.evaluate_order import FalseEdges, false_edges
from clew.graph.evaluate_replay import Material, ReplayTimes
from clew.graph.evaluate_tally import ArmFigures, Tally, compare
from clew.graph.folds import FOLDS, splits
from clew.graph.recorded import RecordedTrace


class Options(msgspec.Struct, kw_only=True, frozen=True):
    """How much is measured."""

    questions: tuple[Question, ...] = QUESTIONS
    arms: tuple[str, ...] = ()
    """Only these, and each question's baseline; all if empty."""
    folds: int = FOLDS
    positions: int = MOST_POSITIONS
    """At most so many questions of a fold; more are sampled."""
    replay: ReplayTimes = "auto"


class QuestionFigures(msgspec.Struct, kw_only=True, frozen=True):
    """One question on one data set."""

    question: Question
    asked: int = 0
    tasks: int = 0
    baseline: str = ""
    default: str = ""
    """The arm that answers if nobody says which."""
    arms: tuple[ArmFigures, ...] = ()
    note: str = ""
    """How it was asked, or why it was not."""


class Gate(msgspec.Struct, frozen=True):
    """Something that must hold on any data."""

    rule: str
    met: bool
    detail: str


class DataFigures(msgspec.Struct, kw_only=True, frozen=True):
    """All that was measured on one data set."""

    data: str
    traces: int
    calls: int
    tools: int
    tasks: int
    questions: tuple[QuestionFigures, ...]
    curves: tuple[Curve, ...]
    false_edges: FalseEdges
    gates: tuple[Gate, ...]


Tick = Callable[[str], None]
"""Told what is being done, before it is done."""

_EVERYTHING = Options()


def evaluate(
    data: str, traces: Sequence[RecordedTrace], options: Options = _EVERYTHING, tick: Tick = lambda _: None
) -> DataFigures:
    """Measure the arms on one data set; *data* is what it is called."""
    material = Material(traces, options.replay)
    questions = [_measure(material, question, options, tick) for question in options.questions]
    drawn = _curves(material, options, tick) if "next" in options.questions else ()
    tick("false edges")
    false = false_edges(trace.calls for trace in traces)
    return DataFigures(
        data=data,
        traces=len(traces),
        calls=sum(len(trace.calls.calls) for trace in traces),
        tools=len(material.catalogue),
        tasks=len({trace.task for trace in traces}),
        questions=tuple(questions),
        curves=drawn,
        false_edges=false,
        gates=tuple(_gates(questions, drawn, false)),
    )


def _measure(material: Material, question: Question, options: Options, tick: Tick) -> QuestionFigures:
    """Ask one question of each fold."""
    note = material.lacks(question)
    if note:
        return QuestionFigures(question=question, note=note)
    baseline = BASELINES[question]
    arms = [arm for arm in arms_of(question) if not options.arms or arm in (*options.arms, baseline)]
    askers = {arm: asker(question, arm) for arm in arms}
    tallies = {arm: Tally() for arm in arms}
    asked = 0
    for number, (training, test) in enumerate(splits(material.traces, options.folds), start=1):
        tick(f"{question}, fold {number} of {options.folds}")
        replay = material.replay(question, training, test, most=options.positions)
        replay.ask(material.graph(question, training), askers, tallies)
        asked += replay.asked
    if not asked:
        return QuestionFigures(question=question, note="no trace has enough calls to be asked about")
    if question == "plan":
        note = "in parallel, as the dependencies allow" if material.parallel else "learned from the recorded times"
    return QuestionFigures(
        question=question,
        asked=asked,
        tasks=len({task for tally in tallies.values() for task in tally.tasks}),
        baseline=baseline,
        default=default_arm(question),
        arms=compare(tallies, baseline),
        note=note,
    )


def _curves(material: Material, options: Options, tick: Tick) -> tuple[Curve, ...]:
    """Draw the learning curves of the baseline and of the arm that answers by default."""
    return curves(
        material,
        {arm: asker("next", arm) for arm in dict.fromkeys((BASELINES["next"], default_arm("next")))},
        most=max(1, options.positions // 4),
        folds=options.folds,
        tick=tick,
    )


def _gates(questions: Sequence[QuestionFigures], drawn: Iterable[Curve], false: FalseEdges) -> Iterable[Gate]:
    for asked in questions:
        for arm in asked.arms:
            if arm.arm == asked.default and arm.differences:
                yield from _not_below(asked, arm)
    for curve in drawn:
        if curve.arm == default_arm("next"):
            steps = (f"{hit.value:.3f} ({size})" for hit, size in zip(curve.hits, curve.sizes, strict=True))
            yield Gate(f"{curve.arm}: hit@1 does not fall as traces grow", not curve.falls, " -> ".join(steps))
    plans = [arm for asked in questions if asked.question == "plan" for arm in asked.arms]
    if plans:
        circling = [arm.arm for arm in plans if arm.figures["cyclic"].value > 0]
        yield Gate("no plan goes in a circle", not circling, ", ".join(circling) or "0 did, of all arms")
    yield Gate(
        "no sequence edge between calls that ran side by side",
        false.clew_false == 0,
        f"{false.clew_false} of {false.clew} observations",
    )


def _not_below(asked: QuestionFigures, arm: ArmFigures) -> Iterable[Gate]:
    for figure in HEADLINES[asked.question]:
        difference = arm.differences[figure]
        detail = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
        if difference.value < 0 <= difference.high:
            detail += ", which may be chance"
        rule = f"{asked.question}: {arm.arm} is not below {asked.baseline} in {figure}"
        yield Gate(rule, difference.value >= 0, detail)
