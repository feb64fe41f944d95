"""Start a program, wait until it answers, watch what it uses, end it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SAMPLE_EVERY_S = 0.5


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    command: Sequence[str], *, log: Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start *command* in a process group of its own; it ends when this process does."""
    with log.open("ab") as sink:
        # Nothing else runs in this process while it starts another, so a `preexec_fn` is safe.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )


def die_with_parent() -> None:
    """Linux alone can do this; elsewhere a killed bench may leave a server behind."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def stop(process: subprocess.Popen[bytes], *, how: signal.Signals = signal.SIGTERM, patience_s: float = 30) -> None:
    """Send *how* to the group; kill what is left of it when patience ends."""
    for signal_number in (how, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience_s)
            return


def wait_until(
    ready: Callable[[], bool], *, process: subprocess.Popen[bytes], log: Path, patience_s: float = 120
) -> float:
    """
    Ask *ready* until it is so; returns the seconds that it took.

    Raises:
        RuntimeError: the process ended, or patience did; the end of its log is in the message.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < patience_s:
        if process.poll() is not None:
            break
        try:
            if ready():
                return time.monotonic() - begun
        except OSError:
            pass
        time.sleep(0.02)
    end = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{process.args!r} did not come up (exit status {process.poll()}):\n{end}")


class Usage:
    """Processor seconds and peak memory of a process and all that it started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.cpu_s: float = 0
        self.peak_mb: float = 0
        """Proportional set size, so that memory shared between workers counts once."""
        self._cpu_s_by_pid: dict[int, float] = {}

    def sample(self) -> None:
        """Look now. A process that has ended keeps the seconds it was last seen with."""
        pss_kb = 0
        for pid in _tree(self.pid):
            try:
                self._cpu_s_by_pid[pid] = _cpu_s(pid)
                pss_kb += _pss_kb(pid)
            except OSError:
                continue
        self.cpu_s = sum(self._cpu_s_by_pid.values())
        self.peak_mb = max(self.peak_mb, pss_kb / 1024)


@contextlib.contextmanager
def watched(pid: int) -> Iterator[Usage]:
    """Watch a process meanwhile; afterwards `cpu_s` is what was used meanwhile alone."""
    usage = Usage(pid)
    usage.sample()
    before_s = usage.cpu_s
    over = threading.Event()

    def keep_looking() -> None:
        while not over.wait(_SAMPLE_EVERY_S):
            usage.sample()

    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        yield usage
    finally:
        over.set()
        watcher.join()
        usage.sample()
        usage.cpu_s -= before_s


def _tree(pid: int) -> list[int]:
    found, todo = [], [pid]
    while todo:
        each = todo.pop()
        found.append(each)
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                todo += map(int, children.read_text().split())
            except OSError:
                continue
    return found


def _cpu_s(pid: int) -> float:
    # The name, in brackets, may itself hold brackets and spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _pss_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
