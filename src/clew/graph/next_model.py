"""
What comes next, learned: counts by context, how far each is trusted, and a second look at the best.

A model belongs to a graph and follows it: after a change only the episodes that changed are counted
anew, and the weights are fitted anew when the graph has grown by a third. Made at once from a graph
it depends on what the graph holds, not on the order in which that came. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from weakref import WeakKeyDictionary
from zlib import crc32

from clew.graph import next_evidence, next_gates
from clew.graph.next_contexts import ANYTHING, Walk
from clew.graph.next_evidence import SIGNALS, Choice, Scene, Signals
from clew.graph.next_gates import Row
from clew.graph.next_intake import Intake
from clew.graph.next_mixture import Mixed, Mixture, Part, likeliest
from clew.graph.next_place import Place
from clew.graph.next_tables import TOTAL, Counts, Tables
from clew.graph.state import TOP, Episode, Graph
from clew.model.graph import Node

WEIGHED = 25
"""Candidates that get a second look."""

_SAMPLED = 3_000
"""Places from which the trust in contexts is fitted."""
_CHOSEN = 1_200
"""Places from which the weights of the second look are fitted."""
_COMPARED = 12
"""Candidates at each of these: more change nothing, and take longer."""
_FROM_ONE = 32
"""Places of one episode at most; it counts at most _MOST_RUNS times."""
_MOST_RUNS = 20.0

_GROWN = 1.3


class Model:
    """The counts and weights of one graph."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._intake = Intake()
        self.tables = self._intake.tables
        self.mixture = Mixture(self.tables, nodes)
        self.signal_weights: Sequence[float] = next_evidence.START
        self._version = -1
        self._fitted_from = 0

    def follow(self, graph: Graph) -> None:
        """Take in what changed since last time."""
        if self._version == graph.version:
            return
        self._version = graph.version
        self._intake.follow(graph)
        self.mixture.declared.follow(graph.out("dependency"))
        now, then = self.tables.positions, self._fitted_from
        if now > then * _GROWN or now * _GROWN < then:
            self._fit()

    # Fitting.

    def _fit(self) -> None:
        sample = list(_sample(self._intake.episodes()))
        rows = [row for episode, own in sample for row in self._rows(episode, own)]
        self.mixture.trust = next_gates.fit(rows)
        choices: list[Choice] = []
        for episode, own in sample:
            if len(choices) < _CHOSEN:
                choices += self._choices(episode, own)
        self.signal_weights = next_evidence.fit(choices)
        self._fitted_from = self.tables.positions

    def _rows(self, episode: Episode, own: Tables) -> Iterator[Row]:
        for walk, at in _places(episode):
            step = episode.steps[at]
            yield self.mixture.row(walk, step.pending, step.node, own, min(_MOST_RUNS, episode.count))

    def _choices(self, episode: Episode, own: Tables) -> Iterator[Choice]:
        for walk, at in _places(episode):
            if at == 0 and episode.scope == TOP:
                continue  # How traces begin is mostly not for the graph to know: it would count for too much here.
            step = episode.steps[at]
            mixed = self.mixture.mixed(walk, step.pending, self.mixture.trust, own=own)
            best = likeliest(mixed.shares, _COMPARED, self._nodes.__getitem__)
            if step.node in best:
                signals = self._signals(best, mixed, Scene(self.tables, walk, step.pending, own))
                yield signals, best.index(step.node), min(_MOST_RUNS, episode.count)

    def _signals(self, nodes: Sequence[int], mixed: Mixed, scene: Scene) -> Signals:
        nothing: Counts = {TOTAL: 0}
        anything = self.tables.at(ANYTHING) or nothing
        mine = (scene.own.at(ANYTHING) if scene.own else None) or nothing
        whole = anything[TOTAL] - mine[TOTAL] + 0.5 * len(anything) + 1
        return [
            scene.signals(node, mixed.shares[node], (anything.get(node, 0) - mine.get(node, 0) + 0.5) / whole)
            for node in nodes
        ]

    # Predicting.

    def predicted(
        self, place: Place, weights: Mapping[str, float], *, everything: bool = False
    ) -> tuple[dict[int, float], list[Part]]:
        """Give probabilities of what comes next, and the contexts that spoke; see `Mixture.mixed`."""
        trust = next_gates.scaled(self.mixture.trust, weights)
        mixed = self.mixture.mixed(place.walk, place.pending, trust, everything=everything)
        shares = mixed.shares
        best = likeliest(shares, WEIGHED, place.node)
        if best:
            signals = self._signals(best, mixed, Scene(self.tables, place.walk, place.pending))
            by_signal = [
                weight * weights.get(name, 1.0) for name, weight in zip(SIGNALS, self.signal_weights, strict=True)
            ]
            together = sum([shares[node] for node in best])
            for node, share in zip(best, next_evidence.weighed(signals, by_signal), strict=True):
                shares[node] = share * together
        return shares, mixed.parts


def _sample(episodes: Iterable[Episode]) -> Iterator[tuple[Episode, Tables]]:
    """Episodes as if drawn by lot, each with what it alone teaches."""
    places = 0
    for episode in sorted(episodes, key=_lot):
        if places >= _SAMPLED:
            break
        places += min(len(episode.steps), _FROM_ONE)
        own = Tables()
        own.learn(episode, 1)
        yield episode, own


def _lot(episode: Episode) -> tuple[int, int, int]:
    """By the checksum of a trace's id: the same order however the episodes came."""
    trace_id = episode.exemplars[0][1] if episode.exemplars else ""
    return crc32(trace_id.encode("utf-8", "surrogatepass")), len(episode.steps), episode.last_ns


def _places(episode: Episode) -> Iterator[tuple[Walk, int]]:
    """Walk through an episode, and stop at so many of its places."""
    walk = Walk(episode.scope)
    stride = -(-len(episode.steps) // _FROM_ONE)
    for at, step in enumerate(episode.steps):
        if at % stride == 0:
            yield walk, at
        walk.take(step)


_MODELS: WeakKeyDictionary[Graph, Model] = WeakKeyDictionary()


def model_of(graph: Graph) -> Model:
    """Give the model of a graph as it is now."""
    model = _MODELS.get(graph)
    if model is None:
        model = _MODELS[graph] = Model(graph.nodes)
    model.follow(graph)
    return model
