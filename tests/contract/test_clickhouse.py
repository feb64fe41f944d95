"""ClickHouse keeps the contract of a store. What is its own is in tests/unit/store/ and test_clickhouse_cluster."""

from functools import partial
from pathlib import Path

import pytest

from clew.store import Store, open_store
from clew.testing.store_contract import StoreContract
from clew.testing.store_contract_choices import ChoicesContract
from clew.testing.store_contract_deltas import DeltasContract
from clew.testing.store_contract_graph import GraphContract
from clew.testing.store_contract_halves import HalvesContract
from clew.testing.store_contract_questions import QuestionsContract


class TestClickhouse(StoreContract, HalvesContract, GraphContract, DeltasContract, ChoicesContract, QuestionsContract):
    @pytest.fixture(autouse=True)
    def _database(self, clickhouse_database):
        self._url = clickhouse_database

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(self._url, text_search=text_search)


class TestClickhouseOnTwoThreads(HalvesContract):
    """As a server writes: with something to do meanwhile."""

    @pytest.fixture(autouse=True)
    def _database(self, clickhouse_database):
        self._url = clickhouse_database

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        store = open_store(self._url, text_search=text_search)
        store.write = partial(store.write, meanwhile=lambda _: None)
        return store
