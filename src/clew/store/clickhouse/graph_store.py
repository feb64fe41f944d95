from __future__ import annotations
from clew.store.clickhouse.database import ClickhouseDatabase
class ClickhouseGraph(ClickhouseDatabase):
    """later"""
