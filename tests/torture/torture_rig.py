"""
A server under load that things are done to, and the count of what it acknowledged and does not have.

The load sends small bodies as an SDK does: what was not acknowledged is sent again, the same, until it
is. Afterwards each acknowledged trace must be there with all of its spans and none of them twice.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from clew.wire.native import NativeBody, NativeSpan

ADMIN_KEY = "sesame-of-the-torture"
SPANS_PER_TRACE, TRACES_PER_BODY = 8, 8
SENDERS = 4
PATIENCE_S = 60.0
ANSWER_WITHIN_S = 20.0
REST_S = 0.02
"""Between two tries of what was refused."""

LONG = os.environ.get("CLEW_TORTURE") == "1"
"""Whether `make torture` runs this, and not `make test`."""


def times(short: int, long: int) -> int:
    """How often, in `make test` and in `make torture`."""
    return long if LONG else short


class Load:
    """Threads that send until they are stopped, each one body after the other."""

    def __init__(self, port: Callable[[], int]) -> None:
        self._port = port
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._changed = threading.Condition()
        self.acknowledged: list[int] = []
        self.answers: Counter[str] = Counter()
        """How often each status, or broken connection, was met."""
        self._threads = [threading.Thread(target=self._send_on, daemon=True) for _ in range(SENDERS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def wait_for(self, bodies: int) -> None:
        """Wait until so many bodies more are acknowledged; fail at a deadline."""
        with self._changed:
            wanted = len(self.acknowledged) + bodies
            if not self._changed.wait_for(lambda: len(self.acknowledged) >= wanted, PATIENCE_S):
                raise AssertionError(f"nothing is acknowledged any more: {dict(self.answers)}")

    def wait_for_answer(self, wanted: str) -> None:
        """Wait until some request more is answered so; fail at a deadline."""
        with self._changed:
            before = self.answers[wanted]
            if not self._changed.wait_for(lambda: self.answers[wanted] > before, PATIENCE_S):
                raise AssertionError(f"no answer was {wanted}: {dict(self.answers)}")

    def _send_on(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._over.is_set():
            number = next(self._numbers)
            body = a_body(number)
            while not self._over.is_set():
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self._port(), timeout=ANSWER_WITHIN_S)
                answer = _post(connection, body)
                if not answer.isdigit():
                    connection.close()
                    connection = None
                self._note(answer, number)
                if answer == "200":
                    break
                self._over.wait(REST_S)
        if connection is not None:
            connection.close()

    def _note(self, answer: str, number: int) -> None:
        with self._changed:
            self.answers[answer] += 1
            if answer == "200":
                self.acknowledged.append(number)
            self._changed.notify_all()


def _post(connection: http.client.HTTPConnection, body: bytes) -> str:
    """The status, or the name of what broke."""
    try:
        connection.request("POST", "/api/v1/spans", body, {"Content-Type": "application/msgpack"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    return str(response.status)


def trace_ids(number: int) -> list[str]:
    """The traces of the body of that number. Spread, as random ids are."""
    return [f"{(number * TRACES_PER_BODY + at) * 0x9E3779B97F4A7C15 % (1 << 128) | 1 << 127:032x}" for at in range(8)]


def a_body(number: int) -> bytes:
    """A body of `TRACES_PER_BODY` whole traces."""
    now_ns = time.time_ns()
    spans = [
        NativeSpan(
            trace_id=trace_id,
            span_id=f"{at + 1:016x}",
            parent_id=f"{1:016x}" if at else None,
            name=f"step {at}",
            kind="tool" if at else "root",
            start_ns=now_ns,
            end_ns=now_ns + 1_000_000 * (at + 1),
            status="ok",
            inputs=f"{trace_id} asks {number} " * 12,
        )
        for trace_id in trace_ids(number)
        for at in range(SPANS_PER_TRACE)
    ]
    return msgspec.msgpack.encode(NativeBody(spans=spans, resource={"service.name": "torture"}))


class Server:
    """`clew serve` in a process of its own, which is killed and started again on the same store and port."""

    def __init__(self, store_url: str, folder: Path, *, before: Sequence[str] = (), **environ: str) -> None:
        """*before* stands before the command: `strace`, `unshare`."""
        self.store_url = store_url
        self.peak_mb = 0.0
        self.port = 0
        self._before = list(before)
        self._environ = environ
        self._log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes spans."""
        self._launch()
        self.port = int(wait_until(self._said_where, "the server did not start"))

    def _launch(self) -> None:
        with self._log.open("wb") as log:
            command = ["-m", "clew.cli", "serve", "--store", self.store_url, "--port", str(self.port)]
            self.process = subprocess.Popen(
                [*self._before, sys.executable, *command],
                env=os.environ | {"CLEW_ADMIN_KEY": ADMIN_KEY} | self._environ,
                stderr=log,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _said_where(self) -> str | None:
        text = self._log.read_text(errors="replace")
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended: {text[-2000:]}")
        found = re.search(r"page\s+http://\S+?:(\d+)", text)
        return found[1] if found else None

    def start_and_kill(self, *, after_s: float) -> None:
        """Start it once and kill it at that moment, whether it is ready or not."""
        self._launch()
        pass_by(after_s)
        self.kill()

    def kill(self) -> None:
        """End it, and what it was started by, without warning."""
        self.look()
        process, self.process = self.process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)

    def look(self) -> None:
        """Note how much memory it has taken at most."""
        assert self.process is not None
        for pid in (self.process.pid, *_children(self.process.pid)):
            try:
                lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
            except OSError:
                continue
            self.peak_mb = max(self.peak_mb, *(int(line.split()[1]) / 1024 for line in lines if "VmHWM" in line), 0.0)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask as its administrator."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN_S)
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {ADMIN_KEY}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _children(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return []


@contextmanager
def serving(store_url: str, folder: Path, *, before: Sequence[str] = (), **environ: str) -> Iterator[Server]:
    """Run a server meanwhile."""
    server = Server(store_url, folder, before=before, **environ)
    try:
        yield server
    finally:
        if server.process is not None:
            server.kill()


def wait_until(ready: Callable[[], str | None], otherwise: str) -> str:
    """Ask *ready* until it gives something; fail at a deadline."""
    waiting: queue.Queue[None] = queue.Queue()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = ready()
        if found is not None:
            return found
        try:
            waiting.get(timeout=REST_S)
        except queue.Empty:
            continue
    raise AssertionError(otherwise)


def pass_by(seconds: float) -> None:
    """Let time pass under a load: what is tested is what does not happen meanwhile."""
    threading.Event().wait(seconds)


@dataclass
class Verdict:
    """What became of what was acknowledged."""

    spans: int
    missing: int
    torn: int
    """Traces that are there, but not with just their spans."""
    peak_mb: float
    answers: dict[str, int]


def judge(server: Server, load: Load) -> Verdict:
    """Look for every acknowledged trace, and count."""
    stored = _span_counts(server)
    missing = torn = 0
    for number in load.acknowledged:
        for trace_id in trace_ids(number):
            count = stored.get(trace_id, 0)
            missing += max(0, SPANS_PER_TRACE - count)
            torn += count not in (0, SPANS_PER_TRACE)
    # A row in a list is not yet a trace that can be read: look at some, payload and all.
    for number in load.acknowledged[:: max(1, len(load.acknowledged) // 50)]:
        status, body = server.get(f"/api/v1/admin/traces/{trace_ids(number)[-1]}")
        torn += status != 200 or len(json.loads(body)["spans"]) != SPANS_PER_TRACE
    server.look()
    spans = len(load.acknowledged) * TRACES_PER_BODY * SPANS_PER_TRACE
    return Verdict(spans, missing, torn, server.peak_mb, dict(load.answers))


def _span_counts(server: Server) -> dict[str, int]:
    """How many spans each trace in the store has, by walking every page."""
    counts: dict[str, int] = {}
    cursor = ""
    while True:
        status, body = server.get("/api/v1/admin/traces/?limit=200" + (f"&cursor={cursor}" if cursor else ""))
        assert status == 200, body[:300]
        page = json.loads(body)
        counts |= {row["trace_id"]: row["span_count"] for row in page["traces"]}
        cursor = page["next_cursor"] or ""
        if not cursor:
            return counts
