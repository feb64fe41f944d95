"""
Columns of counters: eight bytes each, which stop at what eight bytes hold.

A thousand calls a second of a second each fill a sum of nanoseconds within months, and a client
with a broken clock does so at once. Learning goes on; that one sum stays where it is.
"""

from __future__ import annotations

from array import array

MOST = (1 << 63) - 1


def add(column: array[int], at: int, value: int) -> None:
    """Add *value* to one counter; past the end of the scale it stays at its end."""
    value += column[at]
    try:
        column[at] = value
    except OverflowError:
        column[at] = within(value)


def raise_to(column: array[int], at: int, value: int) -> None:
    """Set one counter to *value* if that is more."""
    if value > column[at]:
        column[at] = within(value)


def within(value: int) -> int:
    """Give the nearest number that eight bytes hold."""
    return max(-MOST, min(MOST, value))
