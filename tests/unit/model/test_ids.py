"""Ids are W3C ids, and a malformed one is refused with its value in the message."""

import pytest

from clew.errors import MalformedId
from clew.model.ids import format_traceparent, parse_traceparent, span_id_of, trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


def test_upper_case_ids_are_taken_as_lower_case():
    """Zipkin clients and people paste upper case; one trace must not become two."""
    assert trace_id_of(TRACE.upper()) == TRACE
    assert span_id_of(SPAN.upper()) == SPAN


@pytest.mark.parametrize("value", ["", "0" * 32, TRACE[:-1], TRACE + "0", "g" * 32, None, 7, b"x" * 32])
def test_a_malformed_trace_id_is_refused(value):
    with pytest.raises(MalformedId):
        trace_id_of(value)


@pytest.mark.parametrize("value", ["", "0" * 16, SPAN[:-1], SPAN + "0", "x" * 16, None])
def test_a_malformed_span_id_is_refused(value):
    with pytest.raises(MalformedId):
        span_id_of(value)


def test_a_traceparent_survives_the_round_trip():
    assert parse_traceparent(format_traceparent(TRACE, SPAN, sampled=False)) == (TRACE, SPAN, False)
    assert parse_traceparent(format_traceparent(TRACE, SPAN)) == (TRACE, SPAN, True)


def test_a_later_version_of_traceparent_is_read_as_far_as_it_is_known():
    """W3C Trace Context 3.2.2: parse the first four fields of a higher version."""
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-01-what-the-future-brings") == (TRACE, SPAN, True)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "junk",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        None,
    ],
)
def test_a_malformed_traceparent_is_refused(header):
    with pytest.raises(MalformedId):
        parse_traceparent(header)
