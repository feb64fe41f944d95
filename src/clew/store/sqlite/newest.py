"""
The newest traces that match, by the shortest way.

Which way leads is decided here and not by SQLite's planner, which does not know how rare a value is.
By user or session, the blocks of traces are gone through, the latest first, until no other can hold
a newer one. A bad flag, an error, and else the start, is walked in its index; but if the next `FAR` of
these do not fill the page, what is asked for is rare, and the blocks say where it may be at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import apsw
import msgspec

from clew.model import Flag
from clew.store import sql
from clew.store.columns import KIND_BITS, as_json, int64
from clew.store.protocol import TraceFilter
from clew.store.sieve import Candidate
from clew.store.sqlite.blocks import classes
from clew.store.sqlite.rows import model_pattern
from clew.store.sqlite.search import storable

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

FAR = 2_048
"""So many entries of an index, or so many pages' worth, are looked at before the blocks are asked..."""

PAGES_FAR = 4
"""... whichever is more: some milliseconds."""

BLOCKS_AT_ONCE, BLOCKS_MORE = 4, 4
"""How many blocks are read at first, and how many times as many each time."""

_candidates = msgspec.json.Decoder(list[Candidate])
_blocks = msgspec.json.Decoder(list[tuple[int, int]])


class Query:
    """Puts a listing's SQL together from fixed parts; values are only ever bound."""

    def __init__(self, project_id: int, where: TraceFilter) -> None:
        self._index = "traces_by_start"
        self._among = False
        self._place: list[str] = ["project_id = :project_id"]
        """What the index answers by where it is read."""
        self._terms: list[str] = []
        """What is checked of each entry."""
        self._blocks: list[str] = ["project_id = :project_id"]
        """What a block must have for anything in it to match."""
        self.values: dict[str, Any] = {"project_id": project_id}
        self._ranges(where)
        self._choices(where)

    def _ranges(self, where: TraceFilter) -> None:
        for name, value, term, block in (
            ("from_ns", where.from_ns, "start_ns >= :from_ns", "max_start_ns >= :from_ns"),
            ("to_ns", where.to_ns, "start_ns < :to_ns", "min_start_ns < :to_ns"),
        ):
            if value is not None:
                self.values[name] = int64(value)
                self._place.append(term)
                self._blocks.append(block)
        tokens = "input_tokens + output_tokens"
        for what, column, least, most in (
            ("duration_ns", "duration_ns", where.min_duration_ns, where.max_duration_ns),
            ("tokens", tokens, where.min_tokens, where.max_tokens),
            ("cost_usd", "cost_usd", where.min_cost_usd, where.max_cost_usd),
        ):
            if least is not None:
                self._check(f"min_{what}", least, f"{column} >= :min_{what}", f"max_{what} >= :min_{what}")
            if most is not None:
                self._check(f"max_{what}", most, f"{column} <= :max_{what}", f"min_{what} <= :max_{what}")

    def _choices(self, where: TraceFilter) -> None:
        """The last index named leads, so the most selective comes last."""
        if where.kind:
            self._check("kind", KIND_BITS[where.kind], "kinds & :kind", "kinds & :kind")
        if where.model:
            self._check("pattern", model_pattern(storable(where.model)), "instr(models, :pattern)")
            self.values["model"] = storable(where.model)
            models = "SELECT block FROM trace_block_models WHERE project_id = :project_id AND model = :model"
            self._blocks.append(f"block IN ({models})")
        if where.status or where.flag:
            self.values["classes"] = classes(where.flag, where.status)
            self._blocks.append("classes & :classes")
        if where.status:
            self._check("status", where.status, "status = :status")
        if where.status == "error":
            self._lead("traces_by_error", "status = 'error'")
        if where.flag:
            self._check("flag", where.flag.value, "flag = :flag")
        if where.flag and where.flag is not Flag.NORMAL:
            self._lead("traces_by_flag", "flag <> 'NORMAL'")
            self._place.append("flag = :flag")
        if where.session_id:
            self._check("session_id", storable(where.session_id), "session_id = :session_id")
            self._lead("traces_by_session")
        if where.user_id:
            self._check("user_id", storable(where.user_id), "user_id = :user_id")
            self._lead("traces_by_user")

    def _check(self, name: str, value: Any, term: str, block: str | None = None) -> None:
        self.values[name] = int64(value) if isinstance(value, int) else value
        self._terms.append(term)
        if block:
            self._blocks.append(block)

    def _lead(self, index: str, condition: str | None = None) -> None:
        """Walk *index*; SQLite wants the *condition* of a partial index said literally."""
        self._index = index
        if condition:
            self._place.append(condition)

    @property
    def _is_in_blocks(self) -> bool:
        """The index that leads is one in blocks."""
        return self._index in ("traces_by_user", "traces_by_session")

    def after(self, cursor: tuple[int, str]) -> None:
        """Go on behind *cursor*, and no longer behind an earlier one."""
        start_ns, trace_id = cursor
        if "after_ns" not in self.values:
            self._place.append("(start_ns, trace_id) < (:after_ns, :after_id)")
            self._blocks.append("min_start_ns <= :after_ns")
        self.values |= {"after_ns": int64(start_ns), "after_id": bytes.fromhex(trace_id)}

    def only(self, seqs: Iterable[int]) -> None:
        """Choose among these traces, which are few."""
        self.values["seqs"] = as_json(sorted(seqs))
        self._among = True

    def newest(self, connection: apsw.Connection, limit: int) -> list[Candidate]:
        """Give the newest *limit* that match, newest first."""
        if self._among:
            found = self._run(connection, "traces NOT INDEXED", ["seq IN (SELECT value FROM json_each(:seqs))"], limit)
        elif self._is_in_blocks:
            found = self._by_blocks(connection, limit)
        else:
            found = self._walked(connection, limit)
        return sorted(found, reverse=True)

    def _walked(self, connection: apsw.Connection, limit: int) -> list[Candidate]:
        """Walk the index; all of the way only if nothing but its order was asked for."""
        if not self._terms:
            return self._run(connection, self.source, [], limit)
        statement = QUERIES["far"].format(source=self.source, where=_all(self._place))
        far = connection.execute(statement, self.values | {"far": max(FAR, PAGES_FAR * limit)}).fetchone()
        if far is None:
            return self._run(connection, self.source, [], limit)
        near = deepcopy(self)
        near.values |= {"far_ns": far[0], "far_id": far[1]}
        found = near._run(connection, self.source, ["(start_ns, trace_id) > (:far_ns, :far_id)"], limit)
        return found if len(found) == limit else self._by_blocks(connection, limit)

    def _by_blocks(self, connection: apsw.Connection, limit: int) -> list[Candidate]:
        """Go through the blocks until no other can hold a newer one than those that were found."""
        statement = QUERIES["blocks"].format(where=_all(self._blocks))
        blocks = _blocks.decode(connection.execute(statement, self.values).get)
        found: list[Candidate] = []
        at, several = 0, BLOCKS_AT_ONCE
        while at < len(blocks):
            if len(found) == limit and found[-1].start_ns > blocks[at][0]:
                break
            self.values["blocks"] = as_json([block for _, block in blocks[at : at + several]])
            found += self._run(connection, self.among_blocks, [], limit)
            found = sorted(found, reverse=True)[:limit]
            at, several = at + several, several * BLOCKS_MORE
        return found

    @property
    def source(self) -> str:
        """The index that is walked."""
        return f"traces INDEXED BY {self._index}"

    @property
    def among_blocks(self) -> str:
        """The traces of some blocks."""
        if self._is_in_blocks:
            return f"json_each(:blocks) AS b CROSS JOIN traces INDEXED BY {self._index} ON seq >> 10 = b.value"
        return (
            "json_each(:blocks) AS b "
            "CROSS JOIN traces NOT INDEXED ON seq BETWEEN b.value << 10 AND (b.value << 10) + 1023"
        )

    def statement(self, source: str, more: Iterable[str] = ()) -> str:
        """Give the SQL of a walk."""
        return QUERIES["newest"].format(source=source, where=_all([*self._place, *self._terms, *more]))

    def _run(self, connection: apsw.Connection, source: str, more: list[str], limit: int) -> list[Candidate]:
        values = self.values | {"limit": int64(limit)}
        return _candidates.decode(connection.execute(self.statement(source, more), values).get)


def _all(terms: Iterable[str]) -> str:
    return "\n           AND ".join(terms)
