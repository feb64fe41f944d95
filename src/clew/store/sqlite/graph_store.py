"""The execution graph in a store's file: the front. `graph_saving` adds, `graph_reading` reads, `graph_queue` marks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import apsw
import msgspec

from clew.graph import Graph
from clew.model.tally import Minutes
from clew.store import sql
from clew.store.check import check_shares
from clew.store.columns import as_json, int64
from clew.store.graph_choices import arms_of, read_arms, read_suggestions, suggestion_values, suggestions_of
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
from clew.store.sqlite.file import SqliteFile
from clew.store.sqlite.graph_queue import mark_learned, read_due
from clew.store.sqlite.graph_reading import read_graph, read_slices
from clew.store.sqlite.graph_saving import Saving
from clew.store.sqlite.search import storable
from clew.store.sqlite.statements import Statements
from clew.store.sqlite.tallies import put_tallies
from clew.store.tally import spread
from clew.store.undeclared import undeclared

QUERIES = sql.load("clew.store.sqlite", "graph.sql")
TRACE_QUERIES = sql.load("clew.store.sqlite", "queries.sql")

_names = msgspec.json.Decoder(list[str])
_templates = msgspec.json.Decoder(list[tuple[str, str, int]])

T = TypeVar("T")


class SqliteGraph(SqliteFile):
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
        """Give traces that are due; see `clew.store.graph_protocol.GraphLearning`."""
        with self._readers.lend() as connection:
            return read_due(
                connection,
                quiet_since_ns=quiet_since_ns,
                rootless_quiet_since_ns=rootless_quiet_since_ns,
                limit=limit,
                most_spans=most_spans,
            )

    def save_lesson(self, lesson: Lesson) -> int:
        """Save what was learned; see `clew.store.graph_protocol.GraphLearning`."""

        def save(connection: apsw.Connection, project_id: int) -> int:
            mark_learned(connection, project_id, lesson.traces)
            return Saving(connection, project_id).add(lesson.delta, lesson.slices)

        return self._in_project(lesson.project, save)

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

        def apply(connection: apsw.Connection, project_id: int) -> bool:
            now_ns = time.time_ns()
            known_ns = delta_known_ns(delta_id, now_ns)
            statements = Statements(connection, QUERIES)
            statements.run("forget_deltas", before_ns=now_ns - DELTAS_KEPT_NS)
            if statements.run("add_delta", project_id=project_id, delta_id=delta_id, at_ns=known_ns) is None:
                return False
            Saving(connection, project_id).add(observed, slices)
            if minutes:
                put_tallies(Statements(connection, TRACE_QUERIES), project_id, spread(minutes))
            return True

        return self._in_project(project, apply)

    # Reading.

    def graph(self, project: str) -> Graph:
        """Give the whole graph; see `clew.store.graph_protocol.GraphReader`."""
        return self._ask(project, read_graph, Graph())

    def graph_version(self, project: str) -> int:
        """Say how often the graph was changed; 0 if never."""
        found = self._answer(project, "graph_version")
        return int(found[0]) if found else 0

    def graph_slice(self, project: str, names: Sequence[str]) -> Graph:
        """Give the sum of some slices; see `clew.store.graph_protocol.GraphReader`."""
        return self._ask(project, lambda connection, project_id: read_slices(connection, project_id, names), Graph())

    def slice_names(self, project: str) -> list[str]:
        """Give the names of all slices, sorted."""
        return sorted(_names.decode(self._answer(project, "slices") or "[]"))

    # Templates.

    def save_template(self, project: str, name: str, source_text: str, graph: Graph, at_ns: int) -> None:
        """Keep a template; see `clew.store.graph_protocol.Templates`."""
        declares = declarations_text(graph)

        def save(connection: apsw.Connection, project_id: int) -> None:
            statements = Statements(connection, QUERIES)
            delta = declared_graph(statements.run("declares", project_id=project_id, name=name), times=-1)
            delta.merge(declared_graph(declares))
            statements.run(
                "put_template",
                project_id=project_id,
                name=name,
                source_text=source_text,
                declares=declares,
                at_ns=int64(at_ns),
            )
            Saving(connection, project_id).add(delta)

        self._in_project(project, save)

    def templates(self, project: str) -> list[tuple[str, str, int]]:
        """Give (name, source text, when it was saved) of each, by name."""
        return sorted(_templates.decode(self._answer(project, "templates") or "[]"))

    def remove_template(self, project: str, name: str) -> bool:
        """Forget a template and what it declared; False if there is none of that name."""

        def remove(connection: apsw.Connection, project_id: int) -> bool:
            statements = Statements(connection, QUERIES)
            declared = statements.run("declares", project_id=project_id, name=name)
            if declared is None:
                return False
            statements.run("drop_template", project_id=project_id, name=name)
            Saving(connection, project_id).add(declared_graph(declared, times=-1))
            return True

        return self._in_project(project, remove)

    # Arms.

    def add_arm(  # noqa: PLR0917
        self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str, at_ns: int
    ) -> int:
        """Keep an arm, not chosen; gives its version, counted from 1 for each question."""
        values = {"question": question, "arm": arm, "weights": as_json(dict(weights)), "note": note}

        def add(connection: apsw.Connection, project_id: int) -> int:
            statements = Statements(connection, QUERIES)
            return int(statements.run("add_arm", project_id=project_id, created_ns=int64(at_ns), **values))

        return self._in_project(project, add)

    def arms(self, project: str, question: str | None) -> list[Arm]:
        """Give the arms of one question, or of all, by question and version."""
        return arms_of(read_arms(self._answer(project, "arms", question=question) or "[]"))

    def choose_arms(self, project: str, question: str, shares: Mapping[int, float]) -> None:
        """Let each version named answer its share; see `clew.store.graph_protocol.Arms`."""
        wanted = as_json({str(version): float(share) for version, share in shares.items()})

        def choose(connection: apsw.Connection, project_id: int) -> None:
            statements = Statements(connection, QUERIES)
            known = read_arms(statements.run("arms", project_id=project_id, question=question))
            check_shares(shares, {arm.version for arm in known})
            statements.run("choose_arms", project_id=project_id, question=question, shares=wanted)

        self._in_project(project, choose)

    # Suggestions.

    def log_suggestion(self, record: SuggestionRecord) -> None:
        """Keep a suggestion; the same id again changes nothing."""
        values = suggestion_values(record)
        self._in_project(
            record.project,
            lambda connection, project_id: Statements(connection, QUERIES).run(
                "log_suggestion", project_id=project_id, **values
            ),
        )

    def open_suggestions(self, project: str, trace_ids: Sequence[str]) -> list[SuggestionRecord]:
        """Give those of these traces whose outcome is not known, oldest first."""
        asked = as_json(list(dict.fromkeys(trace_ids)))
        return suggestions_of(
            read_suggestions(self._answer(project, "open_suggestions", trace_ids=asked) or "[]"), project
        )

    def score_suggestions(self, records: Sequence[SuggestionRecord]) -> None:
        """Keep outcomes; see `clew.store.graph_protocol.SuggestionLog`."""
        for project in dict.fromkeys(record.project for record in records):
            scored = [suggestion_values(record) for record in records if record.project == project and record.scored]

            def score(connection: apsw.Connection, project_id: int, scored: list[dict[str, Any]] = scored) -> None:
                for each in scored:
                    values = {name: each[name] for name in ("suggestion_id", "outcome", "rank")}
                    Statements(connection, QUERIES).run("score_suggestion", project_id=project_id, **values)

            self._in_project(project, score)

    def close_suggestions(self, before_ns: int) -> int:
        """Close, without an outcome, what was suggested before; gives how many there were."""
        with self._readers.lend() as connection:
            if not Statements(connection, QUERIES).run("open_since", before_ns=int64(before_ns)):
                return 0

        def close(connection: apsw.Connection) -> int:
            Statements(connection, QUERIES).run("close_suggestions", before_ns=int64(before_ns))
            return connection.changes()

        return self._transact(close)

    def drop_suggestions(self, *, before_ns: int, limit: int) -> int:
        """Drop old ones that are closed; see `clew.store.protocol.Retention`."""

        def drop(connection: apsw.Connection) -> int:
            values = {"before_ns": int64(before_ns), "limit": limit}
            Statements(connection, QUERIES).run("drop_closed_suggestions", **values)
            return connection.changes()

        return self._transact(drop)

    def suggestion_records(self, project: str, question: str, since_ns: int) -> list[SuggestionRecord]:
        """Give what was suggested since then, oldest first, scored or not."""
        answer = self._answer(project, "suggestion_records", question=question, since_ns=int64(since_ns))
        return suggestions_of(read_suggestions(answer or "[]"), project)

    # What all of these stand on.

    def _in_project(self, project: str, work: Callable[[apsw.Connection, int], T]) -> T:
        """Run *work* in a transaction, with the id of a project, which is added if it is new."""

        def run(connection: apsw.Connection) -> T:
            statements = Statements(connection, TRACE_QUERIES)
            project_id = statements.run("project_id", project=project)
            if project_id is None:
                statements.run("add_project", project=project)
                project_id = statements.run("project_id", project=project)
            return work(connection, int(project_id))

        return self._transact(run)

    def _ask(self, project: str, read: Callable[[apsw.Connection, int], T], nothing: T) -> T:
        """Read something of a project; *nothing* if there is no such project."""
        with self._readers.lend() as connection:
            project_id = Statements(connection, TRACE_QUERIES).run("project_id", project=storable(project))
            return nothing if project_id is None else read(connection, int(project_id))

    def _answer(self, project: str, name: str, /, **values: Any) -> Any:
        """Run one statement on a project; None if there is no such project."""
        return self._ask(
            project,
            lambda connection, project_id: Statements(connection, QUERIES).run(name, project_id=project_id, **values),
            None,
        )
