"""
What a trace is: ids, spans, traces, scores, flags. No I/O, no clock.

Everything above speaks in these types, and nothing here knows who calls.
"""

from clew.model.flag import Flag, Verdict, judge
from clew.model.score import Score
from clew.model.span import KINDS, Batch, Event, Kind, Link, Span, Status
from clew.model.trace import TraceSummary, in_tree_order, summarise

__all__ = [
    "KINDS",
    "Batch",
    "Event",
    "Flag",
    "Kind",
    "Link",
    "Score",
    "Span",
    "Status",
    "TraceSummary",
    "Verdict",
    "in_tree_order",
    "judge",
    "summarise",
]
