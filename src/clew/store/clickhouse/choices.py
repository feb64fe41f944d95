"""Arms, which are a log, and suggestions, which are rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from clew.store.check import check_shares
from clew.store.clickhouse.connect import hexed
from clew.store.clickhouse.keys import ClickhouseKeys
from clew.store.clickhouse.learned import ArmChange, Arms, arm_change
from clew.store.clickhouse.log import Change, Log
from clew.store.columns import int64
from clew.store.graph_choices import OPEN, SCORED
from clew.store.graph_protocol import Arm, SuggestionRecord

_CLOSED = 2
"""Nobody waits for its outcome any more."""

_SUGGESTIONS = {
    "project": "String",
    "suggestion_id": "String",
    "question": "String",
    "trace_id": "String",
    "at_ns": "Int64",
    "state": "UInt8",
    "body": "String",
}

_encode = msgspec.msgpack.Encoder().encode
_record = msgspec.msgpack.Decoder(SuggestionRecord).decode


class ClickhouseChoices(ClickhouseKeys):
    """Keeps what `clew.store.graph_protocol.Arms` and `SuggestionLog` promise."""

    def __init__(self, url: str, *, read_only: bool) -> None:
        self._arm_logs: dict[str, Log[Arms]] = {}
        super().__init__(url, read_only=read_only)

    # Arms.

    def add_arm(  # noqa: PLR0917
        self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str, at_ns: int
    ) -> int:
        """Keep an arm, not chosen; gives its version, counted from 1 for each question."""
        versions: list[int] = []

        def make(arms: Arms) -> Change:
            versions.append(len(arms.of(question)) + 1)
            added = Arm(question, versions[-1], arm, dict(weights), note, int64(at_ns), chosen=False, share=0.0)
            return Change(arm_change(ArmChange(question, add=added)))

        self._write_alone(lambda: self._arms(project).add(make))
        return versions[-1]

    def arms(self, project: str, question: str | None) -> list[Arm]:
        """Give the arms of one question, or of all, by question and version."""
        found: list[Arm] = self._arms(project).read(lambda arms, _: arms.of(question))
        return found

    def choose_arms(self, project: str, question: str, shares: Mapping[int, float]) -> None:
        """Let each version named answer its share; see `clew.store.graph_protocol.Arms`."""

        def make(arms: Arms) -> Change:
            check_shares(shares, {arm.version for arm in arms.of(question)})
            return Change(arm_change(ArmChange(question, shares=dict(shares))))

        self._write_alone(lambda: self._arms(project).add(make))

    def _arms(self, project: str) -> Log[Arms]:
        known: Any = self._arm_logs.get(project)
        return known or self._arm_logs.setdefault(project, Log(self._servers, project, "arms", Arms))

    # Suggestions.

    def log_suggestion(self, record: SuggestionRecord) -> None:
        """Keep a suggestion; the same id again changes nothing."""

        def log() -> None:
            if not self._states(record.project, [record.suggestion_id]):
                self._put([(SCORED if record.scored else OPEN, record)])

        self._write_alone(log)

    def open_suggestions(self, project: str, trace_ids: Sequence[str]) -> list[SuggestionRecord]:
        """Give those of these traces whose outcome is not known, oldest first."""
        terms = "project = unhex({project:String}) AND state = 0 AND has({trace_ids:Array(String)}, hex(trace_id))"
        found = self._suggestions(terms, {"project": hexed(project), "trace_ids": _hexed(trace_ids)})
        return _oldest_first(record for _, record in found)

    def score_suggestions(self, records: Sequence[SuggestionRecord]) -> None:
        """Keep outcomes; see `clew.store.graph_protocol.SuggestionLog`."""

        def score() -> None:
            for project in dict.fromkeys(record.project for record in records):
                mine = {record.suggestion_id: record for record in records if record.project == project}
                kept = self._states(project, list(mine))
                scored = [
                    (SCORED, _with_outcome(have, mine[suggestion_id]))
                    for suggestion_id, (state, have) in kept.items()
                    if state == OPEN and mine[suggestion_id].scored
                ]
                self._put(scored)

        self._write_alone(score)

    def close_suggestions(self, before_ns: int) -> int:
        """Close, without an outcome, what was suggested before; gives how many there were."""

        def close() -> int:
            old = self._suggestions("state = 0 AND at_ns < {before_ns:Int64}", {"before_ns": int64(before_ns)})
            self._put([(_CLOSED, record) for _, record in old])
            return len(old)

        return self._write_alone(close)

    def suggestion_records(self, project: str, question: str, since_ns: int) -> list[SuggestionRecord]:
        """Give what was suggested since then, oldest first, scored or not."""
        terms = "project = unhex({project:String}) AND question = unhex({question:String})"
        terms += " AND at_ns >= {since_ns:Int64}"
        asked = {"project": hexed(project), "question": hexed(question), "since_ns": int64(since_ns)}
        return _oldest_first(record for _, record in self._suggestions(terms, asked))

    def _states(self, project: str, ids: Sequence[str]) -> dict[str, tuple[int, SuggestionRecord]]:
        terms = "project = unhex({project:String}) AND has({ids:Array(String)}, hex(suggestion_id))"
        found = self._suggestions(terms, {"project": hexed(project), "ids": _hexed(ids)})
        return {record.suggestion_id: (state, record) for state, record in found}

    def _suggestions(self, terms: str, values: Mapping[str, Any]) -> list[tuple[int, SuggestionRecord]]:
        rows = self._servers.rows("suggestions", values, terms=f"{terms} AND state <= {_CLOSED}")
        return [(state, _record(body)) for _, state, body in rows]

    def _put(self, records: Sequence[tuple[int, SuggestionRecord]]) -> None:
        rows = [
            (each.project, each.suggestion_id, each.question, each.trace_id, int64(each.at_ns), state, _encode(each))
            for state, each in records
        ]
        if rows:
            self._servers.insert("clew_suggestions", _SUGGESTIONS, list(zip(*rows, strict=True)))


def _hexed(texts: Iterable[str]) -> list[str]:
    """As `hex` of ClickHouse gives them."""
    return [hexed(text).upper() for text in texts]


def _with_outcome(kept: SuggestionRecord, scored: SuggestionRecord) -> SuggestionRecord:
    return msgspec.structs.replace(kept, outcome=scored.outcome, rank=scored.rank, scored=True)


def _oldest_first(records: Iterable[SuggestionRecord]) -> list[SuggestionRecord]:
    return sorted(records, key=lambda record: (record.at_ns, record.suggestion_id))
