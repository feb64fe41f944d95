"""
W3C ids as text: trace 32 hex digits, span 16, lower case, never all zero.

The SDK's hot path draws ids as integers (`clew.sdk.span`); everywhere else they
are these strings, because that is what JSON, URLs and people read.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re

from clew.errors import MalformedId

_TRACE = re.compile(r"[0-9a-f]{32}")
_SPAN = re.compile(r"[0-9a-f]{16}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

ZERO_TRACE = "0" * 32
ZERO_SPAN = "0" * 16


def trace_id_of(value: object) -> str:
    """
    Give *value* back as a trace id: 32 lower-case hex digits.

    Raises:
        MalformedId: not a string of 32 hex digits, or all zeros.
    """
    if isinstance(value, str):
        text = value.lower()
        if _TRACE.fullmatch(text) and text != ZERO_TRACE:
            return text
    raise MalformedId("trace id", value)


def span_id_of(value: object) -> str:
    """
    Give *value* back as a span id: 16 lower-case hex digits.

    Raises:
        MalformedId: not a string of 16 hex digits, or all zeros.
    """
    if isinstance(value, str):
        text = value.lower()
        if _SPAN.fullmatch(text) and text != ZERO_SPAN:
            return text
    raise MalformedId("span id", value)


def parse_traceparent(header: str) -> tuple[str, str, bool]:
    """
    Read a `traceparent` header: (trace id, span id, sampled).

    Raises:
        MalformedId: not of the form `00-<32 hex>-<16 hex>-<2 hex>`, version ff, or a zero id.

    Source: W3C Trace Context, section 3.2.
    """
    match = _TRACEPARENT.fullmatch(header.strip()) if isinstance(header, str) else None
    if match is None:
        raise MalformedId("traceparent", header)
    version, trace_id, span_id, flags, rest = match.groups()
    # Version 00 ends after the flags; a later version may carry more behind a dash.
    if version == "ff" or (version == "00" and rest) or trace_id == ZERO_TRACE or span_id == ZERO_SPAN:
        raise MalformedId("traceparent", header)
    return trace_id, span_id, bool(int(flags, 16) & 1)


def format_traceparent(trace_id: str, span_id: str, *, sampled: bool = True) -> str:
    """Write a version 00 `traceparent` header."""
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"
