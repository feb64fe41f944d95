"""
A store in ClickHouse, on one server or sharded over many, for where one machine no longer keeps up.

ClickHouse has no transaction over several tables, so nothing here needs one. What a commit brings of a
trace is a piece, which is never changed; the trace's row is made of all its pieces, written after
them, and the one of most pieces wins. So readers see whole traces, a write that is repeated adds
nothing, and two writers lose nothing of each other's. The graph is a log of changes, each one insert,
whose positions are given out by the server's own deduplication of inserts.

`schema.sql` is the truth about tables, `queries.sql` holds every question. `store` is the front;
`commit` writes, `traces` reads back and folds pieces, `listing` and `latency` read; `log` is the log,
`learned` what it adds up to, `graph_store` the front of the execution graph, `graph_lead` who learns it.
`expiry` is the front of how traces go: `expiry_log` says what went, in one insert, `expiry_clean` deletes
it from the disk, `expiry_sums` sums up what it counted, and `erasure` takes out names. Their questions are in
`expiry.sql`. `snapshot` is for moving the store, `health` for `clew doctor`.
"""

from clew.store.clickhouse.store import ClickhouseStore

__all__ = ["ClickhouseStore"]
