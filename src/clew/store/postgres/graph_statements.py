"""The statements of the graph, with the pieces that several of them share."""

from __future__ import annotations

import re

from clew.graph.state import KEPT_TRACES
from clew.store.exemplars import ENTRY_BYTES
from clew.store.postgres.statements import load

_SUM = re.compile(rb"\{sum:(\w+)\}")

_MOST = 9_223_372_036_854_775_807

# Of each trace the latest entry, and of these the newest few. What is written so is in order as bytes.
_NEWEST = f"""
       CASE WHEN length(excluded.exemplars) = 0 THEN n.exemplars
            WHEN length(n.exemplars) = 0 THEN excluded.exemplars
            ELSE (SELECT string_agg(newest.entry, ''::bytea ORDER BY newest.entry DESC)
                    FROM (SELECT latest.entry
                            FROM (SELECT DISTINCT ON (substr(each.entry, 9)) each.entry
                                    FROM (SELECT substr(whole.entries, place, {ENTRY_BYTES}) AS entry
                                            FROM (SELECT n.exemplars || excluded.exemplars AS entries) AS whole,
                                                 generate_series(1, length(whole.entries), {ENTRY_BYTES}) AS place
                                         ) AS each
                                   ORDER BY substr(each.entry, 9), each.entry DESC) AS latest
                           ORDER BY latest.entry DESC LIMIT {KEPT_TRACES}) AS newest)
       END"""  # noqa: S608  from fixed parts

_SUGGESTION = (
    "s.suggestion_id, s.question, s.arm, s.arm_version, s.trace_id, s.parent_span_id, s.at_ns, s.ranked, "
    "s.probabilities, s.outcome, s.rank, s.state"
)


def _sum(found: re.Match[bytes]) -> bytes:
    """A sum that stops where a number ends."""
    name = found[1].decode()
    return f"greatest(-{_MOST}, least({_MOST}, n.{name}::numeric + excluded.{name}))::bigint".encode()


def _whole(statement: bytes) -> bytes:
    whole = _SUM.sub(_sum, statement)
    return whole.replace(b"{newest}", _NEWEST.encode()).replace(b"{suggestion}", _SUGGESTION.encode())


QUERIES = {name: _whole(statement) for name, statement in load("graph.sql").items()}
