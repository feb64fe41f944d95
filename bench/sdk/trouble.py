"""
What becomes of spans, memory and the program's end when the server is in trouble.

**Away**: nobody listens while 200,000 spans are made; afterwards a server comes up at the same
place. **Slow**: the server takes two seconds for each answer, at 200 requests a second. Both times
the program ends without a flush, and if it left anything on the disk, another process of the same
program is given time to send that.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import peers, process
from bench.places import scratch
from bench.report import Figure, Section, percentile
from bench.sdk.program import environment, sink
from bench.sdk.workload import SPANS_PER_REQUEST
from bench.servers import Client

PEERS = ("opentelemetry", "ddtrace", "langsmith")
SLOW_REQUESTS, SLOW_RATE, SLOW_S = 1200, 200, 2.0
PATIENCE_S = 75
"""So long a program may take to serve, and as long again to end."""
RETURN_S = 60
"""So long the process that comes later has for sending what was left."""
GROWN_MB, EXIT_S = 64, 5

COLUMNS = (
    "SDK, server",
    "made",
    "arrived",
    "later",
    "lost",
    "MB more",
    "end, s",
    "served, s",
    "request p50, µs",
    "p99",
)

Results = dict[str, dict[str, Any]]
"""For each subject what became of it."""


def measure(*, spans: int, rate: int) -> Section:
    """Both troubles, for each subject; *rate* requests a second while the server is away (0: flat out)."""
    away: Results = {}
    slow: Results = {}
    for subject in ("clew", *PEERS):
        with scratch("trouble") as directory:
            print(f"trouble: {subject}, {spans:,} spans with the server away", file=sys.stderr, flush=True)
            away[subject] = nobody_there(subject, spans // SPANS_PER_REQUEST, rate, directory)
        with scratch("trouble") as directory:
            print(f"trouble: {subject}, a server that takes {SLOW_S:.0f} s", file=sys.stderr, flush=True)
            slow[subject] = slowly(subject, directory)
    figures = [*away_figures(away["clew"]), *slow_figures(slow["clew"])]
    rows = [row(f"{subject}, away", result) for subject, result in away.items()]
    rows += [row(f"{subject}, slow", result) for subject, result in slow.items()]
    return Section("The server in trouble", figures, COLUMNS, rows, {"away": away, "slow": slow})


def nobody_there(subject: str, requests: int, rate: int, directory: Path) -> dict[str, Any]:
    """Spans for a server that is not there, and what it finds when it comes back."""
    port = process.free_port()
    result = lived(subject, port, (requests, rate), directory)
    result["arrived"] = 0
    with sink(directory, port=port):
        later(subject, port, result, directory)
    return result


def slowly(subject: str, directory: Path) -> dict[str, Any]:
    """Spans for a server that takes its time."""
    with sink(directory, delay_s=SLOW_S) as port:
        result = lived(subject, port, (SLOW_REQUESTS, SLOW_RATE), directory)
        time.sleep(SLOW_S + 0.5)  # What it was sent last is still on its way.
        result["arrived"] = Client(port).get("/_arrived")["spans"]
        later(subject, port, result, directory)
    return result


def lived(subject: str, port: int, load: tuple[int, float], directory: Path) -> dict[str, Any]:
    """The program's life: what it says, its peak of memory, how long its end takes, and whether it was killed."""
    log = directory / "troubled.log"
    with log.open("ab") as errors:
        running = program(subject, port, load, directory, errors)
        try:
            result, peak_mb = said(running, log)
            begun = time.monotonic()
            while running.poll() is None and time.monotonic() - begun < PATIENCE_S:
                peak_mb = max(peak_mb, _peak_mb(running.pid))
                time.sleep(0.02)
            result["end_s"] = time.monotonic() - begun
            result["killed"] = running.poll() is None
        finally:
            running.kill()
            running.communicate()
    result["grown_mb"] = peak_mb - result["before_mb"]
    return result


def program(subject: str, port: int, load: tuple[int, float], directory: Path, errors: Any) -> subprocess.Popen[bytes]:
    """Start it; it dies with this process."""
    requests, rate = load
    arguments = [subject, f"http://127.0.0.1:{port}", str(requests), str(rate)]
    return subprocess.Popen(
        [str(peers.interpreter(subject)), "-m", "bench.sdk.troubled", *arguments],
        cwd=directory,
        env=environment(directory),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        preexec_fn=process.die_with_parent,  # noqa: PLW1509  nothing else runs in this process meanwhile
    )


def said(running: subprocess.Popen[bytes], log: Path) -> tuple[dict[str, Any], float]:
    """What the program prints when it has served, and its peak of memory so far."""
    assert running.stdout is not None
    line = running.stdout.readline()
    if not line:
        raise RuntimeError(f"{running.args!r} said nothing:\n{log.read_text(errors='replace')[-2000:]}")
    result: dict[str, Any] = json.loads(line)
    return result, _peak_mb(running.pid)


def later(subject: str, port: int, result: dict[str, Any], directory: Path) -> None:
    """Give another process time to send what the first has left on the disk; its own one span is not counted."""
    arrived, begun = result["arrived"], time.monotonic()
    if any((directory / "spool").glob("**/*")):
        with (directory / "later.log").open("ab") as errors:
            running = program(subject, port, (0, 0), directory, errors)
            try:
                while arrived <= result["made"] and time.monotonic() - begun < RETURN_S:
                    time.sleep(1)
                    arrived = Client(port).get("/_arrived")["spans"]
            finally:
                running.kill()
                running.communicate()
        arrived -= 1
    result["later"] = max(0, arrived - result["arrived"])
    result["later_s"] = time.monotonic() - begun


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0)


def away_figures(own: dict[str, Any]) -> Iterator[Figure]:
    """What was wanted of Clew while nobody is there."""
    lost = missing(own)
    yield Figure(
        f"{own['made']:,} spans, server away: memory",
        f"{own['grown_mb']:.0f} MB more",
        target=f"under {GROWN_MB} MB",
        met=own["grown_mb"] < GROWN_MB,
    )
    yield Figure("the same: lost", f"{lost:,}", target="none", met=lost == 0)
    yield Figure(
        "the same: the program's end", f"{own['end_s']:.1f} s", target=f"within {EXIT_S} s", met=own["end_s"] <= EXIT_S
    )


def slow_figures(own: dict[str, Any]) -> Iterator[Figure]:
    """What was wanted of Clew while the server is slow."""
    lost = missing(own)
    yield Figure(f"{own['made']:,} spans, server answers after 2 s: lost", f"{lost:,}", target="none", met=lost == 0)
    yield Figure(
        "the same: the program's end", f"{own['end_s']:.1f} s", target=f"within {EXIT_S} s", met=own["end_s"] <= EXIT_S
    )


def missing(result: dict[str, Any]) -> int:
    """Spans that came neither at once nor later."""
    return int(result["made"] - result["arrived"] - result["later"])


def row(name: str, result: dict[str, Any]) -> tuple[str, ...]:
    """One subject in one trouble."""
    end = f"over {PATIENCE_S}" if result["killed"] else f"{result['end_s']:.1f}"
    return (
        name,
        f"{result['made']:,}",
        f"{result['arrived']:,}",
        f"{result['later']:,}",
        f"{missing(result) / result['made']:.0%}",
        f"{result['grown_mb']:.0f}",
        end,
        f"{result['served_s']:.1f}",
        *(f"{percentile(result['took_us'], share):.0f}" for share in (0.5, 0.99)),
    )
