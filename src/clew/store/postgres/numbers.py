"""Numbers for new traces: the day of arrival, and a count that the database hands out by the thousand."""

from __future__ import annotations

import time

from clew.store.postgres.partitions import PER_DAY, day_of, first_seq
from clew.store.postgres.statements import Statements

BLOCK = 1_000
"""As in schema.sql."""


class Numbers:
    """Gives each new trace its `seq`. One that is not used, since the trace was there, is gone; there are enough."""

    def __init__(self) -> None:
        self._next = self._end = 0

    def take(self, statements: Statements, count: int) -> list[int]:
        """Give *count* numbers of today."""
        first = first_seq(day_of(time.time_ns()))
        numbers: list[int] = []
        while len(numbers) < count:
            if self._next == self._end:
                self._next = int(statements.value("trace_numbers"))
                self._end = self._next + BLOCK
            here = min(self._end, self._next + count - len(numbers))
            numbers += range(first + self._next, first + here)
            self._next = here
        return numbers


def run_of(seq: int) -> int:
    """Say which run of numbers *seq* is from. All of a run were given to one process, one after the other."""
    return (seq % PER_DAY - 1) // BLOCK
