"""
The two servers of the demo, `clew serve` and the service: started, waited for, ended.

Both run as a user would run them, in processes of their own, with what they print in a log file.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

START_WITHIN_S = 180
END_WITHIN_S = 10
POLL_S = 0.05


class DemoError(Exception):
    """The demo cannot go on; the text says what to do."""


class Server:
    """A server in its own process."""

    def __init__(
        self, name: str, command: list[str], *, port: int, environment: Mapping[str, str], log_path: Path
    ) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._log_path = log_path
        with log_path.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, *command],
                env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal must not end both at once: the service still has spans to send.
                start_new_session=True,
            )

    def wait_until_listening(self, on_progress: Callable[[str], None]) -> None:
        """
        Wait until it takes connections; *on_progress* is told its last line, now and then.

        Raises:
            DemoError: it ended, or took longer than any start should.
        """
        deadline = time.monotonic() + START_WITHIN_S
        while not _listens(self._port):
            if not self.is_alive:
                raise DemoError(f"{self.name} ended while it started. The end of {self._log_path}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise DemoError(f"{self.name} did not start within {START_WITHIN_S} s; see {self._log_path}")
            on_progress(self.log_tail(1))
            time.sleep(POLL_S)

    @property
    def is_alive(self) -> bool:
        """It has not ended."""
        return self._process.poll() is None

    def log_tail(self, lines: int = 12) -> str:
        """Give the last lines that it printed."""
        return "\n".join(self._log_path.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """Ask it to end, insist after a while. Idempotent."""
        if self.is_alive:
            self._process.terminate()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def choose_port(variable: str, usual: int) -> int:
    """
    Give the port that *variable* asks for, else the usual one, else any that is free.

    Raises:
        DemoError: the port that was asked for is taken, or is none.
    """
    asked = os.environ.get(variable, "")
    if asked:
        if not asked.isdecimal() or not 0 < int(asked) < 65536:
            raise DemoError(f"{variable}={asked} is no port; use 1 to 65535")
        if not _is_free(int(asked)):
            raise DemoError(f"port {asked} is taken by another process; set {variable} to a free one, or unset it")
        return int(asked)
    if _is_free(usual):
        return usual
    with socket.socket() as any_free:
        any_free.bind(("127.0.0.1", 0))
        port: int = any_free.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        # As servers do: a port that the last run left a moment ago counts as free.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex(("127.0.0.1", port)) == 0
