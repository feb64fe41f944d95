"""Latencies of the plain reference: of spans exactly; of what SDKs told, as exact as its histogram."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate
from typing import Any

from clew.model import Kind, Span, histogram
from clew.model.span import METERED_KINDS
from clew.model.tally import Tally
from clew.store.latencies import Asked, check_points, check_quantiles, check_rows, heat, question
from clew.store.memory_graph import MemoryGraph
from clew.store.protocol import Latency, LatencyHeat, LatencyStep
from clew.store.tally import MINUTE_S, Operation, grouping

_S = 10**9

_Found = dict[Operation, tuple[list[Span], Tally]]


class MemoryLatency(MemoryGraph):
    """A `clew.store.protocol.MetricsReader` over everything that is kept."""

    @abstractmethod
    def _open(self) -> AbstractContextManager[Any]:
        """The lock, if the store is not closed."""

    def latency(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        group_by: Sequence[str] = ("kind",),
        quantiles: Sequence[float] = (),
    ) -> list[Latency]:
        """Give percentiles; see `clew.store.protocol.MetricsReader`."""
        asked = question(since_ns, until_ns, kind, name, model, group_by, None)
        check_quantiles(quantiles)
        return self._latencies(project, asked, quantiles)

    def latency_steps(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        step_s: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        group_by: Sequence[str] = (),
        quantiles: Sequence[float] = (),
    ) -> list[LatencyStep]:
        """Give percentiles over time; see `clew.store.protocol.MetricsReader`."""
        asked = question(since_ns, until_ns, kind, name, model, group_by, step_s)
        check_quantiles(quantiles)
        steps = [
            LatencyStep(
                from_ns=from_s * _S,
                to_ns=to_s * _S,
                operations=self._latencies(project, asked._replace(from_s=from_s, to_s=to_s), quantiles),
            )
            for _, from_s, to_s in asked.bounds()
        ]
        count = sum(len(step.operations) for step in steps)
        check_points(count, "group_by", "group by less, take longer steps or a shorter window")
        return steps

    def latency_heat(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        step_s: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        rows_per_doubling: int = 1,
    ) -> LatencyHeat:
        """Give a heat map; see `clew.store.protocol.MetricsReader`."""
        asked = question(since_ns, until_ns, kind, name, model, (), step_s)
        check_rows(rows_per_doubling)
        buckets = {}
        for start_s, from_s, to_s in asked.bounds():
            for spans, told in self._found(project, asked._replace(from_s=from_s, to_s=to_s)).values():
                buckets[start_s] = histogram.of(span.duration_ns or 0 for span in spans)
                histogram.merge(buckets[start_s], told.buckets)
        return heat(asked, buckets, rows_per_doubling)

    def _latencies(self, project: str, asked: Asked, quantiles: Sequence[float]) -> list[Latency]:
        found = self._found(project, asked)
        rows = [_latency(operation, *found[operation], quantiles) for operation in sorted(found)]
        return [row for row in rows if row.count > 0]

    def _found(self, project: str, asked: Asked) -> _Found:
        """By operation: finished spans, and what SDKs counted by themselves."""
        found: _Found = {}
        with self._open():
            for span in self._finished(project):
                of = Operation(span.kind, span.name, span.model or "")
                if asked.from_s * _S <= span.start_ns < asked.to_s * _S and _is_asked(asked, of):
                    found.setdefault(grouping(of, asked.group_by), ([], Tally()))[0].append(span)
            for (minute, kind, name, model), tally in self._project(project).minutes.items():
                of = Operation(kind, name, model or "")
                if asked.from_s <= minute * MINUTE_S < asked.to_s and _is_asked(asked, of):
                    found.setdefault(grouping(of, asked.group_by), ([], Tally()))[1].merge(tally)
        return found

    def _finished(self, project: str) -> Iterator[Span]:
        for (of, _), spans in self._spans.items():
            if of == project:
                yield from (span for span in spans.values() if span.end_ns is not None)


def _is_asked(asked: Asked, of: Operation) -> bool:
    return all(want in (None, have) for want, have in zip((asked.kind, asked.name, asked.model), of, strict=True))


def _latency(operation: Operation, spans: Sequence[Span], told: Tally, quantiles: Sequence[float]) -> Latency:
    durations_ns: Counter[float] = Counter(span.duration_ns or 0 for span in spans)
    for bucket, times in told.buckets.items():
        durations_ns[histogram.value_of(bucket)] += times
    longer = sorted(durations_ns)
    reached = list(accumulate(durations_ns[each] for each in longer))
    metered = [span for span in spans if span.kind in METERED_KINDS]
    count = len(spans) + told.count
    duration_ns = sum(span.duration_ns or 0 for span in spans) + told.duration_ns

    def at(share: float) -> float:
        rank = histogram.rank_of(share, count)
        return next((each for each, place in zip(longer, reached, strict=True) if place >= rank), 0.0) / 1e6

    return Latency(
        kind=operation.kind,
        name=operation.name,
        model=operation.model or None,
        count=count,
        errors=sum(span.status == "error" for span in spans) + told.errors,
        p50_ms=at(0.50),
        p95_ms=at(0.95),
        p99_ms=at(0.99),
        mean_ms=duration_ns / max(1, count) / 1e6,
        input_tokens=sum(span.input_tokens or 0 for span in metered) + told.input_tokens,
        output_tokens=sum(span.output_tokens or 0 for span in metered) + told.output_tokens,
        cost_usd=sum(span.cost_usd or 0.0 for span in metered) + told.cost_usd,
        quantiles_ms={share: at(share) for share in quantiles},
    )
