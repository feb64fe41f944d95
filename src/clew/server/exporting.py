"""The routes that copy a store: what there is, and its traces whole, a page at a time. For admins."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from clew.query.filters import TRACE_PARAMS, only_known, parse_trace_query
from clew.query.whole import decided, whole_page
from clew.server.auth import Caller
from clew.server.runtime import Runtime
from clew.server.writes import json_answer

WHOLE_PARAMS = {name: TRACE_PARAMS[name] for name in ("project", "from", "to", "cursor")}


async def projects(request: Request, _: Caller) -> Response:
    """Every project, with its declared workflows, its arms and how many spans it has."""
    runtime: Runtime = request.app.state.runtime
    only_known(request.query_params.multi_items(), ())
    return json_answer({"projects": await runtime.read(decided, runtime.store)})


async def traces(request: Request, _: Caller) -> Response:
    """Traces whole, every field as it is stored: `{"traces", "more", "after"}` as MessagePack."""
    runtime: Runtime = request.app.state.runtime
    given = only_known(request.query_params.multi_items(), WHOLE_PARAMS)
    body = await runtime.read(whole_page, runtime.store, parse_trace_query(given.items()))
    return Response(body, media_type="application/msgpack")
