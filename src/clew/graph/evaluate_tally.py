"""
What one arm got right, summed by task; and arms beside each other.

A figure is a share: a sum of parts over a sum of wholes (hits over positions, twice the true
edges over all edges). Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from clew.graph.statistics import Bin, Interval, Reliability, Resamples, spread


class ArmFigures(msgspec.Struct, kw_only=True, frozen=True):
    """One arm's figures for one question on one data set."""

    arm: str
    figures: dict[str, Interval]
    differences: dict[str, Interval] = {}
    """This arm minus the baseline, on the same draws of tasks; empty for the baseline itself."""
    reliability: tuple[Bin, ...] = ()
    """Of all suggestions that would be shown, by the probability they were given with."""


class Tally:
    """The sums of one arm."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, list[float]]] = {}
        self.first = Reliability()
        """Of the first suggestion."""
        self.shown = Reliability()
        """Of each suggestion that would be shown."""

    def add(self, task: str, figure: str, part: float, whole: float = 1.0) -> None:
        """Count one observation of a figure."""
        sums = self._sums.setdefault(figure, {}).setdefault(task, [0.0, 0.0])
        sums[0] += part
        sums[1] += whole

    @property
    def tasks(self) -> list[str]:
        """The tasks of which anything was counted, sorted."""
        return sorted({task for by_task in self._sums.values() for task in by_task})

    @property
    def names(self) -> list[str]:
        """The figures that were counted."""
        return list(self._sums)

    def value(self, figure: str) -> float:
        """Give a figure over all tasks; 0 if nothing was counted."""
        sums = self._sums.get(figure, {}).values()
        whole = sum(each[1] for each in sums)
        return sum(each[0] for each in sums) / whole if whole else 0.0

    def columns(self, figure: str, tasks: Sequence[str]) -> tuple[list[float], list[float]]:
        """Give a figure's parts and wholes, task by task."""
        nothing = [0.0, 0.0]
        sums = [self._sums.get(figure, {}).get(task, nothing) for task in tasks]
        return [each[0] for each in sums], [each[1] for each in sums]


def compare(tallies: Mapping[str, Tally], baseline: str) -> tuple[ArmFigures, ...]:
    """Give each arm's figures with their intervals, and how far it is from the baseline."""
    tasks = sorted({task for tally in tallies.values() for task in tally.tasks})
    resamples = Resamples(len(tasks))
    return tuple(
        ArmFigures(
            arm=arm,
            figures=_figures(tally, tasks, resamples),
            differences={}
            if arm == baseline or baseline not in tallies
            else {name: difference(tally, tallies[baseline], name, tasks, resamples) for name in tally.names},
            reliability=tuple(tally.shown.bins()),
        )
        for arm, tally in tallies.items()
    )


def _figures(tally: Tally, tasks: Sequence[str], resamples: Resamples) -> dict[str, Interval]:
    figures = {name: resamples.ratio(*tally.columns(name, tasks)) for name in tally.names}
    for name, reliability in (("ece", tally.first), ("ece_shown", tally.shown)):
        if reliability.bins():
            figures[name] = reliability.error(tasks, resamples)
    return figures


def difference(tally: Tally, baseline: Tally, figure: str, tasks: Sequence[str], resamples: Resamples) -> Interval:
    """Give *tally* minus *baseline*, paired: both on the same draws of tasks."""
    draws = resamples.ratios(*tally.columns(figure, tasks))
    others = resamples.ratios(*baseline.columns(figure, tasks))
    return spread(
        tally.value(figure) - baseline.value(figure),
        [one - other for one, other in zip(draws, others, strict=True)],
    )
