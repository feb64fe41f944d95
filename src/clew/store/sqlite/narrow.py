"""
What questions in SQL ask of spans, as JSON: a row of `span_rows`, which the view `trace_spans` reads. Pure.

An array for each span, in the order of the view: its id, its parent (by its place in the same row, or by its id
if it is not there), name, kind and status as numbers, start since the row's, duration. Then what most spans
lack, without the nulls at its end.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import msgspec

from clew.model import KINDS, Span
from clew.store.retention import STATUSES

_KINDS = {kind: number for number, kind in enumerate(KINDS)}
_STATUSES = {status: number for number, status in enumerate(STATUSES)}
_rare = attrgetter(
    "model",
    "input_tokens",
    "output_tokens",
    "response_chars",
    "cost_usd",
    "first_token_ms",
    "confidence",
    "strategy",
    "user_id",
    "session_id",
    "status_message",
)
_NOTHING = (*[None] * 10, "")
_json = msgspec.json.Encoder()


def narrow(spans: Iterable[Span]) -> tuple[int, int, str]:
    """Give a row of `span_rows`, after its id: the earliest start, how many have ended, and the JSON."""
    spans = list(spans)
    first_ns = min([span.start_ns for span in spans])
    places: dict[str | None, int] = {span.span_id: place for place, span in enumerate(spans)}
    rows = [_row(span, first_ns, places) for span in spans]
    finished = len(rows) - [row[5] for row in rows].count(None)
    return first_ns, finished, _json.encode(rows).decode()


def _row(span: Span, first_ns: int, places: dict[str | None, int]) -> list[Any]:
    start_ns, end_ns, parent_id = span.start_ns, span.end_ns, span.parent_id
    row = [
        span.span_id,
        places.get(parent_id, parent_id),
        span.name,
        _KINDS[span.kind],
        start_ns - first_ns,
        None if end_ns is None else end_ns - start_ns,
        _STATUSES[span.status],
    ]
    rare = _rare(span)
    if rare != _NOTHING:
        row += rare
        row[-1] = row[-1] or None
        while row[-1] is None:
            row.pop()
    return row
