"""The arithmetic of measuring."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.graph.statistics import Interval, Rank, Reliability, Resamples, rank_of, spread


def test_a_right_answer_alone_at_the_top_is_a_hit():
    """The plainest case."""
    rank = rank_of(1, {1: 0.9, 2: 0.1}, catalogue_size=5)

    assert (rank.hit(1), rank.hit(3), rank.reciprocal) == (1.0, 1.0, 1.0)


def test_ties_count_what_random_order_would_give():
    """Otherwise whoever sorts last names first is better."""
    rank = rank_of(2, {1: 0.5, 2: 0.5, 3: 0.1}, catalogue_size=5)

    assert rank.hit(1) == 0.5
    assert rank.hit(2) == 1.0
    assert rank.reciprocal == pytest.approx((1 + 1 / 2) / 2)


def test_an_answer_that_nobody_scored_is_tied_with_all_that_have_none():
    """It may still be drawn from the rest of the catalogue."""
    for wanted in (9, None):
        rank = rank_of(wanted, {1: 0.5, 2: 0.4, 3: 0.0}, catalogue_size=5)
        assert rank == Rank(2, 3)
        assert rank.hit(3) == pytest.approx(1 / 3)


@given(st.dictionaries(st.integers(0, 9), st.sampled_from([0.1, 0.2, 0.3])), st.integers(0, 9), st.integers(1, 10))
def test_expected_hits_are_the_mean_over_all_orders_of_the_ties(scores, wanted, k):
    """Held against drawing the order itself."""
    places = []
    for seed in range(200):
        draw = random.Random(seed)
        order = sorted(range(10), key=lambda node: (-scores.get(node, 0.0), draw.random()))
        places.append(order.index(wanted) + 1)

    rank = rank_of(wanted, scores, catalogue_size=10)

    assert rank.hit(k) == pytest.approx(sum(place <= k for place in places) / 200, abs=0.16)
    assert rank.reciprocal == pytest.approx(sum(1 / place for place in places) / 200, abs=0.12)


def test_an_interval_holds_the_true_share_about_as_often_as_it_says():
    """95 % is a promise. A hundred samples of a known coin; nearly all intervals must hold its share."""
    draw, held = random.Random(1), 0
    for _ in range(100):
        hits = [float(draw.random() < 0.3) for _ in range(80)]
        interval = Resamples(80, times=300).ratio(hits, [1.0] * 80)
        held += interval.low <= 0.3 <= interval.high

    assert 88 <= held <= 99


def test_whole_groups_are_drawn():
    """Ten runs of one task are no ten tasks: with two tasks the interval reaches from one to the other."""
    interval = Resamples(2).ratio([10.0, 0.0], [10.0, 10.0])

    assert (interval.value, interval.low, interval.high) == (0.5, 0.0, 1.0)


def test_the_same_draws_serve_every_figure():
    """That is what pairs them: two figures that always differ by 0.1 differ so in every draw."""
    resamples = Resamples(50)
    low = [at % 3 / 3 for at in range(50)]
    high = [value + 0.1 for value in low]
    wholes = [1.0] * 50

    differences = [b - a for a, b in zip(resamples.ratios(low, wholes), resamples.ratios(high, wholes), strict=True)]

    assert differences == pytest.approx([0.1] * len(differences))


@pytest.mark.parametrize("size", [0, 1])
def test_one_group_or_none_has_an_interval_without_width(size):
    """There is nothing to draw from, and nothing to divide by."""
    interval = Resamples(size).ratio([3.0] * size, [4.0] * size)

    assert interval == (Interval(0.75, 0.75, 0.75) if size else Interval(0.0, 0.0, 0.0))


def test_a_spread_is_the_middle_of_the_draws():
    """2.5 % lie on either side."""
    assert spread(7.0, range(1001)) == Interval(7.0, 25, 975)


def test_what_is_said_and_comes_as_often_has_no_error():
    """Of the suggestions with 0.7, seven of ten came."""
    reliability = Reliability()
    for number in range(10):
        reliability.add(f"task {number}", 0.7, number < 7)

    assert reliability.error([f"task {number}" for number in range(10)], Resamples(10)).value == pytest.approx(0.0)
    (only,) = reliability.bins()
    assert (only.count, only.said, only.was) == (10, pytest.approx(0.7), 0.7)


def test_what_is_said_too_boldly_shows_in_its_bin_and_in_the_error():
    """Sure of all, right in half: the gap is 0.5. Bins are weighted by their counts."""
    reliability = Reliability()
    for number in range(10):
        reliability.add("task", 1.0, number % 2)
    for _ in range(30):
        reliability.add("task", 0.05, 0.0)

    error = reliability.error(["task"], Resamples(1))

    assert error.value == pytest.approx((10 * 0.5 + 30 * 0.05) / 40)
    assert [(each.low, each.high, each.count) for each in reliability.bins()] == [(0.0, 0.1, 30), (0.9, 1.0, 10)]
