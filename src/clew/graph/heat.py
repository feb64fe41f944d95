"""
How much an observation weighs at its age: half after 90 days.

Forward decay: an observation gets a fixed weight that grows with its date, so nothing has to be
touched as time passes; only ratios mean something. Whole numbers, so that sums are the same in
any order and can be taken back exactly.

Source: Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay (ICDE 2009), exponential decay.
"""

from __future__ import annotations

HALF_LIFE_NS = 90 * 86_400 * 10**9
LANDMARK_NS = 1_767_225_600 * 10**9  # 2026-01-01: the weight of that moment is UNIT.
UNIT = 1024
_MOST = 40  # Half-lives to either side: past these a clock is wrong, and a sum must fit 64 bits.


def heat_at(at_ns: int) -> int:
    """Weigh an observation at *at_ns* (Unix nanoseconds); at least 1."""
    ages = (at_ns - LANDMARK_NS) / HALF_LIFE_NS
    weight: float = UNIT * 2.0 ** min(_MOST, max(-_MOST, ages))
    return max(1, round(weight))


def recent_count(heat: int, now_ns: int) -> float:
    """Give the observations that *heat* stands for at *now_ns*: one of today counts 1, one of 90 days ago a half."""
    return heat / heat_at(now_ns)
