"""
The quality verdict on a trace, and why.

By priority: USER_NEGATIVE, then EMPTY, then LOW_CONFIDENCE, then NORMAL.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

NEGATIVE_SHARE = 2 / 5
"""A user's score of at most this part of the best is negative: 2 of 5, 0 of 1."""

EMPTY_BELOW_CHARS = 50
LOW_CONFIDENCE_BELOW = 0.5


class Flag(str, Enum):
    """The verdicts, worst first."""

    USER_NEGATIVE = "USER_NEGATIVE"
    EMPTY = "EMPTY"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    NORMAL = "NORMAL"


class Verdict(NamedTuple):
    """A flag and one sentence that says why."""

    flag: Flag
    reason: str


def judge(
    *,
    worst_user_score: tuple[float, float] | None,
    response_chars: int | None,
    confidence: float | None,
) -> Verdict:
    """
    Judge a trace by its worst user score (value, best), response length and confidence (0 to 1).

    None means "not known", and nothing is held against a trace for what is not known:
    a trace whose response was not captured is not EMPTY.
    """
    if worst_user_score is not None:
        value, best = worst_user_score
        if value <= best * NEGATIVE_SHARE:
            return Verdict(Flag.USER_NEGATIVE, f"a user scored it {value:g} of {best:g}")
    if response_chars is not None and response_chars < EMPTY_BELOW_CHARS:
        return Verdict(Flag.EMPTY, f"the response has {response_chars} characters, under {EMPTY_BELOW_CHARS}")
    if confidence is not None and confidence < LOW_CONFIDENCE_BELOW:
        return Verdict(Flag.LOW_CONFIDENCE, f"the confidence is {confidence:.2f}, under {LOW_CONFIDENCE_BELOW}")
    return Verdict(Flag.NORMAL, "nothing speaks against it")
