"""
`python -m bench.clickhouse`: what one ClickHouse server, and a cluster of two shards, take in and give back.

Everything runs on this machine: the writer, and each server. So two shards are no quicker here than
one; what counts for a plan is the processor time of a million spans, on each side, and the bytes of
one. SQLite takes the same batches in turns, as the yardstick of the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.report import percentile
from bench.stores import SPANS_PER_BATCH, Batches
from bench.stores_asked import ask_all
from clew.model import Batch
from clew.store import Store, open_store
from tests import clickhouse_server
from tests.clickhouse_server import ClickhouseServer

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Subject:
    """One store, and what was measured of it."""

    name: str
    store: Store
    servers: list[ClickhouseServer]
    at_once: int
    """Batches that one write takes."""
    spans: int = 0
    wall_s: float = 0.0
    client_s: float = 0.0
    server_s: float = 0.0
    writes_s: list[float] = field(default_factory=list)
    asked_s: dict[str, list[float]] = field(default_factory=dict)

    def write(self, batches: list[Batch]) -> None:
        """Write all, so many at once; the next are made ready while the database is busy, as in a server."""
        server_s, client_s, begun = self._server_s(), time.process_time(), time.perf_counter()
        groups = [batches[at : at + self.at_once] for at in range(0, len(batches), self.at_once)]
        ready = self._ready(groups[0])
        for after in [*groups[1:], []]:
            one, coming = time.perf_counter(), list[Batch]()
            self.store.write(ready, meanwhile=lambda _, to=coming, of=after: to.extend(self._ready(of)))
            ready = coming if coming or not after else self._ready(after)
            self.writes_s.append(time.perf_counter() - one)
        self.wall_s += time.perf_counter() - begun
        self.client_s += time.process_time() - client_s
        self.server_s += self._server_s() - server_s
        self.spans += len(batches) * SPANS_PER_BATCH

    def _ready(self, batches: list[Batch]) -> list[Batch]:
        return [self.store.prepare(batch) for batch in batches]

    def _server_s(self) -> float:
        fields = [Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split() for server in self.servers]
        return sum(int(each[11]) + int(each[12]) for each in fields) / _TICKS_PER_S

    def show(self) -> None:
        """Print what was measured."""
        per_million = 1e6 / self.spans
        p50_ms, p95_ms = percentile(self.writes_s, 0.5) * 1e3, percentile(self.writes_s, 0.95) * 1e3
        print(
            f"{self.name:42} {self.spans / self.wall_s:8,.0f} spans/s; a write {p50_ms:.0f} / {p95_ms:.0f} ms; "
            f"CPU s a million: writer {self.client_s * per_million:.1f}, server {self.server_s * per_million:.1f}; "
            f"{self.store.stats()['bytes'] / self.spans:.0f} bytes a span"
        )
        for question, taken_s in self.asked_s.items():
            p50_ms, p95_ms = percentile(taken_s, 0.5) * 1e3, percentile(taken_s, 0.95) * 1e3
            print(f"    {question:42} {p50_ms:7.1f} / {p95_ms:.1f} ms")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.clickhouse", description=__doc__)
    parser.add_argument("--spans", type=int, default=160_000, metavar="N", help="for each store (160000)")
    parser.add_argument("--no-text", action="store_true", help="without full text search")
    parser.add_argument("--asks", type=int, default=15, metavar="N", help="times that each question is asked (15)")
    given = parser.parse_args()
    library = clickhouse_server.library()
    if library is None:
        print(clickhouse_server.NO_LIBRARY, file=sys.stderr)
        return 1
    with ExitStack() as stack:
        subjects = _subjects(stack, library, text=not given.no_text)
        count = given.spans // SPANS_PER_BATCH // 40 * 40
        made = {subject.name: Batches(count) for subject in subjects}
        for _ in range(count // 40):
            for subject in subjects:
                subject.write([made[subject.name].next() for _ in range(40)])
        for subject in subjects:
            for server in subject.servers:
                _merge(server)
            ask_all(subject.store, made[subject.name], subject.asked_s, given.asks, text=not given.no_text)
            subject.show()
    return 0


def _subjects(stack: ExitStack, library: Path, *, text: bool) -> list[Subject]:
    def opened(url: str) -> Store:
        store = open_store(url, text_search=text)
        stack.callback(store.close)
        return store

    one = stack.enter_context(_removed(lambda: [ClickhouseServer(library)]))
    two = stack.enter_context(_removed(lambda: clickhouse_server.start_cluster(library, 2)))
    for server, name in ((one[0], "small"), (one[0], "large"), (two[0], "bench"), (two[1], "bench")):
        server.ask(f"CREATE DATABASE {name}")
    places = ",".join(f"127.0.0.1:{server.port}" for server in two)
    cluster = f"clickhouse://default@{places}/bench?cluster={clickhouse_server.CLUSTER}"
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    return [
        Subject("ClickHouse, writes of 800 spans", opened(f"{one[0].url}/small"), one, 1),
        Subject("ClickHouse, writes of 8,000 spans", opened(f"{one[0].url}/large"), one, 10),
        Subject("two shards, writes of 8,000 spans", opened(cluster), two, 10),
        Subject("SQLite, writes of 800 spans", opened(f"sqlite:///{folder}/clew.db"), [], 1),
    ]


class _removed:  # noqa: N801
    """Servers that are ended when the block is left."""

    def __init__(self, start: Callable[[], list[ClickhouseServer]]) -> None:
        self._servers = start()

    def __enter__(self) -> list[ClickhouseServer]:
        return self._servers

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.remove()


def _merge(server: ClickhouseServer) -> None:
    """Let the server put its small parts together now, as it does by and by."""
    listed = "SELECT database || '.' || name FROM system.tables WHERE name LIKE 'clew%' AND engine LIKE '%MergeTree'"
    for table in server.ask(listed).split():
        server.ask(f"OPTIMIZE TABLE {table} FINAL")


if __name__ == "__main__":
    raise SystemExit(main())
