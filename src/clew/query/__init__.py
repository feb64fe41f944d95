"""
Questions about stored traces, and about what all of them teach: query strings in, JSON bodies out.

The server's admin API and the command line ask the same functions, so a filter means the same
thing in a URL and on the command line. Nothing here knows of HTTP. `GraphQuestions` asks the
execution graph, and is imported only when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clew.query.filters import TraceQuery, parse_trace_query
from clew.query.latency import latency, latency_heat, latency_steps
from clew.query.traces import list_traces, one_trace

if TYPE_CHECKING:
    from clew.query.graph import GraphQuestions

__all__ = [
    "GraphQuestions",
    "TraceQuery",
    "latency",
    "latency_heat",
    "latency_steps",
    "list_traces",
    "one_trace",
    "parse_trace_query",
]


def __getattr__(name: str) -> Any:
    # The graph's modules take longer to import than `clew traces` takes to answer.
    if name == "GraphQuestions":
        from clew.query.graph import GraphQuestions

        return GraphQuestions
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
