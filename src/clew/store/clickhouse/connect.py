"""
A client for ClickHouse's HTTP port, and in words what went wrong with it.

What is wrong at the start and will not mend itself (a password, a database that is not there) is a
`ConfigError`; all else is a `StoreUnavailable` or `StoreBusy`. Of a write that failed some may be
stored; it shows only when the same is written again, which adds nothing twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from clickhouse_connect.driver.external import ExternalData

from clew.errors import ConfigError, StoreBusy, StoreUnavailable
from clew.store import sql
from clew.store.clickhouse.target import SETTING, Target

_TERMS = ("shown", "shown_here", "shown_until", "shown_wanted", "kept", "kept_wanted", "told_here")
"""Statements that are parts of others."""


def _load(*names: str) -> dict[str, str]:
    read = {name: text for file in names for name, text in sql.load("clew.store.clickhouse", file).items()}
    terms = {term: read.pop(term) for term in _TERMS}
    for term, text in terms.items():
        read = {name: statement.replace(f"{{{term}}}", text) for name, statement in read.items()}
    return read


QUERIES = _load("queries.sql", "expiry.sql", "snapshot.sql", "health.sql")

TIMEOUT_S = 60
"""So long an answer is waited for."""

# Synchronous, whatever the user's profile says; if the server queues inserts all the same, wait for its disk.
# A shard that is away makes a question fail, and is never left out of the answer.
_SETTINGS: dict[str, Any] = {
    "async_insert": 0,
    "wait_for_async_insert": 1,
    "distributed_foreground_insert": 1,
    "skip_unavailable_shards": 0,
    "insert_deduplicate": 1,
    "max_execution_time": TIMEOUT_S,
}
# A replica that is behind must not answer for one that is not.
_REPLICATED: dict[str, Any] = {"insert_quorum": "auto", "insert_quorum_parallel": 0, "select_sequential_consistency": 1}

_BUSY = {159, 160, 202, 203, 209, 241, 252, 285}
"""Too slow, too many queries, out of memory, too many parts, too few replicas."""

_WRONG = {81: "make it with CREATE DATABASE, or name another in the URL", 192: "", 193: "", 194: "", 516: ""}
"""A database or user that is not there, a password that is wrong."""

_CORRECT_LOGIN = "correct user and password in the URL"

_AS_BYTES = {"String": "bytes"}
"""Texts may be any bytes; each is read where it is known what it is."""

Rows = list[tuple[Any, ...]]


def wanted(traces: Iterable[tuple[str, bytes]]) -> ExternalData:
    """Give (project, trace id) as a table that travels with a question."""
    body = bytearray()
    for project, trace_id in traces:
        name = project.encode("utf-8", "replace")
        body += _length(len(name)) + name + trace_id
    types = ["project String", "trace_id FixedString(16)"]
    return ExternalData(file_name="wanted", fmt="RowBinary", structure=types, data=bytes(body))


def _length(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def hexed(text: str) -> str:
    """Give *text* as its questions take it. A lone surrogate, which no store holds, finds nothing."""
    return text.encode("utf-8", "replace").hex()


class Servers:
    """The servers of a target. Any thread may ask; the first host that answers is kept."""

    def __init__(self, target: Target, place: str) -> None:
        self._target = target
        self._place = place
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._closed = False
        self.opened = False
        """From then on nothing is a mistake in the settings any more."""

    def close(self) -> None:
        """Let go of connections. Idempotent."""
        with self._lock:
            self._closed = True
            self._forget()

    def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def rows(
        self, name: str, values: Mapping[str, Any] | None = None, *, data: ExternalData | None = None, terms: str = ""
    ) -> Rows:
        """Run a named query; its rows, with texts as bytes."""
        statement = QUERIES[name].replace("{terms}", terms)
        with self._translated():
            client = self._connected()
            asked = dict(values or {})
            found = client.query(statement, parameters=asked, external_data=data, query_formats=_AS_BYTES)
            return [tuple(row) for row in found.result_rows]

    def value(self, name: str, values: Mapping[str, Any] | None = None) -> Any:
        """Run a named query; the first value of its first row, or None."""
        rows = self.rows(name, values)
        return rows[0][0] if rows else None

    def insert(
        self, table: str, types: Mapping[str, str], columns: Sequence[Sequence[Any]], *, token: str | None = None
    ) -> None:
        """Insert *columns* in one statement. With a *token* that was used before nothing happens."""
        settings: dict[str, Any] = {} if token is None else {"insert_deduplication_token": token}
        with self._translated():
            self._connected().insert(
                table,
                columns,
                column_names=list(types),
                column_type_names=list(types.values()),
                column_oriented=True,
                settings=settings,
            )

    def on_each_host(self, statements: Sequence[str], *, timeout_s: int = TIMEOUT_S) -> None:
        """Run *statements* on every host; each may take so long."""
        for host, port in self._target.hosts:
            with self._translated():
                client = self._open(host, port, timeout_s)
                try:
                    for statement in statements:
                        client.command(statement)
                finally:
                    client.close()

    def _connected(self) -> Client:
        with self._lock:
            if self._closed:
                raise StoreUnavailable(f"the store {self._place} is closed")
            if self._client is None:
                self._client = self._first()
            return self._client

    def _first(self) -> Client:
        *others, last = self._target.hosts
        for host, port in others:
            try:
                return self._open(host, port)
            except OperationalError:
                continue
        return self._open(*last)

    def _open(self, host: str, port: int, timeout_s: int = TIMEOUT_S) -> Client:
        target = self._target
        return clickhouse_connect.get_client(
            host=host,
            port=port,
            username=target.user,
            password=target.password,
            database=target.database,
            secure=target.secure,
            settings=_SETTINGS | {"max_execution_time": timeout_s} | (_REPLICATED if target.replicated else {}),
            connect_timeout=10,
            send_receive_timeout=timeout_s,
            query_retries=1,
            autogenerate_session_id=False,  # a session takes one question at a time
            client_name="clew",
            form_encode_query_params=True,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ClickHouseError as error:
            if not isinstance(error, DatabaseError) or isinstance(error, OperationalError):
                with self._lock:
                    self._forget()
            ours = explain(error, self._place)
            if isinstance(ours, ConfigError) and self.opened:
                ours = StoreUnavailable(ours.problem)
            raise ours from error


def explain(error: ClickHouseError, place: str) -> ConfigError | StoreBusy | StoreUnavailable:
    """Give the error that Clew raises for ClickHouse's *error*."""
    code = getattr(error, "code", None)
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    if code in _BUSY:
        return StoreBusy(f"{place} is over capacity ({line}); write the same again, nothing is stored twice")
    if code in _WRONG:
        return ConfigError(SETTING, f"cannot use {place}: {line}; {_WRONG[code] or _CORRECT_LOGIN}")
    if code == 243:
        return StoreUnavailable(f"no space is left for {place}; free some and write the same again")
    return StoreUnavailable(f"cannot use {place}: {line}; is ClickHouse, with all its shards, running there?")
