"""
Where traces are kept. `protocol` is what every backend promises; `open_store` picks one.

Backends do not know each other, and each is imported only when it is asked for.
"""

from __future__ import annotations

from clew.errors import ConfigError
from clew.store.protocol import Store
from clew.store.url import shown

__all__ = ["Store", "open_store"]

_SETTING = "CLEW_STORE"
_KNOWN = (
    "use sqlite:///relative.db, sqlite:////absolute/path.db, postgresql://user@host/database, "
    "clickhouse://user@host:8123/database or memory:"
)


def open_store(url: str, *, read_only: bool = False, text_search: bool = True) -> Store:
    """
    Open the store that *url* names, and make or upgrade it unless *read_only*.

    Raises:
        ConfigError: no backend has such a URL.
        StoreUnavailable: it cannot be opened.
        SchemaTooNew: a newer Clew made it.
    """
    if url == "memory:":
        from clew.store.memory import MemoryStore

        return MemoryStore(text_search=text_search)
    scheme, separator, rest = url.partition("://")
    if scheme in ("postgresql", "postgres") and separator:
        return _open_postgres(url, read_only=read_only, text_search=text_search)
    if scheme == "clickhouse" and separator:
        return _open_clickhouse(url, read_only=read_only, text_search=text_search)
    if scheme != "sqlite" or not separator:
        raise ConfigError(_SETTING, f"{shown(url)!r} names no store; {_KNOWN}")
    return _open_sqlite(url, rest, read_only=read_only, text_search=text_search)


def _open_sqlite(url: str, rest: str, *, read_only: bool, text_search: bool) -> Store:
    path = rest[1:]
    if not rest.startswith("/") or not path or path.endswith("/") or path == ":memory:" or "\0" in path:
        raise ConfigError(_SETTING, f"{url!r} names no file; {_KNOWN}")
    try:
        from clew.store.sqlite import SqliteStore
    except ModuleNotFoundError as error:
        raise ConfigError(_SETTING, f"the SQLite store needs {error.name}; pip install 'clew[server]'") from None
    return SqliteStore(path, read_only=read_only, text_search=text_search)


def _open_postgres(url: str, *, read_only: bool, text_search: bool) -> Store:
    try:
        from clew.store.postgres import PostgresStore
    except ImportError as error:
        raise ConfigError(
            _SETTING, f"the PostgreSQL store needs psycopg ({error}); pip install 'clew[postgres]'"
        ) from None
    return PostgresStore(url, read_only=read_only, text_search=text_search)


def _open_clickhouse(url: str, *, read_only: bool, text_search: bool) -> Store:
    try:
        from clew.store.clickhouse import ClickhouseStore
    except ImportError as error:
        raise ConfigError(
            _SETTING, f"the ClickHouse store needs clickhouse-connect ({error}); pip install 'clew[clickhouse]'"
        ) from None
    return ClickhouseStore(url, read_only=read_only, text_search=text_search)
