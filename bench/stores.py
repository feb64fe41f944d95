"""
Measure the stores themselves, side by side: batches of spans in, each on the disk before the next; questions out.

No server and no HTTP: decoded batches of 100 traces, 800 spans, go into each store in turns, a few
at a time, so that what else the machine does falls on all alike. PostgreSQL is a real server of its
own that waits for the disk. Afterwards each is asked the same questions.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.bodies import MODELS, SPANS_PER_TRACE, USERS, Native, Template, Writer, trace_ids
from bench.places import scratch
from bench.report import Figure, Section, percentile
from clew.ingest.salvage import batch_of
from clew.model import Batch, Flag
from clew.store import Store, open_store
from clew.store.protocol import TraceFilter
from clew.wire.native_reader import decode
from tests.postgres_server import NO_BINARIES, PostgresServer, binaries

TRACES_PER_BATCH = 100
BATCHES_PER_TURN = 5
TEMPLATES = 16
WEEK_NS = 7 * 86_400 * 10**9
WANTED = {"sqlite": 60_000, "sqlite, text": 40_000, "postgresql": 40_000, "postgresql, text": None}
COMMIT_WANTED_MS = 100
ASKED_WANTED_MS = {"one trace": 5.0, "full text": 200.0}
ANY_WANTED_MS = 30.0
"""Of every other question."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Subject:
    """One store, and what was measured of it."""

    name: str
    store: Store
    server_pid: int | None = None
    commits_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    server_cpu_s: float = 0.0
    asks_s: dict[str, list[float]] = field(default_factory=dict)

    @property
    def spans_per_s(self) -> float:
        """Durable spans a second."""
        return len(self.commits_s) * TRACES_PER_BATCH * SPANS_PER_TRACE / sum(self.commits_s)

    def write(self, batches: list[Batch]) -> None:
        """Write each alone, and take the time of what a server does for it, too."""
        cpu_s, server_cpu_s = time.process_time(), self._server_s()
        for batch in batches:
            begun = time.perf_counter()
            self.store.write([batch])
            self.commits_s.append(time.perf_counter() - begun)
        self.cpu_s += time.process_time() - cpu_s
        self.server_cpu_s += self._server_s() - server_cpu_s

    def _server_s(self) -> float:
        """CPU of the server's processes."""
        if self.server_pid is None:
            return 0.0
        children = Path(f"/proc/{self.server_pid}/task/{self.server_pid}/children").read_text().split()
        return sum(_cpu_s(pid) for pid in (str(self.server_pid), *children))


def _cpu_s(pid: str) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class Batches:
    """Batches of traces that are all new, spread over the last week."""

    def __init__(self, count: int) -> None:
        self._templates = [Template(Native, number, TRACES_PER_BATCH) for number in range(TEMPLATES)]
        self._start_ns = time.time_ns() - WEEK_NS
        self._every_ns = WEEK_NS // max(1, count)
        self.made = 0

    def next(self) -> Batch:
        """Decode one more."""
        body = self._templates[self.made % TEMPLATES].stamp(1, self.made, self._start_ns + self.made * self._every_ns)
        self.made += 1
        return batch_of("default", decode(body, "application/msgpack"))

    def an_id(self, draw: random.Random) -> str:
        """The id of some trace that was made."""
        return draw.choice(trace_ids(1, draw.randrange(self.made), TRACES_PER_BATCH))


def measure(*, spans: int, asks: int, only: str = "") -> Section:
    """Fill each store with *spans*, then ask each question *asks* times."""
    batches = Batches(spans // (TRACES_PER_BATCH * SPANS_PER_TRACE))
    with ExitStack() as stack:
        subjects = [each for each in _subjects(stack) if not only or only in each.name]
        for number in range(batches._every_ns and spans // (TRACES_PER_BATCH * SPANS_PER_TRACE * BATCHES_PER_TURN)):
            if number % 10 == 0:
                print(f"stores: {batches.made * 800:,} spans", file=sys.stderr, flush=True)
            made = [batches.next() for _ in range(BATCHES_PER_TURN)]
            for subject in random.Random(number).sample(subjects, len(subjects)):
                subject.write(made)
        for subject in subjects:
            _ask_all(subject, batches, asks)
        return _section(subjects, spans)


def _subjects(stack: ExitStack) -> Iterator[Subject]:
    folder = stack.enter_context(scratch("stores"))
    for suffix, text in (("", False), (", text", True)):
        store = open_store(f"sqlite:///{folder}/clew{len(suffix)}.db", text_search=text)
        stack.callback(store.close)
        yield Subject(f"sqlite{suffix}", store)
    found = binaries()
    if found is None:
        print(f"stores: {NO_BINARIES}", file=sys.stderr)
        return
    server = PostgresServer(found, durable=True)
    stack.callback(server.remove)
    for suffix, text in (("", False), (", text", True)):
        store = stack.enter_context(_schema(server, f"bench{len(suffix)}", text=text))
        yield Subject(f"postgresql{suffix}", store, server.pid)


@contextmanager
def _schema(server: PostgresServer, name: str, *, text: bool) -> Iterator[Store]:
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    store = open_store(f"{server.url}?options=-csearch_path%3D{name}", text_search=text)
    try:
        yield store
    finally:
        store.close()


def _ask_all(subject: Subject, batches: Batches, asks: int) -> None:
    draw = random.Random(5)
    words = Writer(0).words
    now_ns = time.time_ns()
    store = subject.store

    def page(**where: Any) -> Any:
        return store.list_traces("default", TraceFilter(**where), limit=50)

    questions: dict[str, Callable[[], Any]] = {
        "one trace": lambda: store.trace("default", batches.an_id(draw)),
        "newest 50": page,
        "newest 50 of a user": lambda: page(user_id=f"user-{draw.randrange(USERS):04d}"),
        "newest 50 of nobody": lambda: page(user_id="nobody"),
        "newest 50 that failed": lambda: page(status="error"),
        "newest 50 empty": lambda: page(flag=Flag.EMPTY),
        "newest 50 of a model": lambda: page(model=draw.choice(MODELS)),
        "newest 50 of no model": lambda: page(model="none"),
        "newest 50 of no kind": lambda: page(kind="guardrail"),
        "newest 50 that took over an hour": lambda: page(min_duration_ns=3_600 * 10**9),
        "50 of some day": lambda: page(to_ns=now_ns - draw.randrange(WEEK_NS)),
        "percentiles, 7 days": lambda: store.latency("default", since_ns=now_ns - WEEK_NS, until_ns=now_ns),
        "percentiles, 7 days, by name and model": lambda: store.latency(
            "default", since_ns=now_ns - WEEK_NS, until_ns=now_ns, group_by=("kind", "name", "model")
        ),
    }
    if "text" in subject.name:
        questions["full text"] = lambda: page(text=draw.choice(words))
        questions["full text, two words"] = lambda: page(text=" ".join(draw.sample(words, 2)))
        tags = f"zq{draw.randrange(TEMPLATES):03d}x{draw.randrange(TRACES_PER_BATCH):03d}"
        questions["full text, rare"] = lambda: page(text=tags)
        questions["full text, none"] = lambda: page(text="nosuchword")
    for name, ask in questions.items():
        taken = subject.asks_s.setdefault(name, [])
        for _ in range(asks):
            begun = time.perf_counter()
            ask()
            taken.append(time.perf_counter() - begun)


def _section(subjects: list[Subject], spans: int) -> Section:
    figures: list[Figure] = []
    by_name = {subject.name: subject for subject in subjects}
    for subject in subjects:
        wanted = WANTED[subject.name]
        peer = by_name.get(subject.name.replace("postgresql", "sqlite"))
        figures.append(
            Figure(
                f"{subject.name}: durable spans/s",
                f"{subject.spans_per_s:,.0f}",
                peer=f"{peer.spans_per_s:,.0f} (sqlite)" if peer and peer is not subject else "",
                ratio=f"{subject.spans_per_s / peer.spans_per_s:.2f}" if peer and peer is not subject else "",
                target=f"{wanted:,}" if wanted else "",
                met=subject.spans_per_s >= wanted if wanted else None,
            )
        )
        p99_ms = percentile(subject.commits_s, 0.99) * 1e3
        figures.append(
            Figure(
                f"{subject.name}: commit p50 / p99, ms",
                f"{percentile(subject.commits_s, 0.5) * 1e3:.1f} / {p99_ms:.1f}",
                target=f"p99 {COMMIT_WANTED_MS}",
                met=p99_ms <= COMMIT_WANTED_MS,
            )
        )
        slowest_ms, name = max((percentile(taken, 0.95) * 1e3, name) for name, taken in subject.asks_s.items())
        figures.append(Figure(f"{subject.name}: slowest question, p95 ms ({name})", f"{slowest_ms:.1f}"))
    return Section(
        f"Stores: {spans:,} spans in batches of {TRACES_PER_BATCH * SPANS_PER_TRACE}",
        figures,
        columns=("", *by_name),
        rows=list(_rows(subjects, spans)),
        raw={each.name: {"commits_s": each.commits_s, "asks_s": each.asks_s} for each in subjects},
    )


def _rows(subjects: list[Subject], spans: int) -> Iterator[tuple[str, ...]]:
    millions = spans / 1e6
    yield ("CPU s a million spans", *(f"{each.cpu_s / millions:.1f}" for each in subjects))
    yield ("server's CPU s", *(f"{each.server_cpu_s / millions:.1f}" for each in subjects))
    yield ("bytes a span", *(f"{each.store.stats()['bytes'] / spans:.0f}" for each in subjects))
    names = dict.fromkeys(name for each in subjects for name in each.asks_s)
    for name in names:
        yield (f"{name}, p50 / p95 ms", *(_asked(each.asks_s.get(name, [])) for each in subjects))


def _asked(taken: list[float]) -> str:
    return f"{percentile(taken, 0.5) * 1e3:.2f} / {percentile(taken, 0.95) * 1e3:.2f}" if taken else ""
