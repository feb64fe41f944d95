"""Spans, summaries and scores as rows, and back. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.model import Flag, Score, Status, TraceSummary
from clew.model.flag import judge
from clew.store.columns import bits_of, finite, int64, kinds_of
from clew.store.ready import RowMakers
from clew.store.sqlite.narrow import narrow
from clew.store.text import text_of

SUMMARY_COLUMNS = (
    "lower(hex(trace_id)), name, start_ns, end_ns, status, has_root, span_count, error_count, orphan_count, "
    "kinds, models, user_id, session_id, strategy, input_tokens, output_tokens, cost_usd, confidence, "
    "response_chars, input_preview, output_preview, score_value, score_best, flag, flag_reason"
)
"""What `_SummaryRow` reads, in its order."""

USUAL_REASON = judge(worst_user_score=None, response_chars=None, confidence=None).reason
"""Not written down: it would be a twentieth of a trace's row."""

_json = msgspec.json.Encoder()


def models_text(models: list[str]) -> str:
    """
    Write *models* as JSON, each after a line break, which JSON escapes inside strings.

    So `model_pattern` finds a model exactly by plain search.
    """
    return "[" + ",".join(model_pattern(model) for model in models) + "]"


def model_pattern(model: str) -> str:
    """Give the piece of `models_text` that stands for *model* and for nothing else."""
    return "\n" + _json.encode(model).decode()


def summary_values(summary: TraceSummary) -> tuple[Any, ...]:
    """One row of `traces`, after seq and project id, in the order of the query `add_traces`."""
    duration_ns = summary.duration_ns
    score_value, score_best = summary.worst_user_score or (None, None)
    return (
        bytes.fromhex(summary.trace_id),
        summary.name,
        summary.start_ns,
        summary.end_ns,
        None if duration_ns is None else int64(duration_ns),
        summary.status,
        summary.has_root,
        summary.span_count,
        summary.error_count,
        summary.orphan_count,
        bits_of(summary.kinds),
        models_text(summary.models),
        summary.user_id,
        summary.session_id,
        summary.strategy,
        int64(summary.input_tokens),
        int64(summary.output_tokens),
        finite(summary.cost_usd),
        finite(summary.confidence),
        summary.response_chars,
        summary.input_preview,
        summary.output_preview,
        score_value,
        score_best,
        summary.flag.value,
        "" if summary.flag_reason == USUAL_REASON else summary.flag_reason,
    )


def score_row(project_id: int, score: Score, received_ns: int) -> tuple[Any, ...]:
    """One row of `scores`, in the order of the query `put_scores`."""
    return (
        project_id,
        bytes.fromhex(score.trace_id),
        bytes.fromhex(score.span_id or ""),
        score.name,
        score.source,
        score.value,
        score.best,
        score.label,
        score.comment,
        score.at_ns or received_ns,
    )


class SummaryRow(msgspec.Struct, array_like=True):
    """A row of `traces` as JSON: `SUMMARY_COLUMNS`."""

    trace_id: str
    name: str
    start_ns: int
    end_ns: int | None
    status: Status
    has_root: int
    span_count: int
    error_count: int
    orphan_count: int
    kinds: int
    models: str
    user_id: str | None
    session_id: str | None
    strategy: str | None
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    confidence: float | None
    response_chars: int | None
    input_preview: str | None
    output_preview: str | None
    score_value: float | None
    score_best: float | None
    flag: Flag
    flag_reason: str

    def summary(self, project: str) -> TraceSummary:
        """Give the summary that was stored."""
        rated = self.score_value is not None and self.score_best is not None
        return TraceSummary(
            project=project,
            trace_id=self.trace_id,
            name=self.name,
            start_ns=self.start_ns,
            end_ns=self.end_ns,
            status=self.status,
            has_root=bool(self.has_root),
            span_count=self.span_count,
            error_count=self.error_count,
            orphan_count=self.orphan_count,
            kinds=kinds_of(self.kinds),
            models=msgspec.json.decode(self.models, type=list[str]),
            user_id=self.user_id,
            session_id=self.session_id,
            strategy=self.strategy,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cost_usd=self.cost_usd,
            confidence=self.confidence,
            response_chars=self.response_chars,
            input_preview=self.input_preview,
            output_preview=self.output_preview,
            worst_user_score=(self.score_value, self.score_best) if rated else None,  # type: ignore[arg-type]
            flag=self.flag,
            flag_reason=self.flag_reason or USUAL_REASON,
        )


ROWS = RowMakers(summary=summary_values, spans=narrow, words=text_of)
