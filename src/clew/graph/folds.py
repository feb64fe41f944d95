"""
Parts of recorded traces, of which each is held out in turn while the others are learned.

By the md5 of the task, so that runs of one task never stand on both sides, and so that the parts
are the same on every machine. Pure.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from clew.graph.calls import TraceCalls
from clew.graph.learn import learn_into
from clew.graph.recorded import RecordedTrace
from clew.graph.state import Graph

T = TypeVar("T")

FOLDS = 5
SEED = 3
"""Of every sample that evaluation draws."""


def fold_of(task: str, folds: int = FOLDS) -> int:
    """Say in which part a task is, 0 to folds - 1."""
    return int(hashlib.md5(task.encode(), usedforsecurity=False).hexdigest(), 16) % folds


def split(
    traces: Sequence[RecordedTrace], held_out: int, folds: int = FOLDS
) -> tuple[list[RecordedTrace], list[RecordedTrace]]:
    """Give the traces to learn from and the traces held out, each in the order they came in."""
    parts = [fold_of(trace.task, folds) == held_out for trace in traces]
    training = [trace for trace, out in zip(traces, parts, strict=True) if not out]
    return training, [trace for trace, out in zip(traces, parts, strict=True) if out]


def splits(
    traces: Sequence[RecordedTrace], folds: int = FOLDS
) -> Iterator[tuple[list[RecordedTrace], list[RecordedTrace]]]:
    """Hold out each part in turn; parts without a trace are left out."""
    for held_out in range(folds):
        training, test = split(traces, held_out, folds)
        if test:
            yield training, test


def sampled(items: Sequence[T], most: int, seed: int = SEED) -> Sequence[T]:
    """Give at most *most* of the items, drawn without replacement; the same ones each time, in their order."""
    if len(items) <= most:
        return items
    return [items[at] for at in sorted(random.Random(seed).sample(range(len(items)), most))]  # noqa: S311


def learned(traces: Iterable[TraceCalls]) -> Graph:
    """Give the graph that the traces teach."""
    graph = Graph()
    for trace in traces:
        learn_into(graph, trace)
    return graph


def shuffled(items: Sequence[T], seed: int = SEED) -> list[T]:
    """Give the items in an order that is drawn, the same one each time."""
    return random.Random(seed).sample(items, len(items))  # noqa: S311
