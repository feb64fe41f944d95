"""
The arithmetic of measuring: expected ranks, bootstrap intervals, calibration.

Pure: what is random takes a seed. Everything is summed by group (a task, a trace), since runs of
one task are no independent observations.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec

from clew.graph.folds import SEED

TIMES = 1000
"""Resamples behind an interval."""

BINS = 10
"""Of the reliability table, each a tenth wide."""


class Interval(msgspec.Struct, frozen=True):
    """A figure, and between which values it lies with 95 %."""

    value: float
    low: float
    high: float


class Rank(msgspec.Struct, frozen=True):
    """Where the right answer stands: behind *better* others, among *tied* equals (itself counted)."""

    better: int
    tied: int

    def hit(self, k: int) -> float:
        """How likely the right answer is among the first k, if ties are put in random order."""
        return min(1.0, max(0.0, (k - self.better) / self.tied))

    @property
    def reciprocal(self) -> float:
        """The expected reciprocal of its place."""
        places = range(self.better + 1, self.better + self.tied + 1)
        return sum(1.0 / place for place in places) / self.tied


def rank_of(wanted: int | None, scores: Mapping[int, float], catalogue_size: int) -> Rank:
    """
    Rank the right answer among a catalogue of which only some have a score; the others have 0.

    *wanted* is None if the right answer is not even known to who gave the scores.
    """
    score = 0.0 if wanted is None else scores.get(wanted, 0.0)
    if score > 0.0:
        better = sum(1 for other in scores.values() if other > score)
        return Rank(better, sum(1 for other in scores.values() if other == score))
    scored = sum(1 for other in scores.values() if other > 0.0)
    return Rank(scored, max(1, catalogue_size - scored))


class Resamples:
    """
    Groups drawn with replacement, the same draws for every figure, so that differences are paired.

    *size* groups; a figure is the ratio of two sums over them.
    """

    def __init__(self, size: int, *, times: int = TIMES, seed: int = SEED) -> None:
        draw = random.Random(seed)  # noqa: S311
        self.size = size
        self._draws: list[Any] = []
        if size > 1:
            self._draws = [itemgetter(*draw.choices(range(size), k=size)) for _ in range(times)]

    def sums(self, values: Sequence[float]) -> list[float]:
        """Give the sum over each draw; a single group is drawn only as it is."""
        return [sum(draw(values)) for draw in self._draws] or [sum(values)]

    def ratio(self, parts: Sequence[float], wholes: Sequence[float]) -> Interval:
        """Give sum(parts) / sum(wholes) with its interval; 0 where the wholes are 0."""
        return spread(_over(sum(parts), sum(wholes)), self.ratios(parts, wholes))

    def ratios(self, parts: Sequence[float], wholes: Sequence[float]) -> list[float]:
        """Give the ratio for each draw."""
        return [_over(part, whole) for part, whole in zip(self.sums(parts), self.sums(wholes), strict=True)]


def spread(value: float, draws: Iterable[float]) -> Interval:
    """Give *value* with the middle 95 % of the draws."""
    ordered = sorted(draws)
    last = len(ordered) - 1
    return Interval(value, ordered[round(0.025 * last)], ordered[round(0.975 * last)])


def _over(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


class Bin(msgspec.Struct, kw_only=True, frozen=True):
    """The answers that were given with about the same probability."""

    low: float
    high: float
    count: int
    said: float
    """Mean probability, 0 to 1."""
    was: float
    """Share that was right, 0 to 1."""


class Reliability:
    """Said probabilities beside what came, by group, in bins of one width."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[int, list[float]]] = {}

    def add(self, group: str, said: float, was: float) -> None:
        """Count one answer, given with probability *said*, right with probability *was* (0 or 1 unless tied)."""
        bins = self._groups.setdefault(group, {})
        tally = bins.setdefault(min(BINS - 1, int(said * BINS)), [0.0, 0.0, 0.0])
        tally[0] += 1
        tally[1] += said
        tally[2] += was

    def bins(self) -> list[Bin]:
        """Give the bins in which there is anything, lowest first."""
        found = []
        for at in range(BINS):
            tallies = [bins[at] for bins in self._groups.values() if at in bins]
            if tallies:
                count, said, was = (sum(column) for column in zip(*tallies, strict=True))
                found.append(
                    Bin(low=at / BINS, high=(at + 1) / BINS, count=int(count), said=said / count, was=was / count)
                )
        return found

    def error(self, groups: Sequence[str], resamples: Resamples) -> Interval:
        """
        Give the expected calibration error: the mean gap between said and was, weighted by the bins' counts.

        Source: Guo et al.: On Calibration of Modern Neural Networks (ICML 2017).
        """
        nothing = (0.0, 0.0, 0.0)
        counts = [sum(tally[0] for tally in self._groups.get(group, {}).values()) for group in groups]
        gaps = [0.0] * len(resamples.sums(counts))
        for at in range(BINS):
            tallies = [self._groups.get(group, {}).get(at, nothing) for group in groups]
            if any(tally[0] for tally in tallies):
                drawn = resamples.sums([tally[1] - tally[2] for tally in tallies])
                gaps = [gap + abs(more) for gap, more in zip(gaps, drawn, strict=True)]
        total = sum(counts)
        value = _over(sum(each.count * abs(each.said - each.was) for each in self.bins()), total)
        return spread(value, [_over(gap, count) for gap, count in zip(gaps, resamples.sums(counts), strict=True)])
