"""
The routes that write: spans in Clew's own protocol and in OTLP, and scores.

Each answers after the commit. Inflating and decoding happen in the batcher's threads.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from clew.errors import MalformedBody
from clew.ingest import Receipt
from clew.model import Score
from clew.model.ids import span_id_of, trace_id_of
from clew.server.auth import Caller
from clew.server.body import HeldBody, media_type
from clew.server.runtime import Runtime
from clew.store.protocol import StoredTrace
from clew.wire import Decoded, otlp_protobuf
from clew.wire.reading import Reading

JSON = "application/json"
NATIVE_MEDIA = (JSON, "application/msgpack")
OTLP_MEDIA = "application/x-protobuf"
MAX_LABEL_CHARS = 10_000


async def native_spans(request: Request, caller: Caller) -> Response:
    """Take spans and scores in Clew's own protocol: JSON or MessagePack."""
    content_type = media_type(request, NATIVE_MEDIA)
    # Before the body is stored: what was lost was lost, whatever becomes of this.
    drops = request.app.state.runtime.meter.sdk_drops
    drops.hear(caller.project_for(request.query_params.get("project")), request.headers)
    receipt = await _take(request, caller, "native", content_type)
    return json_answer(
        {
            "accepted": receipt.accepted + receipt.duplicates,
            "rejected": [{"index": one.index, "error": one.error} for one in receipt.rejected],
        }
    )


async def otlp_traces(request: Request, caller: Caller) -> Response:
    """Take an OTLP ExportTraceServiceRequest, as protobuf."""
    receipt = await _take(request, caller, "otlp", media_type(request, (OTLP_MEDIA,)))
    return Response(otlp_protobuf.encode_response(receipt.rejected), media_type=OTLP_MEDIA)


async def scores(request: Request, caller: Caller) -> Response:
    """Take one score, and say how its trace is judged now."""
    media_type(request, (JSON,))
    runtime: Runtime = request.app.state.runtime
    project = caller.project_for(request.query_params.get("project"))
    async with HeldBody(request, runtime.budget, limit_bytes=runtime.settings.body_limit_bytes) as body:
        score = read_score(body)
        await runtime.write(project, body, lambda _: Decoded(spans=[], scores=[score], rejected=[]))
    stored = await runtime.read(runtime.store.trace, project, score.trace_id)
    return json_answer(_verdict(stored))


def read_score(body: bytes) -> Score:
    """
    Read and check a score.

    Raises:
        MalformedBody: it is no score, or its figures make no sense.
        MalformedId: its trace or span id is malformed.
    """
    try:
        score = msgspec.json.decode(body, type=Score)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBody(f"this is no score: {error}") from None
    if not (math.isfinite(score.value) and math.isfinite(score.best) and 0 <= score.value <= score.best):
        raise MalformedBody(f"`value` must lie between 0 and `best` ({score.best:g}); it is {score.value:g}")
    if score.best <= 0:
        raise MalformedBody("`best` must be over 0")
    if not score.name or max(map(len, (score.name, score.label, score.comment))) > MAX_LABEL_CHARS:
        raise MalformedBody(f"`name` must not be empty, and no text longer than {MAX_LABEL_CHARS} characters")
    if not 0 <= score.at_ns < 2**63:
        raise MalformedBody("`at_ns` must be Unix nanoseconds")
    score.trace_id = trace_id_of(score.trace_id)
    score.span_id = None if score.span_id is None else span_id_of(score.span_id)
    return score


def json_answer(body: Any, status: int = 200) -> Response:
    """Answer *body* as JSON. What JSON cannot say (NaN, infinity) goes out as null."""
    return Response(
        msgspec.json.encode(body), status, headers={"cache-control": "no-store"}, media_type="application/json"
    )


async def _take(request: Request, caller: Caller, protocol: Literal["native", "otlp"], content_type: str) -> Receipt:
    runtime: Runtime = request.app.state.runtime
    project = caller.project_for(request.query_params.get("project"))
    encoding = request.headers.get("content-encoding", "").strip().lower()
    limits = runtime.settings
    read = Reading(protocol, content_type, encoding, limits.max_body_bytes)
    async with HeldBody(request, runtime.budget, limit_bytes=limits.body_limit_bytes) as body:
        return await runtime.write(project, body, read)


def _verdict(stored: StoredTrace | None) -> dict[str, Any]:
    if stored is None:
        return {"flag": None}
    return {"flag": stored.summary.flag.value, "flag_reason": stored.summary.flag_reason}
