"""
One moment of a store, for moving it: see `clew.store.snapshot`.

ClickHouse has no transaction over several questions, so a moment is made of what never changes: it is a
position of the project's log, with the graph that all changes up to there make, and of each trace the
pieces that were learned by then. What was counted without spans stands apart from what traces count,
so it needs no moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from clew.graph import Graph
from clew.model import Score, Span
from clew.model.tally import MINUTE_NS, Minutes, Sums, Tally
from clew.store.clickhouse.connect import Servers, hexed
from clew.store.clickhouse.graph_queue import Past, read_past
from clew.store.clickhouse.learned import Learned
from clew.store.clickhouse.log import Log
from clew.store.clickhouse.tallies import LAST, read_tallies, text_of
from clew.store.clickhouse.traces import Stored, TraceKey, fold, only, read_pieces, read_stored
from clew.store.graph_protocol import LONGEST_ROUND_SPANS
from clew.store.latencies import Asked
from clew.store.snapshot import Counted, Known, Totals, within
from clew.store.tally import MINUTE_S

IDS_AT_ONCE = 1_000
_LAST_S = 1 << 34
"""Later than any minute, Unix seconds."""


class _Moment(NamedTuple):
    """What was learned up to a position of a project's log."""

    until: int
    learned: Learned


class ClickhouseSnapshot:
    """Looks at the store on *servers*; *log_of* gives a project's log."""

    def __init__(self, servers: Servers, log_of: Any) -> None:
        self._servers = servers
        self._log_of = log_of
        self._moments: dict[str, _Moment] = {}

    def projects(self) -> list[str]:
        """Every project of which there is anything."""
        return sorted(project.decode() for (project,) in self._servers.rows("held_projects"))

    def totals(self, project: str) -> Totals:
        """Count what is stored."""
        named = {"project": hexed(project)}
        [(traces, spans, finished)] = self._servers.rows("held_totals", named)
        learned = self._servers.value("held_learned", named | {"until": self._at(project).until})
        return Totals(traces, spans, finished, learned)

    def told(self, project: str) -> Minutes | None:
        """
        Give what was counted of spans that are not stored, which here stands apart from what is.

        None if some of it is below zero: SDKs took back more than they had told of, so far.
        """
        told: Minutes = {}
        for minute, kind, name, model, *sums, (buckets, counts) in self._servers.rows(
            "held_told", self._beside(project)
        ):
            tally = Tally()
            tally.add_sums(Sums(*sums))
            tally.buckets = {bucket: count for bucket, count in zip(buckets, counts, strict=True) if count}
            told[minute, text_of(kind), text_of(name), text_of(model) or None] = tally  # type: ignore[index]
        return None if any(map(_is_below_zero, told.values())) else told

    def _beside(self, project: str) -> dict[str, Any]:
        """What the term `told_here` asks for: all that there is."""
        named = {"project": hexed(project)}
        gone = self._servers.value("head", named | {"stream": "gone"}) or 0
        return named | {"gone": gone, "told": LAST, "from_minute": -_LAST_S, "to_minute": _LAST_S}

    def counted(self, project: str) -> Iterator[Counted]:
        """Give all that is counted, of traces and beside them."""
        asked = Asked(0, _LAST_S, None, None, None, ("kind", "name", "model"), MINUTE_NS // 10**9)
        for (bucket_s, operation), tally in read_tallies(self._servers, project, asked).items():
            yield Counted(MINUTE_S, bucket_s, operation, tally)

    def traces(self, project: str) -> Iterator[Known]:
        """Give each trace."""
        after = bytes(16)
        while True:
            asked = {"project": hexed(project), "after": after.hex(), "limit": IDS_AT_ONCE}
            rows: Any = self._servers.rows("held_ids", asked)
            if not rows:
                return
            ids: list[bytes]
            for ids in within(rows, LONGEST_ROUND_SPANS):
                yield from self._known(project, ids)
            after = rows[-1][0]

    def _known(self, project: str, ids: Sequence[bytes]) -> Iterator[Known]:
        keys = [(project, trace_id) for trace_id in ids]
        stored = read_stored(self._servers, keys)
        past = read_past(self._servers, keys, until=self._at(project).until)
        for key in keys:
            trace = stored.get(key)
            if trace is not None and trace.row is not None:
                yield _known(trace, past.get(key, Past()))

    def graph(self, project: str) -> Graph:
        """Give all that was learned."""
        return self._at(project).learned.copy()

    def slices(self, project: str) -> Iterator[tuple[str, Graph]]:
        """Give each slice by name."""
        learned = self._at(project).learned
        for name in sorted(learned.slices):
            yield name, learned.sum_of([name])

    def lone_scores(self, project: str) -> list[Score]:
        """Give the scores whose trace is not stored."""
        found = self._servers.rows("held_lone_scores", {"project": hexed(project)})
        keys: list[TraceKey] = [(project, trace_id) for (trace_id,) in found]
        pieces = read_pieces(self._servers, keys)
        return [score for key in keys for score in fold(pieces.get(key, [])).scores.values()]

    def _at(self, project: str) -> _Moment:
        """The moment of a project: when it is first asked for."""
        if project not in self._moments:
            log: Log[Learned] = self._log_of(project)
            # Written down and read again: a copy, since others read on.
            until, body = log.read(lambda learned, position: (position, learned.snapshot()))
            self._moments[project] = _Moment(until, Learned(body))
        return self._moments[project]


def _is_below_zero(tally: Tally) -> bool:
    # A cost is a sum of fractions, of which a last digit below zero may be left.
    counts = tally.count, tally.errors, tally.input_tokens, tally.output_tokens, tally.duration_ns
    return min(*counts, *tally.buckets.values()) < 0


def _known(trace: Stored, past: Past) -> Known:
    assert trace.row is not None
    now = fold(only(trace.pieces, trace.row.pieces)).spans
    before: dict[str, Span] = fold(only(trace.pieces, past.pieces)).spans if past.pieces else {}
    return Known(list(now.values()), [span for span in before.values() if span.end_ns is not None])
