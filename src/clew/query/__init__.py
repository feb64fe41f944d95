"""
Questions about stored traces: query strings in, JSON bodies out.

The server's admin API and `clew traces` ask the same functions, so a filter means the same
thing in a URL and on the command line. Nothing here knows of HTTP.
"""

from clew.query.filters import TraceQuery, parse_trace_query
from clew.query.latency import latency
from clew.query.traces import list_traces, one_trace

__all__ = ["TraceQuery", "latency", "list_traces", "one_trace", "parse_trace_query"]
