"""
A trace from its spans, in whatever order they came.

Pure and repeatable: what is said of a trace is computed from all of its spans,
so neither the order of arrival nor a retry can change it. A span whose parent has
not come is kept and shown as an orphan; the trace is mended when the parent comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from clew.model.flag import Flag, judge
from clew.model.score import Score
from clew.model.span import ANSWERING_KINDS, METERED_KINDS, Kind, Span, Status


class TraceSummary(msgspec.Struct, kw_only=True):
    """What is filtered, sorted and listed of a trace. One row of the table `traces`."""

    project: str
    trace_id: str
    name: str
    """The root's name; of the earliest span while there is no root."""
    start_ns: int
    end_ns: int | None
    status: Status
    has_root: bool
    span_count: int
    error_count: int
    orphan_count: int
    kinds: list[Kind]
    models: list[str]
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
    worst_user_score: tuple[float, float] | None
    """(value, best) of the user's score that is lowest by its share."""
    flag: Flag
    flag_reason: str

    @property
    def duration_ns(self) -> int | None:
        """Nanoseconds from the first start to the last end; None while nothing has ended."""
        return None if self.end_ns is None else self.end_ns - self.start_ns


_by_start = attrgetter("start_ns", "span_id")


class Placed(NamedTuple):
    """A span and its place in the tree."""

    span: Span
    depth: int
    orphan: bool
    """It names a parent that is not in the trace (yet)."""


def in_tree_order(spans: Iterable[Span]) -> list[Placed]:
    """
    Lay *spans* out as a tree, parents before children, siblings by start.

    Flat with depths, since a trace may be a hundred thousand deep. A cycle of parents, which
    only a broken client sends, is cut at its earliest span. Nothing is left out.
    """
    ordered = sorted(spans, key=_by_start)
    known = {span.span_id for span in ordered}
    children: dict[str, list[Span]] = {}
    tops: list[Span] = []
    for span in ordered:
        if span.parent_id is not None and span.parent_id in known:
            children.setdefault(span.parent_id, []).append(span)
        else:
            tops.append(span)

    placed: list[Placed] = []
    seen: set[str] = set()
    for top in _then_cycles(tops, ordered, seen):
        stack = [(top, 0)]
        while stack:
            span, depth = stack.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            orphan = depth == 0 and span.parent_id is not None
            placed.append(Placed(span, depth, orphan))
            stack += [(child, depth + 1) for child in reversed(children.get(span.span_id, ()))]
    return placed


def _then_cycles(tops: list[Span], ordered: list[Span], seen: set[str]) -> Iterator[Span]:
    """Every top, then the earliest span of whatever no top reaches, until all are seen."""
    yield from tops
    for span in ordered:
        if span.span_id not in seen:
            yield span


def summarise(project: str, spans: Sequence[Span], scores: Sequence[Score] = ()) -> TraceSummary:
    """
    Say of a trace what can be filtered, sorted and listed. *spans* must not be empty.

    Only fields outside the payload are read, so the narrow rows of a store are enough.
    """
    placed = in_tree_order(spans)
    root = next((at.span for at in placed if at.depth == 0 and not at.orphan), None)
    first = root or placed[0].span
    ends = [span.end_ns for span in spans if span.end_ns is not None]
    answer = _answer(placed)
    asked = _asked(placed)
    metered = _metered(placed)
    worst = _worst_user_score(scores)
    confidences = [span.confidence for span in spans if span.confidence is not None]
    costs = [span.cost_usd for span in metered if span.cost_usd is not None]
    confidence = first.confidence if first.confidence is not None else min(confidences, default=None)
    response_chars = answer.response_chars if answer else None
    verdict = judge(worst_user_score=worst, response_chars=response_chars, confidence=confidence)
    return TraceSummary(
        project=project,
        trace_id=first.trace_id,
        name=first.name,
        start_ns=min(span.start_ns for span in spans),
        end_ns=max(ends, default=None),
        status=_status(root, spans),
        has_root=root is not None,
        span_count=len(spans),
        error_count=sum(span.status == "error" for span in spans),
        orphan_count=sum(at.orphan for at in placed),
        kinds=sorted({span.kind for span in spans}),
        models=sorted({span.model for span in spans if span.model}),
        user_id=_first_said(placed, "user_id"),
        session_id=_first_said(placed, "session_id"),
        strategy=_first_said(placed, "strategy"),
        input_tokens=sum(span.input_tokens or 0 for span in metered),
        output_tokens=sum(span.output_tokens or 0 for span in metered),
        cost_usd=sum(costs) if costs else None,
        confidence=confidence,
        response_chars=response_chars,
        input_preview=asked.input_preview if asked else None,
        output_preview=answer.output_preview if answer else None,
        worst_user_score=worst,
        flag=verdict.flag,
        flag_reason=verdict.reason,
    )


def _status(root: Span | None, spans: Sequence[Span]) -> Status:
    """
    The root decides, since it may have caught what failed below it.

    Without a root, or while it says nothing, any error is an error.
    """
    if root is not None and root.status != "unset":
        return root.status
    if any(span.status == "error" for span in spans):
        return "error"
    return "ok" if any(span.status == "ok" for span in spans) else "unset"


def _answer(placed: Sequence[Placed]) -> Span | None:
    """The span that holds the trace's answer: the shallowest that can answer; of equals, the last to end."""
    answers = [at for at in placed if at.span.response_chars is not None and at.span.kind in ANSWERING_KINDS]
    best = min(answers, key=lambda at: (at.depth, -(at.span.end_ns or 0), at.span.span_id), default=None)
    return best.span if best else None


def _asked(placed: Sequence[Placed]) -> Span | None:
    """The span that holds the trace's question: the shallowest with an input; of equals, the first."""
    asked = [at for at in placed if at.span.input_preview is not None]
    best = min(asked, key=lambda at: at.depth, default=None)
    return best.span if best else None


def _metered(placed: Sequence[Placed]) -> list[Span]:
    """
    The spans whose tokens and cost count.

    A wrapper and the client that it wraps may both report one call (a chat model of a framework
    over an instrumented HTTP client): of a metered span and its metered ancestor, the deeper counts.
    """
    metering = [at.span for at in placed if _meters(at.span)]
    parents = {at.span.span_id: at.span.parent_id for at in placed}
    covered: set[str] = set()
    for span in metering:
        above = span.parent_id
        while above is not None and above not in covered:
            covered.add(above)
            above = parents.get(above)
    return [span for span in metering if span.span_id not in covered]


def _meters(span: Span) -> bool:
    return span.kind in METERED_KINDS and bool(span.input_tokens or span.output_tokens or span.cost_usd)


def _first_said(placed: Sequence[Placed], field: str) -> str | None:
    return next((said for at in placed if (said := getattr(at.span, field))), None)


def _worst_user_score(scores: Sequence[Score]) -> tuple[float, float] | None:
    given = [score for score in scores if score.source == "user"]
    worst = min(given, key=lambda score: score.share, default=None)
    return (worst.value, worst.best) if worst else None
