"""
Open connections, and say in words what went wrong with them.

What is wrong at the start and will not mend itself (a password, a database that is not there) is a
`ConfigError`; once the store was open the same words are a `StoreUnavailable`, since whoever sends
tries again and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from clew.errors import ConfigError, StoreBusy, StoreUnavailable
from clew.store.postgres.binary import Packed

Connection = psycopg.Connection[tuple[Any, ...]]

SETTING = "store"

LOCK_TIMEOUT_MS = 10_000
"""So long a write waits for another process's; then it is told to come again."""

# A server that vanished without a word is noticed after a minute.
_DEFAULTS: dict[str, Any] = {
    "application_name": "clew",
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "client_encoding": "UTF8",
}

# All of our queries ask for few rows by their keys. Planned once for all values, by a planner that may
# know no figures yet, they must not read whole tables; and compiling one takes longer than any runs.
_SESSION = "; ".join(
    [
        "SET synchronous_commit = on",
        f"SET lock_timeout = {LOCK_TIMEOUT_MS}",
        "SET plan_cache_mode = force_generic_plan",
        "SET jit = off",
        "SET enable_seqscan = off",
        "SET enable_hashjoin = off",
        "SET enable_mergejoin = off",
    ]
).encode()
_READ_ONLY = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"

Broken = (psycopg.OperationalError, psycopg.InterfaceError)
"""The connection may be of no use any more."""


def conninfo(url: str) -> str:
    """
    Give what libpq connects with: *url* with our defaults.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        given = conninfo_to_dict(url)
        # libpq reads a port that is none as the name of a service.
        for port in filter(None, str(given.get("port") or "").split(",")):
            int(port)
        return make_conninfo("", **(_DEFAULTS | given))
    except (psycopg.Error, ValueError) as error:
        # Its text may quote the URL, and with it the password.
        raise ConfigError(
            SETTING,
            f"this URL cannot be read ({type(error).__name__}); it looks like postgresql://user:password@host/database",
        ) from None


class _PackedDumper(Dumper):
    format = psycopg.pq.Format.BINARY

    def dump(self, obj: Packed) -> bytes:
        return obj.data


def register_packed(connection: Connection) -> None:
    """Have *connection* take `Packed` as a parameter."""
    connection.adapters.register_dumper(Packed, _PackedDumper)


def open_connection(info: str, *, to_write: bool) -> Connection:
    """Connect. What was committed over it is on the disk, whatever the server's default is."""
    connection: Connection = psycopg.connect(info, autocommit=True, prepare_threshold=0)
    register_packed(connection)
    try:
        connection.execute(_SESSION, prepare=False)
        if not to_write:
            connection.execute(_READ_ONLY, prepare=False)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def translated(place: str, *, opening: bool = False) -> Iterator[None]:
    """
    Turn psycopg's errors into ours, in words that say what to do.

    What is wrong with one value is left as it is: whoever writes finds the span that it is in.
    """
    try:
        yield
    except psycopg.Error as error:
        ours = explain(error, place)
        if ours is None:
            raise
        if isinstance(ours, ConfigError) and not opening:
            ours = StoreUnavailable(ours.problem)
        raise ours from error


Explained = ConfigError | StoreBusy | StoreUnavailable


def explain(error: psycopg.Error, place: str) -> Explained | None:
    """Give the error that Clew raises for PostgreSQL's *error*; None for one of a value, or a bug."""
    line = _first_line(error)
    for kinds, say in _EXPLAINED:
        if isinstance(error, kinds):
            return say(place, line)
    return None


_OWN_SCHEMA = "CREATE SCHEMA clew, and end the URL with ?options=-csearch_path%3Dclew"


def _in_the_way(place: str, _line: str) -> StoreBusy:
    return StoreBusy(f"another process writes the same to {place}; nothing was written, try again")


def _slow(place: str, line: str) -> StoreBusy:
    return StoreBusy(f"{place} took too long ({line}); nothing was written, try again")


def _full(place: str, _line: str) -> StoreUnavailable:
    return StoreUnavailable(f"no space is left for {place}; nothing was written, free some and try again")


def _forbidden(place: str, line: str) -> ConfigError:
    return ConfigError(SETTING, f"{place}: {line}; GRANT it, or use a schema of your own: {_OWN_SCHEMA}")


def _standby(place: str, _line: str) -> StoreUnavailable:
    return StoreUnavailable(f"{place} takes no writes (a standby?); name its primary, or wait until it is one")


def _gone(place: str, line: str) -> StoreUnavailable:
    return StoreUnavailable(f"tables of {place} are gone ({line}); they are made again on the next try")


# PostgreSQL gives no code for what goes wrong before a connection is there, only words.
_Advice = tuple[tuple[tuple[str, ...], str], ...]
_WRONG: _Advice = (
    (("password", "role ", "authentication", "pg_hba.conf"), "correct user and password in the URL"),
    (("database ",), "make it with `createdb`, or name another in the URL"),
    (("ssl", "certificate"), "correct sslmode and its certificates in the URL"),
)
_PASSING: _Advice = (
    (("too many", "connection slots"), "it is out of connections; raise its max_connections, or stop others"),
    (("refused", "no such file", "translate host", "resolve host", "timeout expired"), "is PostgreSQL running there?"),
    (("starting up", "shutting down", "recovery"), "it will be back in a moment"),
)


def _of_the_connection(place: str, line: str) -> ConfigError | StoreUnavailable:
    lower = line.lower()
    for words, advice in _PASSING:
        if any(word in lower for word in words):
            return StoreUnavailable(f"cannot use {place}: {line}; {advice}; nothing was written")
    for words, advice in _WRONG:
        if any(word in lower for word in words):
            return ConfigError(SETTING, f"cannot use {place}: {line}; {advice}")
    return StoreUnavailable(f"{place} is away: {line}; nothing was written, try again")


_EXPLAINED: tuple[tuple[tuple[type[psycopg.Error], ...], Callable[[str, str], Explained]], ...] = (
    ((errors.SerializationFailure, errors.DeadlockDetected), _in_the_way),
    ((errors.LockNotAvailable, errors.QueryCanceled), _slow),
    ((errors.DiskFull,), _full),
    ((errors.InsufficientPrivilege,), _forbidden),
    ((errors.ReadOnlySqlTransaction,), _standby),
    ((errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName, errors.DatatypeMismatch), _gone),
    ((psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError), _of_the_connection),
)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
