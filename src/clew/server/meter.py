"""
What the server counts of itself, as Prometheus text.

Labels hold route templates, statuses and error names: never what a client sent, so their
number is bounded.

Source: Prometheus exposition formats, text format version 0.0.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

from clew.jobs.retention import Totals
from clew.server.sdk_drops import SdkDrops

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """Seconds, in cumulative buckets as Prometheus wants them."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS_S) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one measurement."""
        self._counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sum_s += seconds

    def lines(self, name: str, help_text: str) -> list[str]:
        """Give the histogram as exposition lines."""
        lines, below = _head(name, "histogram", help_text), 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self._counts, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {below}')
        return [*lines, f"{name}_sum {self._sum_s:.6f}", f"{name}_count {below}"]


class Meter:
    """The counters that the routes keep. Only for the event loop's thread."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.refused_bodies: Counter[str] = Counter()
        self.commit = Histogram()
        self.sdk_drops = SdkDrops()
        self.learned_traces = 0
        """Written by the learner's thread alone."""

    def count_request(self, method: str, route: str, status: int) -> None:
        """Count one answered request; *route* is the template that matched, or ""."""
        # A client can invent methods, and each would make a new series.
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
        self.requests[known, route, status] += 1

    def text(
        self, ingest: Mapping[str, float], graph: Mapping[str, int] | None = None, retention: Totals | None = None
    ) -> str:
        """Give everything as text, with the batcher's `stats()`, what is kept of graphs and what retention did."""
        lines = _head("clew_requests_total", "counter", "Requests answered, by method, route and status.")
        for (method, route, status), count in sorted(self.requests.items()):
            lines.append(f'clew_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines += _counter("clew_spans_total", "Spans received, by what became of them.", "outcome", _outcomes(ingest))
        lines += _counter(
            "clew_bodies_refused_total", "Bodies refused as a whole, by cause.", "cause", self.refused_bodies
        )
        lines += _counter(
            "clew_sdk_dropped_total", "Spans that SDKs say they lost, by cause.", "cause", self.sdk_drops.by_cause
        )
        lines += self.commit.lines("clew_commit_seconds", "From a whole body to its durable commit.")
        for key, name, kind, help_text in INGEST:
            if key in ingest:
                lines += [*_head(name, kind, help_text), f"{name} {ingest[key]:.12g}"]
        lines += [
            *_head("clew_learned_traces_total", "counter", "Traces that the graph was taught."),
            f"clew_learned_traces_total {self.learned_traces}",
        ]
        for part, count in (graph or {}).items():
            name = f"clew_graph_{part}"
            lines += [*_head(name, "gauge", f"The {part} of the graphs that are kept in memory."), f"{name} {count}"]
        if retention is not None:
            lines += _retention(retention)
        return "\n".join(lines) + "\n"


INGEST = (
    ("held_bytes", "clew_queue_bytes", "gauge", "Bytes of bodies that wait to be stored."),
    ("waiting_bodies", "clew_queue_bodies", "gauge", "Bodies that wait to be stored."),
    ("scores", "clew_scores_total", "counter", "Scores stored."),
    ("commits", "clew_commits_total", "counter", "Commits; many bodies share one."),
    ("decode_s", "clew_decode_seconds_total", "counter", "Time spent decoding bodies."),
    ("write_s", "clew_write_seconds_total", "counter", "Time spent writing to the store."),
)
"""Key of the batcher's `stats()` -> name, type and help of a metric."""


def _retention(totals: Totals) -> Iterable[str]:
    done = totals.done
    for part in ("traces", "spans"):
        counts = {"age": getattr(done.expired, part), "size": getattr(done.crowded_out, part)}
        yield from _counter(f"clew_retention_{part}_total", f"What retention dropped: {part}.", "cause", counts)
    for name, value, help_text in (
        ("bytes", done.bytes, "About how many bytes the dropped spans took."),
        ("histograms", done.metrics, "Histograms that retention dropped."),
        ("suggestions", done.suggestions, "Suggestions that retention dropped."),
        ("rounds", totals.rounds, "Rounds of retention."),
        ("failures", totals.failures, "Rounds of retention that broke off, to be tried again."),
    ):
        yield from (
            *_head(f"clew_retention_{name}_total", "counter", help_text),
            f"clew_retention_{name}_total {value}",
        )
    yield from _head("clew_retention_waiting_traces", "gauge", "Traces that wait to be learned before they go.")
    yield f"clew_retention_waiting_traces {done.waiting}"
    if totals.last_round_ns is not None:
        name = "clew_retention_last_round_timestamp_seconds"
        yield from (*_head(name, "gauge", "When the last round ended."), f"{name} {totals.last_round_ns / 1e9:.3f}")


def _outcomes(ingest: Mapping[str, float]) -> dict[str, int]:
    duplicates = int(ingest.get("duplicates", 0))
    return {
        "stored": int(ingest.get("spans", 0)) - duplicates,
        "duplicate": duplicates,
        "rejected": int(ingest.get("rejected", 0)),
    }


def _counter(name: str, help_text: str, label: str, counts: Mapping[str, int]) -> Iterable[str]:
    return [
        *_head(name, "counter", help_text),
        *(f'{name}{{{label}="{value}"}} {count}' for value, count in sorted(counts.items())),
    ]


def _head(name: str, kind: str, help_text: str) -> list[str]:
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
