"""
How often the first suggestion is right as more traces are learned.

A way of counting that saturates gets worse with data; a sound one does not. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from clew.graph.evaluate_next import Ranker
from clew.graph.evaluate_replay import Material
from clew.graph.evaluate_tally import Tally, difference
from clew.graph.folds import FOLDS, shuffled, splits
from clew.graph.learn import learn_into
from clew.graph.state import Graph
from clew.graph.statistics import Interval, Resamples

SIZES = (5, 20, 80)
"""Traces learned; then all there are."""


class Curve(msgspec.Struct, kw_only=True, frozen=True):
    """One arm."""

    arm: str
    sizes: tuple[int, ...]
    """Traces learned; the last is all of them, on average over the folds."""
    hits: tuple[Interval, ...]
    """hit@1 at each size."""
    steps: tuple[Interval, ...]
    """How much it rose from each size to the next, paired."""

    @property
    def falls(self) -> bool:
        """Whether it fell somewhere by more than chance would explain."""
        return any(step.high < 0 for step in self.steps)


def curves(
    material: Material,
    rankers: Mapping[str, Ranker],
    *,
    most: int,
    folds: int = FOLDS,
    tick: Callable[[str], None] = lambda _: None,
) -> tuple[Curve, ...]:
    """Learn ever more of each fold's traces, in an order drawn once, and ask the same positions each time."""
    tallies: dict[int, dict[str, Tally]] = {}
    everything: list[int] = []
    for training, test in splits(material.traces, folds):
        replay = material.replay("next", training, test, most=most)
        everything.append(len(training))
        graph, known = Graph(), 0
        material.register(graph)
        order = shuffled(training)
        for size in (*(size for size in SIZES if size < len(training)), 0):
            for trace in order[known : size or len(order)]:
                learn_into(graph, trace.calls)
            known = size
            tick(f"learning curve, {size or len(order)} traces")
            replay.ask(graph, rankers, tallies.setdefault(size, {arm: Tally() for arm in rankers}))
    if not everything:
        return ()
    in_full = sum(everything) // len(everything)
    sizes = [size for size in (*SIZES, 0) if size in tallies]
    return tuple(
        _curve(arm, [size or in_full for size in sizes], [tallies[size][arm] for size in sizes]) for arm in rankers
    )


def _curve(arm: str, sizes: Sequence[int], tallies: Sequence[Tally]) -> Curve:
    tasks = sorted({task for tally in tallies for task in tally.tasks})
    resamples = Resamples(len(tasks))
    pairs = zip(tallies[1:], tallies, strict=False)
    return Curve(
        arm=arm,
        sizes=tuple(sizes),
        hits=tuple(resamples.ratio(*tally.columns("hit@1", tasks)) for tally in tallies),
        steps=tuple(difference(after, before, "hit@1", tasks, resamples) for after, before in pairs),
    )
