"""Ended spans as the writer hands them to the sampler, and a clock that stands until it is told."""

from __future__ import annotations

from typing import Any

import msgspec

from clew.sdk.draw import share_of
from clew.sdk.sampler import Ready, Sampler
from clew.wire.native import NativeSpan

START_NS = 1_763_700_000_000_000_000
MS, SECOND, MINUTE = 10**6, 10**9, 60 * 10**9

_encode = msgspec.msgpack.Encoder().encode
_tell = msgspec.msgpack.Decoder(NativeSpan).decode


class Clock:
    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns

    def pass_(self, span_ns: int) -> None:
        self.now_ns += span_ns


def trace_ids(*, drawn: bool, count: int, rate: float = 0.1) -> list[str]:
    """Ids of traces that are among the drawn share, or not."""
    found: list[str] = []
    at = 0
    while len(found) < count:
        at += 1
        if (share_of(f"{at:032x}") < rate) is drawn:
            found.append(f"{at:032x}")
    return found


def span(trace_id: str, number: int = 0, **fields: Any) -> NativeSpan:
    """The root is number 0; its children are below it. Ten milliseconds long."""
    start_ns = START_NS + number * MS
    defaults: dict[str, Any] = {
        "trace_id": trace_id,
        "span_id": f"{number + 1:016x}",
        "parent_id": f"{1:016x}" if number else None,
        "name": f"step {number}" if number else "ask",
        "kind": "tool" if number else "root",
        "start_ns": start_ns,
        "end_ns": start_ns + 10 * MS,
        "status": "ok",
    }
    return NativeSpan(**defaults | fields)


def give(sampler: Sampler, native: NativeSpan, *, kept: bool = False) -> Ready:
    return sampler.take(native, _encode(native), is_root=native.parent_id is None, kept=kept)


def give_trace(sampler: Sampler, trace_id: str, children: int = 2, **root: Any) -> Ready:
    """A whole trace, children first as they end."""
    ready: Ready = []
    for number in range(1, children + 1):
        ready += give(sampler, span(trace_id, number))
    return ready + give(sampler, span(trace_id, **root))


def names(ready: Ready) -> list[str]:
    for native, packed in ready:
        assert _tell(packed) == native
    return [native.name for native, _ in ready]


def traces(ready: Ready) -> set[str]:
    return {native.trace_id for native, _ in ready}
