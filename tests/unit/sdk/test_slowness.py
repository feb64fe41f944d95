"""What is slow is said by the history of its operation."""

from __future__ import annotations

import random

import pytest

from clew.sdk import slowness
from clew.sdk.slowness import NEEDED, WINDOW, Slowness

MS = 10**6


def judged(history: Slowness, durations_ms: list[float], operation: str = "ask") -> list[bool]:
    return [history.judge(operation, round(each * MS)) for each in durations_ms]


def test_without_a_history_nothing_is_slow():
    """The first requests after a start are slow for other reasons, and there is nothing to compare them with."""
    assert not any(judged(Slowness(), [1.0] * (NEEDED - 1) + [1_000.0]))
    history = Slowness()
    judged(history, [1.0] * NEEDED)
    assert history.judge("ask", 1_000 * MS)


def test_about_five_in_a_hundred_are_slow():
    chance = random.Random(3)
    found = judged(Slowness(), [chance.lognormvariate(3, 0.8) for _ in range(20_000)])
    assert sum(found[1_000:]) / 19_000 == pytest.approx(0.05, abs=0.01)


def test_what_is_far_over_the_p95_is_slow_and_what_is_under_it_is_not():
    chance = random.Random(4)
    durations = [chance.lognormvariate(3, 0.5) for _ in range(5_000)]
    ordered = sorted(durations)
    history = Slowness()
    judged(history, durations)
    assert history.judge("ask", round(ordered[4_900] * MS))
    assert not history.judge("ask", round(ordered[4_500] * MS))


def test_where_all_take_equally_long_none_is_slow():
    """Timers and health checks."""
    chance = random.Random(5)
    assert not any(judged(Slowness(), [100 + chance.random() / 100 for _ in range(3_000)]))


def test_the_history_rolls_on():
    """A deployment that makes everything slower makes nothing slow for long."""
    history = Slowness()
    judged(history, [10.0] * 3 * WINDOW)
    found = judged(history, [20.0] * 3 * WINDOW)
    assert found[0]
    assert not any(found[WINDOW // 4 :])
    assert not any(judged(history, [10.0] * 10))


def test_operations_do_not_share_their_history():
    history = Slowness()
    judged(history, [10.0] * NEEDED, "fast")
    judged(history, [900.0] * NEEDED, "slow")
    assert history.judge("fast", 100 * MS)
    assert not history.judge("slow", 900 * MS)


def test_the_histories_are_bounded(monkeypatch):
    """A root whose name holds a user's id has as many operations as there are users."""
    monkeypatch.setattr(slowness, "MOST_OPERATIONS", 50)
    history = Slowness()
    for number in range(1_000):
        history.judge(f"user {number}", 10 * MS)
    assert len(history._histories) <= 51
    assert history.judge("user 5000", 900 * MS)
    assert all(len(each.now) + len(each.before) <= 2_300 for each in history._histories.values())


@pytest.mark.parametrize("duration_ns", [0, -5, 1 << 70])
def test_any_duration_can_be_judged(duration_ns):
    """A clock may be wrong."""
    history = Slowness()
    for _ in range(2 * NEEDED):
        assert not history.judge("ask", duration_ns)
