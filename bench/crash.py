"""
Kill the server under load, again and again, and count what was acknowledged and is gone.

SIGKILL comes at a random moment of a load, on one and the same store; after the last restart
every acknowledged trace must be there, whole, whichever of the kills came after it.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field

from bench import process
from bench.bodies import SPANS_PER_TRACE, trace_ids
from bench.load import Plan, Report, Sending
from bench.places import scratch
from bench.report import Figure, Section
from bench.servers import Clew, Client, Running

PAGE = 200
KILLED_AFTER_S = (0.3, 1.5)


@dataclass
class Crash:
    """One kill."""

    dialect: str
    after_s: float
    acknowledged_spans: int
    start_s: float
    trace_ids: list[str] = field(repr=False)


def measure(*, kills: int) -> Section:
    """Kill *kills* times, then look for everything that was acknowledged."""
    draw = random.Random(11)
    crashes = []
    with scratch("crash") as directory:
        it = Running(Clew, directory)
        it.start()
        try:
            for number in range(kills):
                print(f"crash: kill {number + 1} of {kills}", file=sys.stderr, flush=True)
                crashes.append(one(it, number, draw.uniform(*KILLED_AFTER_S)))
            missing, torn = lost(it.client(), crashes)
        finally:
            process.stop(it.process)
    return section(crashes, missing, torn)


def one(it: Running, number: int, after_s: float) -> Crash:
    """Load, kill, start again."""
    dialect = ("native", "otlp")[number % 2]
    # More bodies than can be sent until the kill, and none sent again after it.
    plan = Plan("clew", it.port, dialect, bodies=1_000_000, seed=number + 1, templates=8, wait=False, retry=False)
    sending = Sending(plan).begin()
    killer = threading.Timer(after_s, process.stop, (it.process,), {"how": signal.SIGKILL})
    killer.start()
    report: Report = sending.report()
    killer.join()
    if not report.acknowledged:
        raise RuntimeError(f"nothing was acknowledged before the kill: {report.statuses}")
    it.start()
    ids = [each for sequence in report.acknowledged for each in trace_ids(plan.seed, sequence, plan.traces_per_body)]
    return Crash(dialect, after_s, report.spans, it.start_s, ids)


def lost(client: Client, crashes: list[Crash]) -> tuple[int, int]:
    """How many acknowledged spans are missing, and how many traces are there but not whole."""
    print("crash: counting", file=sys.stderr, flush=True)
    stored = stored_spans(client)
    missing = torn = 0
    for trace_id in (each for crash in crashes for each in crash.trace_ids):
        count = min(stored.get(trace_id, 0), SPANS_PER_TRACE)
        missing += SPANS_PER_TRACE - count
        torn += 0 < count < SPANS_PER_TRACE
    # A row in a list is not yet a trace that can be read: look at some, payload and all.
    acknowledged = [each for crash in crashes for each in crash.trace_ids]
    for trace_id in random.Random(1).sample(acknowledged, min(200, len(acknowledged))):
        torn += not Clew.has_trace(client, trace_id)
    return missing, torn


def stored_spans(client: Client) -> dict[str, int]:
    """How many spans each trace in the store has, by walking every page."""
    counts: dict[str, int] = {}
    cursor = None
    while True:
        page = client.get("/api/v1/admin/traces/", limit=PAGE, cursor=cursor)
        counts |= {row["trace_id"]: row["span_count"] for row in page["traces"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return counts


def section(crashes: list[Crash], missing: int, torn: int) -> Section:
    """What was lost, which must be nothing."""
    spans = sum(crash.acknowledged_spans for crash in crashes)
    slowest_s = max(crash.start_s for crash in crashes)
    figures = [
        Figure(
            f"acknowledged spans missing after {len(crashes)} kills, of {spans:,}",
            str(missing),
            target="0",
            met=missing == 0,
        ),
        Figure("acknowledged traces that are not whole", str(torn), target="0", met=torn == 0),
        Figure("slowest start after a kill", f"{slowest_s:.1f} s"),
    ]
    raw = {
        "crashes": [{k: v for k, v in asdict(crash).items() if k != "trace_ids"} for crash in crashes],
        "at": time.time(),
    }
    return Section("SIGKILL under load", figures, raw=raw)
