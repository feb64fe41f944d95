"""
A trace from its spans, in whatever order they came.

Pure and repeatable: what is said of a trace is computed from all of its spans,
so neither the order of arrival nor a retry can change it. A span whose parent has
not come is kept and shown as an orphan; the trace is mended when the parent comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

_Place = tuple[Span, int, bool]
"""(span, depth, orphan)."""


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
    return [Placed(*place) for place in _walk(spans)]


def _walk(spans: Iterable[Span]) -> list[_Place]:
    """`in_tree_order` in plain tuples: summaries are made for every trace that is stored."""
    ordered = sorted(spans, key=_by_start)
    known = {span.span_id for span in ordered}
    children: dict[str, list[Span]] = {}
    tops: list[Span] = []
    for span in ordered:
        parent_id = span.parent_id
        if parent_id is None or parent_id not in known:
            tops.append(span)
        elif parent_id in children:
            children[parent_id].append(span)
        else:
            children[parent_id] = [span]

    places: list[_Place] = []
    _descend(tops, children, places, seen=set())
    if len(places) < len(ordered):
        seen = {span.span_id for span, _, _ in places}
        # What no top reaches hangs on a cycle: cut each at its earliest span.
        _descend([span for span in ordered if span.span_id not in seen], children, places, seen)
    return places


def _descend(tops: list[Span], children: dict[str, list[Span]], places: list[_Place], seen: set[str]) -> None:
    """Add *tops*, each followed by all that is below it, to *places*."""
    for top in tops:
        stack = [(top, 0)]
        while stack:
            span, depth = stack.pop()
            span_id = span.span_id
            if span_id in seen:
                continue
            seen.add(span_id)
            places.append((span, depth, depth == 0 and span.parent_id is not None))
            below = children.get(span_id)
            if below is not None:
                stack += [(child, depth + 1) for child in reversed(below)]


def summarise(project: str, spans: Sequence[Span], scores: Sequence[Score] = ()) -> TraceSummary:
    """
    Say of a trace what can be filtered, sorted and listed. *spans* must not be empty.

    Only fields outside the payload are read, so the narrow rows of a store are enough.
    """
    places = _walk(spans)
    root = next((span for span, depth, orphan in places if depth == 0 and not orphan), None)
    first = root or places[0][0]
    gathered = _Gathered(places)
    worst = _worst_user_score(scores)
    confidence = first.confidence if first.confidence is not None else gathered.confidence
    answer, asked = gathered.answer, gathered.asked
    response_chars = answer.response_chars if answer else None
    verdict = judge(worst_user_score=worst, response_chars=response_chars, confidence=confidence)
    metered = _metered(gathered.metering, places) if gathered.metering else ()
    costs = [span.cost_usd for span in metered if span.cost_usd is not None]
    return TraceSummary(
        project=project,
        trace_id=first.trace_id,
        name=first.name,
        start_ns=gathered.start_ns,
        end_ns=gathered.end_ns,
        status=_status(root, gathered.statuses),
        has_root=root is not None,
        span_count=len(places),
        error_count=gathered.error_count,
        orphan_count=gathered.orphan_count,
        kinds=sorted(gathered.kinds),
        models=sorted(gathered.models),
        user_id=gathered.user_id,
        session_id=gathered.session_id,
        strategy=gathered.strategy,
        input_tokens=sum([span.input_tokens or 0 for span in metered]),
        output_tokens=sum([span.output_tokens or 0 for span in metered]),
        cost_usd=sum(costs) if costs else None,
        confidence=confidence,
        response_chars=response_chars,
        input_preview=asked.input_preview if asked else None,
        output_preview=answer.output_preview if answer else None,
        worst_user_score=worst,
        flag=verdict.flag,
        flag_reason=verdict.reason,
    )


class _Gathered:
    """What one pass over a trace in tree order finds out."""

    __slots__ = (
        "answer",
        "asked",
        "confidence",
        "end_ns",
        "error_count",
        "kinds",
        "metering",
        "models",
        "orphan_count",
        "session_id",
        "start_ns",
        "statuses",
        "strategy",
        "user_id",
    )

    def __init__(self, places: Sequence[_Place]) -> None:
        self.start_ns = min([span.start_ns for span, _, _ in places])
        self.end_ns = max([span.end_ns for span, _, _ in places if span.end_ns is not None], default=None)
        self.statuses = [span.status for span, _, _ in places]
        self.error_count = self.statuses.count("error")
        self.orphan_count = sum([orphan for _, _, orphan in places])
        self.kinds = {span.kind for span, _, _ in places}
        self.models = {span.model for span, _, _ in places if span.model}
        self.user_id = next((said for span, _, _ in places if (said := span.user_id)), None)
        self.session_id = next((said for span, _, _ in places if (said := span.session_id)), None)
        self.strategy = next((said for span, _, _ in places if (said := span.strategy)), None)
        self.confidence = min([sure for span, _, _ in places if (sure := span.confidence) is not None], default=None)
        self.metering = [span for span, _, _ in places if span.kind in METERED_KINDS and _meters(span)]
        self.answer = _answer(places)
        self.asked = _asked(places)


def _status(root: Span | None, statuses: Sequence[Status]) -> Status:
    """
    The root decides, since it may have caught what failed below it.

    Without a root, or while it says nothing, any error is an error.
    """
    if root is not None and root.status != "unset":
        return root.status
    if "error" in statuses:
        return "error"
    return "ok" if "ok" in statuses else "unset"


def _answer(places: Sequence[_Place]) -> Span | None:
    """The span that holds the trace's answer: the shallowest that can answer; of equals, the last to end."""
    answers = [
        (depth, -(span.end_ns or 0), span.span_id, span)
        for span, depth, _ in places
        if span.response_chars is not None and span.kind in ANSWERING_KINDS
    ]
    return min(answers)[3] if answers else None


def _asked(places: Sequence[_Place]) -> Span | None:
    """The span that holds the trace's question: the shallowest with an input; of equals, the first."""
    asked = [(depth, at, span) for at, (span, depth, _) in enumerate(places) if span.input_preview is not None]
    return min(asked)[2] if asked else None


def _metered(metering: Sequence[Span], places: Sequence[_Place]) -> list[Span]:
    """
    The spans whose tokens and cost count.

    A wrapper and the client that it wraps may both report one call (a chat model of a framework
    over an instrumented HTTP client): of a metered span and its metered ancestor, the deeper counts.
    """
    parents = {span.span_id: span.parent_id for span, _, _ in places}
    covered: set[str] = set()
    for span in metering:
        above = span.parent_id
        while above is not None and above not in covered:
            covered.add(above)
            above = parents.get(above)
    return [span for span in metering if span.span_id not in covered]


def _meters(span: Span) -> bool:
    return bool(span.input_tokens or span.output_tokens or span.cost_usd)


def _worst_user_score(scores: Sequence[Score]) -> tuple[float, float] | None:
    if not scores:
        return None
    given = [score for score in scores if score.source == "user"]
    worst = min(given, key=lambda score: score.share, default=None)
    return (worst.value, worst.best) if worst else None
