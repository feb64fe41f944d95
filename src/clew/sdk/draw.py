"""The draw: which of the unremarkable traces are stored. Pure: every process draws the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from clew.errors import ConfigError

REMEMBERED: Final = 25_000
"""Decisions are known for the last one to two times so many traces."""


class Draw:
    """The share that is stored of all operations, and of some by the root's name."""

    def __init__(self, rate: float, rates: Mapping[str, float]) -> None:
        """
        Take shares from 0 to 1.

        Raises:
            ConfigError: one is no such number, or *rates* is no mapping of names.
        """
        self._rate = _share("sample_rate", rate)
        if not isinstance(rates, Mapping):
            raise ConfigError("sample_rates", f"{rates!r:.100} is no mapping; use {{'chat': 0.5, 'GET /health': 0}}")
        self._rates = {_name(name): _share(f"sample_rates[{name!r:.100}]", value) for name, value in rates.items()}

    def has(self, trace_id: str, operation: str | None) -> bool:
        """Say whether a trace is drawn; *operation* is None as long as its root has not come."""
        rate = self._rate if operation is None else self._rates.get(operation, self._rate)
        return share_of(trace_id) < rate


def share_of(trace_id: str) -> float:
    """Give the place of a trace among all, from 0 up to but without 1."""
    digest = blake2b(trace_id.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def _share(setting: str, value: Any) -> float:
    # True would pass for 1, and whoever writes it means something else.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or not 0 <= value <= 1:
        raise ConfigError(setting, f"{value!r:.100} is no share; use a number from 0 (none) to 1 (all)")
    return float(value)


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ConfigError("sample_rates", f"{name!r:.100} is no name of a root span; use text")
    return name


class Decisions:
    """What was decided of the last traces. Two plain dicts: dropping the older one costs nothing."""

    def __init__(self) -> None:
        self._last: dict[str, bool] = {}
        self._before: dict[str, bool] = {}

    def get(self, trace_id: str) -> bool | None:
        """Whether a trace is stored; None if that is not known, or no longer."""
        known = self._last.get(trace_id)
        return self._before.get(trace_id) if known is None else known

    def note(self, trace_id: str, *, stored: bool) -> None:
        """Remember a decision, which may replace another one."""
        if len(self._last) >= REMEMBERED:
            self._before, self._last = self._last, {}
        self._last[trace_id] = stored
