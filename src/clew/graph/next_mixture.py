"""What all contexts of a place say together: a mixture of their counts, each as far as it is trusted. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from clew.graph.next_contexts import ANYTHING, LAST, Walk
from clew.graph.next_gates import FLOOR, FLOOR_SHARE, After, Row, anything_gate, at_first, gate, guess_gate
from clew.graph.next_guesses import DECLARED, Declared, Guess, guesses
from clew.graph.next_tables import TOTAL, Counts, Tables
from clew.model.graph import Node

_BIG = 64
"""Contexts with more outcomes offer only so many, the likeliest, as candidates."""

_STALE = 1.05
"""What a big context offers is looked up anew when its count has grown by this factor."""

_LEAST = 1e-9
"""A smaller probability is none: it may be what is left of subtracting an episode's own counts."""


class Part(NamedTuple):
    """A context that spoke: its kind, what came in it, and how far it was trusted (0 to 1)."""

    kind: int
    counts: Counts
    trust: float


class Mixed(NamedTuple):
    """Candidates with their probabilities, and the contexts that spoke."""

    shares: dict[int, float]
    parts: list[Part]


class _Met(NamedTuple):
    """A context that was met before: counts, those of the left-out episode, and what is left."""

    key: int
    kind: int
    counts: Counts
    mine: Counts
    total: int

    def gate(self, after: After) -> int:
        """The gate that this context opens."""
        if self.kind == ANYTHING:
            return anything_gate(self.total, after)
        only_mine = sum([1 for node, count in self.mine.items() if node != TOTAL and self.counts[node] == count])
        return gate(self.kind, self.total, len(self.counts) - 1 - only_mine)


_NOTHING: Counts = {TOTAL: 0}


class Mixture:
    """
    The counts of one graph with the trust in them.

    *own*, where it is given, is what one episode taught, and is left out.
    """

    def __init__(self, tables: Tables, nodes: Sequence[Node]) -> None:
        self.tables = tables
        self.declared = Declared()
        self.trust: Sequence[float] = at_first()
        self._nodes = nodes
        self._offers: dict[int, tuple[int, list[int]]] = {}

    def row(self, walk: Walk, pending: tuple[str, ...], came: int, own: Tables, weight: float) -> Row:
        """Give what the gates are fitted to: what each context would have said of what came."""
        gates, shares = [FLOOR], [FLOOR_SHARE]
        contexts = list(self._contexts(walk, pending, own))
        after = _after(walk, contexts)
        for met in contexts:
            gates.append(met.gate(after))
            shares.append((met.counts[came] - met.mine[came]) / met.total)
        for at, guess in self._guesses(walk, after):
            gates.append(at)
            shares.append(guess.get(came, 0.0))
        return gates, shares, weight

    def mixed(
        self,
        walk: Walk,
        pending: tuple[str, ...],
        trust: Sequence[float],
        *,
        own: Tables | None = None,
        everything: bool = False,
    ) -> Mixed:
        """
        Mix what each context says; together at most 1, the rest is for what was never seen.

        Unless *everything* is asked for, contexts with many outcomes add no candidates but their likeliest.
        """
        found = list(self._contexts(walk, pending, own))
        after = _after(walk, found)
        contexts = [(met, trust[met.gate(after)]) for met in found]
        hunches = [(guess, trust[at]) for at, guess in self._guesses(walk, after)]
        whole = trust[FLOOR] + sum([trusted for _, trusted in contexts]) + sum([trusted for _, trusted in hunches])
        shares: dict[int, float] = {}
        big: list[tuple[Counts, float]] = []
        for met, trusted in contexts:
            per_count = trusted / whole / met.total
            if everything or len(met.counts) <= _BIG:
                _add(shares, met.counts, per_count)
            else:
                big.append((met.counts, per_count))
                for node in self._offer(met):
                    shares.setdefault(node, 0.0)
            _add(shares, met.mine, -per_count)
        for guess, trusted in hunches:
            _add(shares, guess, trusted / whole)
        for counts, per_count in big:
            for node in shares:
                shares[node] += per_count * counts.get(node, 0)
        shares.pop(TOTAL, None)
        likely = {node: share for node, share in shares.items() if share > _LEAST}
        return Mixed(likely, [Part(met.kind, met.counts, trusted / whole) for met, trusted in contexts])

    def parts(self, walk: Walk, pending: tuple[str, ...]) -> list[Part]:
        """Give the contexts that have something to say, each as if it alone spoke."""
        return [Part(met.kind, met.counts, 1.0) for met in self._contexts(walk, pending, None)]

    def _contexts(self, walk: Walk, pending: tuple[str, ...], own: Tables | None) -> Iterator[_Met]:
        at = self.tables.at
        for kind, key in zip(walk.kinds(pending), walk.contexts(pending), strict=True):
            counts = at(key)
            if counts is not None:
                mine = _NOTHING if own is None else own.at(key) or _NOTHING
                total = counts[TOTAL] - mine[TOTAL]
                if total > 0:
                    yield _Met(key, kind, counts, mine, total)

    def _guesses(self, walk: Walk, after: After) -> Iterator[tuple[int, Guess]]:
        """The guesses with their gates; that a call comes again is none where nothing was ever learned."""
        for number, guess in guesses(walk, self.declared):
            if number == DECLARED or self.tables.positions:
                yield guess_gate(number, walk.count, after), guess

    def _offer(self, met: _Met) -> list[int]:
        found = self._offers.get(met.key)
        total = met.counts[TOTAL]
        if found is None or not found[0] <= total <= found[0] * _STALE:
            best = likeliest({**met.counts, TOTAL: 0}, _BIG, self._nodes.__getitem__)
            found = self._offers[met.key] = (total, best)
        return found[1]


def _after(walk: Walk, contexts: Sequence[_Met]) -> After:
    if not walk.count:
        return 1
    return 0 if any(met.kind == LAST for met in contexts) else 2


def _add(shares: dict[int, float], amounts: Mapping[int, float], factor: float) -> None:
    for node, amount in amounts.items():
        shares[node] = shares.get(node, 0.0) + factor * amount


def likeliest(shares: Mapping[int, float], k: int, name: Callable[[int], Node]) -> list[int]:
    """Give the k nodes of the largest share; ties by name, so that the order of learning does not show."""
    if len(shares) > k:
        least = sorted(shares.values(), reverse=True)[k - 1] * (1 - 1e-9)
        shares = {node: share for node, share in shares.items() if share >= least}
    return sorted(shares, key=lambda node: (-float(f"{shares[node]:.9g}"), name(node)))[:k]
