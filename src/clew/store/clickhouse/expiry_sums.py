"""
What was counted beside the traces, a day of it summed up: few rows where there were many, or coarser ones.

Each delta and each drop adds rows to the log. A sum is one more change of the log of what went: it holds
the rows of a day, and says up to which positions they are summed, so that whoever reads takes
either the rows or their sum. The rows are deleted later, when nobody reads as of a position before it.
"""

from __future__ import annotations

import time
from typing import Any

from clew.store.clickhouse.connect import Servers, hexed
from clew.store.clickhouse.expiry_clean import Cleaner
from clew.store.clickhouse.expiry_log import GRACE_NS, Nothing
from clew.store.clickhouse.log import Change, Log, tally_row
from clew.store.clickhouse.tallies import LAST, text_of
from clew.store.columns import int64
from clew.store.retention import KeptMetrics, kept_metrics, metrics_fact
from clew.store.tally import DAY_S, HOUR_S, MINUTE_S

MOST_ROWS = 10_000
"""A day of more is summed up, if that leaves half of them at most."""

SHARE = 2

NOTHING_S = 1 << 31
"""A step so long that nothing is left."""

COARSER_S = {MINUTE_S: HOUR_S, HOUR_S: DAY_S, DAY_S: NOTHING_S}
"""What is left where sums of some resolution go."""

_DAY_MINUTES = DAY_S // MINUTE_S
_LAST_MINUTE = 1 << 40


class Summing:
    """Sums up days of one project."""

    def __init__(self, servers: Servers, project: str, log: Log[Nothing]) -> None:
        self._servers = servers
        self._project = project
        self._log = log

    def day_of_many(self) -> int | None:
        """Give a day of which there are many rows that could be fewer; None if there is none."""
        return self._day(_LAST_MINUTE, step_s=0, least=MOST_ROWS, share=SHARE)

    def day_of_finer(self, step_s: int, before_s: int) -> int | None:
        """Give a day before some time whose rows are finer than a step."""
        return self._day(int64(before_s // MINUTE_S), step_s=step_s, least=1, share=1)

    def _day(self, before_minute: int, **asked: int) -> int | None:
        window = {"from_minute": -_LAST_MINUTE, "to_minute": before_minute, "gone": self._log.head(), "told": LAST}
        rows = self._servers.rows("day_to_sum", {"project": hexed(self._project)} | window | asked)
        return int(rows[0][0]) if rows else None

    def sum_up(self, day: int, step_s: int) -> int:
        """Sum up a day by steps of so many seconds; gives how many rows that leaves."""
        left = [0]

        def make(_: Nothing) -> Change:
            # Two heads: whatever has a position up to them is there, and what comes later is not summed.
            values: dict[str, Any] = self._window(day) | {"gone": self._log.head(), "step": step_s // MINUTE_S}
            values["told"] = self._servers.value("head", values | {"stream": "graph"}) or 0
            rows = [
                tally_row((minute, text_of(kind), text_of(name), text_of(model), *sums, buckets, counts))
                for minute, kind, name, model, *sums, (buckets, counts) in self._servers.rows("day_sums", values)
                if step_s < NOTHING_S
            ]
            left[0] = len(rows)
            summed = {"sort": "summed", "minute": day * _DAY_MINUTES, "count": values["told"], "mark": step_s}
            return Change(b"", [summed, *rows])

        self._log.add(make)
        return left[0]

    def _window(self, day: int) -> dict[str, Any]:
        from_minute = day * _DAY_MINUTES
        window = {"from_minute": from_minute, "to_minute": from_minute + _DAY_MINUTES}
        return {"project": hexed(self._project)} | window


def delete_summed(servers: Servers, cleaner: Cleaner) -> bool:
    """Delete rows that some sum replaced; False if there are none."""
    before_ns = time.time_ns() - GRACE_NS
    for project, from_minute, summed, told in servers.rows("old_sums", {"before_ns": before_ns}):
        of_day = {"from_minute": from_minute, "to_minute": from_minute + _DAY_MINUTES}
        asked = {"project": project.hex(), "summed": summed, "told": told}
        if servers.value("summed_rows", of_day | asked):
            where = f"minute >= {from_minute} AND minute < {from_minute + _DAY_MINUTES}"
            replaced = f"if(stream = 'gone', position < {summed}, position <= {told})"
            cleaner.delete(
                "clew_log",
                f"project = unhex('{project.hex()}') AND sort IN ('minute', 'summed') AND {where} AND {replaced}",
            )
            return True
    return False


def read_kept(servers: Servers) -> KeptMetrics:
    """Say from when on there are minutes, and hours."""
    return kept_metrics({name.decode(): value.decode() for name, value in servers.rows("kept_metrics")})


def put_kept(servers: Servers, resolution_s: int, from_s: int) -> None:
    """Note from when on histograms of a resolution are there. It only grows."""
    name = metrics_fact(resolution_s)
    have = {name.decode(): int(value) for name, value in servers.rows("kept_metrics")}
    if have.get(name, 0) < from_s:
        servers.insert("clew_facts", {"name": "String", "value": "String"}, [[name], [str(from_s)]])
