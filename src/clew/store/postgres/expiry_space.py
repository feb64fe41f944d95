"""
How the space of traces that went comes back: a day at a time, since each is a partition.

A day of which nothing is left is dropped. Of one that is hollow, what is left is moved to today, a
few traces at a time, under new numbers, as if it had come today; then that day is dropped as well.
"""

from __future__ import annotations

from contextlib import suppress

from psycopg import errors

from clew.store.chunks import PER_TRACE
from clew.store.postgres import partitions
from clew.store.postgres.connect import Connection
from clew.store.postgres.expiry import DROPPED_FACT, QUERIES, SCRUB_FACT
from clew.store.postgres.numbers import Numbers
from clew.store.postgres.partitions import PER_DAY, TABLE_NAMES, name_of
from clew.store.postgres.statements import Statements
from clew.store.postgres.words import Block

STILL_OPEN_DAYS = 2
"""Today, and the day before: traces of which scores came first may still begin there."""

MOVED_AT_ONCE = 100
FORGOTTEN_AT_ONCE = 1_000

HOLLOW = 4
"""A day of which so many times more went than are left is worth emptying."""

DROP_WAIT_MS = 500
"""So long a day that is to be dropped waits for those who read, and whoever comes meanwhile with it."""


def days_made(connection: Connection) -> list[int]:
    """Every day that has a partition, oldest first."""
    return sorted(partitions.days_of(connection, "traces"))


def is_empty(connection: Connection, day: int) -> bool:
    """Nothing is left of the traces of a day."""
    return Statements(connection, QUERIES).row("has_traces", **_bounds(day)) is None


def forget_ids(connection: Connection, day: int) -> bool:
    """Drop ids of an empty day under which only scores lie; False if there is none."""
    statements = Statements(connection, QUERIES)
    gone = statements.rows("forget_ids", **_bounds(day), limit=FORGOTTEN_AT_ONCE)
    for project_id in {project_id for project_id, _ in gone}:
        ids = [trace_id for of, trace_id in gone if of == project_id]
        statements.run("drop_scores", project_id=project_id, trace_ids=ids)
    return bool(gone)


def drop_day(connection: Connection, day: int) -> bool:
    """Drop the partitions of an empty day; False if somebody was in the way for too long, or it filled again."""
    statements = Statements(connection, QUERIES)
    connection.execute(f"SET LOCAL lock_timeout = {DROP_WAIT_MS}".encode(), prepare=False)
    try:
        # The parents, since dropping asks for them; in the order in which writes come to them.
        connection.execute(f"LOCK TABLE {', '.join(TABLE_NAMES)} IN ACCESS EXCLUSIVE MODE".encode(), prepare=False)
    except errors.LockNotAvailable:
        connection.execute("ROLLBACK", prepare=False)
        connection.execute("BEGIN", prepare=False)
        return False
    if not is_empty(connection, day) or statements.row("has_ids", **_bounds(day)) is not None:
        return False
    for table in TABLE_NAMES:
        connection.execute(f"DROP TABLE IF EXISTS {name_of(table, day)}".encode(), prepare=False)
    statements.run("drop_facts", names=[f"{prefix}{day}" for prefix in (DROPPED_FACT, SCRUB_FACT)])
    return True


def hollow_days(connection: Connection, before_day: int) -> list[int]:
    """Days of which most has gone, and not all."""
    statements = Statements(connection, QUERIES)
    hollow = []
    for name, dropped in statements.rows("facts_named", prefix=DROPPED_FACT):
        day, few = int(name[len(DROPPED_FACT) :]), int(dropped) // HOLLOW
        left = statements.value("count_traces", **_bounds(day), limit=few + 1)
        if day < before_day and 0 < left <= few:
            hollow.append(day)
    return sorted(hollow)


def move_some(connection: Connection, day: int, numbers: Numbers) -> int:
    """Give some traces of a day numbers of today; gives how many."""
    statements = Statements(connection, QUERIES)
    seqs = [seq for (seq,) in statements.rows("ids_of_day", **_bounds(day), limit=MOVED_AT_ONCE)]
    if not seqs:
        return 0
    moved = {"seqs": seqs, "new": numbers.take(Statements(connection, {"trace_numbers": _NUMBERS}), len(seqs))}
    between = {"first": seqs[0], "last": seqs[-1]}
    _move_words(statements, dict(zip(seqs, moved["new"], strict=True)))
    statements.run("move_due", **moved)
    for name in ("move_ids", "move_spans", "move_chunks", "move_words", "move_traces"):
        statements.run(name, **moved, **between)
    return len(seqs)


_NUMBERS = b"SELECT nextval('trace_numbers')"


def _move_words(statements: Statements, moved: dict[int, int]) -> None:
    """Those that lie in blocks, which stay behind, get rows of their own, unless they were written anew since."""
    void = {seq for (seq,) in statements.rows("void_of", seqs=list(moved))}
    for _, words, places in statements.rows("blocks_with", seqs=list(moved)):
        for seq, its_words in Block(places).traces(words, set(moved) - void):
            statements.run("add_words_of", chunk_id=moved[seq] * PER_TRACE, words=its_words)
    statements.run("drop_void", seqs=list(void))


def days_to_scrub(connection: Connection) -> list[str]:
    """The facts that say where erased bytes may be."""
    return [name for name, _ in Statements(connection, QUERIES).rows("facts_named", prefix=SCRUB_FACT)]


def scrub(connection: Connection, names: list[str]) -> None:
    """Write anew what held erased traces. Outside a transaction."""
    for name in names:
        day = int(name[len(SCRUB_FACT) :])
        tables = [name_of(table, day) for table in TABLE_NAMES] if day >= 0 else ["scores", "graph_suggestions"]
        for table in tables:
            with suppress(errors.UndefinedTable):
                connection.execute(f"VACUUM (FULL) {table}".encode(), prepare=False)
    for table in ("trace_ids", "graph_due", "graph_edges", "graph_variants", "trace_text_void"):
        connection.execute(f"VACUUM {table}".encode(), prepare=False)
    Statements(connection, QUERIES).run("drop_facts", names=names)


def _bounds(day: int) -> dict[str, int]:
    return {"first": day * PER_DAY, "end": (day + 1) * PER_DAY}
