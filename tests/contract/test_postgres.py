"""PostgreSQL keeps the contract of a store. What is its own is in tests/unit/store/."""

from functools import partial
from pathlib import Path

import pytest

from clew.store import Store, open_store
from clew.store.postgres import commit, listing, search
from clew.testing.store_contract import StoreContract
from clew.testing.store_contract_choices import ChoicesContract
from clew.testing.store_contract_deltas import DeltasContract
from clew.testing.store_contract_graph import GraphContract
from clew.testing.store_contract_halves import HalvesContract
from clew.testing.store_contract_questions import QuestionsContract


class TestPostgres(StoreContract, HalvesContract, GraphContract, DeltasContract, ChoicesContract, QuestionsContract):
    @pytest.fixture(autouse=True)
    def _schema(self, postgres_schema):
        self._url = postgres_schema

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(self._url, text_search=text_search)


class TestPostgresAtItsLimits(TestPostgres):
    """As if every trace came in too many pieces, and every word were common; words of all new traces in blocks."""

    @pytest.fixture(autouse=True)
    def _low_limits(self, monkeypatch):
        monkeypatch.setattr(search, "RARE", 0)
        monkeypatch.setattr(listing, "WINDOWS", (1, 2, 10_000))
        monkeypatch.setattr(commit, "REWRITE_AT", 3)
        monkeypatch.setattr(commit, "FEWEST_IN_BLOCK", 1)


class TestPostgresOnTwoThreads(TestPostgres):
    """As a server writes: with something to do meanwhile."""

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        store = super().open(folder, text_search=text_search)
        store.write = partial(store.write, meanwhile=lambda _: None)
        return store
