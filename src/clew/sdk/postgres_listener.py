"""Hear what other processes tell over PostgreSQL: an iterator on a bounded queue."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from clew.model.event import CallEvent, event_types
from clew.sdk.events import Types
from clew.sdk.postgres_events import BACKOFF_S, PostgresChannel


class PostgresListener:
    """`for event in listener:` gives the events as they come, until `close`. From any thread."""

    def __init__(
        self,
        url: str,
        *,
        project: str | None = "default",
        types: Types = None,
        limit: int = 10_000,
        patience_s: float = 10.0,
        backoff_s: float = BACKOFF_S,
    ) -> None:
        """
        Connect, and wait for that at most *patience_s* seconds; after them it is tried on.

        Raises:
            ConfigError: *url* is no postgresql://, or psycopg is not installed.
            BadFilter: one of *types* is no type of event.
        """
        self._project = project
        self._types = event_types(types)
        self._limit = limit
        self._waiting: deque[CallEvent] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.dropped = 0
        """Events that found *limit* others waiting, and were not kept."""
        self._channel = PostgresChannel(url, self._take, backoff_s=backoff_s)
        self._channel.start()
        self._channel.connected.wait(patience_s)

    @property
    def connected(self) -> bool:
        """There is a connection now."""
        return self._channel.connected.is_set()

    @property
    def connections(self) -> int:
        """How often it connected. More than once means that events may have been missed in between."""
        return self._channel.connections

    def get(self, timeout: float | None = None) -> CallEvent | None:
        """Give the next event; None after *timeout* seconds, or when the listener is closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed, timeout)
            return self._waiting.popleft() if self._waiting else None

    def close(self) -> None:
        """Listen no more. What waits can still be read. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._channel.close()

    def __iter__(self) -> Iterator[CallEvent]:
        while (event := self.get()) is not None:
            yield event

    def __enter__(self) -> PostgresListener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, project: str, event: CallEvent) -> None:
        """On the channel's thread."""
        if event.type not in self._types or self._project not in (None, project):
            return
        with self._changed:
            if len(self._waiting) >= self._limit:
                self.dropped += 1
            else:
                self._waiting.append(event)
                self._changed.notify()
