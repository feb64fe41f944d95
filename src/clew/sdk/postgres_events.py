"""
Events between processes over a PostgreSQL that is there anyway: LISTEN and NOTIFY on one channel.

One thread owns the connection, sends what waits and reads what comes. Nobody waits for it: the
queue is bounded, and what does not fit is counted. A lost connection is made again, later and
later; what others told meanwhile is gone, because PostgreSQL keeps no notification for those who
are away.

Needs `pip install 'clew[postgres]'` (psycopg 3), imported when a channel is made.

Source: PostgreSQL documentation, NOTIFY: a payload must be shorter than 8000 bytes.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import select
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec

from clew.errors import ConfigError
from clew.model.event import AnyEvent, CallEvent, shortened
from clew.sdk.carriers.executors import start_thread

log: Final = logging.getLogger("clew")

CHANNEL: Final = "clew_events"
PAYLOAD_BYTES: Final = 7_900
ENVELOPE_BYTES: Final = 200
PROJECT_CHARS: Final = 200
BATCH: Final = 500
HEARTBEAT_S: Final = 30.0
BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
SENDERS: Final = 1_000
"""Of so many processes it is remembered how far they were heard."""

# A peer that vanished is noticed after a minute, and a query that it never answers ends.
_CONNECTION: Final[dict[str, Any]] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "application_name": "clew events",
}


class Notice(msgspec.Struct):
    """What travels: an event, and who tells it."""

    sender: str
    number: int
    """Counted up by the sender, so that what is sent again after a lost connection is told once."""
    project: str
    event: AnyEvent


OnEvent = Callable[[str, CallEvent], None]
"""Takes a project and what happened in it; called on the channel's thread."""


class PostgresChannel:
    """Sends events to every process that listens on the same database, and hears theirs."""

    def __init__(
        self,
        url: str,
        on_event: OnEvent | None = None,
        *,
        limit: int = 10_000,
        backoff_s: float = BACKOFF_S,
    ) -> None:
        """
        Open nothing yet; *on_event* None means to send only.

        Raises:
            ConfigError: *url* is no postgresql://, or psycopg is not installed.
        """
        self._psycopg = _psycopg(url)
        self._url = url
        self._on_event = on_event
        self._limit = limit
        self._backoff_s = backoff_s
        self._closing = False
        self._thread: threading.Thread | None = None
        self._begin()
        _channels.add(self)

    def _begin(self) -> None:
        """Begin with nothing: at first, and in a forked child, whose parent sends what waits."""
        self._sender = os.urandom(8).hex()
        self._number = 0
        self._waiting: deque[str] = deque()
        self._heard: dict[str, int] = {}
        self._lock = threading.RLock()
        self._wake_in, self._wake_out = _socket_pair()
        self.connected = threading.Event()
        """Set while there is a connection, and LISTEN was said on it."""
        self.sent = 0
        self.dropped = 0
        """Events that were not sent: too many waited, or the channel was closed first."""
        self.received = 0
        self.connections = 0
        """More than one means that events of others may have been missed in between."""

    def start(self) -> None:
        """Start the thread, which connects."""
        self._thread = threading.Thread(target=self._run, name="clew-postgres-events", daemon=True)
        start_thread(self._thread)

    def after_fork(self) -> None:
        """In a forked child: leave the parent's connection alone, and make one of its own."""
        for shared in (self._wake_in, self._wake_out):
            shared.close()
        self._begin()
        if self._thread is not None and not self._closing:
            self.start()

    def send(self, project: str, event: CallEvent) -> None:
        """Have *event* sent. Never blocks, never raises; from any thread."""
        with self._lock:
            if self._closing or len(self._waiting) >= self._limit:
                self.dropped += 1
                return
            self._number += 1
            self._waiting.append(self._payload(project, event, self._number))
        self._wake()

    def close(self, timeout: float = 2.0) -> None:
        """Send what waits if that is quick, and let go. Idempotent."""
        with self._lock:
            self._closing = True
        self._wake()
        if self._thread is None:
            self._let_go()
        elif self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def stats(self) -> dict[str, int]:
        """What was sent, heard and lost since the start."""
        return {
            "sent": self.sent,
            "received": self.received,
            "dropped": self.dropped,
            "connections": self.connections,
            "waiting": len(self._waiting),
        }

    # The thread.

    def _run(self) -> None:
        failures = 0
        while not self._closing:
            made = self.connections
            try:
                with self._psycopg.connect(self._url, autocommit=True, **_CONNECTION) as connection:
                    self._serve(connection)
            except Exception as error:
                failures = failures + 1 if self.connections == made else 1
                self._say_lost(error, failures)
            finally:
                self.connected.clear()
            if not self._closing:
                wait_s = min(BACKOFF_MAX_S, self._backoff_s * 2 ** min(failures - 1, 10))
                self._sleep(wait_s * random.uniform(0.5, 1))  # noqa: S311  not a secret
        self._let_go()

    def _let_go(self) -> None:
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._wake_in.close()
        self._wake_out.close()

    def _serve(self, connection: Any) -> None:
        """Send and hear until the channel is closed, or the connection is lost."""
        if self._on_event is not None:
            # What comes while a query runs is handed over by psycopg.
            connection.add_notify_handler(lambda notify: self._hear(notify.payload))
            connection.execute(f"LISTEN {CHANNEL}")
        self.connections += 1
        self.connected.set()
        while True:
            self._send_waiting(connection)
            if self._closing:
                return
            # What came in one piece with the last answer is in libpq's memory: no select tells of it.
            self._hear_waiting(connection.pgconn)
            readable, _, _ = select.select([connection.fileno(), self._wake_out], [], [], HEARTBEAT_S)
            if not readable:
                connection.execute("SELECT 1")
            if self._wake_out in readable:
                self._wake_out.recv(4096)
            if connection.fileno() in readable:
                self._read(connection.pgconn)

    def _read(self, pgconn: Any) -> None:
        pgconn.consume_input()
        self._hear_waiting(pgconn)

    def _hear_waiting(self, pgconn: Any) -> None:
        while notify := pgconn.notifies():
            self._hear(notify.extra)

    def _send_waiting(self, connection: Any) -> None:
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(BATCH, len(self._waiting)))]
            rows = [(CHANNEL, payload) for payload in batch]
            with connection.cursor() as cursor:
                cursor.executemany("SELECT pg_notify(%s, %s)", rows)
            # Only now, since what a lost connection may have swallowed is sent again.
            for _ in batch:
                self._waiting.popleft()
            self.sent += len(batch)

    def _hear(self, payload: str | bytes) -> None:
        """Take one notification; whoever may NOTIFY on the channel may have written it."""
        if self._on_event is None:
            return
        try:
            notice = _decoder.decode(payload)
            if notice.sender == self._sender or notice.number <= self._heard.get(notice.sender, 0):
                return
            if len(self._heard) >= SENDERS:
                self._heard.clear()
            self._heard[notice.sender] = notice.number
            self.received += 1
            self._on_event(notice.project, notice.event)
        except Exception as error:
            log.warning("clew: a notification on %s was not understood: %.300s", CHANNEL, error)

    def _say_lost(self, error: Exception, failures: int) -> None:
        if failures == 1 and not self._closing:
            # The first line only, which names host and port; the URL may hold a password.
            first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.warning("clew: events over PostgreSQL are interrupted, and tried again: %.300s", first_line)

    def _payload(self, project: str, event: CallEvent, number: int) -> str:
        room = PAYLOAD_BYTES - ENVELOPE_BYTES - 12 * len(project[:PROJECT_CHARS])
        notice = Notice(self._sender, number, project[:PROJECT_CHARS], shortened(event, room))  # type: ignore[arg-type]
        # ASCII, so that it passes a database of any encoding.
        return as_ascii(msgspec.json.encode(notice))

    def _wake(self) -> None:
        with suppress(OSError):  # Full: it is awake already. Closed: there is nobody to wake.
            self._wake_in.send(b"\0")

    def _sleep(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._closing and (left := deadline - time.monotonic()) > 0:
            if select.select([self._wake_out], [], [], left)[0]:
                self._wake_out.recv(4096)


_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_decoder: Final = msgspec.json.Decoder(Notice)
_channels: Final[weakref.WeakSet[PostgresChannel]] = weakref.WeakSet()


def _after_fork() -> None:
    for channel in list(_channels):
        channel.after_fork()


os.register_at_fork(after_in_child=_after_fork)


def as_ascii(encoded: bytes) -> str:
    """Give JSON with everything beyond ASCII escaped; such characters stand in its strings alone."""
    text = encoded.decode()
    return text if text.isascii() else _BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _psycopg(url: str) -> Any:
    if url.partition("://")[0] not in ("postgresql", "postgres"):
        raise ConfigError("CLEW_EVENT_BUS", "it is no postgresql://user:password@host:port/database")
    try:
        import psycopg
    except ImportError as error:
        raise ConfigError(
            "CLEW_EVENT_BUS", f"postgresql:// needs psycopg ({error}); pip install 'clew[postgres]'"
        ) from None
    try:
        psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error as error:
        raise ConfigError("CLEW_EVENT_BUS", f"this URL cannot be read: {type(error).__name__}") from None
    return psycopg


def _socket_pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    for each in pair:
        each.setblocking(False)
    return pair
