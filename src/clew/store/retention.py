"""
How long traces are kept: the rules, read and applied. Pure.

A trace's age counts from its start. Of the rules that match it the one that keeps it longest decides;
the general one decides where none matches. So a rule can keep errors longer than the rest, and a
project shorter, and no rule takes away what another keeps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple, get_args

import msgspec

from clew import config
from clew.config import AgeRule
from clew.errors import BadFilter
from clew.model import Flag, Status

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
STATUSES: tuple[Status, ...] = get_args(Status)
RESOLUTION_NAMES = {"minutes": MINUTE_S, "hours": HOUR_S, "days": DAY_S}
"""As a setting names them."""

STEP_TRACES = 200
"""Traces that one step drops at most."""

GENERAL = "all"
"""The name of the rule for what no other matches."""

CROWDED = "bytes"
"""The name of the rule that goes by size."""


class Place(NamedTuple):
    """Where a listing goes on; opaque to all but the store that gave it."""

    project: str
    number: int
    trace_id: str


class Expiring(NamedTuple):
    """A trace that is to go, as it was when it was found."""

    project: str
    trace_id: str
    start_ns: int
    flag: Flag
    status: Status
    spans: int
    is_due: bool
    """It is to be learned first."""
    place: Place


class Gone(NamedTuple):
    """What went."""

    traces: int = 0
    spans: int = 0


class Whom(msgspec.Struct, kw_only=True, frozen=True):
    """Whose traces are to be erased: exactly one of the three is given."""

    user_id: str | None = None
    """Of this user: the trace's, or that of any of its spans."""
    session_id: str | None = None
    trace_id: str | None = None
    project: str | None = None
    """Of this project only; None is all of them."""


def check_whom(whom: Whom) -> None:
    """
    Refuse to erase nobody's traces, which could mean everybody's.

    Raises:
        BadFilter: none of user, session and trace is given, or more than one.
    """
    given = [value for value in (whom.user_id, whom.session_id, whom.trace_id) if value is not None]
    if len(given) != 1 or not given[0]:
        raise BadFilter("erase", "name one user, one session or one trace")


class Erased(NamedTuple):
    """What was erased."""

    traces: int
    spans: int
    projects: list[str]
    """Where, sorted."""
    trace_ids: list[str]
    """Which, sorted."""


class Policy(msgspec.Struct, kw_only=True, frozen=True):
    """All rules together. The default keeps everything, but for the finer histograms."""

    keep_ns: int | None = None
    """None: for ever."""
    rules: tuple[AgeRule, ...] = ()
    most_bytes: int | None = None
    metrics_ns: Mapping[str, int | None] = msgspec.field(default_factory=lambda: config.RETENTION_METRICS.default)
    """By name of the resolution."""

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Policy:
        """
        Read the settings.

        Raises:
            ConfigError: one is set to something that cannot be read.
        """
        return cls(
            keep_ns=config.RETENTION.read(environ),
            rules=config.RETENTION_RULES.read(environ),
            most_bytes=config.RETENTION_BYTES.read(environ),
            metrics_ns=config.RETENTION_METRICS.read(environ),
        )

    @property
    def drops_by_age(self) -> bool:
        """Some trace will go for its age."""
        return self.keep_ns is not None or any(rule.keep_ns is not None for rule in self.rules)

    def decides(self, project: str, flag: Flag, status: Status) -> AgeRule:
        """Give the rule that decides about a trace."""
        is_so = {"project": project, "flag": flag.value, "status": status}
        matching = [rule for rule in self.rules if is_so[rule.field] == rule.value]
        return max(matching, key=_length) if matching else AgeRule("", "", self.keep_ns)

    def cutoffs(self, project: str, now_ns: int) -> dict[str, int]:
        """By `class_of`: a trace of the project goes that started before. What is kept for ever is left out."""
        cutoffs: dict[str, int] = {}
        for flag in Flag:
            for status in STATUSES:
                keep_ns = self.decides(project, flag, status).keep_ns
                if keep_ns is not None:
                    cutoffs[class_of(flag, status)] = now_ns - keep_ns
        return cutoffs

    def spared(self) -> list[str]:
        """By `class_of`: what a rule for its flag or status keeps longer, and lack of room spares until the last."""
        rules = [rule for rule in self.rules if rule.field != "project"]
        lengthening = Policy(keep_ns=self.keep_ns, rules=tuple(rules))
        return [
            class_of(flag, status)
            for flag in Flag
            for status in STATUSES
            if _length(lengthening.decides("", flag, status)) > _length(AgeRule("", "", self.keep_ns))
            or (self.keep_ns is None and lengthening.decides("", flag, status).field)
        ]

    def dropped_before_s(self, now_ns: int) -> dict[int, int]:
        """By resolution in seconds: histograms that began before are to go. Whole days, Unix seconds."""
        return {
            RESOLUTION_NAMES[name]: (now_ns - keep_ns) // (DAY_S * 10**9) * DAY_S
            for name, keep_ns in self.metrics_ns.items()
            if keep_ns is not None
        }


def class_of(flag: Flag, status: Status) -> str:
    """What rules tell apart beside the project, in one word."""
    return f"{flag.value}_{status}"


def name_of(rule: AgeRule) -> str:
    """Name a rule as the setting does."""
    return f"{rule.field}:{rule.value}" if rule.field else GENERAL


def _length(rule: AgeRule) -> float:
    return float("inf") if rule.keep_ns is None else rule.keep_ns


class KeptMetrics(NamedTuple):
    """From when on which histograms are there. Whole days, Unix seconds; 0 is always."""

    minutes_from_s: int = 0
    hours_from_s: int = 0

    def widen(self, from_s: int, to_s: int) -> tuple[int, int]:
        """Widen a window in whole minutes to the hours or days that it has, where finer ones went."""
        step_s = self.finest_s(from_s)
        from_s = from_s // step_s * step_s
        step_s = self.finest_s(to_s - 1)
        return from_s, -(-to_s // step_s) * step_s

    def finest_s(self, at_s: int) -> int:
        """Say of how many seconds the finest are that there are of a time."""
        return DAY_S if at_s < self.hours_from_s else HOUR_S if at_s < self.minutes_from_s else MINUTE_S


def kept_metrics(facts: Mapping[str, str]) -> KeptMetrics:
    """Read what `metrics_fact` named."""
    return KeptMetrics(int(facts.get(metrics_fact(MINUTE_S), 0)), int(facts.get(metrics_fact(HOUR_S), 0)))


def metrics_fact(resolution_s: int) -> str:
    """Name the fact that says from when on histograms of a resolution are there."""
    return f"metrics_from_s:{resolution_s}"


def unchanged(found: Expiring, flag: str, status: str, start_ns: int, spans: int) -> bool:
    """Whether a trace is still what it was when it was found; if not, its time may be another."""
    return (found.flag.value, found.status, found.start_ns, found.spans) == (flag, status, start_ns, spans)
