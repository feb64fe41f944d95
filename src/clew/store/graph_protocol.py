"""
What a store promises about the execution graph, split by noun.

MUST: a trace is learned once. What it taught and the mark that it was learned are saved in one
transaction; spans that come later make it due again, and what it taught before is taken back. MUST:
the same traces give the same counts, in whatever order and groups they were learned. Where something
was taken back, `last_ns` stays, and so may an exemplar that shows its edge no longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from clew.errors import ClewError
from clew.graph import Graph
from clew.model import Span
from clew.model.graph import Node
from clew.model.tally import Minutes

MOST_VARIANTS = 20_000
"""Of a project, the ways in which scopes ran that are kept; those unseen for longest go first, some at a time."""

MOST_SLICES = 1_000
"""Of a project; those whose traces ended longest ago go first."""

DELTAS_KEPT_NS = 7 * 86_400 * 10**9
"""So long a delta is known to be applied already."""

EXPORTED = "export-"
"""How the ids of deltas begin that `clew import` applies."""

LONGEST_ROUND_SPANS = 20_000
"""So many spans are given to be learned at once, or one longer trace."""


def delta_known_ns(delta_id: str, now_ns: int) -> int:
    """
    Say from when on a delta is known, Unix nanoseconds.

    That of an export stays known: the same export may be imported again in years.
    """
    return 1 << 62 if delta_id.startswith(EXPORTED) else now_ns


class StaleLesson(ClewError):
    """Traces of a lesson changed, or were learned by another process, since they were read. Nothing was saved."""

    def __init__(self, trace_ids: Sequence[str]) -> None:
        super().__init__(f"{len(trace_ids)} traces changed since they were read; learn the others again without them")
        self.trace_ids = tuple(trace_ids)


class Unlearned(NamedTuple):
    """One trace that is due to be learned, with all of its spans."""

    project: str
    trace_id: str
    spans: list[Span]
    """None if they cannot be read: such a trace is to be skipped, and blocks no other."""
    learned: frozenset[str]
    """The ids of the spans that were learned before; only finished ones ever are."""
    mark: int
    """Says up to where it was read; opaque."""
    changed: tuple[Span, ...] = ()
    """Of the learned spans, those that have changed since, as they were then."""

    @property
    def finished(self) -> list[Span]:
        """What is to be learned now."""
        return [span for span in self.spans if span.end_ns is not None]

    @property
    def before(self) -> list[Span]:
        """What was learned before, as it was then."""
        changed = {span.span_id: span for span in self.changed}
        return [changed.get(span.span_id, span) for span in self.spans if span.span_id in self.learned]


class LearnedTrace(NamedTuple):
    """One trace of a lesson."""

    trace_id: str
    mark: int
    skipped: bool = False
    """It could not be learned: nothing of it is in the lesson, and it is due again only when more of it comes."""


class Lesson(msgspec.Struct, kw_only=True):
    """What some traces of one project taught."""

    project: str
    delta: Graph
    """What they teach now, less what they had taught before: some of its counts may be below zero."""
    traces: list[LearnedTrace]
    slices: dict[str, Graph] = {}
    """By name, what of the delta falls in it: 'day:2026-11-21', 'version:1.4.2'."""


class GraphLearning(Protocol):
    """How traces become a graph."""

    def unlearned(
        self,
        *,
        quiet_since_ns: int,
        rootless_quiet_since_ns: int,
        limit: int,
        most_spans: int = LONGEST_ROUND_SPANS,
    ) -> list[Unlearned]:
        """
        Give traces that are due, those of the oldest commit first.

        Only such to which nothing was written after *quiet_since_ns*, or after
        *rootless_quiet_since_ns* while their root has not come. At most *limit* traces with
        *most_spans* spans together, but one at least. Cheap when nothing is due.
        """

    def save_lesson(self, lesson: Lesson) -> int:
        """
        Save what *lesson* taught and mark its traces learned, in one transaction.

        Returns the version of the project's graph, which grows by one with each save.

        Raises:
            StaleLesson: some trace of it was written to, or learned, after it was read.
            StoreBusy, StoreUnavailable: nothing was saved; retrying is safe.
        """

    def apply_delta(
        self,
        project: str,
        delta_id: str,
        delta: Graph,
        slices: Mapping[str, Graph],
        minutes: Minutes | None = None,
    ) -> bool:
        """
        Add what an SDK learned from traffic that it did not send; False if *delta_id* was applied before.

        Graph, slices and *minutes*, which `latency` counts from then on, are added in one transaction.
        Counts may be below zero, where an earlier delta is taken back. What the delta says is declared
        is left out: only templates declare.

        Raises:
            StoreBusy, StoreUnavailable: nothing was added; retrying is safe.
        """


class GraphReader(Protocol):
    """Reads what was learned. From any thread."""

    def graph(self, project: str) -> Graph:
        """Give the whole graph, as the caller's own; empty if nothing was learned."""

    def graph_version(self, project: str) -> int:
        """Say how often the graph was changed; 0 if never."""

    def graph_slice(self, project: str, names: Sequence[str]) -> Graph:
        """
        Give the sum of some slices: nodes and edges, no episodes. A slice that is not there adds nothing.

        A slice keeps counts, failures and durations; heat, last sight and exemplars are the whole graph's.
        """

    def slice_names(self, project: str) -> list[str]:
        """Give the names of all slices, sorted."""


class Templates(Protocol):
    """Keeps declared workflows."""

    def save_template(self, project: str, name: str, source_text: str, graph: Graph, at_ns: int) -> None:
        """Keep a template; its edges are declared in the graph. The same name replaces."""

    def templates(self, project: str) -> list[tuple[str, str, int]]:
        """Give (name, source text, when it was saved) of each, by name."""

    def remove_template(self, project: str, name: str) -> bool:
        """Forget a template and what it declared; False if there is none of that name."""


class Arm(msgspec.Struct, frozen=True):
    """One way to answer a question, with its weights. Never changed, so that it can be rolled back to."""

    question: str
    version: int
    arm: str
    weights: dict[str, float]
    note: str
    created_ns: int
    chosen: bool
    share: float
    """Of the traffic, 0 to 1."""


class Arms(Protocol):
    """Keeps arms, and which of them answer."""

    def add_arm(  # noqa: PLR0917
        self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str, at_ns: int
    ) -> int:
        """Keep an arm, not chosen; gives its version, counted from 1 for each question."""

    def arms(self, project: str, question: str | None) -> list[Arm]:
        """Give the arms of one question, or of all, by question and version."""

    def choose_arms(self, project: str, question: str, shares: Mapping[int, float]) -> None:
        """
        Let each version named answer its share; every other of the question none.

        Raises:
            BadFilter: a version is not kept, or a share is not over 0 and at most 1.
        """


class SuggestionRecord(msgspec.Struct):
    """A suggestion that was given, and what came of it."""

    suggestion_id: str
    project: str
    question: str
    arm: str
    arm_version: int
    trace_id: str
    parent_span_id: str
    """Below which the next step was expected; empty at the top of the trace."""
    at_ns: int
    ranked: list[Node]
    probabilities: list[float]
    outcome: Node | None = None
    """What came next."""
    rank: int = 0
    """Its place in `ranked`, from 1; 0 if it is not among them."""
    scored: bool = False


class SuggestionLog(Protocol):
    """Keeps suggestions until their outcome is known, and after."""

    def log_suggestion(self, record: SuggestionRecord) -> None:
        """Keep a suggestion; the same id again changes nothing."""

    def open_suggestions(self, project: str, trace_ids: Sequence[str]) -> list[SuggestionRecord]:
        """Give those of these traces whose outcome is not known, oldest first."""

    def score_suggestions(self, records: Sequence[SuggestionRecord]) -> None:
        """Keep the outcome of each that is `scored`, and close it. One that is closed already stays as it is."""

    def close_suggestions(self, before_ns: int) -> int:
        """Close, without an outcome, what was suggested before; gives how many there were."""

    def suggestion_records(self, project: str, question: str, since_ns: int) -> list[SuggestionRecord]:
        """Give what was suggested since then, oldest first, scored or not."""


class GraphStore(GraphLearning, GraphReader, Templates, Arms, SuggestionLog, Protocol):
    """All that a store keeps of the execution graph."""
