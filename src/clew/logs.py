"""
Trace ids in log records.

    handler.addFilter(TraceIdFilter())
    handler.setFormatter(logging.Formatter("%(levelname)s %(trace_id)s %(message)s"))

Put it on handlers: a filter on a logger does not see what its child loggers log.
"""

from __future__ import annotations

import logging

from clew.sdk.context import current_span
from clew.sdk.faults import internal


class TraceIdFilter(logging.Filter):
    """Lets every record pass, and gives it `trace_id` and `span_id`: hex, or "" outside of a span."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the ids of the current span; under a remote parent, the remote ids."""
        record.trace_id = record.span_id = ""
        try:
            span = current_span()
            record.trace_id, record.span_id = span.trace_id, span.span_id
        except Exception as fault:
            internal(fault)
        return True
