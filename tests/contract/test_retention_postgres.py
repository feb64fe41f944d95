"""PostgreSQL keeps the contract on how traces go."""

from pathlib import Path

import pytest

from clew.store import Store, open_store
from clew.store.postgres import commit, expiry_space
from clew.testing.store_contract_retention import RetentionContract


class TestPostgresRetention(RetentionContract):
    @pytest.fixture(autouse=True)
    def _schema(self, postgres_schema):
        self._url = postgres_schema

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(self._url, text_search=text_search)


class TestPostgresRetentionInSmallSteps(TestPostgresRetention):
    """As if all words lay in blocks, every day were closed at once, and one trace moved at a time."""

    @pytest.fixture(autouse=True)
    def _low_limits(self, monkeypatch):
        monkeypatch.setattr(commit, "FEWEST_IN_BLOCK", 1)
        monkeypatch.setattr(expiry_space, "MOVED_AT_ONCE", 1)
        monkeypatch.setattr(expiry_space, "FORGOTTEN_AT_ONCE", 1)
