"""
Where `clew traces` and `clew graph` read from: a server over HTTP, or a store straight.

Both give the JSON bodies of the admin API, so that the commands do not care.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import msgspec

from clew import query
from clew.errors import BadFilter, BadTemplate, ClewError, ConfigError, MalformedBody, UnknownNode
from clew.model.ids import trace_id_of
from clew.query.filters import DEFAULT_PROJECT
from clew.query.latency import parse_heat_query, parse_latency_query, parse_steps_query
from clew.server.hosts import is_loopback
from clew.store import open_store
from clew.store.protocol import Store

if TYPE_CHECKING:
    from clew.query.graph import GraphQuestions

TIMEOUT_S = 30.0
GRAPH = "/api/v1/admin/graph"

Params = Sequence[tuple[str, str]]
"""Of a query string, in order, repeats included."""


LatencyView = Literal["", "steps", "heat"]


class ServerRefused(ClewError):
    """The server answered, but not with what was asked. Exit status 1."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the server said {status}: {message}")
        self.status = status


class ServerUnreachable(ClewError):
    """Nobody answers at the server's address. Exit status 1."""


class NoSuchTrace(ClewError):
    """That trace is not stored. Exit status 1."""


class NoSuchTemplate(ClewError):
    """That template is not stored. Exit status 1."""


class Source(Protocol):
    """Answers what `clew traces`, `clew graph` and `clew mcp` ask."""

    url: str | None
    """The page's address, for links; None without a server."""

    def traces(self, params: Mapping[str, str] | Params) -> dict[str, Any]:
        """Give one page of traces: the body of `GET /api/v1/admin/traces/`."""

    def trace(self, project: str, trace_id: str) -> dict[str, Any]:
        """Give one trace whole: the body of `GET /api/v1/admin/traces/{trace_id}`."""

    def latency(self, params: Mapping[str, str], view: LatencyView = "") -> dict[str, Any]:
        """Give the body of `GET /api/v1/admin/traces/metrics/latency`, or of its `steps` or `heat`."""

    def graph(self, question: str, params: Params) -> dict[str, Any]:
        """Give the body of `GET /api/v1/admin/graph/{question}`."""

    def graph_export(self, params: Params) -> str:
        """Give the text of `GET /api/v1/admin/graph/export`."""

    def save_template(self, project: str, text: str, name: str) -> str:
        """Declare a workflow in YAML, called *name* if it does not say its name; gives that."""

    def remove_template(self, project: str, name: str) -> None:
        """Forget a declared workflow."""

    def add_arm(self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str) -> int:
        """Store an arm; gives its version."""

    def choose_arms(self, project: str, question: str, shares: Mapping[str, float] | None) -> dict[str, Any]:
        """Let versions answer, or with None roll back; gives the body of `GET /api/v1/admin/graph/arms`."""

    def close(self) -> None:
        """Let go of the store or the connection."""


class StoreSource:
    """Reads a store straight, without a server."""

    url: str | None = None

    def __init__(self, store: Store) -> None:
        self._store = store
        self._graphs: GraphQuestions | None = None

    def traces(self, params: Mapping[str, str] | Params) -> dict[str, Any]:
        """Ask the store for a page."""
        return query.list_traces(self._store, query.parse_trace_query(_pairs(params)))

    def trace(self, project: str, trace_id: str) -> dict[str, Any]:
        """Ask the store for one trace."""
        body = query.one_trace(self._store, project or DEFAULT_PROJECT, trace_id)
        if body is None:
            raise NoSuchTrace(f"no trace {trace_id} in this store, project {project or DEFAULT_PROJECT!r}")
        return body

    def latency(self, params: Mapping[str, str], view: LatencyView = "") -> dict[str, Any]:
        """Ask the store's histograms."""
        if view == "steps":
            return query.latency_steps(self._store, parse_steps_query(params.items()), now_ns=time.time_ns())
        if view == "heat":
            return query.latency_heat(self._store, parse_heat_query(params.items()), now_ns=time.time_ns())
        return query.latency(self._store, parse_latency_query(params.items()), now_ns=time.time_ns())

    def graph(self, question: str, params: Params) -> dict[str, Any]:
        """Ask the store's graph."""
        from clew.query import graph_asking

        found = graph_asking.answer(self._asked(), question, params)
        if found is None:
            raise NoSuchTrace("this trace is not in this store and project")
        return found

    def graph_export(self, params: Params) -> str:
        """Write the store's graph as text."""
        from clew.query import graph_asking

        return graph_asking.export(self._asked(), params)[0]

    def save_template(self, project: str, text: str, name: str) -> str:
        """Declare a workflow in the store."""
        return self._asked().save_template(project or DEFAULT_PROJECT, text, name=name)

    def remove_template(self, project: str, name: str) -> None:
        """Forget a workflow of the store."""
        if not self._asked().remove_template(project or DEFAULT_PROJECT, name):
            raise NoSuchTemplate(f"no template {name!r} in this store, project {project or DEFAULT_PROJECT!r}")

    def add_arm(self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str) -> int:
        """Keep an arm in the store."""
        return self._asked().add_arm(project or DEFAULT_PROJECT, question, arm, weights, note)

    def choose_arms(self, project: str, question: str, shares: Mapping[str, float] | None) -> dict[str, Any]:
        """Choose among the store's arms."""
        from clew.query.graph_params import shares_of

        project = project or DEFAULT_PROJECT
        if shares is None:
            self._asked().roll_back(project, question)
        else:
            self._asked().choose_arms(project, question, shares_of(shares))
        return self.graph("arms", [("project", project), ("question", question)])

    def _asked(self) -> GraphQuestions:
        from clew.query.graph import GraphQuestions

        if self._graphs is None:
            self._graphs = GraphQuestions(self._store)
        return self._graphs

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

    def traces(self, params: Mapping[str, str] | Params) -> dict[str, Any]:
        """Ask for a page."""
        return self.ask("/api/v1/admin/traces/?" + urlencode(_pairs(params)))

    def trace(self, project: str, trace_id: str) -> dict[str, Any]:
        """Ask for one trace."""
        suffix = f"?project={quote(project, safe='')}" if project else ""
        return self.ask(f"/api/v1/admin/traces/{trace_id_of(trace_id)}{suffix}")

    def latency(self, params: Mapping[str, str], view: LatencyView = "") -> dict[str, Any]:
        """Ask for latencies."""
        path = "/api/v1/admin/traces/metrics/latency" + (f"/{view}" if view else "")
        return self.ask(f"{path}?{urlencode(params)}")

    def graph(self, question: str, params: Params) -> dict[str, Any]:
        """Ask the graph."""
        return self.ask(f"{GRAPH}/{question}?{urlencode(params)}")

    def graph_export(self, params: Params) -> str:
        """Ask for the graph as text."""
        return self.succeed("GET", f"{GRAPH}/export?{urlencode(params)}").decode("utf-8", "replace")

    def save_template(self, project: str, text: str, name: str) -> str:
        """Declare a workflow."""
        path = f"{GRAPH}/templates?name={quote(name, safe='')}"
        return str(self._change("POST", path, project, text.encode(), "application/yaml")["name"])

    def remove_template(self, project: str, name: str) -> None:
        """Forget a workflow."""
        self._change("DELETE", f"{GRAPH}/templates?name={quote(name, safe='')}", project)

    def add_arm(self, project: str, question: str, arm: str, weights: Mapping[str, float], note: str) -> int:
        """Store an arm."""
        body = {"question": question, "arm": arm, "weights": dict(weights), "note": note}
        return int(self._change("POST", f"{GRAPH}/arms", project, msgspec.json.encode(body))["version"])

    def choose_arms(self, project: str, question: str, shares: Mapping[str, float] | None) -> dict[str, Any]:
        """Choose among stored arms."""
        how = {"roll_back": True} if shares is None else {"shares": shares}
        return self._change("POST", f"{GRAPH}/arms/choose", project, msgspec.json.encode({"question": question, **how}))

    def _change(
        self, method: str, path: str, project: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        if project:
            path += f"{'&' if '?' in path else '?'}project={quote(project, safe='')}"
        changed: dict[str, Any] = msgspec.json.decode(self.succeed(method, path, body, content_type if body else ""))
        return changed

    def close(self) -> None:
        """Close nothing: each question has its own connection."""

    def ask(self, path: str) -> dict[str, Any]:
        """
        Give the JSON body of an answer that is a success.

        Raises:
            ServerUnreachable, ServerRefused, BadFilter, NoSuchTrace: each says what to do.
        """
        body: dict[str, Any] = msgspec.json.decode(self.succeed("GET", path))
        return body

    def succeed(self, method: str, path: str, body: bytes | None = None, content_type: str = "") -> bytes:
        """
        Give the body of an answer that is a success.

        Raises:
            ServerUnreachable, ServerRefused, BadFilter, NoSuchTrace: each says what to do.
        """
        answer = self.send(method, path, body, content_type)
        if answer.status < 400:
            return answer.body
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


def open_source(store: str | None, url: str, key: str, *, to_write: bool = False) -> Source:
    """Open the store if one is named, otherwise the server."""
    if store is not None:
        return StoreSource(open_store(store, read_only=not to_write))
    return HttpSource(url, key)


def _pairs(params: Mapping[str, str] | Params) -> list[tuple[str, str]]:
    return list(params.items()) if isinstance(params, Mapping) else list(params)


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
    if kind == "UnknownNode":
        near = tuple(str(each) for each in error.get("near", ()))
        return UnknownNode(str(error.get("asked", "")), near=near, ambiguous=error.get("ambiguous") is True)
    if kind in ("BadTemplate", "MalformedBody"):
        return BadTemplate(message) if kind == "BadTemplate" else MalformedBody(message)
    if kind == "NotFound":
        return NoSuchTrace(message)
    if answer.status == 401:
        return ServerRefused(401, f"{message} (CLEW_API_KEY or --key; or --store to read without a server)")
    return ServerRefused(answer.status, message)
