"""
The fixed weights of the original design: edge type times source, cost 1/weight.

Kept exactly as one arm beside those that are measured: an edge's weight does not grow with what
is seen of it once it is observed.
"""

from __future__ import annotations

from typing import Final

from clew.model.graph import EdgeType, Source

TYPE_WEIGHT: Final[dict[EdgeType, float]] = {"contains": 0.8, "sequence": 0.5, "dependency": 1.0, "provides": 0.7}
SOURCE_FACTOR: Final[dict[Source, float]] = {"observed": 1.0, "inferred": 0.7, "template": 0.5}


def fixed_weight(type_: EdgeType, source: Source) -> float:
    """Give the weight of an edge: above 0, at most 1."""
    return TYPE_WEIGHT[type_] * SOURCE_FACTOR[source]


def fixed_cost(type_: EdgeType, source: Source) -> float:
    """Give what walking an edge costs: 1 / weight."""
    return 1.0 / fixed_weight(type_, source)
