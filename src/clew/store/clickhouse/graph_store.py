"""The execution graph in a database: the front. `log` keeps changes, `learned` adds them up, `graph_queue` marks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from clew.graph import Graph
from clew.model.tally import Minutes
from clew.store.clickhouse import graph_queue
from clew.store.clickhouse.choices import ClickhouseChoices
from clew.store.clickhouse.connect import hexed
from clew.store.clickhouse.graph_lead import Lead
from clew.store.clickhouse.learned import (
    Learned,
    Template,
    addition,
    template_change,
    template_removal,
)
from clew.store.clickhouse.log import Change, Log, minute_rows
from clew.store.columns import int64
from clew.store.graph_protocol import DELTAS_KEPT_NS, LONGEST_ROUND_SPANS, Lesson, Unlearned, delta_known_ns
from clew.store.graph_rows import declarations_text
from clew.store.undeclared import undeclared


class ClickhouseGraph(ClickhouseChoices):
    """Keeps what `clew.store.graph_protocol.GraphStore` promises."""

    def __init__(self, url: str, *, read_only: bool) -> None:
        self._graphs: dict[str, Log[Learned]] = {}
        self._lead: Lead | None = None
        super().__init__(url, read_only=read_only)
        self._lead = None if read_only else Lead(self._servers)

    def close(self) -> None:
        """Let another process learn, and let go of all connections. Idempotent."""
        if self._lead is not None:
            self._lead.give_up()
        super().close()

    # Learning.

    def unlearned(
        self,
        *,
        quiet_since_ns: int,
        rootless_quiet_since_ns: int,
        limit: int,
        most_spans: int = LONGEST_ROUND_SPANS,
    ) -> list[Unlearned]:
        """
        Give traces that are due; see `clew.store.graph_protocol.GraphLearning`.

        Nothing, while another process that shares the store learns from it.
        """
        if self._lead is not None and not self._lead.leads():
            return []
        return graph_queue.read_due(
            self._servers,
            quiet_since_ns=quiet_since_ns,
            rootless_quiet_since_ns=rootless_quiet_since_ns,
            limit=limit,
            most_spans=most_spans,
        )

    def save_lesson(self, lesson: Lesson) -> int:
        """Save what was learned; see `clew.store.graph_protocol.GraphLearning`."""
        body = addition(lesson.delta, lesson.slices)

        def make(_: Learned) -> Change:
            return Change(body, graph_queue.check_lesson(self._servers, lesson))

        def save() -> int:
            position = self._graph(lesson.project).add(make) or 0
            done = [(graph_queue.key_of(lesson, trace), trace.mark) for trace in lesson.traces]
            graph_queue.put_done(self._servers, done)
            return position

        return self._write_alone(save)

    def apply_delta(
        self,
        project: str,
        delta_id: str,
        delta: Graph,
        slices: Mapping[str, Graph],
        minutes: Minutes | None = None,
    ) -> bool:
        """Add what an SDK learned; see `clew.store.graph_protocol.GraphLearning`."""
        body = addition(undeclared(delta), slices)
        known_ns = delta_known_ns(delta_id, time.time_ns())
        rows = [{"sort": "delta", "key": delta_id, "at_ns": known_ns}, *minute_rows(minutes or {})]
        asked: dict[str, Any] = {"project": hexed(project), "key": hexed(delta_id)}

        def make(_: Learned) -> Change | None:
            known = self._servers.value("delta", asked | {"since_ns": time.time_ns() - DELTAS_KEPT_NS})
            return None if known else Change(body, rows)

        return self._write_alone(lambda: self._graph(project).add(make)) is not None

    # Reading.

    def graph(self, project: str) -> Graph:
        """Give the whole graph; see `clew.store.graph_protocol.GraphReader`."""
        graph: Graph = self._graph(project).read(lambda learned, _: learned.copy())
        return graph

    def graph_version(self, project: str) -> int:
        """Say how often the graph was changed; 0 if never."""
        return self._graph(project).head()

    def graph_slice(self, project: str, names: Sequence[str]) -> Graph:
        """Give the sum of some slices; see `clew.store.graph_protocol.GraphReader`."""
        graph: Graph = self._graph(project).read(lambda learned, _: learned.sum_of(list(names)))
        return graph

    def slice_names(self, project: str) -> list[str]:
        """Give the names of all slices, sorted."""
        names: list[str] = self._graph(project).read(lambda learned, _: sorted(learned.slices))
        return names

    # Templates.

    def save_template(self, project: str, name: str, source_text: str, graph: Graph, at_ns: int) -> None:
        """Keep a template; see `clew.store.graph_protocol.Templates`."""
        body = template_change(Template(name, source_text, declarations_text(graph), int64(at_ns)))
        self._write_alone(lambda: self._graph(project).add(lambda _: Change(body)))

    def templates(self, project: str) -> list[tuple[str, str, int]]:
        """Give (name, source text, when it was saved) of each, by name."""

        def read(learned: Learned, _: int) -> list[Template]:
            return list(learned.templates.values())

        return sorted((each.name, each.source_text, each.at_ns) for each in self._graph(project).read(read))

    def remove_template(self, project: str, name: str) -> bool:
        """Forget a template and what it declared; False if there is none of that name."""

        def make(learned: Learned) -> Change | None:
            return Change(template_removal(name)) if name in learned.templates else None

        return self._write_alone(lambda: self._graph(project).add(make)) is not None

    def _graph(self, project: str) -> Log[Learned]:
        known: Any = self._graphs.get(project)
        return known or self._graphs.setdefault(project, Log(self._servers, project, "graph", Learned))
