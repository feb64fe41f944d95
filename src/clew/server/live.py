"""
What happens now, for those who watch: tool and capability events, after their commit.

One hub for the server. While nobody watches, a body of spans costs one look. Each watcher has a
queue of its own, bounded; what does not fit is counted, and told in the stream where it is missing.
Only for the event loop's thread, but for what comes from other servers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from clew.errors import StoreBusy
from clew.model.event import CallEvent, events_of, shortened
from clew.sdk.postgres_events import PostgresChannel
from clew.wire import Decoded

log = logging.getLogger("clew.server")

QUEUE_EVENTS = 1_000
EVENT_BYTES = 16 << 10
"""Longer ones are cut: watchers are shown what happens, and find the whole in the trace."""

MAX_WATCHERS = 100
TOLD_CALLS = 50_000
"""Of so many calls it is remembered what was told, so that a retried body tells nothing again."""

PIECE = 100
"""Events between two turns for the rest of the event loop."""

_START, _END = 1, 2


class TooManyWatchers(StoreBusy):
    """As many as are allowed are watching already. HTTP 503 with Retry-After."""


class Watcher:
    """One who watches: a bounded queue of frames, ready to be sent."""

    def __init__(self, project: str, types: frozenset[str], limit: int) -> None:
        self.project = project
        self.types = types
        self.dropped = 0
        """In all."""
        self._limit = limit
        self._untold = 0
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self.closed = False

    def put(self, frame: bytes) -> None:
        """Queue one frame, or count that it found no room."""
        # After a gap nothing more is taken until the gap was told, so that it stands in its place.
        if self._untold or len(self._waiting) >= self._limit:
            self._untold += 1
            self.dropped += 1
        else:
            self._waiting.append(frame)
        self._changed.set()

    async def next(self, timeout_s: float) -> bytes | None:
        """Give what waits as one piece; None after *timeout_s* seconds, or when it is over."""
        if not self._waiting and not self._untold and not self.closed:
            self._changed.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), timeout_s)
        if not self._waiting and not self._untold:
            return None
        frames = [*self._waiting]
        self._waiting.clear()
        if self._untold:
            frames.append(b'event: dropped\ndata: {"count":%d}\n\n' % self._untold)
            self._untold = 0
        return b"".join(frames)

    def close(self) -> None:
        """Say that nothing more will come."""
        self.closed = True
        self._changed.set()


class Watched:
    """A decoder that also takes down what the decoded spans tell."""

    def __init__(self, decode: Callable[[bytes], Decoded]) -> None:
        self._decode = decode
        self.events: list[CallEvent] = []

    def __call__(self, body: bytes) -> Decoded:
        """Decode *body*, on the batcher's thread."""
        decoded = self._decode(body)
        # Here, and not after the commit, since the store may do with its spans what it likes.
        self.events = [event for span in decoded.spans for event in events_of(span)]
        return decoded


class Live:
    """The hub: who watches, and what they are told."""

    def __init__(
        self, bus_url: str = "", *, max_watchers: int = MAX_WATCHERS, queue_events: int = QUEUE_EVENTS
    ) -> None:
        """
        Make a hub; with *bus_url* a PostgreSQL joins it to those of other servers.

        Raises:
            ConfigError: *bus_url* is no postgresql://, or psycopg is not installed.
        """
        self.bus = PostgresChannel(bus_url, self._from_elsewhere) if bus_url else None
        self._max_watchers = max_watchers
        self._queue_events = queue_events
        self._watchers: dict[Watcher, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told: dict[tuple[str, str, str], int] = {}
        self._number = 0
        self._closed = False
        self.dropped = 0
        """Of watchers that have gone."""

    def start(self) -> None:
        """Connect to the other servers, if there is a way."""
        if self.bus is not None:
            self.bus.start()

    def watch(self, project: str, types: frozenset[str]) -> Watcher:
        """
        Begin to watch *project*; end it with `leave`.

        Raises:
            TooManyWatchers: as many as are allowed do already, or the server is stopping.
        """
        if self._closed:
            raise TooManyWatchers("the server is stopping; ask the next one")
        if len(self._watchers) >= self._max_watchers:
            raise TooManyWatchers(f"{len(self._watchers)} are watching already; end one, or try again later")
        self._loop = asyncio.get_running_loop()
        watcher = Watcher(project, types, self._queue_events)
        self._watchers[watcher] = None
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Forget *watcher*. Idempotent."""
        if watcher in self._watchers:
            del self._watchers[watcher]
            self.dropped += watcher.dropped

    def watched(self, decode: Callable[[bytes], Decoded]) -> Watched | None:
        """Give a decoder that notes what is to be told; None while there is nobody to tell it to."""
        return Watched(decode) if self._watchers or self.bus is not None else None

    async def publish(self, project: str, events: Sequence[CallEvent]) -> None:
        """Tell what was just stored, in order of time, here and to the other servers; each event once."""
        for number, event in enumerate(sorted(events, key=_when), start=1):
            try:
                self._publish(project, event)
            except Exception:
                log.exception("an event could not be told; its span is stored")
            if number % PIECE == 0:
                await asyncio.sleep(0)

    def close(self) -> None:
        """End every stream at once. On the event loop; idempotent."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()

    def disconnect(self) -> None:
        """Let go of the other servers. Blocks up to two seconds; idempotent."""
        if self.bus is not None:
            self.bus.close()

    def stats(self) -> dict[str, Any]:
        """Who watches, what was told and what was dropped; the same of the bus, if there is one."""
        dropped = self.dropped + sum(watcher.dropped for watcher in self._watchers)
        bus = None if self.bus is None else self.bus.stats()
        return {"watchers": len(self._watchers), "told": self._number, "dropped": dropped, "bus": bus}

    def _publish(self, project: str, event: CallEvent) -> None:
        if self._is_new(project, event):
            short = shortened(event, EVENT_BYTES)
            self._tell(project, short)
            if self.bus is not None:
                self.bus.send(project, short)

    def _tell(self, project: str, event: CallEvent) -> None:
        self._number += 1
        frame = b""
        for watcher in self._watchers:
            if watcher.project == project and event.type in watcher.types:
                frame = frame or _frame(self._number, event)
                watcher.put(frame)

    def _is_new(self, project: str, event: CallEvent) -> bool:
        call, half = (project, event.trace_id, event.span_id), _END if event.is_end else _START
        told = self._told.get(call, 0)
        if told & half:
            return False
        if len(self._told) >= TOLD_CALLS and call not in self._told:
            del self._told[next(iter(self._told))]
        self._told[call] = told | half
        return True

    def _from_elsewhere(self, project: str, event: CallEvent) -> None:
        """On the channel's thread: another server told this."""
        loop = self._loop
        if loop is not None and self._watchers:
            with suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(self._tell, project, event)


def _when(event: CallEvent) -> int:
    return event.ts


def _frame(number: int, event: CallEvent) -> bytes:
    # JSON holds no line break of its own, so one `data:` line is enough.
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, event.type.encode(), msgspec.json.encode(event))
