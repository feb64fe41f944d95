"""
Bytes to spans, and back: one module for each protocol, all pure.

Each `decode(body)` gives `Decoded`: what could be read, mended where it had to be
(`clew.wire.mend`) and with its meaning derived (`clew.wire.conventions`), beside what could
not, so that a bad span costs itself and no other.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from clew.model import Score, Span


class Rejection(msgspec.Struct, frozen=True):
    """One span or score that could not be read."""

    index: int
    """Its place in the body, from 0: among the spans, or, if `error` says so, among the scores."""
    error: str


class Decoded(NamedTuple):
    """What one body held."""

    spans: list[Span]
    scores: list[Score]
    rejected: list[Rejection]
