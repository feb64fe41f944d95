"""
Events over HTTP: `POST /api/v1/events` takes them in, `GET /api/v1/events` is a stream of them.

The stream is text/event-stream, which `EventSource` in a browser and `curl -N` read.

Source: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

from urllib.parse import urlsplit

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from clew.errors import ClewError
from clew.model.event import event_types
from clew.query.filters import only_known
from clew.server.auth import Caller, Policy
from clew.server.body import HeldBody, media_type
from clew.server.live import Live, Watcher
from clew.server.problem import Forbidden
from clew.server.runtime import Runtime
from clew.server.writes import json_answer
from clew.wire import Decoded, compression, events

HEARTBEAT_S = 15.0
"""A comment so often: it keeps proxies from hanging up, and shows who has gone."""

RETRY_MS = 2_000
"""After so long a browser comes back by itself."""

_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",  # nginx would hold the stream back
}


async def take(request: Request, caller: Caller) -> Response:
    """Take tool and capability events; they become spans."""
    media_type(request, events.MEDIA)
    runtime: Runtime = request.app.state.runtime
    limits = runtime.settings
    project = caller.project_for(request.query_params.get("project"))
    encoding = request.headers.get("content-encoding", "").strip().lower()
    event_count = 0

    def decode(body: bytes) -> Decoded:
        nonlocal event_count
        read = events.decode(compression.inflate(body, encoding, limit_bytes=limits.max_body_bytes))
        event_count = read.event_count
        return read.decoded

    async with HeldBody(request, runtime.budget, limit_bytes=limits.body_limit_bytes) as body:
        receipt = await runtime.write(project, body, decode)
    return json_answer(
        {
            "accepted": event_count - len(receipt.rejected),
            "rejected": [{"index": one.index, "error": one.error} for one in receipt.rejected],
        }
    )


async def watch(request: Request, caller: Caller) -> Response:
    """Stream events as they are stored: `types=tool_end,…`, `project=`."""
    _refuse_other_sites(request)
    given = only_known(request.query_params.multi_items(), ("types", "project"))
    runtime: Runtime = request.app.state.runtime
    wanted = [name.strip() for name in given["types"].split(",")] if given.get("types") else None
    types, project = event_types(wanted), caller.project_for(given.get("project") or None)
    if request.method == "HEAD":
        return Response(headers=_HEADERS)
    return EventFeed(request, runtime, runtime.live.watch(project, types))


class EventFeed(Response):
    """An answer that goes on until the client leaves, its key dies, or the server stops."""

    def __init__(self, request: Request, runtime: Runtime, watcher: Watcher) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._request = request
        self._runtime = runtime
        self._watcher = watcher

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        live: Live = self._runtime.live
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with anyio.create_task_group() as both:
                both.start_soon(_until_gone, receive, both.cancel_scope)
                await self._stream(send)
                both.cancel_scope.cancel()
        finally:
            live.leave(self._watcher)

    async def _stream(self, send: Send) -> None:
        piece: bytes | None = b"retry: %d\n: listening\n\n" % RETRY_MS
        while not self._watcher.closed:
            await send({"type": "http.response.body", "body": piece or b": beat\n\n", "more_body": True})
            piece = await self._watcher.next(HEARTBEAT_S)
            if piece is None and not await self._may_go_on():
                break
        await send({"type": "http.response.body", "body": piece or b"", "more_body": False})

    async def _may_go_on(self) -> bool:
        """Look anew whether the key is still good: it may have been revoked since."""
        try:
            await self._runtime.authorise(self._request, Policy.READ)
        except ClewError:
            return False
        return True


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _refuse_other_sites(request: Request) -> None:
    """
    Refuse another site's page: a stream is read across origins without a preflight.

    Raises:
        Forbidden: the request says that it comes from another origin.
    """
    fetch_site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    foreign = fetch_site is not None and fetch_site not in ("same-origin", "none")
    if foreign or (origin is not None and urlsplit(origin).netloc != request.headers.get("host")):
        raise Forbidden("this request was made by another site's page")
