"""
Measure the stores themselves, side by side: batches of spans in, each on the disk before the next; questions out.

No server and no HTTP: decoded batches of 100 traces, 800 spans, go into each store in turns, a few
at a time, so that what else the machine does falls on all alike. As in the server, the next batch is
made ready while the store is busy with the one before. PostgreSQL is a real server of its own that
waits for the disk. Afterwards each is asked the same questions, alone and while spans come in.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.bodies import SPANS_PER_TRACE, Native, Template, trace_ids
from bench.places import ROOT, scratch
from bench.report import Figure, Section, percentile
from bench.stores_asked import ask_all
from clew.ingest.salvage import batch_of
from clew.model import Batch
from clew.store import Store, open_store
from clew.wire.native_reader import decode
from tests.postgres_server import NO_BINARIES, PostgresServer, binaries

TRACES_PER_BATCH = 100
SPANS_PER_BATCH = TRACES_PER_BATCH * SPANS_PER_TRACE
BATCHES_PER_TURN = 25
EARLY_SPANS = 100_000
"""The rate when so many lie in the store is what the rate at the end is held against."""

ENGINES = {"sqlite": ("sqlite", "sqlite, text"), "postgres": ("postgresql", "postgresql, text")}
TEMPLATES = 16
WEEK_NS = 7 * 86_400 * 10**9
WANTED = {"sqlite": 60_000, "sqlite, text": 40_000, "postgresql": 40_000, "postgresql, text": None}
BYTES_WANTED = {"sqlite": 700}
COMMIT_WANTED_MS = 100
LATE_WANTED = 0.8
START_WANTED_S = 2
RSS_WANTED_MB = 400
ASKED_WANTED_MS = {"one trace": 5.0, "full text": 200.0}
ANY_WANTED_MS = 30.0
"""Of every other question."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Subject:
    """One store, and what was measured of it."""

    name: str
    store: Store
    url: str
    server_pid: int | None = None
    had_spans: int = 0
    """What lay in it before."""
    turns: list[tuple[int, float]] = field(default_factory=list)
    """Spans and seconds of each turn."""
    commits_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    server_cpu_s: float = 0.0
    asks_s: dict[str, list[float]] = field(default_factory=dict)
    busy_asks_s: dict[str, list[float]] = field(default_factory=dict)
    again: dict[str, float] = field(default_factory=dict)
    """Of a process of its own that opened it: `start_s`, `rss_mb`."""
    bytes_a_span: float = 0.0

    @property
    def spans_per_s(self) -> float:
        """Durable spans a second."""
        return _rate(self.turns)

    @property
    def late_share(self) -> float:
        """The rate of the last tenth by that of the first `EARLY_SPANS`, or tenth."""
        few = max(1, min(len(self.turns) // 10, EARLY_SPANS // (SPANS_PER_BATCH * BATCHES_PER_TURN)))
        # The very first turn meets empty caches and an empty file.
        return _rate(self.turns[-max(few, len(self.turns) // 10) :]) / _rate(self.turns[1 : 1 + few] or self.turns)

    def write(self, batches: list[Batch]) -> None:
        """Write each alone, as the server does; take the time of what a database server does for it, too."""
        cpu_s, server_cpu_s = time.process_time(), self._server_s()
        begun = time.perf_counter()
        ready = self.store.prepare(batches[0])
        for following in [*batches[1:], None]:
            ready = self._write_one(ready, following)
        self.turns.append((len(batches) * SPANS_PER_BATCH, time.perf_counter() - begun))
        self.cpu_s += time.process_time() - cpu_s
        self.server_cpu_s += self._server_s() - server_cpu_s

    def _write_one(self, ready: Batch, following: Batch | None) -> Batch:
        """Write *ready*; gives *following*, made ready meanwhile."""
        made: list[Batch] = []

        def meanwhile(_is_busy: Callable[[], bool]) -> None:
            if following is not None:
                made.append(self.store.prepare(following))

        begun = time.perf_counter()
        self.store.write([ready], meanwhile=meanwhile)
        self.commits_s.append(time.perf_counter() - begun)
        return made[0] if made else ready

    def _server_s(self) -> float:
        """CPU of the server's processes."""
        if self.server_pid is None:
            return 0.0
        children = Path(f"/proc/{self.server_pid}/task/{self.server_pid}/children").read_text().split()
        return sum(_cpu_s(pid) for pid in (str(self.server_pid), *children))


def _rate(turns: list[tuple[int, float]]) -> float:
    seconds = sum(taken_s for _, taken_s in turns)
    return sum(spans for spans, _ in turns) / seconds if seconds else float("nan")


def _cpu_s(pid: str) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class Batches:
    """Batches of traces that are all new, spread over the last week."""

    def __init__(self, count: int, *, made: int = 0) -> None:
        self._templates = [Template(Native, number, TRACES_PER_BATCH) for number in range(TEMPLATES)]
        self._start_ns = time.time_ns() - WEEK_NS
        self._every_ns = WEEK_NS // max(1, count)
        self.made = made
        self._lock = threading.Lock()

    def next(self) -> Batch:
        """Decode one more."""
        with self._lock:
            number = self.made
            self.made += 1
        body = self._templates[number % TEMPLATES].stamp(1, number, self._start_ns + number * self._every_ns)
        return batch_of("default", decode(body, "application/msgpack"))

    def an_id(self, draw: random.Random, *, below: int) -> str:
        """The id of some trace of the first *below* batches."""
        return draw.choice(trace_ids(1, draw.randrange(below), TRACES_PER_BATCH))


def measure(*, spans: int, asks: int, engine: str | None = None, text: bool = True, at: Path | None = None) -> Section:
    """
    Fill each store until it has *spans*, then ask each question *asks* times.

    *engine* and *text* choose among them. *at* is a directory that is kept, and gone on with.
    """
    wanted = [name for name in (ENGINES[engine] if engine else WANTED) if text or "text" not in name]
    _as_the_server()
    with ExitStack() as stack:
        folder = at or stack.enter_context(scratch("stores"))
        folder.mkdir(parents=True, exist_ok=True)
        subjects = list(_subjects(stack, folder, wanted))
        for subject in subjects:
            subject.had_spans = int(subject.store.stats()["spans"])
        count = -(-spans // SPANS_PER_BATCH)
        had = min((subject.had_spans for subject in subjects), default=0) // SPANS_PER_BATCH
        batches = Batches(count, made=had)
        _fill(subjects, batches, count)
        for subject in subjects:
            _look_again(subject)
            ask_all(subject.store, batches, subject.asks_s, asks, text="text" in subject.name)
            with _trickling(subject, batches, subject.spans_per_s / 2):
                ask_all(subject.store, batches, subject.busy_asks_s, asks, text="text" in subject.name)
        return _section(subjects, spans)


def _as_the_server() -> None:
    """Python's defaults, as `clew.server.run` sets them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.0002)


def _fill(subjects: list[Subject], batches: Batches, count: int) -> None:
    for turn in itertools.count():
        made = [batches.next() for _ in range(min(BATCHES_PER_TURN, count - batches.made))]
        if not made:
            return
        for subject in random.Random(turn).sample(subjects, len(subjects)):
            subject.write(made)
        if turn % 10 == 0:
            rates = ", ".join(f"{subject.name} {_rate(subject.turns[-10:]):,.0f}/s" for subject in subjects)
            print(f"stores: {batches.made * SPANS_PER_BATCH:,} spans: {rates}", file=sys.stderr, flush=True)


@contextmanager
def _trickling(subject: Subject, batches: Batches, spans_per_s: float) -> Iterator[None]:
    """Meanwhile, in a thread as the server's, new spans come in at that rate."""
    over = threading.Event()
    if not spans_per_s > 0:
        spans_per_s = 20_000.0

    def run() -> None:
        due = time.perf_counter()
        while not over.wait(max(0.0, due - time.perf_counter())):
            subject.store.write([subject.store.prepare(batches.next())], meanwhile=lambda _is_busy: None)
            due = max(due + SPANS_PER_BATCH / spans_per_s, time.perf_counter() - 1)

    thread = threading.Thread(target=run, name="trickle")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _subjects(stack: ExitStack, folder: Path, wanted: Sequence[str]) -> Iterator[Subject]:
    for suffix, text in (("", False), (", text", True)):
        if f"sqlite{suffix}" in wanted:
            url = f"sqlite:///{folder}/clew{len(suffix)}.db"
            store = open_store(url, text_search=text)
            stack.callback(store.close)
            yield Subject(f"sqlite{suffix}", store, url)
    if not any(name.startswith("postgresql") for name in wanted):
        return
    found = binaries()
    if found is None:
        print(f"stores: {NO_BINARIES}", file=sys.stderr)
        return
    server = PostgresServer(found, durable=True)
    stack.callback(server.remove)
    for suffix, text in (("", False), (", text", True)):
        if f"postgresql{suffix}" in wanted:
            store, url = stack.enter_context(_schema(server, f"bench{len(suffix)}", text=text))
            yield Subject(f"postgresql{suffix}", store, url, server.pid)


@contextmanager
def _schema(server: PostgresServer, name: str, *, text: bool) -> Iterator[tuple[Store, str]]:
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    url = f"{server.url}?options=-csearch_path%3D{name}"
    store = open_store(url, text_search=text)
    try:
        yield store, url
    finally:
        store.close()


def _look_again(subject: Subject) -> None:
    """Open it in a process of its own, as a server that starts."""
    subject.bytes_a_span = subject.store.stats()["bytes"] / max(1, subject.store.stats()["spans"])
    text = str(int("text" in subject.name))
    command = [sys.executable, "-m", "bench.stores_opened", subject.url, text]
    # The benchmark itself was started with what is needed to import Clew.
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=dict(os.environ))
    subject.again = json.loads(done.stdout)


def _section(subjects: list[Subject], spans: int) -> Section:
    by_name = {subject.name: subject for subject in subjects}
    raw = {
        each.name: {"turns": each.turns, "commits_s": each.commits_s, "asks_s": each.asks_s, "again": each.again}
        for each in subjects
    }
    return Section(
        f"Stores: {spans:,} spans in batches of {SPANS_PER_BATCH}, each on the disk before the next",
        [figure for subject in subjects for figure in _figures(subject, by_name)],
        columns=("", *by_name),
        rows=list(_rows(subjects)),
        raw=raw,
    )


def _figures(subject: Subject, by_name: dict[str, Subject]) -> Iterator[Figure]:
    name = subject.name
    if subject.turns:
        yield from _rates(subject, by_name.get(name.replace("postgresql", "sqlite")))
    wanted = BYTES_WANTED.get(name)
    yield Figure(
        f"{name}: bytes a span",
        f"{subject.bytes_a_span:.0f}",
        target=f"{wanted}" if wanted else "",
        met=subject.bytes_a_span <= wanted if wanted else None,
    )
    for what, asked in (("", subject.asks_s), (" while spans come in", subject.busy_asks_s)):
        for group, wanted_ms in (*ASKED_WANTED_MS.items(), ("any other question", ANY_WANTED_MS)):
            yield from _slowest(f"{name}: {group}{what}, p95 ms", group, asked, wanted_ms)
    start_s, rss_mb = subject.again["start_s"], subject.again["rss_mb"]
    yield Figure(f"{name}: start, s", f"{start_s:.2f}", target=f"{START_WANTED_S}", met=start_s <= START_WANTED_S)
    yield Figure(
        f"{name}: resident after questions, MB", f"{rss_mb:.0f}", target=f"{RSS_WANTED_MB}", met=rss_mb <= RSS_WANTED_MB
    )


def _rates(subject: Subject, peer: Subject | None) -> Iterator[Figure]:
    wanted = WANTED[subject.name]
    shown = peer is not None and peer is not subject
    yield Figure(
        f"{subject.name}: durable spans/s",
        f"{subject.spans_per_s:,.0f}",
        peer=f"{peer.spans_per_s:,.0f} (sqlite)" if peer and shown else "",
        ratio=f"{subject.spans_per_s / peer.spans_per_s:.2f}" if peer and shown else "",
        target=f"{wanted:,}" if wanted else "",
        met=subject.spans_per_s >= wanted if wanted else None,
    )
    yield Figure(
        f"{subject.name}: rate at the end by that at {EARLY_SPANS:,}",
        f"{subject.late_share:.2f}",
        target=f"{LATE_WANTED}",
        met=subject.late_share >= LATE_WANTED,
    )
    p99_ms = percentile(subject.commits_s, 0.99) * 1e3
    yield Figure(
        f"{subject.name}: commit p50 / p99 / longest, ms",
        f"{percentile(subject.commits_s, 0.5) * 1e3:.1f} / {p99_ms:.1f} / {max(subject.commits_s) * 1e3:.0f}",
        target=f"p99 {COMMIT_WANTED_MS}",
        met=p99_ms <= COMMIT_WANTED_MS,
    )


def _slowest(what: str, group: str, asked: dict[str, list[float]], wanted_ms: float) -> Iterator[Figure]:
    """The slowest question of a group."""
    groups = tuple(ASKED_WANTED_MS)
    mine = [name for name in asked if (name.startswith(group) if group in groups else not name.startswith(groups))]
    if mine:
        slowest_ms, name = max((percentile(asked[name], 0.95) * 1e3, name) for name in mine)
        shown = f"{slowest_ms:.1f}" if name == group else f"{slowest_ms:.1f} ({name})"
        yield Figure(what, shown, target=f"{wanted_ms:g}", met=slowest_ms <= wanted_ms)


def _rows(subjects: list[Subject]) -> Iterator[tuple[str, ...]]:
    def millions(each: Subject) -> float:
        return sum(spans for spans, _ in each.turns) / 1e6 or float("nan")

    yield ("CPU s a million spans", *(f"{each.cpu_s / millions(each):.1f}" for each in subjects))
    yield ("server's CPU s", *(f"{each.server_cpu_s / millions(each):.1f}" for each in subjects))
    names = dict.fromkeys(name for each in subjects for name in each.asks_s)
    for name in names:
        yield (f"{name}, p50 / p95 ms", *(_asked(each.asks_s.get(name, [])) for each in subjects))
        yield ("  while spans come in", *(_asked(each.busy_asks_s.get(name, [])) for each in subjects))


def _asked(taken: list[float]) -> str:
    return f"{percentile(taken, 0.5) * 1e3:.2f} / {percentile(taken, 0.95) * 1e3:.2f}" if taken else ""
