"""
What comes next: the next tools of a run, likeliest first, with probabilities and their reasons.

    suggest(graph, context_of(graph, ["search_flights"], within="book_trip"), k=3)

The arms: `learned` (the default), and what it is held against: `popularity`, `follows` (plain
counts after the last call), `fixed` (the original design's weights) and `backoff` (the last three
calls). How the learned arm works stands in `next_contexts`, `next_gates` and `next_evidence`. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from clew.errors import BadFilter
from clew.graph import next_arms
from clew.graph.calls import Context
from clew.graph.next_evidence import SIGNALS
from clew.graph.next_gates import GROUPS
from clew.graph.next_mixture import Part, likeliest
from clew.graph.next_model import WEIGHED, model_of
from clew.graph.next_place import Place, context_of
from clew.graph.next_reasons import reasons_for
from clew.graph.state import Graph
from clew.model.graph import Suggestion, Suggestions

__all__ = ["ARMS", "MOST_SUGGESTED", "WEIGHTS", "context_of", "rank", "suggest"]

ARMS: Final = ("popularity", "follows", "fixed", "backoff", "learned")

MOST_SUGGESTED = 1_000

WEIGHTS: Final[dict[str, dict[str, float]]] = {
    "fixed": next_arms.FIXED,
    "learned": dict.fromkeys([*GROUPS, *SIGNALS], 1.0),
}
"""
What of an arm can be tuned. Of the learned arm: factors on what it fitted to the graph itself, on
the trust in groups of contexts and on the weights of the signals.
"""


def rank(
    graph: Graph, context: Context, *, arm: str = "learned", weights: Mapping[str, float] | None = None
) -> dict[int, float]:
    """
    Give the probability of each node that may come next, by id; the rest, to 1, is for what was never seen.

    Raises:
        BadFilter: the arm or a weight is unknown, or a weight is no number from 0 on.
    """
    shares, _ = _predicted(graph, Place(graph, context), arm, weights, everything=True)
    return {node: share for node, share in shares.items() if node >= 0}


def suggest(
    graph: Graph,
    context: Context,
    *,
    k: int = 5,
    arm: str = "learned",
    weights: Mapping[str, float] | None = None,
    version: int = 0,
) -> Suggestions:
    """
    Give the *k* likeliest next steps, each with what speaks for it; fewer if the graph knows fewer.

    *version* is the stored version of the arm, and is handed through. A graph that knows nothing
    answers with nothing.

    Raises:
        BadFilter: the arm or a weight is unknown, or *k* is not from 1 to MOST_SUGGESTED.
    """
    if not isinstance(k, int) or not 1 <= k <= MOST_SUGGESTED:
        raise BadFilter("k", f"{str(k)[:40]} suggestions cannot be given; ask for 1 to {MOST_SUGGESTED}")
    place = Place(graph, context)
    shares, spoke = _predicted(graph, place, arm, weights, everything=k > WEIGHED)
    tables = model_of(graph).tables
    found = tuple(
        Suggestion(
            node=place.node(node),
            probability=min(1.0, shares[node]),
            reasons=reasons_for(graph, place, node, spoke, tables),
        )
        for node in likeliest(shares, k, place.node)
    )
    return Suggestions(arm=arm, arm_version=version, suggestions=found)


def _predicted(
    graph: Graph, place: Place, arm: str, weights: Mapping[str, float] | None, *, everything: bool
) -> tuple[dict[int, float], list[Part]]:
    """The probabilities that an arm gives, and the contexts that spoke; the plain arms name those of the learned."""
    if arm not in ARMS:
        raise BadFilter("arm", f"{arm[:80]!r} is no arm of suggest; there are {', '.join(ARMS)}")
    weighing = _checked(arm, weights)
    model = model_of(graph)
    if arm == "learned":
        return model.predicted(place, weighing, everything=everything)
    if arm == "fixed":
        return next_arms.fixed(graph, place, weighing), []
    plain = {"popularity": next_arms.popularity, "follows": next_arms.follows, "backoff": next_arms.backoff}[arm]
    return plain(model, place), model.mixture.parts(place.walk, place.pending)


def _checked(arm: str, weights: Mapping[str, float] | None) -> Mapping[str, float]:
    """The arm's weights, with those that were given in place of its own."""
    own = WEIGHTS.get(arm, {})
    for name, weight in (weights or {}).items():
        if name not in own:
            known = ", ".join(own) or "none"
            raise BadFilter("weights", f"{name[:80]!r} is no weight of {arm}; there are {known}")
        if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise BadFilter("weights", f"{name} is {str(weight)[:40]}; a weight is a number from 0 on")
    return {**own, **(weights or {})}
