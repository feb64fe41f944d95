"""
A store in PostgreSQL, for where there is one already or where several servers share one.

`schema.sql` is the truth about tables, `queries.sql` and `graph.sql` hold every statement,
`migrations` the way from one schema to the next. `store` is the front; `commit` writes rows as
`binary` and `rows` make them, into `partitions` of a day each; `listing`, `search`, `reading` and
`percentiles` read; `connect` and `database` hold connections and say in words what went wrong with
them. `graph_store` is the front of the execution graph, whose modules are named `graph_...`.
"""

from clew.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
