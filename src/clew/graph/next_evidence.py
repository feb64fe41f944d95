"""
The second look: what a mixture of contexts cannot say, since evidence that agrees should add up.

The likeliest candidates are weighed against each other by a handful of signals, with weights that
are fitted to the graph's own episodes (each left out of what it is judged by) and held near "trust
the mixture". Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, log

from clew.graph.next_contexts import Walk
from clew.graph.next_tables import TOTAL, Tables

SIGNALS: tuple[str, ...] = ("mixture", "company", "again", "new", "recent", "often", "feeds")
"""
mixture: log of what the contexts say. company: does it come where these earlier siblings ran?
again: does it come again where it ran already? new: it did not run yet. recent: how long ago it ran.
often: how often. feeds: are the outputs that it usually consumes there, unused?
"""
START: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""The mixture as it is."""

HELD = 60.0
"""How hard the weights are held at START, in observations of a signal of usual size."""

_SMOOTH = 2.0
_SMOOTH_AGAIN = 5.0
_MOST_STEPS = 12
_MOST_PENDING = 128

Signals = list[list[float]]
"""Of each candidate, in the order of SIGNALS."""
Choice = tuple[Signals, int, float]
"""The candidates of one place, which of them came, and how much it counts."""


class Scene:
    """One place, ready to weigh candidates. *own* is what the episode itself taught, to be left out."""

    def __init__(self, tables: Tables, walk: Walk, pending: Sequence[str], own: Tables | None = None) -> None:
        self.tables, self.own = tables, own
        self.pending = set(pending[-_MOST_PENDING:])
        self.company = [each for each in map(self._company, walk.companions()) if each is not None]
        self.times: dict[int, int] = {}
        self.latest: dict[int, int] = {}
        for at, node in enumerate(walk.nodes):
            self.times[node] = self.times.get(node, 0) + 1
            self.latest[node] = walk.count - at

    def _company(self, node: int) -> tuple[Mapping[int, int], Mapping[int, int], int] | None:
        counts = self.tables.company.get(node)
        if counts is None:
            return None
        own: Mapping[int, int] = self.own.company.get(node, {}) if self.own else {}
        total = counts[TOTAL] - own.get(TOTAL, 0)
        return (counts, own, total) if total > 0 else None

    def signals(self, node: int, share: float, usual: float) -> list[float]:
        """Weigh one candidate: its *share* of the mixture, and how *usual* it is anywhere."""
        company = 0.0
        for counts, own, total in self.company:
            seen = counts.get(node, 0) - own.get(node, 0) if own else counts.get(node, 0)
            company += log((seen / usual + _SMOOTH) / (total + _SMOOTH))
        times = self.times.get(node, 0)
        if not times:
            return [log(share), company, 0.0, 1.0, 0.0, 0.0, self._feeds(node)]
        recent = log(self.latest[node])
        return [log(share), company, self._again(node, usual), 0.0, recent, log(times), self._feeds(node)]

    def _again(self, node: int, usual: float) -> float:
        found = self._company(node)
        if found is None:
            return 0.0
        counts, own, total = found
        again = counts.get(node, 0) - own.get(node, 0)
        return log((again / usual + _SMOOTH_AGAIN) / (total + _SMOOTH_AGAIN))

    def _feeds(self, node: int) -> float:
        if not self.pending:
            return 0.0
        paths = self.tables.feeds.get(node)
        if paths is None:
            return 0.0
        own = self.own.feeds.get(node, {}) if self.own else {}
        total = paths[""] - own.get("", 0)
        if total <= 0:
            return 0.0
        there = (
            [path for path in self.pending if path in paths]
            if len(self.pending) < len(paths)
            else [path for path in paths if path in self.pending]
        )
        return sum(paths[path] - own.get(path, 0) for path in there) / total


def weighed(signals: Signals, weights: Sequence[float]) -> list[float]:
    """Give each candidate's share of what all of them have together."""
    scores = [sum([weight * signal for weight, signal in zip(weights, each, strict=True)]) for each in signals]
    top = max(scores)
    shares = [exp(score - top) for score in scores]
    total = sum(shares)
    return [share / total for share in shares]


def fit(choices: Sequence[Choice]) -> list[float]:
    """Give the weights of the signals under which what came was likeliest: Newton's steps, held near START."""
    weights = list(START)
    held = [HELD * size for size in _sizes(choices)]
    value = _value(choices, weights, held)
    for _ in range(_MOST_STEPS):
        slope, curve = _slopes(choices, weights, held)
        step = _solved(curve, slope)
        factor = 1.0
        while True:
            tried = [weight - factor * each for weight, each in zip(weights, step, strict=True)]
            found = _value(choices, tried, held)
            if found <= value or factor < 1e-3:
                break
            factor /= 2
        gain, value, weights = value - found, found, tried
        if gain < 1e-4 * max(1.0, abs(value)):
            break
    return weights


def _sizes(choices: Sequence[Choice]) -> list[float]:
    """The mean square of each signal: what is never there is held at least a little."""
    sums, count = [0.0] * len(SIGNALS), 0
    for signals, _, _ in choices:
        count += len(signals)
        for each in signals:
            for at, signal in enumerate(each):
                sums[at] += signal * signal
    return [max(1e-3, each / max(1, count)) for each in sums]


def _value(choices: Sequence[Choice], weights: Sequence[float], held: Sequence[float]) -> float:
    value = sum(hold * (one - start) ** 2 for hold, one, start in zip(held, weights, START, strict=True)) / 2
    for signals, came, counts in choices:
        value -= counts * log(weighed(signals, weights)[came] + 1e-300)
    return value


def _slopes(
    choices: Sequence[Choice], weights: Sequence[float], held: Sequence[float]
) -> tuple[list[float], list[list[float]]]:
    size = range(len(SIGNALS))
    slope = [hold * (one - start) for hold, one, start in zip(held, weights, START, strict=True)]
    curve = [[held[at] if at == to else 0.0 for to in size] for at in size]
    for signals, came, counts in choices:
        shares = weighed(signals, weights)
        columns = list(zip(*signals, strict=True))
        means = [sum([share * signal for share, signal in zip(shares, column, strict=True)]) for column in columns]
        for at in size:
            slope[at] += counts * (means[at] - signals[came][at])
            parts = [share * (signal - means[at]) for share, signal in zip(shares, columns[at], strict=True)]
            row = curve[at]
            for to in range(at + 1):
                row[to] += counts * sum([part * signal for part, signal in zip(parts, columns[to], strict=True)])
    for at in size:
        for to in range(at):
            curve[to][at] = curve[at][to]
    return slope, curve


def _solved(matrix: list[list[float]], right: Sequence[float]) -> list[float]:
    """Solve a small symmetric positive system: Gauss, with the diagonal as pivots."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for at in range(size):
        for below in range(at + 1, size):
            factor = rows[below][at] / rows[at][at]
            for column in range(at, size + 1):
                rows[below][column] -= factor * rows[at][column]
    solution = [0.0] * size
    for at in reversed(range(size)):
        known = sum(rows[at][column] * solution[column] for column in range(at + 1, size))
        solution[at] = (rows[at][size] - known) / rows[at][at]
    return solution
