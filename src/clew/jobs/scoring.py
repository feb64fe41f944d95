"""What came of a suggestion: the step that the trace took next. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from clew.graph import Call, TraceCalls
from clew.model.graph import Node
from clew.store.protocol import SuggestionRecord


def scored(record: SuggestionRecord, trace: TraceCalls) -> SuggestionRecord | None:
    """
    Score a suggestion with the first call below its parent that began when it was given, or later.

    None if there is none (yet): the run may have ended there, or a late span may tell.
    """
    came = [call for call in _scope(trace.calls, record.parent_span_id) if call.start_ns >= record.at_ns]
    if not came:
        return None
    outcome = min(came, key=lambda call: (call.start_ns, call.call_id)).node
    return msgspec.structs.replace(record, outcome=outcome, rank=_rank(outcome, record.ranked), scored=True)


def _scope(calls: Iterable[Call], parent_span_id: str) -> list[Call]:
    """The calls directly below a span; without one those at the top, where whose parent never came stands too."""
    if parent_span_id:
        return [call for call in calls if call.parent_id == parent_span_id]
    known = {call.call_id for call in calls}
    return [call for call in calls if call.parent_id not in known]


def _rank(outcome: Node, ranked: list[Node]) -> int:
    return ranked.index(outcome) + 1 if outcome in ranked else 0
