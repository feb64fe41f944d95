"""What the server counts of itself."""

from __future__ import annotations

import re

from clew.jobs.retention import Done, Totals
from clew.server.meter import Histogram, Meter
from clew.store.protocol import Gone

LINE = re.compile(r'(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"\n]*"(,\w+="[^"\n]*")*\})? \S+)')


def test_every_line_is_one_that_prometheus_reads():
    """One bad line loses the whole scrape."""
    meter = Meter()
    meter.count_request("POST", "/api/v1/spans", 200)
    meter.refused_bodies["TooLarge"] += 1
    meter.commit.observe(0.02)

    text = meter.text({"spans": 5, "duplicates": 2, "held_bytes": 7, "write_s": 0.5})

    assert all(LINE.fullmatch(line) for line in text.splitlines())
    assert text.endswith("\n")
    assert 'clew_requests_total{method="POST",route="/api/v1/spans",status="200"} 1' in text
    assert 'clew_spans_total{outcome="stored"} 3' in text
    assert "clew_queue_bytes 7" in text


def test_what_retention_did_is_told():
    """By cause; who wonders where traces went, or why the disk is full, sees it where the rest is seen."""
    totals = Totals()
    assert "last_round" not in Meter().text({}, None, totals)
    totals.add(Done(Gone(3, 9), Gone(1, 2), waiting=7, suggestions=5, bytes=800), failed=False, at_ns=1_500_000_000)
    totals.add(Done(waiting=6), failed=True, at_ns=2_500_000_000)

    text = Meter().text({}, None, totals)

    assert all(LINE.fullmatch(line) for line in text.splitlines())
    for line in (
        'traces_total{cause="age"} 3',
        'traces_total{cause="size"} 1',
        'spans_total{cause="age"} 9',
        "bytes_total 800",
        "suggestions_total 5",
        "waiting_traces 6",
        "rounds_total 2",
        "failures_total 1",
        "last_round_timestamp_seconds 2.500",
    ):
        assert f"clew_retention_{line}\n" in text


def test_a_client_cannot_make_series_without_end():
    """A method is free text on the wire."""
    meter = Meter()
    for number in range(100):
        meter.count_request(f"X{number}", "", 405)

    assert len(meter.requests) == 1


def test_buckets_are_cumulative():
    """Prometheus computes percentiles from sums."""
    histogram = Histogram()
    for seconds in (0.001, 0.02, 99.0):
        histogram.observe(seconds)

    lines = histogram.lines("t", "Time.")

    assert 't_bucket{le="0.005"} 1' in lines
    assert 't_bucket{le="0.025"} 2' in lines
    assert 't_bucket{le="+Inf"} 3' in lines
    assert "t_count 3" in lines
