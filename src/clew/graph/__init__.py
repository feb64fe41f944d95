"""
The execution graph: what contains what, what follows what, what feeds what, how often, how well.

Learned from finished traces (`learn`), kept as counters (`Graph`), asked through `suggest`, `path`,
`plan`, `similar`, `search`, `variants`, `conform` and `diff`. Pure: no clock, no I/O. `clew.query`
asks a stored project's graph.
"""

from clew.graph.calls import Call, Context, TraceCalls
from clew.graph.learn import learn, learn_into
from clew.graph.state import Graph

__all__ = ["Call", "Context", "Graph", "TraceCalls", "learn", "learn_into"]
