"""
The embedded default: one SQLite file, through apsw, which bundles a current SQLite.

`schema.sql` is the truth about tables, `queries.sql` and `graph.sql` hold every statement,
`migrations` the way from one schema to the next. `store` is the front; `commit` writes, `listing`,
`search`, `reading` and `percentiles` read, `connect` and `file` open files and say in words what
went wrong with them. `graph_store` is the front of the execution graph, whose modules are named
`graph_...`; `due` is what a commit knows of learning.
"""

from clew.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
