"""Memory and SQLite keep the contract on how traces go."""

from pathlib import Path

import pytest

from clew.store import Store, open_store
from clew.store.sqlite import expiry
from clew.testing.store_contract_retention import RetentionContract


class TestMemoryRetention(RetentionContract):
    durable = False

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store("memory:", text_search=text_search)


class TestSqliteRetention(RetentionContract):
    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(f"sqlite:///{folder}/clew.db", text_search=text_search)


class TestSqliteRetentionInSmallSteps(TestSqliteRetention):
    """As if one page at a time were given back."""

    @pytest.fixture(autouse=True)
    def _low_limits(self, monkeypatch):
        monkeypatch.setattr(expiry, "VACUUM_BYTES", 1)
        monkeypatch.setattr(expiry, "MERGE_PAGES", 1)
