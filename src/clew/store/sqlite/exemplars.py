"""Keep the newest exemplars (`clew.store.exemplars`) in SQL."""

from __future__ import annotations

from clew.graph.state import KEPT_TRACES
from clew.store.exemplars import ENTRY_BYTES


def _entry(of: str, number: int) -> str:
    return f"substr({of}, {ENTRY_BYTES * number + 1}, {ENTRY_BYTES})"


def _newest_sql(have: str, more: str) -> str:
    """
    SQL for the newest few of two columns that are each in order.

    Where they name one trace both, which only learning it again does, the long way: of each trace
    the latest. `substr` of a text stops at a zero, and of nothing gives NULL: hence the casts and cases.
    """
    a, b = ([_entry(of, number) for number in range(KEPT_TRACES)] for of in (have, more))
    merged = (
        f"max({a[0]}, {b[0]})"
        f" || max(min({a[0]}, {b[0]}), {a[1]}, {b[1]})"
        f" || max(min({a[0]}, {b[1]}), min({a[1]}, {b[0]}), {a[2]}, {b[2]})"
    )
    strangers = " AND ".join(
        f"(length({more}) <= {at} OR instr({have}, substr({more}, {at + 9}, 16)) = 0)"
        for at in range(0, KEPT_TRACES * ENTRY_BYTES, ENTRY_BYTES)
    )
    places = " UNION ALL ".join(f"SELECT {ENTRY_BYTES * number + 1} AS place" for number in range(2 * KEPT_TRACES))
    return f"""
        CASE WHEN length({more}) = 0 THEN {have}
             WHEN length({have}) = 0 THEN {more}
             WHEN {strangers} THEN CAST({merged} AS BLOB)
             ELSE (SELECT CAST(group_concat(latest, '' ORDER BY latest DESC) AS BLOB)
                     FROM (SELECT max(entry) AS latest
                             FROM (SELECT substr(whole, place, {ENTRY_BYTES}) AS entry
                                     FROM (SELECT CAST({have} || {more} AS BLOB) AS whole), ({places})
                                    WHERE place < length(whole))
                            GROUP BY substr(entry, 9) ORDER BY latest DESC LIMIT {KEPT_TRACES}))
         END"""  # noqa: S608


NEWEST = _newest_sql("exemplars", "excluded.exemplars")
"""What an upsert sets `exemplars` to."""
