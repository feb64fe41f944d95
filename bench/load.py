"""
Send spans to a server, then wait until its own API shows the last of them.

In a process of its own, so that what it costs is not the server's nor the driver's:
`python -m bench.load '{"server": "clew", "port": 4319, …}'` prints one line of JSON, a `Report`.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from subprocess import PIPE, Popen
from typing import Any

from bench.bodies import DIALECTS, SPANS_PER_TRACE, TRACE_EVERY_NS, Template, trace_ids
from bench.places import ROOT
from bench.process import die_with_parent
from bench.servers import SERVERS, Client

RETRIED = frozenset({429, 502, 503, 504})
SHOWN_WITHIN_S = 180
PROBED_PER_CONNECTION = 4


@dataclass
class Plan:
    """What to send where."""

    server: str
    port: int
    dialect: str
    bodies: int
    seed: int = 1
    connections: int = 8
    traces_per_body: int = 64
    templates: int = 32
    bodies_per_s: float = 0
    """0: as fast as the server answers."""
    start_ns: int = 0
    """When the first trace began; 0 is a minute ago."""
    body_every_ns: int = 1_280_000
    trace_every_ns: int = TRACE_EVERY_NS
    wait: bool = True
    """Poll until the last traces are queryable."""
    retry: bool = True
    """Send again what was refused or broke off; otherwise a broken connection ends the load."""

    @property
    def spans_per_body(self) -> int:
        return self.traces_per_body * SPANS_PER_TRACE


@dataclass
class Report:
    """What came of a plan."""

    acknowledged: list[int] = field(default_factory=list)
    """Sequence numbers of the bodies that were answered with 200; `trace_ids` gives what was in them."""
    spans: int = 0
    body_bytes: int = 0
    accepted_s: float = 0
    queryable_s: float | None = None
    """From the first byte sent until the API showed the last traces; None if it never did."""
    took_ms: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    """How often each HTTP status or broken connection was met."""
    client_cpu_s: float = 0


class Load:
    """One plan at work."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.server = SERVERS[plan.server]
        self.dialect = DIALECTS[plan.dialect]
        wanted = min(plan.templates, plan.bodies)
        self.templates = [Template(self.dialect, number, plan.traces_per_body) for number in range(wanted)]
        self.start_ns = plan.start_ns or time.time_ns() - 60_000_000_000
        self.report = Report(body_bytes=len(self.templates[0].bytes))
        self.statuses: Counter[str] = Counter()
        self.sequence = itertools.count()
        self.begun = 0.0

    def run(self) -> Report:
        """Send everything, wait for it to be queryable, and say how that went."""
        cpu_s = time.process_time()
        self.begun = time.perf_counter()
        workers = [threading.Thread(target=self.send_bodies, daemon=True) for _ in range(self.plan.connections)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.report.client_cpu_s = time.process_time() - cpu_s
        self.report.spans = len(self.report.acknowledged) * self.plan.spans_per_body
        if self.plan.wait:
            self.report.queryable_s = self.wait_until_queryable()
        self.report.statuses = dict(self.statuses)
        return self.report

    def send_bodies(self) -> None:
        """What one connection does: take the next number, stamp, send, until there are none."""
        client = Client(self.plan.port)
        # `next` on itertools.count is one step of C, so threads may share it.
        while (number := next(self.sequence)) < self.plan.bodies:
            if self.plan.bodies_per_s:
                early_s = self.begun + number / self.plan.bodies_per_s - time.perf_counter()
                time.sleep(max(early_s, 0))
            if not self.send(client, number, self.body(number)):
                return

    def body(self, number: int) -> bytes:
        """The body of that number, with ids and times of its own."""
        template = self.templates[number % len(self.templates)]
        start_ns = self.start_ns + number * self.plan.body_every_ns
        return template.stamp(self.plan.seed, number, start_ns, self.plan.trace_every_ns)

    def send(self, client: Client, number: int, body: bytes) -> bool:
        """Send one body until it is acknowledged; False if that cannot be."""
        while True:
            status, took_s = self.post(client, body)
            self.statuses[status] += 1
            if status == "200":
                self.report.acknowledged.append(number)
                self.report.took_ms.append(took_s * 1e3)
                self.report.accepted_s = max(self.report.accepted_s, time.perf_counter() - self.begun)
                return True
            refused = status.isdigit() and int(status) in RETRIED
            if not self.plan.retry or (status.isdigit() and not refused):
                return refused
            time.sleep(0.1)

    def post(self, client: Client, body: bytes) -> tuple[str, float]:
        """The status, or the name of what broke, and the seconds until then."""
        sent = time.perf_counter()
        try:
            status = str(client.ask("POST", self.dialect.path, body, self.dialect.content_type)[0])
        except Exception as error:
            status = type(error).__name__
        return status, time.perf_counter() - sent

    def wait_until_queryable(self) -> float | None:
        """Seconds since the beginning when the last traces were all shown."""
        last = self.report.acknowledged[-PROBED_PER_CONNECTION * self.plan.connections :]
        waiting = [trace_ids(self.plan.seed, number, self.plan.traces_per_body)[-1] for number in last]
        client = Client(self.plan.port, key=self.server.key)
        give_up = time.perf_counter() + SHOWN_WITHIN_S
        while waiting:
            # One at a time and with rests: asking must not be a load of its own.
            if self.is_shown(client, waiting[-1]):
                waiting.pop()
            elif time.perf_counter() > give_up:
                return None
            else:
                time.sleep(0.05)
        return time.perf_counter() - self.begun

    def is_shown(self, client: Client, trace_id: str) -> bool:
        """A server that is too busy to answer does not show it yet."""
        try:
            return self.server.has_trace(client, trace_id)
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.statuses[f"asking: {type(error).__name__}"] += 1
            return False


class Sending:
    """A load that runs in a process of its own."""

    def __init__(self, plan: Plan) -> None:
        command = [sys.executable, "-m", "bench.load", json.dumps(asdict(plan))]
        # Nothing else runs in this process while it starts another, so a `preexec_fn` is safe.
        self.process = Popen(
            command,
            cwd=ROOT,
            stdout=PIPE,
            stdin=PIPE,
            text=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        assert self.process.stdout is not None
        assert self.process.stdin is not None
        self.stdout, self.stdin = self.process.stdout, self.process.stdin
        self._expect("READY")

    def begin(self) -> Sending:
        """Its templates are ready: let it send."""
        self.stdin.write("GO\n")
        self.stdin.flush()
        return self

    def report(self) -> Report:
        """Wait until it is done."""
        report = Report(**json.loads(self._expect("REPORT")))
        self.process.wait()
        return report

    def _expect(self, word: str) -> str:
        line = self.stdout.readline()
        if not line.startswith(word):
            raise RuntimeError(f"the load generator ended with status {self.process.wait()}")
        return line.removeprefix(word)


def main(plan: dict[str, Any], say: Callable[[str], None] = print) -> None:
    """Prepare, wait for the word, send, report."""
    load = Load(Plan(**plan))
    say("READY")
    sys.stdin.readline()
    say("REPORT" + json.dumps(asdict(load.run())))


if __name__ == "__main__":
    # Flushed, since the driver waits for the first line while the second is long in coming.
    main(json.loads(sys.argv[1]), say=lambda line: print(line, flush=True))
