"""Where `clew import` writes to: a server over HTTP, or a store straight. Both take spans."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import quote

import msgspec

from clew.cli.source import HttpSource, ServerRefused
from clew.model import Batch, Span
from clew.query.filters import DEFAULT_PROJECT
from clew.store import open_store
from clew.store.protocol import Store
from clew.wire.native import NativeSpan

PATIENCE = 10
"""So often a server may be too busy."""


class Taken(NamedTuple):
    """What became of some spans."""

    duplicates: int
    """Stored before; of a server, which does not say, 0."""
    refused: list[str]
    """Why others were not."""


class Sink(Protocol):
    """Takes spans."""

    def take(self, spans: Sequence[Span]) -> Taken:
        """
        Make *spans* durable.

        Raises:
            StoreBusy, StoreUnavailable, ServerRefused, ServerUnreachable: doing it again is safe.
        """

    def close(self) -> None:
        """Let go of the store or the connection."""


class StoreSink:
    """Writes into a store, with no server."""

    def __init__(self, store: Store, project: str) -> None:
        self._store = store
        self._project = project

    def take(self, spans: Sequence[Span]) -> Taken:
        """Write one commit."""
        written = self._store.write([Batch(project=self._project, spans=list(spans))])
        return Taken(written.duplicates, [])

    def close(self) -> None:
        """Close the store."""
        self._store.close()


class ServerSink:
    """Sends to a server, in Clew's own protocol."""

    def __init__(self, source: HttpSource, project: str, wait: Callable[[float], None] = time.sleep) -> None:
        self._source = source
        self._path = "/api/v1/spans" + (f"?project={quote(project, safe='')}" if project else "")
        self._wait = wait

    def take(self, spans: Sequence[Span]) -> Taken:
        """Post them; again while the server is busy, and in halves if that is too much at once."""
        body = msgspec.json.encode({"spans": [_native(span) for span in spans]})
        for turn in range(PATIENCE):
            answer = self._source.send("POST", self._path, body, "application/json")
            if answer.status != 503:
                break
            self._wait(min(8.0, 0.5 * 2**turn))
        if answer.status == 413 and len(spans) > 1:
            middle = len(spans) // 2
            return Taken(0, self.take(spans[:middle]).refused + self.take(spans[middle:]).refused)
        if answer.status >= 400:
            raise ServerRefused(answer.status, _message(answer.body))
        receipt = msgspec.json.decode(answer.body, type=_Receipt)
        return Taken(0, [str(each.get("error", "")) for each in receipt.rejected])

    def close(self) -> None:
        """Close nothing: each request has its own connection."""


def open_sink(store: str | None, url: str, key: str, project: str) -> Sink:
    """Open the store if one is named, otherwise the server."""
    if store is not None:
        return StoreSink(open_store(store), project or DEFAULT_PROJECT)
    return ServerSink(HttpSource(url, key), project)


class _Receipt(msgspec.Struct):
    rejected: list[dict[str, object]] = []


def _native(span: Span) -> NativeSpan:
    return NativeSpan(**{field: getattr(span, field) for field in NativeSpan.__struct_fields__})


def _message(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return "something that is no answer of Clew's; is CLEW_URL right?"
