"""
What logged suggestions came to, arm by arm: the report of an A/B run in production.

Each suggestion was logged with the version of its arm, and scored once its trace was finished.
Suggestions of one trace depend on each other, so intervals are over traces; two versions never
answered the same question, so differences are not paired. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Protocol

import msgspec

from clew.graph.evaluate_tally import Tally
from clew.graph.folds import SEED
from clew.graph.statistics import Bin, Interval, Resamples, spread
from clew.model.graph import Node

FIGURES = ("hit@1", "hit@3", "MRR")

LEAST_TRACES = 30
"""Fewer, and the intervals themselves are not to be trusted."""


class Record(Protocol):
    """What is read of a logged suggestion (`clew.store.protocol.SuggestionRecord`)."""

    arm: str
    arm_version: int
    trace_id: str
    probabilities: list[float]
    outcome: Node | None
    """What came next; None while that is not known, or if nothing came."""
    rank: int
    """Where the outcome stood among the suggestions, from 1; 0 if it was not among them."""
    scored: bool
    """The trace is finished."""


class AbArm(msgspec.Struct, kw_only=True, frozen=True):
    """One version of an arm."""

    arm: str
    version: int
    scored: int
    """Suggestions after which something came: what the figures are of."""
    ended: int
    """After which nothing came: no suggestion could have been right."""
    unscored: int
    """Whose trace is not finished."""
    traces: int
    figures: dict[str, Interval] = {}
    """hit@1, hit@3, MRR, and ece: the gap between the first suggestion's probability and how often it was right."""
    reliability: tuple[Bin, ...] = ()


class AbDifference(msgspec.Struct, kw_only=True, frozen=True):
    """One version minus another."""

    version: int
    than: int
    figures: dict[str, Interval]


class AbReport(msgspec.Struct, kw_only=True, frozen=True):
    """All versions that were asked, lowest first."""

    arms: tuple[AbArm, ...] = ()
    differences: tuple[AbDifference, ...] = ()
    warnings: tuple[str, ...] = ()
    """What speaks against reading much into it, in words."""


def report(records: Iterable[Record]) -> AbReport:
    """Score each arm on what came after its suggestions; the same records in any order give the same report."""
    by_version: dict[tuple[int, str], list[Record]] = {}
    for record in records:
        by_version.setdefault((record.arm_version, record.arm), []).append(record)
    measured = [_Measured(arm, version, by_version[version, arm]) for version, arm in sorted(by_version)]
    comparable = [each for each in measured if each.tasks]
    return AbReport(
        arms=tuple(each.shown for each in measured),
        differences=tuple(_difference(one, other) for other, one in combinations(comparable, 2)),
        warnings=tuple(_warnings(measured)),
    )


class _Measured:
    """One version, with the draws that its intervals come from."""

    def __init__(self, arm: str, version: int, records: Sequence[Record]) -> None:
        tally = Tally()
        known = [record for record in records if record.scored and record.outcome is not None]
        for record in known:
            _count(tally, record)
        self.tally = tally
        self.tasks = tally.tasks
        # A seed of its own: versions that drew alike would look paired.
        self.resamples = Resamples(len(self.tasks), seed=SEED + version)
        finished = sum(record.scored for record in records)
        self.shown = AbArm(
            arm=arm,
            version=version,
            scored=len(known),
            ended=finished - len(known),
            unscored=len(records) - finished,
            traces=len(self.tasks),
            figures=self._figures(),
            reliability=tuple(tally.first.bins()),
        )

    def _figures(self) -> dict[str, Interval]:
        if not self.tasks:
            return {}
        figures = {name: self.resamples.ratio(*self.tally.columns(name, self.tasks)) for name in FIGURES}
        return {**figures, "ece": self.tally.first.error(self.tasks, self.resamples)}

    def draws(self, figure: str) -> list[float]:
        return self.resamples.ratios(*self.tally.columns(figure, self.tasks))


def _count(tally: Tally, record: Record) -> None:
    tally.add(record.trace_id, "hit@1", record.rank == 1)
    tally.add(record.trace_id, "hit@3", 1 <= record.rank <= 3)
    tally.add(record.trace_id, "MRR", 1 / record.rank if record.rank else 0.0)
    if record.probabilities:
        tally.first.add(record.trace_id, record.probabilities[0], float(record.rank == 1))


def _difference(one: _Measured, other: _Measured) -> AbDifference:
    figures = {}
    for name in FIGURES:
        value = one.tally.value(name) - other.tally.value(name)
        # A version with a single trace has one draw: it is held against each of the other's.
        mine, theirs = one.draws(name), other.draws(name)
        times = max(len(mine), len(theirs))
        figures[name] = spread(value, [mine[at % len(mine)] - theirs[at % len(theirs)] for at in range(times)])
    return AbDifference(version=one.shown.version, than=other.shown.version, figures=figures)


def _warnings(measured: Sequence[_Measured]) -> Iterable[str]:
    for each in measured:
        if each.shown.traces < LEAST_TRACES:
            name = f"version {each.shown.version} ({each.shown.arm})"
            yield f"{name} was scored on {each.shown.traces} traces; under {LEAST_TRACES} its intervals say little"
