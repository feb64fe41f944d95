"""
What the browser tests stand on: Chromium, a real server, and a page that is watched.

Chromium is `$CLEW_CHROMIUM`, or Debian's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, sync_playwright

ADMIN_KEY = "browser-test-key"
START_S = 30
WAIT_MS = 15_000
"""How long a test waits for something to appear before it fails; nothing sleeps this long."""

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path() -> str:
    """Give the browser's path. Raises FileNotFoundError when there is none: these tests are never skipped silently."""
    named = os.environ.get("CLEW_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(named).exists():
        raise FileNotFoundError(f"no Chromium at {named}: apt-get install chromium, or set CLEW_CHROMIUM")
    return named


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """One headless Chromium, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGS)
        try:
            yield browser
        finally:
            browser.close()


class Server:
    """A real `clew serve` on a free port, with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        command = [sys.executable, "-m", "clew.cli", "serve", "--store", f"sqlite:///{self.folder / 'clew.db'}"]
        environ = {**os.environ, "CLEW_ADMIN_KEY": ADMIN_KEY}
        with (self.folder / "serve.log").open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", self.url.rpartition(":")[2]], env=environ, stdout=log, stderr=log
            )
        self._wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(START_S)

    def send(self, body: dict[str, object]) -> None:
        """Send spans and scores; all of them must be taken."""
        answer = self.ask("/api/v1/spans", body)
        assert answer["rejected"] == [], answer

    def ask(self, path: str, body: dict[str, object] | None = None) -> dict[str, object]:
        """GET *path*, or POST *body* to it, as the admin."""
        headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=START_S) as response:
            return msgspec.json.decode(response.read(), type=dict)

    def login_link(self, fragment: str = "") -> str:
        """The link that logs in and opens *fragment* (`/traces/…`)."""
        if not fragment:
            return f"{self.url}/#key={ADMIN_KEY}"
        return f"{self.url}/#{fragment}{'&' if '?' in fragment else '?'}key={ADMIN_KEY}"

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                break
            if self._is_ready():
                return
            time.sleep(0.05)  # Between two looks at another process; the deadline decides.
        raise AssertionError(f"clew serve did not start: {(self.folder / 'serve.log').read_text()}")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Watch:
    """Everything on a page that must not happen: errors, dialogs, requests to anybody else."""

    def __init__(self, page: Page, home: str) -> None:
        self.home = home
        self.seen: list[str] = []
        self.expected: list[str] = []
        """Parts of messages that this very test provokes, like "status of 400"."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.seen.append(f"uncaught: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("popup", lambda other: self.seen.append(f"popup: {other.url}"))

    def verify(self) -> None:
        """Fail if anything of it happened."""
        bad = [line for line in self.seen if not any(part in line for part in self.expected)]
        assert not bad, bad

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.seen.append(f"console {message.type}: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not request.url.startswith(self.home + "/"):
            self.seen.append(f"foreign request: {request.url}")
