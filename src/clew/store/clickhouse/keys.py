"""API keys in a database. A row of a later version replaces; one that is gone says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clew.store.clickhouse.connect import Rows, hexed
from clew.store.clickhouse.database import ClickhouseDatabase
from clew.store.protocol import KeyRecord

_KEYS = {
    "key_hash": "String",
    "version": "UInt64",
    "gone": "UInt8",
    "scope": "String",
    "project": "String",
    "label": "String",
    "created_ns": "Int64",
}


class ClickhouseKeys(ClickhouseDatabase):
    """Keeps what `clew.store.protocol.Keys` promises."""

    def add_key(self, key: KeyRecord) -> None:
        """Keep a key; the same hash again replaces it."""
        self._write_alone(lambda: self._put_keys([key], gone=False))

    def find_key(self, key_hash: str) -> KeyRecord | None:
        """Give the key of that hash."""
        rows = self._servers.rows("find_key", {"key_hash": hexed(key_hash)})
        return _key(rows[0]) if rows else None

    def list_keys(self) -> list[KeyRecord]:
        """All keys, oldest first."""
        return sorted(map(_key, self._all()), key=lambda key: (key.created_ns, key.key_hash))

    def remove_key(self, key_hash_prefix: str) -> int:
        """Forget the keys whose hash starts so; an empty prefix removes none."""

        def remove() -> int:
            found = [
                key for key in map(_key, self._all()) if key_hash_prefix and key.key_hash.startswith(key_hash_prefix)
            ]
            self._put_keys(found, gone=True)
            return len(found)

        return self._write_alone(remove)

    def _all(self) -> Rows:
        return self._servers.rows("keys")

    def _put_keys(self, keys: Sequence[KeyRecord], *, gone: bool) -> None:
        if keys:
            version = int(self._servers.value("last_key") or 0) + 1
            rows = [(key.key_hash, version, gone, key.scope, key.project, key.label, key.created_ns) for key in keys]
            self._servers.insert("clew_keys", _KEYS, list(zip(*rows, strict=True)))


def _key(row: Sequence[Any]) -> KeyRecord:
    key_hash, scope, project, label, created_ns, _ = row
    return KeyRecord(
        key_hash=key_hash.decode(),
        scope=scope.decode(),
        project=project.decode(),
        label=label.decode(),
        created_ns=created_ns,
    )
