"""The plain reference keeps the contract too, but for outliving its process."""

from pathlib import Path

from clew.store import Store, open_store
from clew.testing.store_contract import StoreContract


class TestMemory(StoreContract):
    durable = False

    def open(self, folder: Path, *, text_search: bool = True) -> Store:
        return open_store("memory:", text_search=text_search)
