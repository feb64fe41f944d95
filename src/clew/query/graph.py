"""
Questions to the graph of a project, with their reasons: what is asked by Python, HTTP, CLI and MCP.

`GraphQuestions` gives the answers of `clew.model.graph`; `clew.query.graph_asking` reads query
strings and writes JSON around it. From any thread: see `clew.query.graph_current`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from clew.errors import BadFilter, ClewError
from clew.graph import Graph
from clew.graph.ab import AbReport, report
from clew.graph.calls import Context
from clew.graph.conform import conform
from clew.graph.diff import diff
from clew.graph.paths import path
from clew.graph.plan import plan
from clew.graph.reading import calls_of
from clew.graph.render import render
from clew.graph.search import search
from clew.graph.search_index import Dense
from clew.graph.similarity import similar
from clew.graph.suggest import context_of, suggest
from clew.graph.templates import read_template, template_graph
from clew.graph.variants import variants
from clew.model.graph import (
    Conformance,
    Edge,
    EdgeType,
    GraphDiff,
    Node,
    Paths,
    Plan,
    SearchResult,
    Similars,
    Source,
    Suggestions,
    Variants,
)
from clew.model.ids import span_id_of, trace_id_of
from clew.model.tally import Minutes
from clew.query.graph_arms import ChosenArms, known_question
from clew.query.graph_current import CurrentGraphs, Sizes
from clew.query.graph_requests import PastRequests
from clew.query.graph_rows import NodeFigures
from clew.query.graph_slices import Part, parts, refuse_unknown_version
from clew.query.graph_summary import GraphSummary, edges_of, nodes_of, summary_of
from clew.store.protocol import Arm, Store, SuggestionRecord
from clew.store.undeclared import undeclared

UNNAMED = "unnamed"
DAY_NS = 86_400 * 10**9

log = logging.getLogger("clew.query")

Called = Sequence["str | Node | Mapping[str, Any]"]
"""What was called so far, in order: names, nodes, or `{"name", "kind", "ok", "arguments"}`."""


class GraphQuestions:
    """
    Asks the graphs of a store. The store stays the caller's to close.

    Tools and capabilities are named by a `Node`, by 'kind:name', or by name where that is enough.
    *arm* is an arm's name, or a stored version's number; without it what was chosen answers, and in
    an A/B *trace_id* decides.
    """

    def __init__(self, store: Store, *, now_ns: Callable[[], int] = time.time_ns, dense: Dense | None = None) -> None:
        """*dense* embeds texts for `search`: texts to a vector each. None: search goes by words alone."""
        self.now_ns = now_ns
        self._store = store
        self._dense = dense
        self._graphs = CurrentGraphs(store)
        self._arms = ChosenArms(store, now_ns=now_ns)
        self._requests = PastRequests(store)

    # Keeping current.

    def learned(self, project: str, delta: Graph, version: int) -> None:
        """Take in what this process saved as *version* of a graph: the `on_learned` of a `LearnJob`."""
        self._graphs.learned(project, delta, version)

    def apply_delta(
        self,
        project: str,
        delta_id: str,
        delta: Graph,
        slices: Mapping[str, Graph],
        minutes: Minutes | None = None,
    ) -> bool:
        """Save what an SDK learned by itself; False if it was saved before."""
        before = self._store.graph_version(project)
        if not self._store.apply_delta(project, delta_id, delta, slices, minutes):
            return False
        if self._store.graph_version(project) == before + 1:
            self._graphs.learned(project, undeclared(delta), before + 1)
        # Otherwise others saved meanwhile, which is noticed as any other save is.
        return True

    def sizes(self) -> Sizes:
        """Count what is kept in memory."""
        return self._graphs.sizes()

    # Questions with arms.

    def suggest(
        self,
        project: str,
        *,
        called: Called = (),
        within: str | Node | None = None,
        pending: Sequence[str] | None = None,
        trace_id: str | None = None,
        parent_span_id: str = "",
        k: int = 5,
        arm: str | None = None,
        log: bool | None = None,
    ) -> Suggestions:
        """
        Say what usually comes next.

        With *trace_id* the answer is logged (unless *log* is False), and once the trace has ended what
        really came below *parent_span_id* is scored against it; its id is in `suggestion_id`.

        Raises:
            UnknownNode: *within* is none of the graph's.
            BadFilter: the arm is unknown, or the answer is to be logged and no trace is given.
            MalformedId: *trace_id* or *parent_span_id*.
        """
        trace_id, parent_span_id = _ids(trace_id, parent_span_id)
        if log and trace_id is None:
            raise BadFilter("log", "what is logged is scored against a trace, so it needs `trace_id`")
        by = self._arms.pick(project, "suggest", arm, trace_id)
        with self._graphs.of(project) as graph:
            context = context_of(graph, called, within, pending)
            answer = suggest(graph, context, k=k, arm=by.arm, weights=by.weights, version=by.version)
        if trace_id is None or log is False:
            return answer
        return self._logged(project, answer, trace_id, parent_span_id)

    def path(
        self,
        project: str,
        start: str | Node,
        goal: str | Node,
        k: int = 3,
        arm: str | None = None,
        *,
        trace_id: str | None = None,
    ) -> Paths:
        """
        Give the best ways from one node to another; none in an empty graph.

        Raises:
            UnknownNode, BadFilter: a node or the arm is unknown.
        """
        by = self._arms.pick(project, "path", arm, trace_id)
        with self._graphs.of(project) as graph:
            if not graph.nodes:
                return Paths(arm=by.arm, arm_version=by.version, paths=())
            return path(graph, start, goal, k=k, arm=by.arm, weights=by.weights, version=by.version)

    def plan(
        self, project: str, tools: Sequence[str | Node], arm: str | None = None, *, trace_id: str | None = None
    ) -> Plan:
        """
        Give the order in which to run a set of tools. Those never seen stand in `unknown`.

        Raises:
            BadFilter: the arm is unknown.
        """
        by = self._arms.pick(project, "plan", arm, trace_id)
        with self._graphs.of(project) as graph:
            return plan(graph, tools, arm=by.arm, weights=by.weights, version=by.version)

    def similar(
        self, project: str, node: str | Node, k: int = 5, arm: str | None = None, *, trace_id: str | None = None
    ) -> Similars:
        """
        Give the nodes that keep the same company; none in an empty graph.

        Raises:
            UnknownNode, BadFilter: the node or the arm is unknown.
        """
        by = self._arms.pick(project, "similar", arm, trace_id)
        with self._graphs.of(project) as graph:
            if not graph.nodes:
                return Similars(arm=by.arm, arm_version=by.version, similar=())
            return similar(graph, node, k=k, arm=by.arm, version=by.version)

    def search(
        self,
        project: str,
        text: str,
        called: Called = (),
        k: int = 5,
        arm: str | None = None,
        *,
        within: str | Node | None = None,
        trace_id: str | None = None,
    ) -> SearchResult:
        """
        Find tools and capabilities by what they are for; *called* and *within* say where the run stands.

        Raises:
            UnknownNode: *within* is none of the graph's.
            BadFilter: there is no word in *text*, or the arm is unknown.
        """
        by = self._arms.pick(project, "search", arm, trace_id)
        self._requests.read(project)
        with self._graphs.of(project) as graph:
            return search(
                graph,
                text,
                context=self._context(graph, called, within),
                k=k,
                arm=by.arm,
                index=self._requests.index(project, graph),
                dense=self._dense,
                weights=by.weights,
                version=by.version,
            )

    # Questions without.

    def variants(self, project: str, capability: str | Node | None = None, k: int = 10) -> Variants:
        """
        Give the usual ways in which a capability runs; None: whole traces, by their topmost steps.

        Raises:
            UnknownNode: there is no such capability.
        """
        with self._graphs.of(project) as graph:
            return variants(graph, capability if graph.nodes else None, k=k)

    def conform(self, project: str, trace_id: str) -> Conformance | None:
        """
        Compare a stored trace with the usual ways; None if it is not stored.

        Raises:
            MalformedId: *trace_id* is none.
        """
        stored = self._store.trace(project, trace_id_of(trace_id))
        if stored is None:
            return None
        calls = calls_of(stored.summary.trace_id, stored.spans)
        with self._graphs.of(project) as graph:
            return conform(graph, calls)

    def diff(
        self,
        project: str,
        before: str | None = None,
        after: str | None = None,
        *,
        k: int = 50,
        may_read: Callable[[str], object] = lambda _: None,
    ) -> GraphDiff:
        """
        Say what changed between two days, versions or projects; see `clew.query.graph_slices`.

        *may_read* is asked about another project before it is read, and raises if it must not be.

        Raises:
            BadFilter: a side cannot be read, or names a version of which nothing was learned.
        """
        sides = parts(before, after, now_ns=self.now_ns())
        known = self._store.slice_names(project) if any(side.slices for side in sides) else []
        for field, side in zip(("before", "after"), sides, strict=True):
            refuse_unknown_version(field, side, known)
            if side.project is not None:
                may_read(side.project)
        names = {"before_name": sides[0].text, "after_name": sides[1].text}
        with ExitStack() as held:
            # Always in one order, so that two who compare the same two projects do not wait for each other.
            whole = {each: held.enter_context(self._graphs.of(each)) for each in _wholes(project, sides)}
            graphs = [
                whole[side.project or project] if side.slices is None else self._slices(project, side.slices, known)
                for side in sides
            ]
            return diff(graphs[0], graphs[1], k=k, **names)

    def summary(self, project: str) -> GraphSummary:
        """Count the graph's parts, and find its most called nodes."""
        with self._graphs.of(project) as graph:
            return summary_of(project, graph)

    def nodes(self, project: str, *, kind: str | None = None, limit: int = 100) -> tuple[list[NodeFigures], int]:
        """Give the most called nodes, and how many there are."""
        with self._graphs.of(project) as graph:
            return nodes_of(graph, kind=kind, limit=limit)

    def edges(
        self,
        project: str,
        *,
        types: Collection[EdgeType] = (),
        node: str | Node | None = None,
        source: Source | None = None,
        least_count: int = 0,
        limit: int = 100,
    ) -> tuple[list[Edge], int]:
        """
        Give the edges seen most often that are all that is asked, and how many there are.

        Raises:
            UnknownNode: *node* is none of the graph's.
        """
        with self._graphs.of(project) as graph:
            if not graph.nodes:
                return [], 0
            return edges_of(graph, types=types, node=node, source=source, least_count=least_count, limit=limit)

    def export(
        self,
        project: str,
        format: str = "json",  # noqa: A002
        *,
        types: Collection[EdgeType] | None = None,
        least_count: int = 1,
    ) -> str:
        """
        Give the graph as text: json, dot, mermaid or graphml.

        Raises:
            BadFilter: there is no such format.
        """
        with self._graphs.of(project) as graph:
            return render(graph, format=format, types=types, least_count=least_count)

    # Templates.

    def templates(self, project: str) -> list[tuple[str, str, int]]:
        """Give (name, source text, when it was saved in Unix nanoseconds) of each declared workflow."""
        return self._store.templates(project)

    def save_template(
        self, project: str, source: str | Mapping[str, Any], *, name: str = "", text: str | None = None
    ) -> str:
        """
        Declare a workflow, by YAML or as a mapping; gives its name. The same name replaces.

        *name* is for a template that does not say its own; *text* is kept as its source, if it is not
        as *source* says it.

        Raises:
            BadTemplate: it makes no sense, or has a cycle.
        """
        template = read_template(source, name=name or UNNAMED)
        if text is None:
            text = source if isinstance(source, str) else msgspec.json.format(msgspec.json.encode(source)).decode()
        self._store.save_template(project, template.name, text, template_graph(template), self.now_ns())
        self._graphs.changed(project)
        return template.name

    def remove_template(self, project: str, name: str) -> bool:
        """Forget a declared workflow; False if there is none of that name."""
        removed = self._store.remove_template(project, name)
        self._graphs.changed(project)
        return removed

    # Arms.

    def arms(self, project: str, question: str | None = None) -> list[Arm]:
        """Give the stored arms; see `ChosenArms`."""
        return self._arms.stored(project, question)

    def add_arm(self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str = "") -> int:
        """Store an arm with its weights; gives its version. See `ChosenArms.add`."""
        return self._arms.add(project, question, arm, weights, note)

    def choose_arms(self, project: str, question: str, shares: Mapping[int, float]) -> None:
        """Let versions answer, each its share; see `ChosenArms.choose`."""
        self._arms.choose(project, question, shares)

    def roll_back(self, project: str, question: str) -> int:
        """Go back to the version before; see `ChosenArms.roll_back`."""
        return self._arms.roll_back(project, question)

    def ab(self, project: str, question: str = "suggest", *, days: float = 30.0) -> AbReport:
        """
        Compare the arms whose answers were logged in the last *days*, by what really came.

        Raises:
            BadFilter: the question has no arms.
        """
        since_ns = self.now_ns() - round(days * DAY_NS)
        return report(self._store.suggestion_records(project, known_question("question", question), max(0, since_ns)))

    # What the questions share.

    def _context(self, graph: Graph, called: Called, within: str | Node | None) -> Context | None:
        return context_of(graph, called, within) if called or within else None

    def _slices(self, project: str, names: Collection[str], known: Collection[str]) -> Graph:
        there = set(known)
        return self._store.graph_slice(project, [name for name in names if name in there])

    def _logged(self, project: str, answer: Suggestions, trace_id: str, parent_span_id: str) -> Suggestions:
        """Keep what was suggested. An answer that cannot be kept is given all the same, without an id."""
        record = SuggestionRecord(
            suggestion_id=secrets.token_hex(8),
            project=project,
            question="suggest",
            arm=answer.arm,
            arm_version=answer.arm_version,
            trace_id=trace_id,
            parent_span_id=parent_span_id,
            at_ns=self.now_ns(),
            ranked=[one.node for one in answer.suggestions],
            probabilities=[one.probability for one in answer.suggestions],
        )
        try:
            self._store.log_suggestion(record)
        except ClewError as error:
            log.warning("a suggestion was given and could not be logged: %s", error)
            return answer
        return msgspec.structs.replace(answer, suggestion_id=record.suggestion_id)


def _ids(trace_id: str | None, parent_span_id: str) -> tuple[str | None, str]:
    return (
        None if trace_id is None else trace_id_of(trace_id),
        span_id_of(parent_span_id) if parent_span_id else "",
    )


def _wholes(project: str, sides: Sequence[Part]) -> list[str]:
    """Give the projects whose whole graph is a side of a diff, sorted."""
    return sorted({side.project or project for side in sides if side.slices is None})
