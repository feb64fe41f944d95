"""
The server's routes, on one screen.

Each row says who may ask; a route without a policy does not build. FastAPI serves the admin
API (its routers can be mounted, its schema read); what is asked for a thousand times a second
is a plain Starlette endpoint.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import anyio
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clew.errors import ClewError
from clew.query.filters import TRACE_PARAMS
from clew.query.graph_asking import QUESTIONS
from clew.query.graph_params import EXPORT_PARAMS, REPEATED
from clew.query.latency import HEAT_PARAMS, LATENCY_PARAMS, STEPS_PARAMS
from clew.server import erasing, events, exporting, graph, login, reads, writes
from clew.server.auth import Caller, Policy
from clew.server.guard import Guard
from clew.server.page import Page
from clew.server.problem import MethodNotAllowed, NotFound, answer, status_of
from clew.server.runtime import Runtime
from clew.server.settings import ServerSettings
from clew.store.protocol import Store

log = logging.getLogger("clew.server")

Endpoint = Callable[[Request, Caller], Awaitable[Response]]


class Row(NamedTuple):
    """One route."""

    method: str
    path: str
    endpoint: Endpoint
    policy: Policy
    params: Mapping[str, str] | None = None
    """Of the query string: name -> one sentence. Only for the admin API, which FastAPI serves."""


PROJECT = {"project": TRACE_PARAMS["project"]}
TEXT = {"type": "string"}
REPEATED_TEXT = {"type": "array", "items": TEXT}
OTLP_PATHS = frozenset({"/v1/traces"})
"""Answer errors as protobuf."""


def table(page: Page) -> tuple[Row, ...]:
    """Every route of the server."""
    return (
        # Writing.
        Row("POST", "/api/v1/spans", writes.native_spans, Policy.INGEST),
        Row("POST", "/v1/traces", writes.otlp_traces, Policy.INGEST),
        Row("POST", "/api/v1/scores", writes.scores, Policy.INGEST),
        Row("POST", "/api/v1/events", events.take, Policy.INGEST),
        # Reading.
        Row("GET", "/api/v1/admin/traces/", reads.traces, Policy.READ, TRACE_PARAMS),
        Row("GET", "/api/v1/admin/traces/metrics/latency", reads.latency, Policy.READ, LATENCY_PARAMS),
        Row("GET", "/api/v1/admin/traces/metrics/latency/steps", reads.latency_steps, Policy.READ, STEPS_PARAMS),
        Row("GET", "/api/v1/admin/traces/metrics/latency/heat", reads.latency_heat, Policy.READ, HEAT_PARAMS),
        Row("GET", "/api/v1/admin/traces/{trace_id}", reads.trace, Policy.READ, PROJECT),
        Row("DELETE", "/api/v1/admin/traces/", erasing.erase, Policy.ADMIN, erasing.ERASE_PARAMS),
        Row("DELETE", "/api/v1/admin/traces/{trace_id}", erasing.erase_one, Policy.ADMIN, erasing.ERASE_ONE_PARAMS),
        Row("GET", "/api/v1/admin/export/projects", exporting.projects, Policy.ADMIN, {}),
        Row("GET", "/api/v1/admin/export/traces", exporting.traces, Policy.ADMIN, exporting.WHOLE_PARAMS),
        Row("GET", "/api/v1/admin/projects", reads.projects, Policy.READ, {}),
        Row("GET", "/api/v1/admin/stats", reads.stats, Policy.ADMIN, {}),
        Row("GET", "/api/v1/events", events.watch, Policy.READ),
        # The graph.
        *(
            Row("GET", f"/api/v1/admin/graph/{name}", graph.asking(name), Policy.READ, asked.params)
            for name, asked in QUESTIONS.items()
        ),
        Row("GET", "/api/v1/admin/graph/export", graph.export, Policy.READ, EXPORT_PARAMS),
        Row("POST", "/api/v1/admin/graph/suggest", graph.suggest, Policy.READ, PROJECT),
        Row("POST", "/api/v1/admin/graph/templates", graph.save_template, Policy.ADMIN, graph.TEMPLATE_PARAMS),
        Row("DELETE", "/api/v1/admin/graph/templates", graph.remove_template, Policy.ADMIN, graph.TEMPLATE_PARAMS),
        Row("POST", "/api/v1/admin/graph/arms", graph.add_arm, Policy.ADMIN, PROJECT),
        Row("POST", "/api/v1/admin/graph/arms/choose", graph.choose_arm, Policy.ADMIN, PROJECT),
        Row("POST", "/api/v1/graph/deltas", graph.deltas, Policy.INGEST),
        Row("GET", "/api/v1/openapi.json", _schema, Policy.READ),
        # Logging in.
        Row("POST", "/api/v1/login", login.login, Policy.PUBLIC),
        Row("POST", "/api/v1/logout", login.logout, Policy.PUBLIC),
        Row("GET", "/api/v1/session", reads.session, Policy.READ),
        # Watching.
        Row("GET", "/healthz", reads.healthz, Policy.PUBLIC),
        Row("GET", "/readyz", reads.readyz, Policy.PUBLIC),
        Row("GET", "/metrics", reads.metrics, Policy.OPERATE),
        # The page.
        Row("GET", "/", page.index, Policy.PUBLIC),
        Row("GET", "/ui/{path:path}", page.asset, Policy.PUBLIC),
    )


def create_app(store: Store, settings: ServerSettings) -> Guard:
    """
    Build the server on *store*, which it owns from now on.

    Raises:
        RuntimeError: some route has no policy.
    """
    runtime = Runtime(store, settings)
    app = FastAPI(title="Clew", openapi_url=None, docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.router.redirect_slashes = False
    app.state.runtime = runtime
    app.add_exception_handler(HTTPException, _no_route)
    for row in table(Page()):
        _add(app, row)
    refuse_unguarded(app)
    return Guard(app, runtime)


def refuse_unguarded(app: FastAPI) -> None:
    """
    Check that every route was made by `guarded`, so that none can be reached without a policy.

    Raises:
        RuntimeError: one was not.
    """
    for route in app.router.routes:
        policy = getattr(getattr(route, "endpoint", None), "policy", None)
        if not isinstance(policy, Policy):
            raise RuntimeError(f"route {getattr(route, 'path', route)!r} has no policy; add it to `table`")  # noqa: TRY004


def guarded(row: Row) -> Callable[[Request], Awaitable[Response]]:
    """Put the route's policy before its endpoint, and its errors into HTTP."""

    async def handle(request: Request) -> Response:
        request.scope["clew.route"] = row.path
        runtime: Runtime = request.app.state.runtime
        try:
            caller = await runtime.authorise(request, row.policy)
            return await row.endpoint(request, caller)
        except Exception as error:
            return _refusal(error, row, runtime)

    handle.policy = row.policy  # type: ignore[attr-defined]
    handle.__name__ = getattr(row.endpoint, "__name__", "endpoint")
    handle.__doc__ = row.endpoint.__doc__
    return handle


def _refusal(error: Exception, row: Row, runtime: Runtime) -> Response:
    if not isinstance(error, ClewError):
        log.error("%s %s failed", row.method, row.path, exc_info=error)
    if row.policy is Policy.INGEST:
        runtime.meter.refused_bodies[type(error).__name__ if isinstance(error, ClewError) else "Internal"] += 1
    return answer(error, protobuf=row.path in OTLP_PATHS)


def _add(app: FastAPI, row: Row) -> None:
    endpoint = guarded(row)
    if row.params is None:
        app.router.routes.append(Route(row.path, endpoint, methods=[row.method]))
        return
    described: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": text, "schema": REPEATED_TEXT if name in REPEATED else TEXT}
        for name, text in row.params.items()
    ]
    described += [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("trace_id",)
        if f"{{{name}}}" in row.path
    ]
    app.add_api_route(row.path, endpoint, methods=[row.method], openapi_extra={"parameters": described})
    if row.path.endswith("/"):
        app.add_api_route(row.path.rstrip("/"), endpoint, methods=[row.method], include_in_schema=False)


async def _schema(request: Request, _: Caller) -> Response:
    """The admin API as an OpenAPI schema."""
    return writes.json_answer(request.app.openapi())


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else status_of(error)
    path = request.url.path
    if status == 405:
        return answer(MethodNotAllowed(f"{request.method} is not for {path}"), protobuf=path in OTLP_PATHS)
    return answer(NotFound(f"there is nothing at {path}"))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    runtime: Runtime = app.state.runtime
    runtime.start()
    try:
        yield {}
    finally:
        # Shielded: what was accepted is stored even if the loop is being torn down.
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(runtime.close)
