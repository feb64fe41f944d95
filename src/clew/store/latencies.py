"""
Latency and usage of a window, over its steps, and as a heat map: from sums of histograms. Pure.

A backend inherits `LatencyReader` and gives it the sums that `Asked` names; what is one question to
the database is so for all three answers. Steps begin at whole multiples of their length since 1970,
UTC, so that no stored minute, hour or day lies in two.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from clew.errors import BadFilter
from clew.model import Kind, histogram
from clew.model.histogram import GAMMA, ZERO, Histogram
from clew.model.tally import Sums, Tally
from clew.store.check import check_latency
from clew.store.columns import int64
from clew.store.protocol import Latency, LatencyHeat, LatencyStep
from clew.store.retention import KeptMetrics
from clew.store.tally import (
    DAY_S,
    HOUR_S,
    MINUTE_S,
    RESOLUTIONS_S,
    Operation,
    Window,
    grouping,
    latency,
    split,
    whole_minutes,
)

MAX_STEPS = 2_000
MAX_POINTS = 50_000
"""Operations over all steps, and cells of a heat map."""

MAX_QUANTILES = 32

BUCKETS_PER_DOUBLING = 35
"""GAMMA ** 35 is 1.9999: so many buckets side by side are a row in which times double."""

ROWS_PER_DOUBLING = (1, 5, 7, 35)
"""What divides that: each row of a heat map is of whole buckets, and its counts are exact."""

_S = 10**9


class Asked(NamedTuple):
    """What to sum: the finished spans of some operations that started in some window."""

    from_s: int
    """Unix seconds, on a whole minute."""
    to_s: int
    kind: Kind | None
    name: str | None
    model: str | None
    group_by: Sequence[str]
    step_s: int | None
    """Sums over so many seconds each; None: over the whole window."""

    def windows(self, last_s: int) -> list[Window]:
        """
        Give the stored sums to read, each time once, none of which lies in two steps.

        *last_s* is the last minute that has anything: behind it the last day can be read whole.
        """
        to_s = self.to_s
        if to_s > last_s:
            to_s = (last_s // DAY_S + 1) * DAY_S if last_s >= self.from_s else self.from_s
        fitting = [each for each in RESOLUTIONS_S if self.step_s is None or self.step_s % each == 0]
        return list(split(self.from_s, to_s, fitting))

    def step_of(self, bucket_s: int) -> int:
        """Give the start of the step that holds *bucket_s*; 0 if there is one step."""
        return 0 if self.step_s is None else bucket_s // self.step_s * self.step_s

    def bounds(self) -> Iterator[tuple[int, int, int]]:
        """Give (start, from, to) of each step: the start of the whole one, and what of it is in the window."""
        if self.step_s is None:
            yield 0, self.from_s, self.to_s
            return
        for start_s in range(self.step_of(self.from_s), self.to_s, self.step_s):
            yield start_s, max(start_s, self.from_s), min(start_s + self.step_s, self.to_s)


Row = tuple[int, Operation, Sums, bytes]
"""What is stored: start of the bucket in Unix seconds, operation, sums and histogram."""

Tallied = dict[tuple[int, Operation], Tally]
"""By start of the step and operation, as `Asked.step_of` and its grouping say."""


def sum_up(asked: Asked, rows: Iterable[Row], tallied: Tallied) -> None:
    """Add stored *rows* to *tallied*."""
    for bucket_s, of, sums, blob in rows:
        key = asked.step_of(bucket_s), grouping(of, asked.group_by)
        tally = tallied.get(key)
        if tally is None:
            tally = tallied[key] = Tally()
        tally.add_sums(sums)
        histogram.merge(tally.buckets, histogram.decode(blob))


class LatencyReader:
    """A `clew.store.protocol.MetricsReader` over the sums that a backend gives."""

    def _kept_metrics(self) -> KeptMetrics:
        """Say which of the finer sums went; none, for a backend that keeps all."""
        return KeptMetrics()

    def _tallies(self, project: str, asked: Asked) -> Tallied:
        """Sum up what is stored in `asked.windows`."""
        raise NotImplementedError

    def latency(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        group_by: Sequence[str] = ("kind",),
        quantiles: Sequence[float] = (),
    ) -> list[Latency]:
        """Give percentiles; see `clew.store.protocol.MetricsReader`."""
        asked = widened(question(since_ns, until_ns, kind, name, model, group_by, None), self._kept_metrics())
        check_quantiles(quantiles)
        tallied = self._tallies(project, asked)
        return [latency(of, tallied[0, of], quantiles) for _, of in sorted(tallied) if tallied[0, of].count > 0]

    def latency_steps(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        step_s: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        group_by: Sequence[str] = (),
        quantiles: Sequence[float] = (),
    ) -> list[LatencyStep]:
        """Give percentiles over time; see `clew.store.protocol.MetricsReader`."""
        asked = widened(question(since_ns, until_ns, kind, name, model, group_by, step_s), self._kept_metrics())
        check_quantiles(quantiles)
        tallied = self._tallies(project, asked)
        check_points(len(tallied), "group_by", "group by less, take longer steps or a shorter window")
        found: dict[int, list[Latency]] = {}
        for start_s, of in sorted(tallied):
            if tallied[start_s, of].count > 0:
                found.setdefault(start_s, []).append(latency(of, tallied[start_s, of], quantiles))
        return [
            LatencyStep(from_ns=from_s * _S, to_ns=to_s * _S, operations=found.get(start_s, []))
            for start_s, from_s, to_s in asked.bounds()
        ]

    def latency_heat(
        self,
        project: str,
        *,
        since_ns: int,
        until_ns: int,
        step_s: int,
        kind: Kind | None = None,
        name: str | None = None,
        model: str | None = None,
        rows_per_doubling: int = 1,
    ) -> LatencyHeat:
        """Give a heat map; see `clew.store.protocol.MetricsReader`."""
        asked = widened(question(since_ns, until_ns, kind, name, model, (), step_s), self._kept_metrics())
        check_rows(rows_per_doubling)
        buckets = {start_s: tally.buckets for (start_s, _), tally in self._tallies(project, asked).items()}
        return heat(asked, buckets, rows_per_doubling)


def question(  # noqa: PLR0917
    since_ns: int,
    until_ns: int,
    kind: Kind | None,
    name: str | None,
    model: str | None,
    group_by: Sequence[str],
    step_s: int | None,
) -> Asked:
    """
    Say what to sum.

    Raises:
        BadFilter: a window, a grouping or a step that makes no sense, or too many steps.
    """
    check_latency(since_ns=since_ns, until_ns=until_ns, group_by=group_by)
    from_s, to_s = whole_minutes(int64(since_ns), int64(until_ns))
    asked = Asked(from_s, to_s, kind or None, name or None, model or None, tuple(group_by), step_s)
    if step_s is not None:
        _check_step(asked, step_s)
    return asked


def widened(asked: Asked, kept: KeptMetrics) -> Asked:
    """
    Widen a window to what is kept of its time.

    Raises:
        BadFilter: its steps are finer than that.
    """
    finest_s = kept.finest_s(asked.from_s)
    if asked.step_s is not None and asked.step_s % finest_s:
        coarser = "hours" if finest_s == HOUR_S else "days"
        raise BadFilter("step", f"so long ago only whole {coarser} are kept; take steps of whole {coarser}")
    from_s, to_s = kept.widen(asked.from_s, asked.to_s)
    return asked._replace(from_s=from_s, to_s=to_s)


def _check_step(asked: Asked, step_s: int) -> None:
    if step_s < MINUTE_S or step_s % MINUTE_S:
        raise BadFilter("step", f"{step_s} s is not whole minutes; what is kept is counted by the minute")
    count = -(-(asked.to_s - asked.step_of(asked.from_s)) // step_s)
    if count > MAX_STEPS:
        raise BadFilter(
            "step", f"this makes {count:,} steps; take longer ones or a shorter window, {MAX_STEPS:,} at most"
        )


def check_quantiles(quantiles: Sequence[float]) -> None:
    """
    Refuse quantiles that are none.

    Raises:
        BadFilter: one is not from 0 to 1, or there are over `MAX_QUANTILES`.
    """
    for share in quantiles:
        if not 0 <= share <= 1:  # and so NaN
            raise BadFilter("quantiles", f"{share} is not from 0 to 1; the 99th percentile is 0.99")
    if len(quantiles) > MAX_QUANTILES:
        raise BadFilter("quantiles", f"there are {len(quantiles)}; ask for at most {MAX_QUANTILES} at once")


def check_rows(rows_per_doubling: int) -> None:
    """
    Refuse rows that would cut buckets apart.

    Raises:
        BadFilter: it is not one of `ROWS_PER_DOUBLING`.
    """
    if rows_per_doubling not in ROWS_PER_DOUBLING:
        choices = ", ".join(map(str, ROWS_PER_DOUBLING))
        raise BadFilter("rows_per_doubling", f"{rows_per_doubling} is none of {choices}, whose counts are exact")


def check_points(count: int, field: str, remedy: str) -> None:
    """
    Refuse an answer that nobody could draw.

    Raises:
        BadFilter: it has over `MAX_POINTS`.
    """
    if count > MAX_POINTS:
        raise BadFilter(field, f"the answer has {count:,} points, and {MAX_POINTS:,} at most can be given; {remedy}")


def heat(asked: Asked, buckets: dict[int, Histogram], rows_per_doubling: int) -> LatencyHeat:
    """Lay the histograms of the steps, by the start of each, side by side."""
    width = BUCKETS_PER_DOUBLING // rows_per_doubling
    counts: dict[tuple[int, int], int] = {}
    steps = list(asked.bounds())
    for column, (start_s, _, _) in enumerate(steps):
        for bucket, count in buckets.get(start_s, {}).items():
            cell = column, _row_of(bucket, width)
            counts[cell] = counts.get(cell, 0) + count
    shown = sorted(cell for cell, count in counts.items() if count > 0)
    check_points(len(shown), "step", "take longer steps, a shorter window or fewer rows per doubling")
    rows = _rows({row for _, row in shown})
    places = {row: place for place, row in enumerate(rows)}
    return LatencyHeat(
        steps_ns=[(from_s * _S, to_s * _S) for _, from_s, to_s in steps],
        rows_ms=[_bounds_ms(row, width) for row in rows],
        cells=[(column, places[row], counts[column, row]) for column, row in shown],
    )


_NOTHING = -1
"""The row of what took no time."""


def _row_of(bucket: int, width: int) -> int:
    return _NOTHING if bucket == ZERO else math.ceil(bucket / width)


def _rows(used: set[int]) -> list[int]:
    """From the shortest to the longest, without a gap between; no time at all stands by itself."""
    lasting = used - {_NOTHING}
    between = list(range(min(lasting), max(lasting) + 1)) if lasting else []
    return [_NOTHING, *between] if _NOTHING in used else between


def _bounds_ms(row: int, width: int) -> tuple[float, float]:
    if row == _NOTHING:
        return 0.0, 0.0
    return GAMMA ** (width * (row - 1)) / 1e6, GAMMA ** (width * row) / 1e6
