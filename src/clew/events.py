"""
Calls as they happen: `tool_start`, `tool_end`, `capability_start`, `capability_end`.

    import clew.events

    with clew.events.subscribe(print, types=["tool_end"]):
        answer(question)

Every span of kind tool or capability tells its start and, exactly once, its end: by return,
exception or cancellation, and of a generator also when it is broken off. In this process by
`subscribe` and `stream`, between processes by `listen_postgres` and `publish_postgres`, and from a
server by `GET /api/v1/events`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from clew.model.event import (
    EVENT_TYPES,
    CallEnd,
    CallEvent,
    CapabilityEnd,
    CapabilityStart,
    ToolEnd,
    ToolStart,
    event_types,
)
from clew.sdk import events as _events
from clew.sdk.events import Subscription, Types

if TYPE_CHECKING:
    from clew.sdk.event_stream import EventStream
    from clew.sdk.postgres_listener import PostgresListener

__all__ = [
    "EVENT_TYPES",
    "CallEnd",
    "CallEvent",
    "CapabilityEnd",
    "CapabilityStart",
    "Subscription",
    "ToolEnd",
    "ToolStart",
    "listen_postgres",
    "publish_postgres",
    "stream",
    "subscribe",
]


def subscribe(handler: Callable[[Any], object], *, types: Types = None) -> Subscription:
    """
    Call *handler* with every event from now on, or with those of *types* (names or classes).

    It is called on the thread that begins or ends the span, before that goes on; one handler
    after the other. What it raises is logged once and reaches nobody else. What it traces itself
    is recorded, but not told. End it with `close()`, or use it in a `with`.

    Raises:
        BadFilter: one of *types* is no type of event.
    """
    return _events.subscribe(handler, types=types)


def stream(*, types: Types = None, limit: int = 10_000) -> EventStream:
    """
    Give the events as an async iterator, from now on and from any thread.

    At most *limit* of them wait to be read; more are dropped and counted in its `dropped`. It
    listens until `close()`, the end of its `async with`, or until nobody holds it.

    Raises:
        BadFilter: one of *types* is no type of event.
    """
    from clew.sdk.event_stream import EventStream

    return EventStream(types=types, limit=limit)


def listen_postgres(
    url: str,
    *,
    project: str | None = "default",
    types: Types = None,
    limit: int = 10_000,
    patience_s: float = 10.0,
) -> PostgresListener:
    """
    Hear what other processes tell over the PostgreSQL at *url*: servers with CLEW_EVENT_BUS, and
    `publish_postgres`. *project* None is all of them.

    Iterate it, or `get(timeout)`. A lost connection is made again; what was told meanwhile is
    missed, and `connections` shows that. At most *limit* events wait; more are counted in `dropped`.

    Raises:
        ConfigError: *url* is no postgresql://, or psycopg is not installed.
        BadFilter: one of *types* is no type of event.
    """
    from clew.sdk.postgres_listener import PostgresListener

    return PostgresListener(url, project=project, types=types, limit=limit, patience_s=patience_s)


def publish_postgres(url: str, *, project: str = "default", types: Types = None) -> Subscription:
    """
    Tell the events of this process to every listener on the PostgreSQL at *url*, without a server.

    Nothing waits for the database: what cannot be sent is counted and dropped. Long arguments
    are cut, with `args_cut` set, since a notification holds 8000 bytes.

    Raises:
        ConfigError: *url* is no postgresql://, or psycopg is not installed.
        BadFilter: one of *types* is no type of event.
    """
    from clew.sdk.postgres_events import PostgresChannel

    wanted = event_types(types)
    channel = PostgresChannel(url)
    made = _events.subscribe(lambda event: channel.send(project, event), types=wanted, on_close=channel.close)
    channel.start()
    return made
