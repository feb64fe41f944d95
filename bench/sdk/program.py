"""Run a program of the bench under one of the interpreters, and the sink that it sends to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import process
from bench.places import ROOT
from bench.servers import Client

PATIENCE_S = 120


def environment(directory: Path) -> dict[str, str]:
    """What the programs see: the bench's own modules, and a spool that is not the user's."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "CLEW_SPOOL": str(directory / "spool")}


def run(interpreter: Path, module: str, arguments: Sequence[str], directory: Path) -> str:
    """
    Give the last line that *module* prints.

    Raises:
        RuntimeError: it failed; the end of what it said is in the message.
    """
    command = [str(interpreter), "-m", module, *arguments]
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


@contextmanager
def sink(directory: Path, *, port: int | None = None, delay_s: float = 0) -> Iterator[int]:
    """A sink on *port*, or on a free one, meanwhile. It takes *delay_s* for each answer."""
    port, log = port or process.free_port(), directory / "sink.log"
    command = [sys.executable, "-m", "uvicorn", "bench.sink:app", "--port", str(port), "--log-level", "warning"]
    server = process.start(
        [*command, "--no-access-log", "--lifespan", "off"], log=log, cwd=ROOT, env={"SINK_DELAY_S": str(delay_s)}
    )
    try:
        process.wait_until(lambda: Client(port).ask("GET", "/info")[0] == 200, process=server, log=log)
        yield port
    finally:
        process.stop(server)
