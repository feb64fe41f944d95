"""Counting by minute, hour and day, and reading a window back."""

from hypothesis import given
from hypothesis import strategies as st

from clew.store.tally import DAY_S, HOUR_S, MINUTE_S, fold, split, whole_minutes
from clew.testing.store_contract import DAY_NS, MINUTE_NS, SECOND_NS, START_NS, a_span

minutes = st.integers(0, 40 * 1440)


@given(minutes, minutes)
def test_a_window_is_covered_once_and_whole(one, two):
    """A bucket read twice would double its spans."""
    from_s, to_s = sorted((one * MINUTE_S, two * MINUTE_S))
    at_s = from_s
    for window in split(from_s, to_s):
        assert window.from_s == at_s
        assert window.from_s % window.resolution_s == window.to_s % window.resolution_s == 0
        assert window.to_s > window.from_s
        at_s = window.to_s
    assert at_s == to_s


@given(minutes, st.integers(0, 7 * 1440))
def test_a_week_takes_few_buckets(start, length):
    """Days in its middle, hours and minutes at its edges only."""
    from_s = start * MINUTE_S
    windows = list(split(from_s, from_s + length * MINUTE_S))
    assert sum((window.to_s - window.from_s) // window.resolution_s for window in windows) <= 7 + 2 * 23 + 2 * 59


def test_a_window_widens_to_whole_minutes():
    """A bucket cannot be cut."""
    assert whole_minutes(MINUTE_NS + 1, 2 * MINUTE_NS + 1) == (60, 180)
    assert whole_minutes(MINUTE_NS, 2 * MINUTE_NS) == (60, 120)


def test_a_span_counts_in_its_minute_hour_and_day():
    """By its start, so a late end moves nothing."""
    tallies = fold(
        [a_span(start_ns=START_NS, end_ns=START_NS + DAY_NS), a_span(start_ns=START_NS + HOUR_S * SECOND_NS)]
    )
    assert sorted((resolution_s, tally.count) for (resolution_s, _, _), tally in tallies.items()) == [
        (MINUTE_S, 1),
        (MINUTE_S, 1),
        (HOUR_S, 1),
        (HOUR_S, 1),
        (DAY_S, 2),
    ]


def test_only_leaves_are_metered():
    """A chain that repeats what its generation cost must not be added to it."""
    tallies = fold([a_span(kind="chain", cost_usd=1.0, input_tokens=9), a_span(kind="generation", cost_usd=1.0)])
    assert sum(tally.cost_usd for (resolution_s, _, _), tally in tallies.items() if resolution_s == DAY_S) == 1.0
    assert all(tally.input_tokens == 0 for tally in tallies.values())
