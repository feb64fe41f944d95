"""
The routes of the execution graph: questions, templates, arms, and what SDKs learned by themselves.

Every question runs in a reading thread, and is encoded there too: an answer can be megabytes.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from clew.errors import BadFilter, MalformedBody
from clew.ingest.deltas import read_delta
from clew.query import graph_asking
from clew.query.filters import only_known, optional, text_of
from clew.query.graph_params import MAX_CALLED, MAX_K, shares_of
from clew.query.graph_rows import body
from clew.server.auth import Caller
from clew.server.body import HeldBody, media_type
from clew.server.problem import NotFound
from clew.server.runtime import Runtime
from clew.server.writes import JSON, json_answer
from clew.wire import compression

T = TypeVar("T")

Endpoint = Callable[[Request, Caller], Awaitable[Response]]

YAML_MEDIA = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
MSGPACK = "application/msgpack"
MAX_BODY_BYTES = 4 << 20
"""Of a question or a template."""

TEMPLATE_PARAMS = {
    "project": "The project to change; `default` if not given.",
    "name": "The template's name; when declaring, for one that does not say its own.",
}

EXPORT_MEDIA = {
    "json": ("application/json", "json"),
    "dot": ("text/vnd.graphviz; charset=utf-8", "dot"),
    "mermaid": ("text/vnd.mermaid; charset=utf-8", "mmd"),
    "graphml": ("application/graphml+xml; charset=utf-8", "graphml"),
}
"""Format -> media type and the end of the file's name."""


class CalledBody(msgspec.Struct, forbid_unknown_fields=True):
    """One call of a run so far."""

    name: str
    kind: str | None = None
    ok: bool = True
    arguments: list[str] | dict[str, Any] = []
    """Their names; values are not looked at."""


class SuggestBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/admin/graph/suggest`."""

    called: list[str | CalledBody] = []
    within: str | None = None
    pending: list[str] | None = None
    k: int = 5
    trace_id: str | None = None
    parent_span_id: str = ""
    arm: str | None = None
    log: bool | None = None


class ArmBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/admin/graph/arms`."""

    question: str
    arm: str
    weights: dict[str, float] = {}
    note: str = ""


class ChooseBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/v1/admin/graph/arms/choose`: one of the three."""

    question: str
    version: int | None = None
    """Answers from now on; 0 is the default."""
    shares: dict[str, float] | None = None
    """Version -> share of the traces, for an A/B."""
    roll_back: bool = False
    """The version before answers again."""


def asking(question: str) -> Endpoint:
    """Give the endpoint of one question."""

    async def ask(request: Request, caller: Caller) -> Response:
        runtime, params = _runtime(request), request.query_params.multi_items()
        return await runtime.read(_answer, runtime, question, params, caller)

    ask.__name__ = f"graph_{question}"
    ask.__doc__ = graph_asking.QUESTIONS[question].says
    return ask


async def export(request: Request, caller: Caller) -> Response:
    """The graph as JSON, DOT, Mermaid or GraphML, as a file."""
    runtime, params = _runtime(request), request.query_params.multi_items()
    text, form, project = await runtime.read(graph_asking.export, runtime.graphs, params, caller.project_for)
    media, ending = EXPORT_MEDIA[form]
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", project)[:60]
    headers = {
        "cache-control": "no-store",
        "content-type": media,
        "content-disposition": f'attachment; filename="clew-graph-{name}.{ending}"',
    }
    return Response(text.encode("utf-8", "replace"), headers=headers)


async def suggest(request: Request, caller: Caller) -> Response:
    """The next steps, for a context that does not fit a URL."""
    asked = await _read_json(request, SuggestBody)
    if not 1 <= asked.k <= MAX_K:
        raise BadFilter("k", f"it must be a whole number from 1 to {MAX_K}")
    if len(asked.called) > MAX_CALLED or len(asked.pending or ()) > MAX_CALLED:
        raise BadFilter("called", f"at most {MAX_CALLED} calls are read")
    runtime, project = _runtime(request), _project(request, caller)

    def answer() -> Response:
        found = runtime.graphs.suggest(
            project,
            called=[each if isinstance(each, str) else _called(each) for each in asked.called],
            within=asked.within or None,
            pending=asked.pending,
            trace_id=asked.trace_id,
            parent_span_id=asked.parent_span_id,
            k=asked.k,
            arm=asked.arm or None,
            log=asked.log,
        )
        return json_answer(body(found))

    return await runtime.read(answer)


async def save_template(request: Request, caller: Caller) -> Response:
    """Declare a workflow: YAML, or the same as JSON. The same name replaces."""
    media = media_type(request, (JSON, *YAML_MEDIA))
    runtime = _runtime(request)
    named, project = _named(request, caller)
    async with HeldBody(request, runtime.budget, limit_bytes=MAX_BODY_BYTES) as raw:
        text = _text(raw)
        source = _json_object(text) if media == JSON else text
        name = await runtime.read(lambda: runtime.graphs.save_template(project, source, name=named or "", text=text))
    return json_answer({"name": name}, 201)


async def remove_template(request: Request, caller: Caller) -> Response:
    """Forget a declared workflow."""
    runtime = _runtime(request)
    name, project = _named(request, caller)
    if name is None:
        raise BadFilter("name", "say which template")
    if not await runtime.read(runtime.graphs.remove_template, project, name):
        raise NotFound(f"no template {name[:200]!r} in project {project!r}")
    return json_answer({"removed": name})


async def add_arm(request: Request, caller: Caller) -> Response:
    """Store an arm with its weights. It answers only once it is chosen."""
    asked = await _read_json(request, ArmBody)
    runtime, project = _runtime(request), _project(request, caller)

    def add() -> int:
        return runtime.graphs.add_arm(project, asked.question, asked.arm, asked.weights, asked.note)

    return json_answer({"question": asked.question, "version": await runtime.read(add)}, 201)


async def choose_arm(request: Request, caller: Caller) -> Response:
    """Say which versions answer from now on; gives all arms of the question."""
    asked = await _read_json(request, ChooseBody)
    ways = (asked.version is not None, asked.shares is not None, asked.roll_back)
    if sum(ways) != 1:
        raise BadFilter("version", "say one of `version`, `shares` and `roll_back`")
    runtime, project = _runtime(request), _project(request, caller)

    def choose() -> Response:
        if asked.roll_back:
            runtime.graphs.roll_back(project, asked.question)
        else:
            shares = {str(asked.version): 1.0} if asked.shares is None else asked.shares
            runtime.graphs.choose_arms(project, asked.question, shares_of(shares))
        return json_answer(graph_asking.answer(runtime.graphs, "arms", _of(project, asked.question)))

    return await runtime.read(choose)


async def deltas(request: Request, caller: Caller) -> Response:
    """Take what an SDK learned from traffic that it did not send. The same delta again changes nothing."""
    media_type(request, (MSGPACK,))
    runtime = _runtime(request)
    project = caller.project_for(request.query_params.get("project"))
    encoding = request.headers.get("content-encoding", "").strip().lower()
    limits = runtime.settings
    async with HeldBody(request, runtime.budget, limit_bytes=limits.body_limit_bytes) as raw:

        def apply() -> bool:
            delta = read_delta(compression.inflate(raw, encoding, limit_bytes=limits.max_body_bytes))
            return runtime.graphs.apply_delta(project, *delta)

        return json_answer({"applied": await runtime.read(apply)})


def _answer(runtime: Runtime, question: str, params: list[tuple[str, str]], caller: Caller) -> Response:
    found = graph_asking.answer(runtime.graphs, question, params, caller.project_for)
    if found is None:
        raise NotFound("this trace is not stored in this project; it may not have come yet")
    return json_answer(found)


def _called(one: CalledBody) -> dict[str, Any]:
    found: dict[str, Any] = {"name": one.name, "ok": one.ok, "arguments": sorted(one.arguments)}
    return found if one.kind is None else {**found, "kind": one.kind}


async def _read_json(request: Request, form: type[T]) -> T:
    media_type(request, (JSON,))
    async with HeldBody(request, _runtime(request).budget, limit_bytes=MAX_BODY_BYTES) as raw:
        return _decode(raw, form, msgspec.json)


def _decode(raw: bytes, form: type[T], reader: Any) -> T:
    try:
        decoded: T = reader.decode(raw, type=form)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise MalformedBody(f"this body cannot be read: {error}") from None
    return decoded


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedBody(f"this body is no UTF-8: {error}") from None


def _json_object(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = _decode(text.encode(), dict[str, Any], msgspec.json)
    return decoded


def _of(project: str, question: str) -> list[tuple[str, str]]:
    return [("project", project), ("question", question)]


def _project(request: Request, caller: Caller) -> str:
    given = only_known(request.query_params.multi_items(), ("project",))
    return caller.project_for(optional(given, "project", text_of))


def _named(request: Request, caller: Caller) -> tuple[str | None, str]:
    given = only_known(request.query_params.multi_items(), ("project", "name"))
    return optional(given, "name", text_of), caller.project_for(optional(given, "project", text_of))


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
