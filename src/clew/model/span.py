"""
A span as it is sent, stored and read: one step of a trace.

The live span that user code holds is another thing: `clew.sdk.span.ActiveSpan`.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from clew.model.score import Score

Kind = Literal[
    "root",
    "classification",
    "embedding",
    "retrieval",
    "rerank",
    "generation",
    "tool",
    "capability",
    "agent",
    "guardrail",
    "evaluation",
    "chain",
    "other",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

ANSWERING_KINDS = frozenset({"root", "chain", "agent", "generation"})
"""The kinds whose outputs can be the answer of the whole trace."""

METERED_KINDS = frozenset({"generation", "embedding", "rerank"})
"""The kinds whose tokens and cost count; on any other kind they would be counted twice."""

Status = Literal["unset", "ok", "error"]


class Event(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A point in time inside a span: a token, a retry, an exception."""

    name: str
    at_ns: int
    attributes: dict[str, Any] = {}


class Link(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Points to another span, in this trace or another; never an edge of the tree."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any] = {}


class Span(msgspec.Struct, kw_only=True, omit_defaults=True):
    """
    One step. Times are Unix nanoseconds; `end_ns` is None while it runs.

    Three groups of fields: what the client says of the span, what is derived from its
    attributes (by `clew.wire.conventions`, and again when those change), and the payload,
    which is kept as it came and lies apart from what is searched.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    name: str = ""
    kind: Kind = "other"
    start_ns: int
    end_ns: int | None = None
    status: Status = "unset"
    status_message: str = ""

    # Derived: `clew.wire.conventions`.
    model: str | None = None
    strategy: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    confidence: float | None = None
    """0 to 1: how sure retrieval, or whoever says so, was."""
    first_token_ms: float | None = None
    """From the span's start to the first streamed token."""
    user_id: str | None = None
    session_id: str | None = None
    response_chars: int | None = None
    """Length of the outputs as text; only on the kinds that can answer, None if not captured."""
    input_preview: str | None = None
    output_preview: str | None = None

    # Payload.
    attributes: dict[str, Any] = {}
    inputs: Any = None
    outputs: Any = None
    events: list[Event] = []
    links: list[Link] = []
    resource: dict[str, Any] = {}
    """What the client says of the process that made the span: `service.name` and the like."""
    scope: str = ""
    otel_kind: str = ""
    problems: list[str] = []
    """What was wrong with it and mended on receipt, in words: shown, never hidden."""

    @property
    def duration_ns(self) -> int | None:
        """Nanoseconds from start to end; None while it runs."""
        return None if self.end_ns is None else self.end_ns - self.start_ns


class Batch(msgspec.Struct, kw_only=True):
    """What one request brought: spans and scores for one project."""

    project: str = "default"
    spans: list[Span] = []
    scores: list[Score] = []
