"""
Measure how fast spans become durable and queryable through HTTP.

A rate counts only when the server's own API gives back the last traces of the load. Each run
has a fresh server and a fresh store; Clew takes both its dialects, Phoenix the same OTLP
bodies, fewer of them, since its queue would otherwise take minutes to drain.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median

from bench import process
from bench.load import Plan, Report, Sending
from bench.places import scratch
from bench.report import Figure, Section, percentile
from bench.servers import Clew, ClewWithoutText, Phoenix, Server, running

WARM_UP = {"bodies": 8, "traces_per_body": 8, "templates": 4, "seed": 99}
SPANS_WANTED, TIMES_PHOENIX_WANTED = 40_000, 80


@dataclass
class Run:
    """One load on one fresh server."""

    label: str
    report: Report
    cpu_s: float
    peak_mb: float
    bytes_per_span: float

    @property
    def queryable_per_s(self) -> float:
        """Spans a second until the last was shown; 0 if it never was."""
        return self.report.spans / self.report.queryable_s if self.report.queryable_s else 0.0

    @property
    def cpu_s_per_million(self) -> float:
        return self.cpu_s / self.report.spans * 1e6


def measure(*, rounds: int, spans: int, phoenix_spans: int, connections: int) -> Section:
    """Load Clew with both dialects, with full text and without, in turns, and Phoenix once."""
    turns = [(server, dialect) for server in (Clew, ClewWithoutText) for dialect in ("native", "otlp")]
    runs: dict[str, list[Run]] = {f"{server.name} {dialect}": [] for server, dialect in turns}
    runs["phoenix otlp"] = []
    for number in range(rounds):
        for server, dialect in turns:
            runs[f"{server.name} {dialect}"].append(one(server, dialect, spans, connections, number))
    if phoenix_spans:
        runs["phoenix otlp"].append(one(Phoenix, "otlp", phoenix_spans, connections, 0))
    return section({label: done for label, done in runs.items() if done})


def one(server: Server, dialect: str, spans: int, connections: int, number: int) -> Run:
    """One load on one fresh server."""
    label = f"{server.name} {dialect}"
    print(f"ingest: {label}, {spans:,} spans", file=sys.stderr, flush=True)
    with scratch("ingest") as directory, running(server, directory) as it:
        plan = Plan(server.name, it.port, dialect, bodies=1, connections=connections, seed=number + 1)
        plan.bodies = -(-spans // plan.spans_per_body)
        Sending(Plan(**{**asdict(plan), **WARM_UP})).begin().report()
        before = size_bytes(directory)
        sending = Sending(plan)
        with process.watched(it.process.pid) as usage:
            report = sending.begin().report()
        if not report.spans:
            raise RuntimeError(f"{label}: nothing was taken: {report.statuses}\n{it.log.read_text()[-2000:]}")
        grown = size_bytes(directory) - before
        return Run(label, report, usage.cpu_s, usage.peak_mb, grown / report.spans)


def size_bytes(directory: os.PathLike[str]) -> int:
    """All that lies in a directory; a write-ahead log counts."""
    return sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(directory) for name in names)


def section(runs: dict[str, list[Run]]) -> Section:
    """Put the results beside each other and beside what was wanted."""
    figures = list(judged(runs))
    columns = (
        *("run", "accepted/s", "queryable/s", "request p50, ms", "p99", "CPU s/million", "CPUs", "peak MB"),
        *("bytes/span", "client CPU s", "answers"),
    )
    raw = {label: [asdict(run) for run in done] for label, done in runs.items()}
    return Section(
        "Durable and queryable through HTTP",
        figures,
        columns,
        [row(run) for done in runs.values() for run in done],
        raw,
    )


def judged(runs: dict[str, list[Run]]) -> Iterator[Figure]:
    """The rates against their targets, then what they cost."""
    rates = {label: median(run.queryable_per_s for run in done) for label, done in runs.items()}
    phoenix = rates.get("phoenix otlp")
    for label, rate in rates.items():
        if label.startswith("clew"):
            beside = (f"{phoenix:,.0f}/s Phoenix", f"{rate / phoenix:.0f}") if phoenix else ("", "")
            wanted = f"at least {SPANS_WANTED:,}/s"
            yield Figure(f"queryable spans, {label}", f"{rate:,.0f}/s", *beside, wanted, rate >= SPANS_WANTED)
    if phoenix:
        times = rates["clew otlp"] / phoenix
        target = f"at least {TIMES_PHOENIX_WANTED} times"
        yield Figure(
            "the same OTLP bodies, beside Phoenix", "", "", f"{times:.0f}", target, times >= TIMES_PHOENIX_WANTED
        )
    for what, of, shown in (
        ("CPU seconds a million spans, OTLP", lambda run: run.cpu_s_per_million, "{:.0f}"),
        ("peak memory under OTLP load, MB", lambda run: run.peak_mb, "{:.0f}"),
    ):
        own = median(map(of, runs["clew otlp"]))
        other = median(map(of, runs["phoenix otlp"])) if phoenix else None
        beside = (shown.format(other), f"{own / other:.3f}") if other else ("", "")
        yield Figure(what, shown.format(own), *beside)


def row(run: Run) -> tuple[str, ...]:
    """One run in full."""
    report = run.report
    took = (f"{percentile(report.took_ms, share):.0f}" for share in (0.5, 0.99))
    rates = (f"{report.spans / report.accepted_s:,.0f}" if report.accepted_s else "-", f"{run.queryable_per_s:,.0f}")
    processors = run.cpu_s / report.queryable_s if report.queryable_s else float("nan")
    costs = (f"{run.cpu_s_per_million:.0f}", f"{processors:.2f}", f"{run.peak_mb:.0f}", f"{run.bytes_per_span:.0f}")
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(report.statuses.items()))
    return (run.label, *rates, *took, *costs, f"{report.client_cpu_s:.1f}", answers)
