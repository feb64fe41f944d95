"""The logging filter."""

from __future__ import annotations

import logging

import pytest

import clew
from clew.logs import TraceIdFilter

FORMAT = logging.Formatter("[%(trace_id)s %(span_id)s] %(message)s")


def formatted() -> str:
    record = logging.LogRecord("app", logging.INFO, __file__, 1, "hello", (), None)
    assert TraceIdFilter().filter(record) is True
    return FORMAT.format(record)


def test_a_record_inside_a_span_has_its_ids(captured):
    with clew.span("step") as span:
        assert formatted() == f"[{span.trace_id} {span.span_id}] hello"


def test_a_record_outside_has_empty_ids(captured):
    """Never a KeyError from a format string."""
    assert formatted() == "[ ] hello"


def test_a_record_under_a_remote_parent_has_the_remote_ids(captured):
    trace_id, span_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with clew.tracing_context(parent=f"00-{trace_id}-{span_id}-01"):
        assert formatted() == f"[{trace_id} {span_id}] hello"


@pytest.mark.usefixtures("captured")
def test_a_record_while_tracing_is_off_has_empty_ids():
    clew.configure(enabled=False)
    with clew.span("step"):
        assert formatted() == "[ ] hello"
