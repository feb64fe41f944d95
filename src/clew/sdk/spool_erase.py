"""
Take a user's spans out of the spools of this machine, where they wait for a server.

A segment that a living process holds is left to that process, and told. Everything else of a
segment stays as it was.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from clew.sdk.parcels import SPANS
from clew.sdk.spool_segment import HEAD, MARK, SUFFIX, hold, let_go, read_all, records_of

EMPTY: Final = SPANS + msgspec.msgpack.encode({"spans": []})
_PARTS: Final = ("spans", "scores")

_decoder: Final = msgspec.msgpack.Decoder()


class Spooled(NamedTuple):
    """What was found, over all folders."""

    spans: int = 0
    """Taken out, with scores."""
    segments: int = 0
    """That were looked through."""
    held: int = 0
    """That a living process writes or sends, and which may hold some still."""


class Mine(NamedTuple):
    """Whose spans are meant."""

    user_id: str | None = None
    session_id: str | None = None
    trace_ids: Collection[str] = ()

    def traces(self, spans: list[dict[str, Any]]) -> set[str]:
        """Give the ids of the traces that have such a span."""
        return {str(span.get("trace_id")) for span in spans if self._has(span)}

    def _has(self, span: dict[str, Any]) -> bool:
        attributes = span.get("attributes") or {}
        users = (span.get("user_id"), attributes.get("user_id"), attributes.get("user.id"))
        sessions = (span.get("session_id"), attributes.get("session_id"), attributes.get("session.id"))
        return (
            span.get("trace_id") in self.trace_ids
            or (self.user_id is not None and self.user_id in users)
            or (self.session_id is not None and self.session_id in sessions)
        )


def erase_spooled(root: Path, mine: Mine) -> Spooled:
    """
    Take out what is *mine* below *root*, the folder of all spools.

    Raises:
        OSError: a folder or a segment cannot be read or written.
    """
    found = Spooled()
    gone = set(mine.trace_ids)
    paths = sorted(root.rglob(f"*{SUFFIX}"))
    # A trace's spans may lie in several segments, of which only one says whose it is.
    for path in paths:
        gone |= mine.traces([span for body in _bodies(path) for span in body.get("spans", ())])
    for path in paths:
        found = _sum(found, _erase(path, gone))
    return found


def _bodies(path: Path) -> Iterator[dict[str, Any]]:
    with suppress(FileNotFoundError):
        for record in records_of(path.read_bytes()):
            if (body := _body(record.payload)) is not None:
                yield body


def _body(payload: bytes) -> dict[str, Any] | None:
    if payload[:1] != SPANS:
        return None
    try:
        body = _decoder.decode(payload[1:])
    except msgspec.DecodeError:
        return None
    return body if isinstance(body, dict) else None


def _erase(path: Path, gone: Collection[str]) -> Spooled:
    held = hold(path)
    if held is None:
        return Spooled(segments=1, held=int(path.exists()))
    try:
        records = [(record, *_without(record.payload, gone)) for record in records_of(read_all(held))]
        taken = sum(count for _, _, count in records)
        if taken:
            # As many records as before: whoever has sent some of them goes on behind those.
            left = [_record(each.number, max(0, each.span_count - count), payload) for each, payload, count in records]
            _replace(path, b"".join(left) if any(payload != EMPTY for _, payload, _ in records) else b"")
        return Spooled(taken, 1)
    finally:
        let_go(held)


def _without(payload: bytes, gone: Collection[str]) -> tuple[bytes, int]:
    """Give a record's payload without some traces; and how much of it went."""
    body = _body(payload)
    if body is None:
        return payload, 0
    left = {name: [each for each in body.get(name, ()) if each.get("trace_id") not in gone] for name in _PARTS}
    taken = sum(len(body.get(name, ())) - len(left[name]) for name in _PARTS)
    if not taken:
        return payload, 0
    return (SPANS + msgspec.msgpack.encode(body | left) if any(left.values()) else EMPTY), taken


def _record(number: int, span_count: int, payload: bytes) -> bytes:
    checked = HEAD.pack(MARK, number, span_count, len(payload), 0)[len(MARK) : -4]
    return HEAD.pack(MARK, number, span_count, len(payload), crc32(payload, crc32(checked))) + payload


def _replace(path: Path, data: bytes) -> None:
    if not data:
        path.unlink()
        return
    file, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(file, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(name, path)


def _sum(first: Spooled, second: Spooled) -> Spooled:
    return Spooled(*[one + other for one, other in zip(first, second, strict=True)])
