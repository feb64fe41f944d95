"""
From bodies to a durable store: decode, gather, commit together, and only then say so.

`Batcher` stands behind the server's routes; `clew.ingest.direct` writes with no server at all.
"""

from clew.ingest.batcher import Batcher, Receipt

__all__ = ["Batcher", "Receipt"]
