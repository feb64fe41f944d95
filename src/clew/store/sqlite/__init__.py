"""
The embedded default: one SQLite file, through apsw, which bundles a current SQLite.

`schema.sql` is the truth about tables, `queries.sql` holds every statement, `migrations` the way
from one schema to the next. `store` is the front; `commit` writes, `listing`, `search`, `reading`
and `percentiles` read, `connect` opens files and says in words what went wrong with them.
"""

from clew.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
