"""The database of a store: made when it is opened, one write at a time, any number of readers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from clew.errors import SchemaTooNew, StoreUnavailable
from clew.store.clickhouse import schema
from clew.store.clickhouse.connect import Servers
from clew.store.clickhouse.target import read_target
from clew.store.url import shown

T = TypeVar("T")


class ClickhouseDatabase:
    """An open database. Any thread may write; they take turns."""

    def __init__(self, url: str, *, read_only: bool) -> None:
        self._place = shown(url)
        self._target = read_target(url)
        self._read_only = read_only
        self._lock = threading.Lock()
        self._servers = Servers(self._target, self._place)
        try:
            self._open()
            self._servers.opened = True
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if not self._servers.value("tables"):
            if self._read_only:
                raise StoreUnavailable(f"there is no Clew store in {self._place}; `clew serve --store` makes one")
        elif (found := int(self._servers.value("schema") or schema.VERSION)) > schema.VERSION:
            raise SchemaTooNew(found=found, known=schema.VERSION)
        if not self._read_only:
            self._servers.on_each_host(schema.statements(self._target))
            facts = {"name": "String", "value": "String"}
            if self._servers.value("schema") is None:
                self._servers.insert("clew_facts", facts, [["schema"], [str(schema.VERSION)]])

    def close(self) -> None:
        """Let go of all connections. Idempotent."""
        self._servers.close()

    def _write_alone(self, work: Callable[[], T]) -> T:
        """Run *work*, which writes, while no other thread does."""
        if self._read_only:
            raise StoreUnavailable(f"the store {self._place} was opened to read only")
        with self._lock:
            return work()
