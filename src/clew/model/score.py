"""A score: what somebody, or something, thought of a trace or of one span in it."""

from __future__ import annotations

from typing import Literal

import msgspec

ScoreSource = Literal["user", "evaluator", "code"]


class Score(msgspec.Struct, kw_only=True, omit_defaults=True):
    """
    One judgement. (trace_id, span_id, name, source) names it: a later one replaces it.

    `value` lies between 0 and `best`; "2 of 5" is value 2, best 5; a thumb down is 0 of 1.
    """

    trace_id: str
    name: str
    value: float
    best: float = 5.0
    span_id: str | None = None
    label: str = ""
    comment: str = ""
    source: ScoreSource = "user"
    at_ns: int = 0
    """When it was given, Unix nanoseconds; 0 means "when it was received"."""

    @property
    def share(self) -> float:
        """The value as a part of the best, 0 to 1."""
        return self.value / self.best
