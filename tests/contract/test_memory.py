"""The plain reference keeps the contract too, but for outliving its process."""

from pathlib import Path

from clew.store import Store, open_store
from clew.testing.store_contract import StoreContract
from clew.testing.store_contract_choices import ChoicesContract
from clew.testing.store_contract_deltas import DeltasContract
from clew.testing.store_contract_graph import GraphContract
from clew.testing.store_contract_halves import HalvesContract
from clew.testing.store_contract_questions import QuestionsContract


class TestMemory(StoreContract, HalvesContract, GraphContract, DeltasContract, ChoicesContract, QuestionsContract):
    durable = False

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store("memory:", text_search=text_search)
