"""Start a server and stop it well: the socket, the keys, uvicorn, and at the end the drain."""

from __future__ import annotations

import contextlib
import errno
import gc
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from clew.errors import ClewError, ConfigError
from clew.server.app import create_app
from clew.server.auth import ALL_PROJECTS, hash_key, new_key
from clew.server.hosts import is_loopback
from clew.server.protocol import BoundedProtocol
from clew.server.settings import ServerSettings
from clew.store.protocol import KeyRecord, Keys, Store

GRACE_S = 10
KEEP_ALIVE_S = 75
"""Longer than clients wait between two batches: a connection that is closed under a client's
hands costs it a retry."""


class PortTaken(ClewError):
    """Somebody else listens there. Exit status 1."""


class _Server(uvicorn.Server):
    """uvicorn, with signals that end in a plain return: a stop on purpose is exit status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        # A second Ctrl-C does not wait for open connections; what was accepted is still stored.
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


def first_admin_key(store: Keys, settings: ServerSettings) -> str | None:
    """Make and keep an admin key if there is none yet; give it, to be shown this once."""
    if settings.admin_key or any(key.scope == "admin" for key in store.list_keys()):
        return None
    key = new_key("admin")
    store.add_key(
        KeyRecord(
            key_hash=hash_key(key),
            scope="admin",
            project=ALL_PROJECTS,
            label="made at first start",
            created_ns=time.time_ns(),
        )
    )
    return key


def refuse_open_bind(store: Keys, settings: ServerSettings) -> None:
    """
    Refuse to listen to the network before anybody has a key.

    Raises:
        ConfigError: the address is not loopback, CLEW_ADMIN_KEY is not set, and no key exists.
    """
    if is_loopback(settings.host) or settings.admin_key or store.list_keys():
        return
    raise ConfigError(
        "--host",
        f"{settings.host} is reachable from the network and no key exists yet; "
        "set CLEW_ADMIN_KEY, or make a key with `clew keys create --scope admin`",
    )


def listen(host: str, port: int) -> socket.socket:
    """
    Take the port before anything is opened, so that a second server harms nothing.

    Raises:
        PortTaken: somebody else has it.
        ConfigError: the address is not one of this machine's.
    """
    if not 0 <= port <= 65_535:
        raise ConfigError("--port", f"{port} is no port; ports go from 0 (any free one) to 65535")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError("--host", f"{host!r} is no address of this machine: {error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2_048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken; stop what listens there, or choose another with --port"
            ) from None
        raise ConfigError("--host", f"cannot listen on {host} port {port}: {error.strerror}") from None
    return listener


def _tune_interpreter() -> None:
    """
    Fit Python's defaults to a process that decodes many small objects and never makes a cycle of them.

    Measured together: a fifth more spans a second (ADR 5).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    # SQLite's thread takes Python's lock back after each statement; it must not wait 5 ms for it each time. With 1 ms
    # a sixth fewer spans a second reach an SQLite file.
    sys.setswitchinterval(0.0002)


def run(
    store: Store,
    settings: ServerSettings,
    listener: socket.socket,
    *,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """
    Serve until SIGTERM or Ctrl-C, then drain. Owns and closes *store* and *listener*.

    *on_ready* is called once the server answers.
    """
    app = create_app(store, settings)
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    started = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await started(sockets=sockets)
        if server.started:
            on_ready()

    stopping = server.shutdown

    async def shutdown(sockets: list[socket.socket] | None = None) -> None:
        # Streams never end by themselves, and every connection is waited for.
        app.runtime.live.close()
        await stopping(sockets=sockets)

    server.startup = startup  # type: ignore[method-assign]
    server.shutdown = shutdown  # type: ignore[method-assign]
    _tune_interpreter()
    try:
        server.run(sockets=[listener])
    finally:
        app.runtime.close()
        listener.close()
