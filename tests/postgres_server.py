"""A real PostgreSQL for one test run: its own directory, a free port, and no root, which it refuses."""

from __future__ import annotations

import glob
import os
import pwd
import queue
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

START_S = 60.0
STOP_S = 30.0

NO_BINARIES = "no PostgreSQL server binaries: `apt-get install postgresql`, or name their folder in CLEW_POSTGRES_BIN"


def binaries() -> Path | None:
    """Give the folder of initdb and postgres; None if there is none on this machine."""
    named = os.environ.get("CLEW_POSTGRES_BIN")
    on_path = shutil.which("initdb")
    debian = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version)
    folders = [*filter(None, [named, os.path.dirname(os.path.realpath(on_path)) if on_path else None]), *debian[::-1]]
    return next((Path(folder) for folder in folders if (Path(folder) / "postgres").exists()), None)


def _version(folder: str) -> int:
    return int(re.sub(r"\D", "", Path(folder).parent.name) or 0)


class PostgresServer:
    """One server, which can be stopped and started again on the same port with the same data."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """*durable* waits for the disk, as a server that is not a test's does."""
        self._binaries = folder
        self._options = [] if durable else ["-F"]
        # Not under pytest's own folder, which the server's user may not enter.
        self._home = Path(tempfile.mkdtemp(prefix="clew-postgres-"))
        self._as = _somebody_else() if os.geteuid() == 0 else {}
        if self._as:
            os.chown(self._home, self._as["user"], self._as["group"])
        self._data = self._home / "data"
        self.port = _free_port()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        try:
            self._initialise()
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def pid(self) -> int:
        """Of the server's first process, the parent of all others."""
        assert self._process is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """Where its database is."""
        return f"postgresql://clew@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [
            self._binaries / "postgres",
            "-D",
            self._data,
            "-p",
            str(self.port),
            "-k",
            self._home,
            *self._options,
        ]
        self._process = subprocess.Popen(
            [*map(str, command), "-h", "127.0.0.1", *self._options],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=_environment(),
            cwd=self._home,
            **self._as,
        )
        log: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=_read, args=(self._process.stderr, log), daemon=True)
        self._reader.start()
        _wait_for("ready to accept connections", log)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it at once, hanging up on every client."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert self._reader is not None
        assert process.stderr is not None
        self._reader.join(STOP_S)
        process.stderr.close()

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop(signal.SIGQUIT)  # There is nothing to be kept.
        shutil.rmtree(self._home, ignore_errors=True)

    def _initialise(self) -> None:
        command = [self._binaries / "initdb", "-D", self._data, "-U", "clew", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(
            [*map(str, command), "--no-sync", "--no-instructions"],
            check=True,
            capture_output=True,
            env=_environment(),
            cwd=self._home,
            timeout=START_S,
            **self._as,
        )


def _read(stream: IO[str], log: queue.Queue[str | None]) -> None:
    for line in stream:
        log.put(line)
    log.put(None)


def _wait_for(words: str, log: queue.Queue[str | None]) -> None:
    seen, deadline = [], time.monotonic() + START_S
    while True:
        line = log.get(timeout=max(0.01, deadline - time.monotonic()))
        if line is None:
            raise AssertionError(f"PostgreSQL ended: {''.join(seen)}")
        seen.append(line)
        if words in line:
            return


def _somebody_else() -> dict[str, int | list[int]]:
    """Who it is to run as: PostgreSQL refuses root."""
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    raise AssertionError("there is neither a user postgres nor nobody to run PostgreSQL as")


def _environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return own | {"LC_ALL": "C", "TZ": "UTC"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
