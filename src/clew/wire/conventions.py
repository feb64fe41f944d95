"""
What the attributes of foreign conventions mean: one table, first match wins.

OpenInference, OpenTelemetry's gen_ai in its old and new names, Langfuse, LangSmith, Traceloop,
MLflow and Laminar, and the plain names that Clew's own users write. Attributes stay as they
came; what is derived from them can be derived again when the table has moved (`VERSION`).

Spans of one kind carry the same keys over and over, so what to read from which keys is planned
once for each set of keys and remembered: a span costs one look-up and the reads that win.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from clew.model import KINDS, Kind, Span
from clew.model.span import ANSWERING_KINDS
from clew.wire import readers as read
from clew.wire import texts

VERSION = 1
"""Goes up whenever the table would derive something else from the same attributes."""

_OWN: dict[str, Kind] = {kind: kind for kind in KINDS}
_LANGFUSE: dict[str, Kind] = {
    "generation": "generation", "embedding": "embedding", "agent": "agent", "tool": "tool", "chain": "chain",
    "retriever": "retrieval", "evaluator": "evaluation", "guardrail": "guardrail",
}  # fmt: skip
_OPENINFERENCE: dict[str, Kind] = {
    "llm": "generation", "tool": "tool", "chain": "chain", "retriever": "retrieval", "embedding": "embedding",
    "agent": "agent", "reranker": "rerank", "guardrail": "guardrail", "evaluator": "evaluation", "prompt": "chain",
}  # fmt: skip
_GEN_AI: dict[str, Kind] = {
    "chat": "generation", "text_completion": "generation", "generate_content": "generation",
    "embeddings": "embedding", "retrieval": "retrieval", "rerank": "rerank", "execute_tool": "tool",
    "invoke_agent": "agent", "create_agent": "agent", "invoke_workflow": "agent", "plan": "agent",
}  # fmt: skip
_LANGSMITH: dict[str, Kind] = {
    "llm": "generation", "chain": "chain", "tool": "tool", "retriever": "retrieval", "embedding": "embedding",
    "prompt": "chain", "parser": "chain",
}  # fmt: skip
_TRACELOOP: dict[str, Kind] = {"workflow": "chain", "task": "chain", "agent": "agent", "tool": "tool"}
_TRACELOOP_REQUEST: dict[str, Kind] = {
    "chat": "generation", "completion": "generation", "embedding": "embedding", "rerank": "rerank",
}  # fmt: skip
_MLFLOW: dict[str, Kind] = {
    "llm": "generation", "chat_model": "generation", "chain": "chain", "agent": "agent", "tool": "tool",
    "retriever": "retrieval", "embedding": "embedding", "reranker": "rerank", "parser": "chain",
    "workflow": "chain", "task": "chain", "guardrail": "guardrail", "evaluator": "evaluation",
}  # fmt: skip
_LAMINAR: dict[str, Kind] = {
    "llm": "generation", "tool": "tool", "executor": "chain", "evaluator": "evaluation", "evaluation": "evaluation",
    "human_evaluator": "evaluation", "pipeline": "chain",
}  # fmt: skip

_ASKING = frozenset({"gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message"})
_ANSWERING = frozenset({"gen_ai.choice"})
_TOKENS = frozenset({"new_token", "first_token"})
_DETAILS = "@gen_ai.client.inference.operation.details"
_USAGE = "langfuse.observation.usage_details"
_MLFLOW_USAGE = "mlflow.chat.tokenUsage"


class Rule(NamedTuple):
    """One line of the table: where a field's value may come from. Of one field, earlier lines win."""

    field: str
    key: str
    """An attribute's key; an event's name if it starts with "@"; a prefix of numbered keys if it ends with a dot."""
    read: Callable[[Any], Any] = read.payload
    gathers: bool = False
    """*read* wants the whole span, not the attribute's value."""


TABLE: tuple[Rule, ...] = (
    Rule("kind", "clew.kind", read.one_of(_OWN)),
    Rule("kind", "langfuse.observation.type", read.one_of(_LANGFUSE)),
    Rule("kind", "openinference.span.kind", read.one_of(_OPENINFERENCE)),
    Rule("kind", "gen_ai.operation.name", read.one_of(_GEN_AI)),
    Rule("kind", "langsmith.span.kind", read.one_of(_LANGSMITH)),
    Rule("kind", "traceloop.span.kind", read.one_of(_TRACELOOP)),
    Rule("kind", "llm.request.type", read.one_of(_TRACELOOP_REQUEST)),
    Rule("kind", "mlflow.spanType", read.one_of(_MLFLOW)),
    Rule("kind", "lmnr.span.type", read.one_of(_LAMINAR)),
    Rule("kind", "gen_ai.tool.name", read.always_tool),
    Rule("model", "gen_ai.response.model", read.text),
    Rule("model", "gen_ai.request.model", read.text),
    Rule("model", "llm.model_name", read.text),
    Rule("model", "embedding.model_name", read.text),
    Rule("model", "reranker.model_name", read.text),
    Rule("model", "langfuse.observation.model.name", read.text),
    Rule("model", "mlflow.llm.model", read.text),
    Rule("model", "ls_model_name", read.text),
    Rule("model", "langsmith.metadata.ls_model_name", read.text),
    Rule("model", "model", read.text),
    Rule("strategy", "clew.strategy", read.text),
    Rule("strategy", "strategy", read.text),
    Rule("input_tokens", "gen_ai.usage.input_tokens", read.count),
    Rule("input_tokens", "gen_ai.usage.prompt_tokens", read.count),
    Rule("input_tokens", "llm.usage.prompt_tokens", read.count),
    Rule("input_tokens", "llm.token_count.prompt", read.count),
    Rule("input_tokens", _USAGE, read.part("input", "input_tokens", "prompt_tokens", read=read.count)),
    Rule("input_tokens", _MLFLOW_USAGE, read.part("input_tokens", "prompt_tokens", read=read.count)),
    Rule("input_tokens", "input_tokens", read.count),
    Rule("input_tokens", "prompt_tokens", read.count),
    Rule("output_tokens", "gen_ai.usage.output_tokens", read.count),
    Rule("output_tokens", "gen_ai.usage.completion_tokens", read.count),
    Rule("output_tokens", "llm.usage.completion_tokens", read.count),
    Rule("output_tokens", "llm.token_count.completion", read.count),
    Rule("output_tokens", _USAGE, read.part("output", "output_tokens", "completion_tokens", read=read.count)),
    Rule("output_tokens", _MLFLOW_USAGE, read.part("output_tokens", "completion_tokens", read=read.count)),
    Rule("output_tokens", "output_tokens", read.count),
    Rule("output_tokens", "completion_tokens", read.count),
    Rule("cost_usd", "gen_ai.usage.cost", read.amount),
    Rule("cost_usd", "llm.cost.total", read.amount),
    Rule("cost_usd", "langfuse.observation.cost_details", read.part("total", read=read.amount)),
    Rule("cost_usd", "mlflow.llm.cost", read.part("total_cost", "total", read=read.amount)),
    Rule("cost_usd", "cost_usd", read.amount),
    Rule("confidence", "clew.confidence", read.share),
    Rule("confidence", "confidence", read.share),
    Rule("first_token_ms", "gen_ai.response.time_to_first_chunk", read.milliseconds_of_seconds),
    Rule("first_token_ms", "langfuse.observation.completion_start_time", read.completion_start, gathers=True),
    Rule("first_token_ms", "first_token_ms", read.amount),
    *(Rule("first_token_ms", f"@{name}", partial(read.first_token, _TOKENS), gathers=True) for name in sorted(_TOKENS)),
    Rule("user_id", "user.id", read.text),
    Rule("user_id", "langfuse.user.id", read.text),
    Rule("user_id", "enduser.id", read.text),
    Rule("user_id", "traceloop.association.properties.user_id", read.text),
    Rule("user_id", "langsmith.metadata.user_id", read.text),
    Rule("user_id", "mlflow.trace.user", read.text),
    Rule("user_id", "lmnr.association.properties.user_id", read.text),
    Rule("user_id", "user_id", read.text),
    Rule("session_id", "gen_ai.conversation.id", read.text),
    Rule("session_id", "session.id", read.text),
    Rule("session_id", "langfuse.session.id", read.text),
    Rule("session_id", "traceloop.association.properties.session_id", read.text),
    Rule("session_id", "langsmith.metadata.session_id", read.text),
    Rule("session_id", "langsmith.metadata.thread_id", read.text),
    Rule("session_id", "langsmith.metadata.conversation_id", read.text),
    Rule("session_id", "mlflow.trace.session", read.text),
    Rule("session_id", "lmnr.association.properties.session_id", read.text),
    Rule("session_id", "session_id", read.text),
    Rule("inputs", "gen_ai.input.messages", read.payload),
    Rule("inputs", _DETAILS, partial(read.event_attribute, "gen_ai.input.messages"), gathers=True),
    Rule("inputs", "gen_ai.prompt."),
    Rule("inputs", "llm.input_messages."),
    *(Rule("inputs", f"@{name}", partial(read.event_messages, _ASKING), gathers=True) for name in sorted(_ASKING)),
    Rule("inputs", "input.value", read.payload),
    Rule("inputs", "traceloop.entity.input", read.payload),
    Rule("inputs", "langfuse.observation.input", read.payload),
    Rule("inputs", "mlflow.spanInputs", read.payload),
    Rule("inputs", "lmnr.span.input", read.payload),
    Rule("inputs", "gen_ai.tool.call.arguments", read.payload),
    Rule("inputs", "tool.parameters", read.payload),
    Rule("inputs", "gen_ai.retrieval.query.text", read.payload),
    Rule("inputs", "embedding.embeddings."),
    Rule("outputs", "gen_ai.output.messages", read.payload),
    Rule("outputs", _DETAILS, partial(read.event_attribute, "gen_ai.output.messages"), gathers=True),
    Rule("outputs", "gen_ai.completion."),
    Rule("outputs", "llm.output_messages."),
    Rule("outputs", "@gen_ai.choice", partial(read.event_messages, _ANSWERING), gathers=True),
    Rule("outputs", "output.value", read.payload),
    Rule("outputs", "traceloop.entity.output", read.payload),
    Rule("outputs", "langfuse.observation.output", read.payload),
    Rule("outputs", "mlflow.spanOutputs", read.payload),
    Rule("outputs", "lmnr.span.output", read.payload),
    Rule("outputs", "gen_ai.tool.call.result", read.payload),
    Rule("outputs", "gen_ai.retrieval.documents", read.payload),
    Rule("outputs", "retrieval.documents."),
    Rule("outputs", "reranker.output_documents."),
)


Reads = tuple[str, Callable[[Any], Any], bool]
"""A key, how to read it, and whether that wants the whole span."""

Plan = tuple[tuple[str, bool, Reads, tuple[Reads, ...]], ...]
"""For each field that the keys at hand can give: whether the client's own word is kept, what to read, what if that
says nothing. The best stands alone, since it nearly always says something."""

_MAX_PLANS = 4_096
_MAX_PLANNED_KEYS = 64

_plans: dict[tuple[str, ...], Plan] = {}
_ranks_of_key: dict[str, list[int]] = {}
for _rank, _rule in enumerate(TABLE):
    _ranks_of_key.setdefault(_rule.key, []).append(_rank)
_PREFIXES = tuple(key for key in _ranks_of_key if key.endswith("."))


def derive(span: Span) -> None:
    """
    Fill what is derived of *span* from its attributes, inputs, outputs and events.

    Whatever stood in the derived fields is forgotten. Inputs, outputs and a kind which the client
    gave are kept: only what is missing is taken from the attributes.
    """
    _forget(span)
    attributes = span.attributes
    keys = tuple(attributes)
    if span.events:
        keys += tuple(dict.fromkeys("@" + event.name for event in span.events))
    plan = _plans.get(keys)
    if plan is None:
        plan = _remembered(keys)
    for field, kept, (key, reads, gathers), others in plan:
        if kept and getattr(span, field) not in _MISSING:
            continue
        value = reads(span if gathers else attributes[key])
        if value is not None:
            setattr(span, field, value)
        elif others:
            _set_first(span, field, others)
    if span.kind in ANSWERING_KINDS:
        _preview(span)


def _set_first(span: Span, field: str, candidates: tuple[Reads, ...]) -> None:
    for key, reads, gathers in candidates:
        value = reads(span if gathers else span.attributes[key])
        if value is not None:
            setattr(span, field, value)
            return


_KEPT = frozenset({"kind", "inputs", "outputs"})
_MISSING = (None, "other")


def _remembered(keys: tuple[str, ...]) -> Plan:
    """Plan for *keys* and remember it, within bounds: hostile keys may cost time, but not memory without end."""
    plan = _plan(keys)
    if len(keys) <= _MAX_PLANNED_KEYS:
        if len(_plans) >= _MAX_PLANS:
            _plans.clear()
        _plans[keys] = plan
    return plan


def _plan(keys: tuple[str, ...]) -> Plan:
    fields: dict[str, list[Reads]] = {}
    for rank in sorted({rank for key in keys for rank in _ranks(key)}):
        rule = TABLE[rank]
        numbered = rule.key.endswith(".")
        reads = read.numbered(rule.key, keys) if numbered else rule.read
        fields.setdefault(rule.field, []).append((rule.key, reads, rule.gathers or numbered))
    return tuple((field, field in _KEPT, best, tuple(others)) for field, (best, *others) in fields.items())


def _ranks(key: str) -> list[int]:
    ranks = _ranks_of_key.get(key, [])
    if key.startswith(_PREFIXES):
        ranks = ranks + [rank for prefix in _PREFIXES if key.startswith(prefix) for rank in _ranks_of_key[prefix]]
    return ranks


def _forget(span: Span) -> None:
    # Looking costs less than writing, and on a fresh span there is nothing to forget.
    if (
        span.model is not None
        or span.strategy is not None
        or span.input_tokens is not None
        or span.output_tokens is not None
        or span.cost_usd is not None
        or span.confidence is not None
        or span.first_token_ms is not None
        or span.user_id is not None
        or span.session_id is not None
        or span.response_chars is not None
        or span.input_preview is not None
        or span.output_preview is not None
    ):
        for field in _DERIVED:
            setattr(span, field, None)


_DERIVED = (
    "model", "strategy", "input_tokens", "output_tokens", "cost_usd", "confidence", "first_token_ms",
    "user_id", "session_id", "response_chars", "input_preview", "output_preview",
)  # fmt: skip


def _preview(span: Span) -> None:
    if span.inputs is not None:
        question = texts.question_text(span.inputs)
        span.input_preview = texts.preview(texts.as_json(span.inputs) if question is None else question)
    if span.outputs is not None:
        answer = texts.answer_text(span.outputs)
        if answer is None:
            answer = texts.as_json(span.outputs)
        span.response_chars = len(answer.strip())
        span.output_preview = texts.preview(answer)
