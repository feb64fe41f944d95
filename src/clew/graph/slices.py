"""Which slices of a graph a trace falls in: its day, and the version of its service. Pure."""

from __future__ import annotations

from datetime import datetime, timezone

from clew.graph.calls import TraceCalls

MAX_VERSION_CHARS = 200

_LATEST_S = 253_402_300_799
"""The end of the year 9999: what a calendar holds."""


def slice_names(trace: TraceCalls) -> list[str]:
    """Name the slices that a trace falls in: the day on which it began (UTC), and its version."""
    if not trace.calls:
        return []
    start_s = min(call.start_ns for call in trace.calls) // 10**9
    day = datetime.fromtimestamp(max(0, min(_LATEST_S, start_s)), timezone.utc).date()
    return [f"day:{day}", *([f"version:{trace.version[:MAX_VERSION_CHARS]}"] if trace.version else [])]
