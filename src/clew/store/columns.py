"""What the columns of every SQL backend hold: kinds as bits, numbers that fit. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from clew.model import Kind

KIND_BITS: dict[Kind, int] = {
    "root": 1 << 0,
    "classification": 1 << 1,
    "embedding": 1 << 2,
    "retrieval": 1 << 3,
    "rerank": 1 << 4,
    "generation": 1 << 5,
    "tool": 1 << 6,
    "capability": 1 << 7,
    "agent": 1 << 8,
    "guardrail": 1 << 9,
    "evaluation": 1 << 10,
    "chain": 1 << 11,
    "other": 1 << 12,
}
"""Stored in `traces.kinds`: a bit, once given, is never given again."""

_MOST = (1 << 63) - 1
_json = msgspec.json.Encoder()


def bits_of(kinds: Iterable[Kind]) -> int:
    """Give *kinds* as bits."""
    return sum([KIND_BITS[kind] for kind in kinds])


def kinds_of(bits: int) -> list[Kind]:
    """Give the kinds that *bits* stand for, sorted."""
    return sorted(kind for kind, bit in KIND_BITS.items() if bits & bit)


def int64(value: int) -> int:
    """Clamp to what eight bytes holds; only sums of absurd values are over it."""
    return max(-_MOST, min(_MOST, value))


def finite(value: float | None) -> float | None:
    """None for what JSON has no number for: NaN and infinities."""
    return value if value is not None and math.isfinite(value) else None


def as_json(value: Any) -> str:
    """Write *value* for a column of JSON, or for a statement that asks for many things at once."""
    return _json.encode(value).decode()
