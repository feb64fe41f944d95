"""
Where `clew traces` reads from: a server over HTTP, or a store straight.

Both give the JSON bodies of the admin API, so that the commands do not care.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import msgspec

from clew import query
from clew.errors import BadFilter, ClewError, ConfigError
from clew.model.ids import trace_id_of
from clew.query.filters import DEFAULT_PROJECT
from clew.server.hosts import is_loopback
from clew.store import open_store
from clew.store.protocol import Store

TIMEOUT_S = 30.0


class ServerRefused(ClewError):
    """The server answered, but not with what was asked. Exit status 1."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the server said {status}: {message}")
        self.status = status


class ServerUnreachable(ClewError):
    """Nobody answers at the server's address. Exit status 1."""


class NoSuchTrace(ClewError):
    """That trace is not stored. Exit status 1."""


class Source(Protocol):
    """Answers what `clew traces` asks."""

    url: str | None
    """The page's address, for links; None without a server."""

    def traces(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Give one page of traces: the body of `GET /api/v1/admin/traces/`."""

    def trace(self, project: str, trace_id: str) -> dict[str, Any]:
        """Give one trace whole: the body of `GET /api/v1/admin/traces/{trace_id}`."""

    def close(self) -> None:
        """Let go of the store or the connection."""


class StoreSource:
    """Reads a store straight, without a server."""

    url: str | None = None

    def __init__(self, store: Store) -> None:
        self._store = store

    def traces(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Ask the store for a page."""
        return query.list_traces(self._store, query.parse_trace_query(params.items()))

    def trace(self, project: str, trace_id: str) -> dict[str, Any]:
        """Ask the store for one trace."""
        body = query.one_trace(self._store, project or DEFAULT_PROJECT, trace_id)
        if body is None:
            raise NoSuchTrace(f"no trace {trace_id} in this store, project {project or DEFAULT_PROJECT!r}")
        return body

    def close(self) -> None:
        """Close the store."""
        self._store.close()


class HttpAnswer(msgspec.Struct):
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: bytes


class HttpSource:
    """Asks a server."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("CLEW_URL", f"{url!r} is not http(s)://host:port")
        self.url: str | None = url.rstrip("/")
        self._key = key
        # A proxy that the environment names knows nothing of our own machine.
        own = is_loopback(parts.hostname)
        self._opener: OpenerDirector = build_opener(ProxyHandler({})) if own else build_opener()

    def traces(self, params: Mapping[str, str]) -> dict[str, Any]:
        """Ask for a page."""
        return self.ask("/api/v1/admin/traces/?" + urlencode(params))

    def trace(self, project: str, trace_id: str) -> dict[str, Any]:
        """Ask for one trace."""
        suffix = f"?project={quote(project, safe='')}" if project else ""
        return self.ask(f"/api/v1/admin/traces/{trace_id_of(trace_id)}{suffix}")

    def close(self) -> None:
        """Close nothing: each question has its own connection."""

    def ask(self, path: str) -> dict[str, Any]:
        """
        Give the JSON body of an answer that is a success.

        Raises:
            ServerUnreachable, ServerRefused, BadFilter, NoSuchTrace: each says what to do.
        """
        answer = self.send("GET", path)
        if answer.status < 400:
            body: dict[str, Any] = msgspec.json.decode(answer.body)
            return body
        raise _refusal(answer)

    def send(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> HttpAnswer:
        """
        Send one request, with the key; give the answer, whatever its status.

        Raises:
            ServerUnreachable: nobody answers.
        """
        request = Request(f"{self.url}{path}", data=body, method=method)  # noqa: S310  (checked to be http)
        if self._key:
            request.add_header("authorization", f"Bearer {self._key}")
        if content_type:
            request.add_header("content-type", content_type)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                return HttpAnswer(response.status, _lower(response.headers), response.read())
        except HTTPError as error:
            with error:
                return HttpAnswer(error.code, _lower(error.headers), error.read())
        except (URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerUnreachable(
                f"nobody answers at {self.url} ({reason}); start `clew serve`, or set CLEW_URL, or give --store"
            ) from None


def open_source(store: str | None, url: str, key: str) -> Source:
    """Open the store if one is named, otherwise the server."""
    if store is not None:
        return StoreSource(open_store(store, read_only=True))
    return HttpSource(url, key)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _refusal(answer: HttpAnswer) -> ClewError:
    try:
        error = msgspec.json.decode(answer.body)["error"]
        kind, message = str(error["type"]), str(error["message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        kind, message = "", "something that is no answer of Clew's; is CLEW_URL right?"
    if kind == "BadFilter":
        field, _, problem = message.partition(": ")
        return BadFilter(field, problem)
    if kind == "NotFound":
        return NoSuchTrace(message)
    if answer.status == 401:
        return ServerRefused(401, f"{message} (CLEW_API_KEY or --key; or --store to read without a server)")
    return ServerRefused(answer.status, message)
