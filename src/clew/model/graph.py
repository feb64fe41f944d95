"""
What the execution graph speaks in: nodes, edges, and the answers to its questions.

No I/O and no counting here: `clew.graph` learns and answers, these are its words.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import msgspec

EdgeType = Literal["contains", "sequence", "provides", "dependency"]
"""
contains: a parent called a child. sequence: a sibling ended before the next began. provides: an
output value of one call turned up in the arguments of a later one. dependency: a template said so.
"""
EDGE_TYPES: tuple[EdgeType, ...] = get_args(EdgeType)

Source = Literal["template", "inferred", "observed"]
"""Where an edge is from: declared, seen once or twice (or guessed from time), seen often."""

OBSERVED_FROM = 3
"""So many observations make an edge `observed`. Source: the original design of the graph."""


class Node(NamedTuple):
    """A tool, a capability, or any other kind of step, by its name. One in each project."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"


class Edge(msgspec.Struct, kw_only=True, frozen=True):
    """All that is known of one edge. Keyed by origin, target and type."""

    origin: Node
    target: Node
    type: EdgeType
    count: int
    """Observations whose nesting or order was sure."""
    inferred: int = 0
    """Observations whose nesting was inferred from time, since the events named no parent."""
    failures: int = 0
    """Of all observations, those whose target failed."""
    declared: int = 0
    """Templates that name it."""
    duration_ns: int = 0
    """Sum over the observations of how long the target took."""
    heat: int = 0
    """The observations weighted by age: `clew.graph.heat`."""
    last_seen_ns: int = 0
    traces: tuple[str, ...] = ()
    """The newest few traces in which it was observed."""

    @property
    def source(self) -> Source:
        """Template, inferred or observed; observed wins from three sure observations."""
        if self.count >= OBSERVED_FROM:
            return "observed"
        return "inferred" if self.count + self.inferred else "template"


class Reason(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Why an answer says what it says: one piece of evidence, with what it rests on."""

    text: str
    """One sentence for people: 'book_flight followed search_flights in 31 of 40 runs'."""
    type: str = ""
    """An edge type, or `context`, `variant`, `text`, `neighbours`."""
    origin: Node | None = None
    target: Node | None = None
    count: int = 0
    weight: float | None = None
    """What this piece weighed in the answer, in the arm's own terms."""
    source: Source | None = None
    traces: tuple[str, ...] = ()
    """Exemplar trace ids, newest first."""


class Suggestion(msgspec.Struct, kw_only=True, frozen=True):
    """One next step."""

    node: Node
    probability: float
    """0 to 1, calibrated: of the suggestions given with 0.7, seven of ten are what comes next."""
    reasons: tuple[Reason, ...] = ()


class Suggestions(msgspec.Struct, kw_only=True, frozen=True):
    """The next steps, likeliest first."""

    arm: str
    arm_version: int
    suggestions: tuple[Suggestion, ...]
    suggestion_id: str = ""
    """Set when the answer was logged, so that its outcome is scored against its arm."""


class Path(msgspec.Struct, kw_only=True, frozen=True):
    """One way from a node to another."""

    nodes: tuple[Node, ...]
    cost: float
    """In the arm's terms: hops, sum of 1/weight, or -log P."""
    reasons: tuple[Reason, ...] = ()
    """One for each edge of the way."""


class Paths(msgspec.Struct, kw_only=True, frozen=True):
    """The k best ways, best first; empty if there is none."""

    arm: str
    arm_version: int
    paths: tuple[Path, ...]


class PlanEdge(msgspec.Struct, kw_only=True, frozen=True):
    """*target* waits for *origin*."""

    origin: Node
    target: Node
    evidence: float
    """0 to 1."""
    reasons: tuple[Reason, ...] = ()


class Plan(msgspec.Struct, kw_only=True, frozen=True):
    """A DAG over a set of tools."""

    arm: str
    arm_version: int
    levels: tuple[tuple[Node, ...], ...]
    """Run the nodes of one level side by side, then the next level."""
    edges: tuple[PlanEdge, ...]
    """Without those that others imply."""
    refused: tuple[PlanEdge, ...] = ()
    """Would have closed a cycle; weaker than all that is in it."""
    unknown: tuple[str, ...] = ()
    """Asked for, but never seen: placed in the first level, with nothing known of them."""


class Similar(msgspec.Struct, kw_only=True, frozen=True):
    """A node that keeps the same company."""

    node: Node
    score: float
    reasons: tuple[Reason, ...] = ()


class Similars(msgspec.Struct, kw_only=True, frozen=True):
    """The most similar nodes, best first."""

    arm: str
    arm_version: int
    similar: tuple[Similar, ...]


class Found(msgspec.Struct, kw_only=True, frozen=True):
    """A node that a search found."""

    node: Node
    score: float
    reasons: tuple[Reason, ...] = ()
    """What found it: its text, its neighbours, or a capability that contains it."""


class SearchResult(msgspec.Struct, kw_only=True, frozen=True):
    """What a search found, best first."""

    arm: str
    arm_version: int
    found: tuple[Found, ...]


class Variant(msgspec.Struct, kw_only=True, frozen=True):
    """One of the ways in which a capability runs."""

    steps: tuple[tuple[Node, ...], ...]
    """In order; the nodes of one step ran side by side."""
    count: int
    share: float
    """Of all runs of the capability, 0 to 1."""
    failures: int
    mean_duration_ms: float | None
    traces: tuple[str, ...] = ()


class Variants(msgspec.Struct, kw_only=True, frozen=True):
    """The usual ways first."""

    capability: Node | None
    """None: whole traces, by their topmost steps."""
    runs: int
    variants: tuple[Variant, ...]


class Departure(msgspec.Struct, kw_only=True, frozen=True):
    """The step at which one run of one capability left the usual ways."""

    capability: Node | None
    span_id: str
    """Of the capability's own span; empty for the top of the trace."""
    position: int
    """How many steps were as usual."""
    left_by: Node | None
    """The step that was not usual; None if the run stopped early."""
    left_by_span_id: str
    expected: tuple[Suggestion, ...]
    """What usually comes there, with its share."""
    usual: Variant
    """The way that it followed for the longest."""


class Conformance(msgspec.Struct, kw_only=True, frozen=True):
    """How a trace compares with the usual ways of each capability in it."""

    trace_id: str
    fits: bool
    checked: int
    """Capability runs that could be compared."""
    departures: tuple[Departure, ...]


class EdgeChange(msgspec.Struct, kw_only=True, frozen=True):
    """One edge before and after."""

    origin: Node
    target: Node
    type: EdgeType
    change: Literal["new", "gone", "more", "less", "failing", "mended"]
    before_count: int
    after_count: int
    before_share: float
    """Of the origin's calls, 0 to 1 and over where one call has several."""
    after_share: float
    surprise: float
    """-log10 of how likely so large a change is by chance."""
    traces: tuple[str, ...] = ()


class GraphDiff(msgspec.Struct, kw_only=True, frozen=True):
    """What changed, most surprising first."""

    before: str
    after: str
    """What was compared, in words."""
    before_traces: int
    after_traces: int
    nodes_new: tuple[Node, ...]
    nodes_gone: tuple[Node, ...]
    changes: tuple[EdgeChange, ...]
