"""
How far each context is trusted: by its kind, how often it was seen, and how many outcomes it had.

The trust is fitted to the graph's own episodes, each judged by what the others teach (leave one
out), so that a context that was seen once and repeats only itself earns nothing. Pure.

Source: deleted interpolation, Jelinek and Mercer (1980); the step is the minorise-maximise step for
mixtures whose weights are shares of those present, as in Hunter: MM algorithms for generalized
Bradley-Terry models (2004).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from clew.graph.next_contexts import (
    ANYTHING,
    FAILURE,
    FOUR,
    GIVERS,
    KINDS,
    LAST,
    LAST_GIVERS,
    LAST_PENDING,
    ORDERED,
    OUTCOME,
    PENDING,
    POSITION,
    SCOPE,
    SCOPE_LAST,
    SKIP,
    THREE,
    TWO,
    UNORDERED,
)
from clew.graph.next_guesses import AGAIN, DECLARED, GUESSES, LAST_AGAIN, LATE_AGAIN

_BITS = 9
_SPREADS = 3
FLOOR = (len(KINDS) + len(GUESSES)) * _BITS * _SPREADS
"""The gate of what was never seen."""
GATES = FLOOR + 1

FLOOR_SHARE = 1e-4
ROUNDS = 24
PRIOR = 3.0
"""How many places the trust at first counts for, at each gate."""

_AT_FIRST: dict[int, float] = {
    ANYTHING: 0.05,
    SCOPE: 0.1,
    POSITION: 0.3,
    LAST: 0.7,
    SCOPE_LAST: 0.7,
    OUTCOME: 0.7,
    FAILURE: 0.7,
    SKIP: 0.5,
    TWO: 1.2,
    THREE: 1.3,
    FOUR: 1.3,
    ORDERED: 1.5,
    UNORDERED: 1.2,
    PENDING: 1.5,
    LAST_PENDING: 2.0,
    GIVERS: 0.3,
    LAST_GIVERS: 0.7,
    len(KINDS) + LAST_AGAIN: 0.06,
    len(KINDS) + AGAIN: 0.06,
    len(KINDS) + LATE_AGAIN: 0.06,
    len(KINDS) + DECLARED: 1.0,
}
"""The trust before anything is fitted: about what was fitted to ten sets of real traces, in the geometric mean."""
_SINGLE = (0.2, 0.2, 0.6, 1.2, 2.0, 2.0, 2.0, 2.0, 2.0)
"""Times this where there was one outcome only: it means little if it was seen once."""
_MANY = 0.4
"""Times this where nearly every time something else came."""
_BY_AFTER = (1.0, 1.0, 6.0)
_FLOOR_AT_FIRST = 0.02

GROUPS: dict[str, tuple[int, ...]] = {
    "order": (LAST, SKIP, TWO, THREE, FOUR),
    "scope": (SCOPE, POSITION, SCOPE_LAST),
    "whole": (ORDERED, UNORDERED),
    "outcome": (OUTCOME, FAILURE),
    "dataflow": (PENDING, LAST_PENDING, GIVERS, LAST_GIVERS),
    "repeats": tuple(len(KINDS) + guess for guess in (LAST_AGAIN, AGAIN, LATE_AGAIN)),
    "declared": (len(KINDS) + DECLARED,),
}
"""Kinds whose trust can be scaled together: the arm's weights."""

After = Literal[0, 1, 2]
"""What the last call is: known, none, or a stranger that was never seen before."""

Row = tuple[Sequence[int], Sequence[float], float]
"""One place in one episode: the gates open there, the probability each gives to what came, and how much it counts."""


def gate(kind: int, total: int, outcomes: int) -> int:
    """Give the gate of a context: *total* times seen, with so many different outcomes."""
    bits = total.bit_length()
    spread = 0 if outcomes == 1 else 1 if 2 * outcomes <= total else 2
    return (kind * _BITS + (bits if bits < _BITS else _BITS - 1)) * _SPREADS + spread


def anything_gate(total: int, after: After) -> int:
    """Give the gate of how often each node is called anywhere: all there is to go by after a stranger."""
    return gate(ANYTHING, total, 1) + after


def guess_gate(guess: int, earlier: int, after: After) -> int:
    """Give the gate of a guess after so many earlier calls."""
    return ((len(KINDS) + guess) * _BITS + min(earlier, _BITS - 1)) * _SPREADS + after


def at_first() -> list[float]:
    """Give each gate's trust before anything is fitted."""
    trust = []
    for at in range(FLOOR):
        kind, rest = divmod(at, _BITS * _SPREADS)
        bits, spread = divmod(rest, _SPREADS)
        if kind == ANYTHING:
            counted = _BY_AFTER[spread]
        else:
            counted = 1.0 if kind >= len(KINDS) else (_SINGLE[bits], 1.0, _MANY)[spread]
        trust.append(_AT_FIRST[kind] * counted)
    return [*trust, _FLOOR_AT_FIRST]


def fit(rows: Sequence[Row], rounds: int = ROUNDS) -> list[float]:
    """Give each gate's trust, as a share among the gates open at a place."""
    first = at_first()
    trust = first
    for _ in range(rounds if rows else 0):
        earned, asked = [PRIOR * one for one in first], [PRIOR] * GATES
        for gates, shares, weight in rows:
            open_ = [trust[at] for at in gates]
            given = [one * share for one, share in zip(open_, shares, strict=True)]
            per_trust = weight / sum(open_)
            per_given = weight / sum(given)
            for at, part in zip(gates, given, strict=True):
                asked[at] += per_trust
                if part:
                    earned[at] += part * per_given
        trust = [one / other for one, other in zip(earned, asked, strict=True)]
    return trust


def scaled(trust: Sequence[float], weights: Mapping[str, float]) -> Sequence[float]:
    """Give the trust with each group of kinds scaled by its weight."""
    if all(weights.get(group, 1.0) == 1.0 for group in GROUPS):
        return trust
    result = list(trust)
    for group, kinds in GROUPS.items():
        for kind in kinds:
            for at in range(kind * _BITS * _SPREADS, (kind + 1) * _BITS * _SPREADS):
                result[at] *= weights.get(group, 1.0)
    return result
