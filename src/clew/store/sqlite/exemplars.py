"""
The newest few traces that show an edge or a variant, as bytes: of each 8 of when it ended and 16 of its id.

So written the newer is the greater, and SQL can keep the newest of two such lists without reading
a row first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from clew.graph.state import KEPT_TRACES, Exemplars

ENTRY_BYTES = 24
_ENTRY_CHARS = 2 * ENTRY_BYTES

_is_trace_id = re.compile("[0-9a-f]{32}").fullmatch


def encode(exemplars: Exemplars) -> bytes:
    """Write exemplars, newest first. What is no trace id, which only a strange SDK sends, is left out."""
    entries = [f"{max(0, ended_ns):016x}{trace_id}" for ended_ns, trace_id in exemplars if _is_trace_id(trace_id)]
    return bytes.fromhex("".join(entries))


def entries_of(text: str) -> list[str]:
    """Split hex into exemplars."""
    return [text[at : at + _ENTRY_CHARS] for at in range(0, len(text), _ENTRY_CHARS)]


def read_entry(entry: str) -> tuple[int, str]:
    """Read one exemplar from hex."""
    return int(entry[:16], 16), entry[16:]


def decode(text: str) -> Exemplars:
    """Read hex."""
    return tuple([read_entry(entry) for entry in entries_of(text)])


def newest_entries(lists: Iterable[list[str]], *, most: int) -> Collection[str]:
    """Give the exemplars of all *lists*, each once; if there are very many, only the newest."""
    found = {entry for entries in lists for entry in entries}
    return found if len(found) <= most else sorted(found, reverse=True)[:most]


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
