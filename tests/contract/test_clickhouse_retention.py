"""ClickHouse keeps the contract on how traces go."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.store import Store, open_store
from clew.testing.store_contract_retention import RetentionContract


class TestClickhouseRetention(RetentionContract):
    @pytest.fixture(autouse=True)
    def _database(self, clickhouse_database):
        self._url = clickhouse_database

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(self._url, text_search=text_search)
