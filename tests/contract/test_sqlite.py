"""SQLite keeps the contract of a store. What is its own is in tests/unit/store/."""

from functools import partial
from pathlib import Path

import pytest

from clew.store import Store, open_store
from clew.store.sqlite import commit, listing, newest, search, statements
from clew.testing.store_contract import StoreContract
from clew.testing.store_contract_choices import ChoicesContract
from clew.testing.store_contract_deltas import DeltasContract
from clew.testing.store_contract_graph import GraphContract
from clew.testing.store_contract_halves import HalvesContract
from clew.testing.store_contract_questions import QuestionsContract


class TestSqlite(StoreContract, HalvesContract, GraphContract, DeltasContract, ChoicesContract, QuestionsContract):
    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store(f"sqlite:///{folder}/clew.db", text_search=text_search)


class TestSqliteAtItsLimits(TestSqlite):
    """As if every word were common, every trace came in too many pieces, and there were many blocks of them."""

    @pytest.fixture(autouse=True)
    def _low_limits(self, monkeypatch):
        monkeypatch.setattr(search, "RARE_CHUNKS", 0)
        monkeypatch.setattr(listing, "WINDOWS", (1, 2))
        monkeypatch.setattr(newest, "FAR", 1)
        monkeypatch.setattr(newest, "PAGES_FAR", 0)
        monkeypatch.setattr(newest, "BLOCKS_AT_ONCE", 1)
        # Each commit begins a block.
        known = commit.QUERIES["known"].replace("coalesce(max(seq), 0)", "coalesce(max(seq), 0) / 1024 * 1024 + 1024")
        monkeypatch.setitem(commit.QUERIES, "known", known)
        monkeypatch.setattr(commit, "REWRITE_AT", 3)
        monkeypatch.setattr(statements, "ROWS_A_STEP", (2, 1))
        monkeypatch.setattr(statements, "VALUES_AT_ONCE", 0)


class TestSqliteOnTwoThreads(TestSqlite):
    """As a server writes: with something to do meanwhile, SQLite's work goes on aside."""

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        store = super().open(folder, text_search=text_search)
        store.write = partial(store.write, meanwhile=lambda _: None)
        return store
