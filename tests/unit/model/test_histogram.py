"""Durations as log buckets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.model import histogram

durations_ns = st.lists(st.integers(0, (1 << 63) - 1), min_size=1, max_size=200)


@given(durations_ns, st.floats(0, 1))
def test_a_percentile_is_at_most_one_percent_off_its_nearest_rank(durations, share):
    """From a nanosecond to centuries."""
    [found] = histogram.percentiles(histogram.of(durations), [share])
    exact = sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]
    assert found == pytest.approx(exact, rel=0.01)


@given(durations_ns, durations_ns, durations_ns)
def test_merging_is_counting_together_in_any_order(one, two, three):
    """Batches come in any order, and hours are sums of minutes."""
    merged = histogram.of(three)
    histogram.merge(merged, histogram.of(one))
    histogram.merge(merged, histogram.of(two))
    assert merged == histogram.of(one + two + three)


@given(durations_ns)
def test_a_blob_gives_back_what_was_packed(durations):
    """Nothing is rounded at rest."""
    counted = histogram.of(durations)
    assert histogram.decode(histogram.encode(counted)) == counted


def test_a_blob_of_a_busy_hour_is_small():
    """There are three for every operation and minute."""
    assert len(histogram.encode(histogram.of(10**7 + at * 9973 for at in range(100_000)))) < 1_200


def test_nothing_counted_is_no_time_and_no_error():
    """An empty window is asked for every day."""
    assert histogram.percentiles({}, [0.5, 0.99]) == [0.0, 0.0]
    assert histogram.decode(histogram.encode({})) == {}


def test_what_takes_no_time_or_less_is_counted_as_nothing():
    """A clock may be too coarse for a span."""
    assert histogram.percentiles(histogram.of([0, -5, 0, 100]), [0.5, 1.0]) == [0.0, pytest.approx(100, rel=0.01)]
