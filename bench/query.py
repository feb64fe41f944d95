"""
Measure how fast stored spans are found again, and how long a background write takes.

200,000 spans of a week lie in the store, half of them from each dialect. Each question is
asked many times with other values, over one connection, as the page asks it. Then the same
while batches of 100 traces, what the SDK's writer sends, come in beside the questions.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.bodies import MODELS, SESSIONS, SPANS_PER_TRACE, USERS, Writer, trace_ids
from bench.load import Plan, Sending
from bench.places import scratch
from bench.report import Figure, Section, percentile
from bench.servers import Clew, Client, Running, running

DAY_S = 86_400
READ_WANTED_MS, WRITE_WANTED_MS = 50, 100
WRITES_PER_S = 4
TRACES_PER_WRITE = 100
SCORED = 300
WARM_UP = 3

TRACES = "/api/v1/admin/traces/"
LATENCY = "/api/v1/admin/traces/metrics/latency"

Question = Callable[[Client], Any]


class Questions:
    """What is asked, with other values each time."""

    def __init__(self, stored_ids: list[str], now_s: float) -> None:
        self.random = random.Random(3)
        self.stored_ids = stored_ids
        self.now_s = now_s
        self.words = Writer(0).words

    def user(self) -> str:
        return f"user-{self.random.randrange(USERS):04d}"

    def model(self) -> str:
        return self.random.choice(MODELS)

    def word(self) -> str:
        return self.random.choice(self.words)

    def day(self) -> float:
        """A moment of the week, Unix seconds."""
        return self.now_s - self.random.uniform(1, 6) * DAY_S

    def all(self) -> dict[str, Callable[[], Question]]:
        """For each question by name, what makes the next one of it."""
        asked = {f"list: {name}": _listings(make) for name, make in self.filters().items()}
        asked["list: text, first and second page"] = lambda: _second_page({"text": self.word()})
        asked["one trace"] = lambda: _trace(self.random.choice(self.stored_ids))
        asked["percentiles, 7 days, by kind"] = lambda: _latency(lookback_days=7)
        asked["percentiles, 7 days, one kind"] = lambda: _latency(lookback_days=7, operation_type="RETRIEVAL")
        asked["percentiles, 7 days, by kind, name, model"] = lambda: _latency(
            lookback_days=7, group_by="kind,name,model"
        )
        return asked

    def filters(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """Every filter alone, those that match nothing, and some together."""
        draw, user, day, word, model = self.random, self.user, self.day, self.word, self.model
        return {
            "newest 50": dict,
            "user": lambda: {"user_id": user()},
            "user, of whom there is nothing": lambda: {"user_id": f"nobody-{draw.random()}"},
            "session": lambda: {"session_id": f"s-{draw.randrange(SESSIONS):05d}"},
            "from, to": lambda: {"from": (begin := day()), "to": begin + 3600},
            "at least 1 s": lambda: {"min_latency_ms": 1000},
            "1 to 1.2 s": lambda: {"min_latency_ms": 1000, "max_latency_ms": 1200},
            "at least a minute, of which there is nothing": lambda: {"min_latency_ms": 60_000},
            "flag": lambda: {"quality_flag": draw.choice(["USER_NEGATIVE", "EMPTY", "LOW_CONFIDENCE", "NORMAL"])},
            "status": lambda: {"status": "error"},
            "kind": lambda: {"kind": draw.choice(["generation", "retrieval"])},
            "kind, of which there is nothing": lambda: {"kind": "guardrail"},
            "model": lambda: {"model": model()},
            "text": lambda: {"text": word()},
            "text, two words": lambda: {"text": f"{word()} {word()}"},
            "text, in one trace": lambda: {"text": f"zq{draw.randrange(32):03d}x{draw.randrange(64):03d}"},
            "text, of which there is nothing": lambda: {"text": f"zzqq{draw.randrange(10**6)}"},
            "user, status, from": lambda: {"user_id": user(), "status": "ok", "from": day()},
            "flag, text": lambda: {"quality_flag": "LOW_CONFIDENCE", "text": word()},
            "model, at least 2 s, kind": lambda: {"model": model(), "min_latency_ms": 2000, "kind": "generation"},
            "model, status, text, to": lambda: {"model": model(), "status": "error", "text": word(), "to": day()},
        }


def _listings(make: Callable[[], dict[str, Any]]) -> Callable[[], Question]:
    return lambda: _listing(make())


def _listing(where: dict[str, Any]) -> Question:
    return lambda client: client.get(TRACES, limit=50, **where)["traces"]


def _second_page(where: dict[str, Any]) -> Question:
    def ask(client: Client) -> Any:
        cursor = client.get(TRACES, limit=50, **where)["next_cursor"]
        return client.get(TRACES, limit=50, cursor=cursor, **where)["traces"]

    return ask


def _trace(trace_id: str) -> Question:
    return lambda client: client.get(TRACES + trace_id)["spans"]


def _latency(**query: Any) -> Question:
    return lambda client: client.get(LATENCY, **query)["operations"]


def measure(*, spans: int, asks: int, writes: int) -> Section:
    """Fill a store, ask, write, and ask while writing."""
    with scratch("query") as directory, running(Clew, directory) as it:
        now_s = time.time()
        stored_ids = fill(it, spans, now_s)
        questions = Questions(stored_ids, now_s).all()
        quiet = {name: ask(it, name, make, asks) for name, make in questions.items()}
        print("query: writing", file=sys.stderr, flush=True)
        alone = write(it, writes, seed=50).report().took_ms
        return section(quiet, alone, *mixed(it, questions, asks))


def fill(it: Running, spans: int, now_s: float) -> list[str]:
    """Spread *spans* over the week until now, half of each dialect, and score some; returns trace ids."""
    stored_ids: list[str] = []
    for seed, dialect in enumerate(("native", "otlp"), start=1):
        plan = Plan("clew", it.port, dialect, bodies=1, seed=seed)
        plan.bodies = -(-spans // 2 // plan.spans_per_body)
        plan.start_ns = int((now_s - 7 * DAY_S + 3600) * 1e9)
        plan.body_every_ns = int((7 * DAY_S - 3700) * 1e9 / plan.bodies)
        plan.trace_every_ns = plan.body_every_ns // plan.traces_per_body
        print(f"query: storing {plan.bodies * plan.spans_per_body:,} spans, {dialect}", file=sys.stderr, flush=True)
        report = Sending(plan).begin().report()
        if report.queryable_s is None or report.spans < plan.bodies * plan.spans_per_body:
            raise RuntimeError(f"the store was not filled: {report.statuses}")
        stored_ids += itertools.chain.from_iterable(
            trace_ids(seed, n, plan.traces_per_body) for n in range(plan.bodies)
        )
    client = it.client()
    for trace_id in random.Random(5).sample(stored_ids, min(SCORED, len(stored_ids))):
        client.post("/api/v1/scores", {"trace_id": trace_id, "name": "rating", "value": 1, "best": 5})
    return stored_ids


def ask(it: Running, name: str, make: Callable[[], Question], times: int) -> tuple[list[float], int]:
    """Milliseconds of each ask, and how many rows were given in all."""
    print(f"query: {name}", file=sys.stderr, flush=True)
    client = it.client()
    took_ms, rows = [], 0
    for number in range(WARM_UP + times):
        question = make()
        begun = time.perf_counter()
        answer = question(client)
        if number >= WARM_UP:
            took_ms.append((time.perf_counter() - begun) * 1e3)
            rows += len(answer)
    # Several filters together may well leave nothing of a small store.
    if "nothing" not in name and "," not in name and not rows:
        raise RuntimeError(f"{name!r} found nothing at all, so it measures nothing")
    return took_ms, rows


def write(it: Running, writes: int, seed: int) -> Sending:
    """Begin to send batches of 100 traces at a modest pace."""
    plan = Plan("clew", it.port, "native", bodies=writes, seed=seed, connections=1, wait=False)
    plan = replace(plan, traces_per_body=TRACES_PER_WRITE, templates=4, bodies_per_s=WRITES_PER_S)
    plan.body_every_ns = int(1e9 / WRITES_PER_S)
    return Sending(plan).begin()


def mixed(
    it: Running, questions: dict[str, Callable[[], Question]], asks: int
) -> tuple[list[float], dict[str, list[float]]]:
    """Ask everything again, a tenth as often, while writes come in: what writes and reads took."""
    times = max(asks // 10, 5)
    read: dict[str, list[float]] = {name: [] for name in questions}
    client = it.client()
    sending = write(it, WRITES_PER_S * times, seed=51)
    until = time.perf_counter() + times
    while time.perf_counter() < until:
        for name, make in questions.items():
            question = make()
            begun = time.perf_counter()
            question(client)
            read[name].append((time.perf_counter() - begun) * 1e3)
    return sending.report().took_ms, read


def section(
    quiet: dict[str, tuple[list[float], int]],
    alone: list[float],
    beside: list[float],
    busy: dict[str, list[float]],
) -> Section:
    """Each group of questions by its slowest, and the writes."""
    figures = []
    for title, prefix in (
        ("newest 50 traces with any filter", "list:"),
        ("one trace", "one"),
        ("percentiles over 7 days", "perc"),
    ):
        slowest = {name: percentile(took, 0.95) for name, (took, _) in quiet.items() if name.startswith(prefix)}
        worst = max(slowest, key=lambda name: slowest[name])
        figures.append(_within(f"{title}, p95 of the slowest ({worst})", slowest[worst], READ_WANTED_MS))
    spans = TRACES_PER_WRITE * SPANS_PER_TRACE
    figures.append(_within(f"a background write of {spans} spans, p95", percentile(alone, 0.95), WRITE_WANTED_MS))
    figures.append(_within("the same while questions are asked, p95", percentile(beside, 0.95), WRITE_WANTED_MS))
    columns = ("question, ms", "p50", "p95", "max", "rows an ask", "p50 while writing", "p95 while writing")
    rows = [_row(name, took, rows, busy[name]) for name, (took, rows) in quiet.items()]
    raw = {
        "quiet": {name: took for name, (took, _) in quiet.items()},
        "busy": busy,
        "write": alone,
        "write_beside": beside,
    }
    return Section("Found again, and written in the background", figures, columns, rows, raw)


def _within(what: str, took_ms: float, wanted_ms: float) -> Figure:
    return Figure(what, f"{took_ms:.1f} ms", target=f"under {wanted_ms} ms", met=took_ms < wanted_ms)


def _row(name: str, took: list[float], rows: int, busy: list[float]) -> tuple[str, ...]:
    cells = (
        percentile(took, 0.5),
        percentile(took, 0.95),
        max(took),
        rows / len(took),
        percentile(busy, 0.5),
        percentile(busy, 0.95),
    )
    return (name, *(f"{cell:.1f}" for cell in cells))
