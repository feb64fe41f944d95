"""The execution graph in a database: the front. `graph_saving` adds, `graph_reading` reads, `graph_queue` marks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from clew.graph import Graph
from clew.model.graph import Node
from clew.model.tally import Minutes
from clew.store.check import check_shares
from clew.store.columns import as_json, int64
from clew.store.graph_choices import ArmRow, SuggestionRow, arms_of, suggestion_values, suggestions_of
from clew.store.graph_protocol import (
    DELTAS_KEPT_NS,
    LONGEST_ROUND_SPANS,
    Arm,
    Lesson,
    SuggestionRecord,
    Unlearned,
    delta_known_ns,
)
from clew.store.graph_rows import declarations_text, declared_graph
from clew.store.postgres import locks
from clew.store.postgres.binary import digest, findable, safe, told
from clew.store.postgres.commit import QUERIES as TRACE_QUERIES
from clew.store.postgres.commit import project_id as id_of_project
from clew.store.postgres.commit import record_types
from clew.store.postgres.connect import Connection
from clew.store.postgres.database import PostgresDatabase
from clew.store.postgres.graph_queue import mark_learned, read_due
from clew.store.postgres.graph_reading import read_graph, read_slices
from clew.store.postgres.graph_saving import Saving
from clew.store.postgres.graph_statements import QUERIES
from clew.store.postgres.statements import Statements
from clew.store.postgres.tallies import PartTallies
from clew.store.tally import spread
from clew.store.undeclared import undeclared

_weights = msgspec.json.Decoder(dict[str, float])
_ranked = msgspec.json.Decoder(list[Node])
_probabilities = msgspec.json.Decoder(list[float])
_outcome = msgspec.json.Decoder(Node)

T = TypeVar("T")


class PostgresGraph(PostgresDatabase):
    """Keeps what `clew.store.graph_protocol.GraphStore` promises."""

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

        Nothing, while another process that shares the database learns from it.
        """
        if not self._leads():
            return []
        with self._reading() as connection:
            return read_due(
                connection,
                quiet_since_ns=quiet_since_ns,
                rootless_quiet_since_ns=rootless_quiet_since_ns,
                limit=limit,
                most_spans=most_spans,
            )

    def save_lesson(self, lesson: Lesson) -> int:
        """Save what was learned; see `clew.store.graph_protocol.GraphLearning`."""

        def save(connection: Connection, project_id: int) -> int:
            mark_learned(connection, project_id, lesson.traces)
            return Saving(connection, project_id).add(lesson.delta, lesson.slices)

        return self._in_graph(lesson.project, save)

    def apply_delta(
        self,
        project: str,
        delta_id: str,
        delta: Graph,
        slices: Mapping[str, Graph],
        minutes: Minutes | None = None,
    ) -> bool:
        """Add what an SDK learned; see `clew.store.graph_protocol.GraphLearning`."""
        observed = undeclared(delta)

        def apply(connection: Connection, project_id: int) -> bool:
            now_ns = time.time_ns()
            known_ns = delta_known_ns(delta_id, now_ns)
            statements = Statements(connection, QUERIES)
            statements.run("forget_deltas", before_ns=now_ns - DELTAS_KEPT_NS)
            if not statements.run("add_delta", project_id=project_id, digest=digest(delta_id), at_ns=known_ns):
                return False
            Saving(connection, project_id).add(observed, slices)
            if minutes:
                statements = Statements(connection, TRACE_QUERIES)
                of = record_types(statements)["trace_metrics"]
                PartTallies(statements, project_id, self._part).add(spread(minutes), of)
            return True

        return self._in_graph(project, apply)

    # Reading.

    def graph(self, project: str) -> Graph:
        """Give the whole graph; see `clew.store.graph_protocol.GraphReader`."""
        return self._ask(project, read_graph, Graph())

    def graph_version(self, project: str) -> int:
        """Say how often the graph was changed; 0 if never."""
        return next((int(version) for version, _ in self._rows(project, "graph_version")), 0)

    def graph_slice(self, project: str, names: Sequence[str]) -> Graph:
        """Give the sum of some slices; see `clew.store.graph_protocol.GraphReader`."""
        return self._ask(project, lambda connection, project_id: read_slices(connection, project_id, names), Graph())

    def slice_names(self, project: str) -> list[str]:
        """Give the names of all slices, sorted."""
        return sorted(told(name) for (name,) in self._rows(project, "slices"))

    # Templates.

    def save_template(self, project: str, name: str, source_text: str, graph: Graph, at_ns: int) -> None:
        """Keep a template; see `clew.store.graph_protocol.Templates`."""
        declares = declarations_text(graph)
        values = {"name": safe(name), "source_text": safe(source_text), "declares": declares, "at_ns": int64(at_ns)}

        def save(connection: Connection, project_id: int) -> None:
            statements = Statements(connection, QUERIES)
            before = statements.value("declares", project_id=project_id, name=values["name"])
            delta = declared_graph(before, times=-1)
            delta.merge(declared_graph(declares))
            statements.run("put_template", project_id=project_id, **values)
            Saving(connection, project_id).add(delta)

        self._in_graph(project, save)

    def templates(self, project: str) -> list[tuple[str, str, int]]:
        """Give (name, source text, when it was saved) of each, by name."""
        return sorted((told(name), told(text), at_ns) for name, text, at_ns in self._rows(project, "templates"))

    def remove_template(self, project: str, name: str) -> bool:
        """Forget a template and what it declared; False if there is none of that name."""

        def remove(connection: Connection, project_id: int) -> bool:
            statements = Statements(connection, QUERIES)
            declared = statements.value("declares", project_id=project_id, name=safe(name))
            if declared is None:
                return False
            statements.run("drop_template", project_id=project_id, name=safe(name))
            Saving(connection, project_id).add(declared_graph(declared, times=-1))
            return True

        return self._in_graph(project, remove)

    # Arms.

    def add_arm(  # noqa: PLR0917
        self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str, at_ns: int
    ) -> int:
        """Keep an arm, not chosen; gives its version, counted from 1 for each question."""
        values = {"question": safe(question), "arm": safe(arm), "weights": as_json(dict(weights)), "note": safe(note)}

        def add(connection: Connection, project_id: int) -> int:
            statements = Statements(connection, QUERIES)
            return int(statements.value("add_arm", project_id=project_id, created_ns=int64(at_ns), **values))

        return self._in_graph(project, add)

    def arms(self, project: str, question: str | None) -> list[Arm]:
        """Give the arms of one question, or of all, by question and version."""
        asked = None if question is None else findable(question)
        return arms_of(map(_arm_row, self._rows(project, "arms", question=asked)))

    def choose_arms(self, project: str, question: str, shares: Mapping[int, float]) -> None:
        """Let each version named answer its share; see `clew.store.graph_protocol.Arms`."""

        def choose(connection: Connection, project_id: int) -> None:
            statements = Statements(connection, QUERIES)
            known = map(_arm_row, statements.rows("arms", project_id=project_id, question=safe(question)))
            check_shares(shares, {arm.version for arm in known})
            wanted = {"versions": list(shares), "shares": list(map(float, shares.values()))}
            statements.run("choose_arms", project_id=project_id, question=safe(question), **wanted)

        self._in_graph(project, choose)

    # Suggestions.

    def log_suggestion(self, record: SuggestionRecord) -> None:
        """Keep a suggestion; the same id again changes nothing."""
        values = _safe_values(record)
        self._in_project(
            record.project,
            lambda connection, project_id: Statements(connection, QUERIES).run(
                "log_suggestion", project_id=project_id, **values
            ),
        )

    def open_suggestions(self, project: str, trace_ids: Sequence[str]) -> list[SuggestionRecord]:
        """Give those of these traces whose outcome is not known, oldest first."""
        asked = list(dict.fromkeys(map(findable, trace_ids)))
        return suggestions_of(map(_suggestion_row, self._rows(project, "open_suggestions", trace_ids=asked)), project)

    def score_suggestions(self, records: Sequence[SuggestionRecord]) -> None:
        """Keep outcomes; see `clew.store.graph_protocol.SuggestionLog`."""
        for project in dict.fromkeys(record.project for record in records):
            scored = [_safe_values(record) for record in records if record.project == project and record.scored]
            values = [{name: each[name] for name in ("suggestion_id", "outcome", "rank")} for each in scored]

            def score(connection: Connection, project_id: int, values: list[dict[str, Any]] = values) -> None:
                named = [each | {"project_id": project_id} for each in values]
                Statements(connection, QUERIES).each("score_suggestion", named)

            self._in_project(project, score)

    def close_suggestions(self, before_ns: int) -> int:
        """Close, without an outcome, what was suggested before; gives how many there were."""
        values = {"before_ns": int64(before_ns)}
        with self._reading() as connection:
            if not Statements(connection, QUERIES).value("open_since", **values):
                return 0
        return self._transact(lambda connection: Statements(connection, QUERIES).run("close_suggestions", **values))

    def drop_suggestions(self, *, before_ns: int, limit: int) -> int:
        """Drop old ones that are closed; see `clew.store.protocol.Retention`."""
        values = {"before_ns": int64(before_ns), "limit": limit}
        return self._transact(
            lambda connection: Statements(connection, QUERIES).run("drop_closed_suggestions", **values)
        )

    def suggestion_records(self, project: str, question: str, since_ns: int) -> list[SuggestionRecord]:
        """Give what was suggested since then, oldest first, scored or not."""
        asked = {"question": findable(question), "since_ns": int64(since_ns)}
        return suggestions_of(map(_suggestion_row, self._rows(project, "suggestion_records", **asked)), project)

    # What all of these stand on.

    def _in_graph(self, project: str, work: Callable[[Connection, int], T]) -> T:
        """Run *work* in a transaction that has the graph of a project to itself."""

        def run(connection: Connection, project_id: int) -> T:
            locks.lock_until_commit(connection, f"graph {project_id}")
            return work(connection, project_id)

        return self._in_project(project, run)

    def _in_project(self, project: str, work: Callable[[Connection, int], T]) -> T:
        """Run *work* in a transaction, with the id of a project, which is added if it is new."""
        return self._transact(
            lambda connection: work(connection, id_of_project(Statements(connection, TRACE_QUERIES), project))
        )

    def _ask(self, project: str, read: Callable[[Connection, int], T], nothing: T) -> T:
        """Read something of a project; *nothing* if there is no such project."""
        with self._reading() as connection:
            project_id = Statements(connection, TRACE_QUERIES).value("project_id", project=findable(project))
            return nothing if project_id is None else read(connection, int(project_id))

    def _rows(self, project: str, name: str, /, **values: Any) -> list[tuple[Any, ...]]:
        """Run one statement on a project; no rows if there is no such project."""
        nothing: list[tuple[Any, ...]] = []
        return self._ask(
            project,
            lambda connection, project_id: Statements(connection, QUERIES).rows(name, project_id=project_id, **values),
            nothing,
        )


def _arm_row(row: Sequence[Any]) -> ArmRow:
    question, version, arm, weights, note, created_ns, share = row
    return ArmRow(told(question), version, told(arm), _weights.decode(weights), told(note), created_ns, share)


_TEXTS = ("suggestion_id", "question", "arm", "trace_id", "parent_span_id")


def _safe_values(record: SuggestionRecord) -> dict[str, Any]:
    values = suggestion_values(record)
    return values | {name: safe(values[name]) for name in _TEXTS}


def _suggestion_row(row: Sequence[Any]) -> SuggestionRow:
    named = dict(zip(SuggestionRow._fields, row, strict=True))
    named |= {name: told(named[name]) for name in _TEXTS}
    outcome = named["outcome"]
    return SuggestionRow(
        **named
        | {
            "ranked": _ranked.decode(named["ranked"]),
            "probabilities": _probabilities.decode(named["probabilities"]),
            "outcome": None if outcome is None else _outcome.decode(outcome),
        }
    )
