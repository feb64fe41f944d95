"""The routes that read: traces, latencies, projects, figures about the server."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from clew import query
from clew.errors import ClewError
from clew.query.filters import Params, only_known, optional, text_of
from clew.query.latency import LatencyQuery, parse_heat_query, parse_latency_query, parse_steps_query
from clew.server import meter
from clew.server.auth import ALL_PROJECTS, Caller
from clew.server.problem import NotFound, answer
from clew.server.runtime import Runtime
from clew.server.writes import json_answer


async def traces(request: Request, caller: Caller) -> Response:
    """Traces, newest first, a page at a time."""
    runtime = _runtime(request)
    wanted = query.parse_trace_query(request.query_params.multi_items())
    wanted = wanted._replace(project=caller.project_for(request.query_params.get("project")))
    return json_answer(await runtime.read(query.list_traces, runtime.store, wanted))


async def trace(request: Request, caller: Caller) -> Response:
    """One trace, whole: its spans in tree order with payloads, and its scores."""
    runtime = _runtime(request)
    project = _project(request, caller)
    trace_id = request.path_params["trace_id"]
    return await runtime.read(_encode_trace, runtime, project, trace_id)


async def latency(request: Request, caller: Caller) -> Response:
    """p50, p95 and p99 of each operation, from histograms over all traffic."""
    return await _latencies(request, caller, parse_latency_query, query.latency)


async def latency_steps(request: Request, caller: Caller) -> Response:
    """The same over time: a step after the other."""
    return await _latencies(request, caller, parse_steps_query, query.latency_steps)


async def latency_heat(request: Request, caller: Caller) -> Response:
    """How many spans took how long, over time: counts by step and by row of durations."""
    return await _latencies(request, caller, parse_heat_query, query.latency_heat)


async def projects(request: Request, caller: Caller) -> Response:
    """The projects that this key may read and that have traces."""
    runtime = _runtime(request)
    names = await runtime.read(runtime.store.projects)
    return json_answer({"projects": [name for name in names if caller.project in (name, ALL_PROJECTS)]})


async def stats(request: Request, _: Caller) -> Response:
    """Figures about the store and what waits to enter it."""
    runtime = _runtime(request)
    return json_answer(
        {
            "store": await runtime.read(runtime.store.stats),
            "ingest": runtime.batcher.stats(),
            "events": runtime.live.stats(),
            "expired_traces": runtime.retention.totals.dropped_traces,
            "sdk_dropped": dict(runtime.meter.sdk_drops.by_cause),
            "uptime_s": round(time.time() - runtime.started_at, 3),
        }
    )


async def session(_: Request, caller: Caller) -> Response:
    """Say what the caller may do."""
    return json_answer({"scope": caller.scope, "project": caller.project})


async def healthz(_request: Request, _caller: Caller) -> Response:
    """Alive: the process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request, _: Caller) -> Response:
    """Ready: the store answers, and the server is not shutting down."""
    runtime = _runtime(request)
    try:
        await runtime.read(runtime.store.find_key, "readyz")
    except ClewError as error:
        return answer(error)
    return PlainTextResponse("ready\n")


async def metrics(request: Request, _: Caller) -> Response:
    """The server's own figures, for Prometheus."""
    runtime = _runtime(request)
    sizes = runtime.graphs.sizes()
    text = runtime.meter.text(
        runtime.batcher.stats(), {"nodes": sizes.nodes, "edges": sizes.edges}, runtime.retention.totals
    )
    return Response(text, headers={"content-type": meter.CONTENT_TYPE})


async def _latencies(
    request: Request, caller: Caller, parse: Callable[[Params], LatencyQuery], ask: Callable[..., dict[str, Any]]
) -> Response:
    runtime = _runtime(request)
    wanted = parse(request.query_params.multi_items())
    wanted = wanted._replace(project=caller.project_for(request.query_params.get("project")))
    return await runtime.read(lambda: json_answer(ask(runtime.store, wanted, now_ns=time.time_ns())))


def _encode_trace(runtime: Runtime, project: str, trace_id: str) -> Response:
    # Encoding runs in the reading thread too: a trace can be many megabytes.
    body: dict[str, Any] | None = query.one_trace(runtime.store, project, trace_id)
    if body is None:
        raise NotFound(f"no trace {trace_id} in project {project!r}; it may not have come yet")
    return json_answer(body)


def _project(request: Request, caller: Caller) -> str:
    given = only_known(request.query_params.multi_items(), ("project",))
    return caller.project_for(optional(given, "project", text_of))


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
