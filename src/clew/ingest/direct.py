"""
Straight into a store, with no server: what `CLEW_ENDPOINT=sqlite:///…` does.

Runs on the thread of whoever sends, which in the SDK is its one writer.
"""

from __future__ import annotations

import threading

from clew.errors import StoreBusy, StoreUnavailable
from clew.ingest.deltas import read_delta
from clew.ingest.salvage import Salvage, batch_of
from clew.store.protocol import Store
from clew.wire.native import NativeBody
from clew.wire.native_reader import from_native


class DirectWriter:
    """Owns the store that it is given, and closes it."""

    def __init__(self, store: Store, project: str = "default") -> None:
        self._store = store
        self._project = project
        self._turn = threading.Lock()

    def send(self, body: NativeBody) -> list[str]:
        """
        Make *body* durable. Gives why single spans or scores were refused, if any.

        Raises:
            StoreBusy, StoreUnavailable: retrying is safe.
        """
        decoded = from_native(body)
        rejected = decoded.rejected
        with self._turn:
            try:
                self._store.write([batch_of(self._project, decoded)])
            except (StoreBusy, StoreUnavailable):
                raise
            except Exception:
                salvage = Salvage(self._store, self._project, decoded)
                salvage.run()
                rejected = salvage.rejected
        return [each.error for each in rejected]

    def send_deltas(self, body: bytes) -> None:
        """
        Add what the SDK learned from traffic that it did not send: a body as `clew.wire.deltas` has it.

        Raises:
            MalformedBody: it cannot be read.
            StoreBusy, StoreUnavailable: retrying is safe; the same body counts once.
        """
        delta = read_delta(body)
        with self._turn:
            self._store.apply_delta(self._project, *delta)

    def close(self) -> None:
        """Let go of the store."""
        with self._turn:
            self._store.close()
