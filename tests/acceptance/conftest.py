"""A real `clew serve` in a process of its own, on a free port, mostly with a SQLite store."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

ADMIN_KEY = "sesame-of-the-tests"
START_S = 30.0


class Running:
    """One server process, and a client that holds its admin key."""

    def __init__(self, store: Path | str, *args: str, **environ: str) -> None:
        """*store* is an SQLite file, or any store's URL."""
        self.store = store
        self.store_url = store if isinstance(store, str) else f"sqlite:///{store}"
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "clew.cli", "serve", "--store", self.store_url, "--port", "0", *args],
            env=environment(CLEW_ADMIN_KEY=ADMIN_KEY) | environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.wait_for(r"page\s+(http://\S+)")
        self.port = int(self.url.rpartition(":")[2])
        self.admin = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=30)
        self.anybody = httpx.Client(base_url=self.url, timeout=30)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._queue.put(line)
        self._queue.put(None)

    def wait_for(self, pattern: str, within_s: float = START_S) -> str:
        """Give the first group of the first line of its stderr that matches; fail at a deadline."""
        deadline = time.monotonic() + within_s
        while True:
            line = self._queue.get(timeout=max(0.01, deadline - time.monotonic()))
            if line is None:
                raise AssertionError(f"the server ended: {''.join(self.lines)}")
            self.lines.append(line)
            match = re.search(pattern, line)
            if match:
                return match[1] if match.groups() else match[0]

    def kill(self) -> None:
        """End it without warning."""
        self.process.send_signal(signal.SIGKILL)
        self._end()

    def stop(self) -> int:
        """Ask it to end, and give its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self._end()

    def _end(self) -> int:
        status = self.process.wait(30)
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.admin.close()
        self.anybody.close()
        while not self._queue.empty():
            self.lines.append(self._queue.get() or "")
        return status


def environment(**more: str) -> dict[str, str]:
    """Give this process's environment without the settings of whoever runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLEW_")}
    return own | {"NO_COLOR": "1", "COLUMNS": "200", "PYTHONUTF8": "1"} | more


def clew(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run one `clew` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "clew.cli", *args],
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for every test that changes nothing about it; each uses a project of its own."""
    running = Running(tmp_path_factory.mktemp("shared") / "clew.db")
    yield running
    assert running.stop() == 0


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """Start servers of one's own: `serve(*args, **environ)`."""
    started: list[Running] = []

    def start(*args: str, store: Path | str | None = None, **environ: str) -> Running:
        started.append(Running(store or tmp_path / "clew.db", *args, **environ))
        return started[-1]

    yield start
    for running in started:
        if running.process.returncode is None:
            running.kill()


@pytest.fixture
def project(request: pytest.FixtureRequest) -> str:
    """A project that no other test writes to."""
    # With a digest: names that are cut may be alike.
    name = re.sub(r"\W+", "-", request.node.name)[:60]
    return f"{name}-{zlib.crc32(request.node.nodeid.encode()):08x}"


class Maker:
    """Makes spans whose ids are new: `span(...)` in a trace of its own unless one is named."""

    def __init__(self) -> None:
        self.start_ns = time.time_ns() - 60_000_000_000

    def trace_id(self) -> str:
        """Give a new trace id."""
        return os.urandom(16).hex()

    def span(self, trace_id: str | None = None, **fields: Any) -> dict[str, Any]:
        """Give a finished root span of 5 ms in native form, changed by *fields*."""
        return {
            "trace_id": trace_id or self.trace_id(),
            "span_id": os.urandom(8).hex(),
            "name": "ask",
            "kind": "root",
            "start_ns": self.start_ns,
            "end_ns": self.start_ns + 5_000_000,
        } | fields


@pytest.fixture(scope="session")
def make() -> Maker:
    """Give a maker of spans."""
    return Maker()


@pytest.fixture(scope="session")
def start_server() -> type[Running]:
    """Give what starts a server, for fixtures of a whole module: `start_server(path, …)`."""
    return Running


@pytest.fixture(scope="session")
def clew_command() -> Any:
    """Give a function that runs one `clew` command to its end."""
    return clew
