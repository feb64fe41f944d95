"""Traces to show: one like the demo's, one that is hostile in every field and key, one that is big."""

from __future__ import annotations

import itertools
import secrets
import time
from typing import Any

DEMO_TREE = [
    "POST /api/v1/query",
    "chat_generation",
    "classification",
    "get_rag_context",
    "embedding",
    "VectorStoreRetriever_user_messages",
    "VectorStoreRetriever_global_knowledge",
    "VectorStoreRetriever_documents",
    "ChatOpenAI",
]
"""The names of `demo_trace`, in tree order."""

QUESTION = "How does Python resolve the order in which base classes are searched?"
ANSWER = (
    "Python computes a method resolution order with the C3 linearisation: a class comes before its bases, "
    "bases keep the order in which they are listed, and the first match in `__mro__` wins. [1] [3]"
)
SYSTEM = "Answer from the context only. Cite with [n]. If the context does not say, say so."
STACK = """Traceback (most recent call last):
  File "service/index.py", line 31, in search
    raise ConnectionError(reason)"""


class Tracer:
    """Makes spans of one trace; times are milliseconds after its start."""

    def __init__(self, *, ago_s: float = 2.0) -> None:
        self.trace_id = secrets.token_hex(16)
        self.start_ns = time.time_ns() - int(ago_s * 1e9)
        self.spans: list[dict[str, Any]] = []

    def span(self, name: str, kind: str, parent: str | None, start_ms: float, end_ms: float, **more: Any) -> str:
        """Add a span; gives its id."""
        span_id = secrets.token_hex(8)
        said = {
            "trace_id": self.trace_id,
            "span_id": span_id,
            "parent_id": parent,
            "name": name,
            "kind": kind,
            "start_ns": self.at_ns(start_ms),
            "end_ns": self.at_ns(end_ms),
            "status": "ok",
        }
        self.spans.append({**said, **more})
        return span_id

    def at_ns(self, after_ms: float) -> int:
        """The moment *after_ms* after the trace's start."""
        return self.start_ns + int(after_ms * 1e6)

    def body(self, **more: Any) -> dict[str, Any]:
        """What to POST: children before their parents, as a writer often sends them."""
        resource = {"service.name": "hybrid-rag", "telemetry.sdk.name": "clew"}
        return {"resource": resource, "spans": self.spans[::-1], **more}


def demo_trace(*, user_id: str = "ana", ago_s: float = 2.0, failing: bool = False, question: str = QUESTION) -> Tracer:
    """A trace like those of the demo: ROOT > chat_generation > {classification, context > {…}, ChatOpenAI}."""
    made = Tracer(ago_s=ago_s)
    who = {"user_id": user_id, "session_id": f"{user_id}-1", "strategy": "hybrid", "confidence": 0.82}
    http = {"http.request.method": "POST", "http.route": "/api/v1/query", "http.response.status_code": 200}
    asked = {"question": question, "strategy": "auto", "language": "auto", "stream": True}
    answered = {"answer": ANSWER, "sources": ["lang:mro", "lang:classes"], "confidence": 0.82}
    said: dict[str, Any] = {"attributes": {**http, **who}, "inputs": asked, "outputs": answered}
    root = made.span("POST /api/v1/query", "root", None, 0, 1287, **said)
    said = {"inputs": {"question": question}, "outputs": {"answer": ANSWER}}
    chat = made.span("chat_generation", "chain", root, 2, 1280, **said)
    classified = {"intent": "how-to", "language": "en", "words": 11, "entities": ["Python"], "strategy": "hybrid"}
    made.span("classification", "classification", chat, 3, 11.4, inputs={"question": question}, outputs=classified)
    context = made.span("get_rag_context", "chain", chat, 13, 128, outputs={"documents": 9, "confidence": 0.82})
    _retrieval(made, context, question, failing=failing)
    _generation(made, chat, question)
    return made


def _retrieval(made: Tracer, context: str, question: str, *, failing: bool) -> None:
    says = {"model": "multilingual-e5-small", "input_tokens": 17, "dimensions": 384}
    payload = {"inputs": f"query: {question}", "outputs": {"dimensions": 384}}
    made.span("embedding", "embedding", context, 14, 36, attributes=says, **payload)
    for index, (name, took_ms) in enumerate([("user_messages", 19.0), ("global_knowledge", 84.0), ("documents", 47.0)]):
        result: dict[str, Any] = {"outputs": {"documents": _documents(4 - index)}}
        if failing and name == "global_knowledge":
            result = _failure(made)
        result["attributes"] = {"index": name, "top_k": 5, "strategy": "hybrid", "fusion": "rrf"}
        result["inputs"] = {"query": question, "top_k": 5}
        made.span(f"VectorStoreRetriever_{name}", "retrieval", context, 38 + index, 38 + took_ms, **result)


def _failure(made: Tracer) -> dict[str, Any]:
    raised = {
        "exception.type": "ConnectionError",
        "exception.message": "the index is away",
        "exception.stacktrace": STACK,
    }
    event = {"name": "exception", "at_ns": made.at_ns(60), "attributes": raised}
    return {"status": "error", "status_message": "ConnectionError: the index is away", "events": [event]}


def _documents(how_many: int) -> list[dict[str, Any]]:
    text = "The method resolution order is the list of classes that are searched; C3 keeps bases in order."
    return [{"id": f"lang:mro#{i}", "score": round(0.91 - 0.07 * i, 2), "text": text} for i in range(how_many)]


def _generation(made: Tracer, chat: str, question: str) -> None:
    usage = {"input_tokens": 612, "output_tokens": 88, "first_token_ms": 312.0}
    says = {"model": "SmolLM2-135M-Instruct", "temperature": 0.2, **usage}
    asked = f"Context:\n[1] The method resolution order …\n\nQuestion: {question}"
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]
    answer = {"role": "assistant", "content": ANSWER}
    made.span("ChatOpenAI", "generation", chat, 131, 1274, attributes=says, inputs=messages, outputs=answer)


HOSTILE = [
    "<script>window.pwned=1;alert('script')</script>",
    "<img src=x onerror=\"window.pwned=1;fetch('http://evil.example/')\">",
    '"><svg onload=alert(1)><iframe src="http://evil.example/"></iframe>',
    "javascript:window.pwned=1;alert('link')",
    "data:text/html,<script>window.pwned=1</script>",
    "{{constructor.constructor('window.pwned=1')()}} ${window.pwned=1} <%= window.pwned=1 %> #{window.pwned=1}",
    "__proto__",
    "constructor.prototype.polluted",
    "</style><style>*{background:url(http://evil.example/)}</style>",
    "\u202egnp.exe\u2066 right to left \u200f",
    "nul \u0000 bell \u0007 escape \u001b[31m",
    "' onmouseover='window.pwned=1' x='",
    "#key=stolen&/traces/../../api/v1/logout?key=stolen",
    "\u2028\u2029 line \U0001f600 " + "\u0301" * 200,
    "%3Cscript%3Ealert(1)%3C/script%3E\r\nSet-Cookie: a=b",
]


def hostile_trace(payload: str) -> Tracer:
    """*payload* in every field and key that a client writes."""
    made = Tracer()
    polluting = {"polluted": payload}
    tree = {payload: payload, "__proto__": polluting, "constructor": {"prototype": polluting}, "href": payload}
    nested = {**tree, "list": [payload, tree, [[payload]]], "role": payload, "content": payload}
    raised = {"exception.type": payload, "exception.message": payload, "exception.stacktrace": payload, **tree}
    events = [{"name": name, "at_ns": made.at_ns(1), "attributes": raised} for name in ("exception", payload)]
    known = dict.fromkeys(("model", "strategy", "user_id", "session_id", "url", "http.route"), payload)
    more: dict[str, Any] = {
        "attributes": {**nested, **known},
        "inputs": nested,
        "outputs": [nested, {"role": payload, "content": payload}],
        "events": events,
        "status": "error",
        "status_message": payload,
        "problems": [payload],
        "links": [{"trace_id": made.trace_id, "span_id": "ab" * 8, "attributes": tree}],
    }
    root = made.span(payload, "root", None, 0, 10, **more)
    made.span(payload, "generation", root, 1, 9, **{**more, "inputs": payload, "outputs": payload})
    return made


def hostile_body(payload: str) -> tuple[str, dict[str, Any]]:
    """A hostile trace, with a hostile score and resource: (trace id, body)."""
    made = hostile_trace(payload)
    score = {"trace_id": made.trace_id, "name": payload, "value": 4, "best": 5, "label": payload, "comment": payload}
    return made.trace_id, {**made.body(scores=[score]), "resource": {payload: payload, "service.name": payload}}


def big_trace(span_count: int) -> Tracer:
    """A trace of *span_count* spans, ten to a parent."""
    made = Tracer(ago_s=60)
    ids = [made.span("big", "root", None, 0, span_count, inputs="a big one")]
    for number in range(1, span_count):
        parent = ids[(number - 1) // 10]
        ids.append(made.span(f"step {number}", "tool", parent, number, number + 0.9, outputs={"number": number}))
    return made


def many_traces(how_many: int, user_id: str) -> list[dict[str, Any]]:
    """Small traces of one user, a second apart."""
    made = []
    for number in range(how_many):
        one = Tracer(ago_s=how_many - number + 5)
        one.span(f"request {number}", "root", None, 0, 5 + number, attributes={"user_id": user_id})
        made.append(one)
    return list(itertools.chain.from_iterable(one.spans for one in made))
