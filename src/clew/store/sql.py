"""
Named queries: SQL in files, each statement under a line `-- name: what_it_is_for`.

A statement that takes many rows says `VALUES :rows`, and `of_rows` writes as many groups of
placeholders there as its list of columns asks for.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*$", re.MULTILINE)
_INTO = re.compile(r"INTO\s+\w+\s*\(([^)]*)\)", re.IGNORECASE)


def load(package: str, filename: str) -> dict[str, str]:
    """Read the named queries of *filename*, which lies in *package*."""
    parts = _NAME.split(files(package).joinpath(filename).read_text(encoding="utf-8"))
    # Without the comments: SQLite would read them again and again.
    return {
        name: _COMMENT.sub("", body).strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }


@lru_cache(maxsize=256)
def of_rows(sql: str, count: int) -> str:
    """Give *sql* for *count* rows at once: fewer, larger steps (see `clew.store.sqlite.connect`)."""
    columns = _INTO.search(sql)
    if columns is None:
        raise ValueError("a statement of rows must name its columns")
    group = "(" + ",".join("?" * (columns.group(1).count(",") + 1)) + ")"
    return sql.replace(":rows", ",".join([group] * count))
