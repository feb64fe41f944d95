"""Traces that wait: for their root, or for somebody to complain of them. Bounded by whoever puts them there."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

SPAN_BYTES: Final = 80
"""What a waiting span takes beside its own bytes."""

TRACE_BYTES: Final = 600
"""What a waiting trace takes beside its spans."""


class Held:
    """One trace, as the bytes of its spans in the order in which they ended."""

    __slots__ = (
        "folded",
        "folded_ns",
        "folded_with_dataflow",
        "in_line",
        "is_remarkable",
        "packed",
        "since_ns",
        "size",
        "trace_id",
    )

    def __init__(self, trace_id: str, since_ns: int) -> None:
        self.trace_id = trace_id
        self.since_ns = since_ns
        """Unix nanoseconds of its first span while it waits for its root, of its last one after that."""
        self.packed: list[bytes] = []
        self.size = TRACE_BYTES
        """In bytes, about."""
        self.is_remarkable = False
        """One of its spans failed, or was kept by the user."""
        self.folded = 0
        """So many of its spans, the first ones, are in the sums of what is not sent."""
        self.folded_ns = 0
        """When they were folded."""
        self.folded_with_dataflow = False
        self.in_line = False
        """It stands in line to be folded."""


class Shelf:
    """Traces by id, those that came first first, and what they weigh together."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Held] = OrderedDict()
        self.size = 0
        """In bytes, about."""

    def __len__(self) -> int:
        return len(self._held)

    def get(self, trace_id: str) -> Held | None:
        """Give a trace, if it is there."""
        return self._held.get(trace_id)

    def oldest(self) -> Held | None:
        """Give the trace that came first."""
        return next(iter(self._held.values()), None)

    def put(self, held: Held) -> None:
        """Take a trace in, as the last; or move it to the end."""
        if self._held.pop(held.trace_id, None) is None:
            self.size += held.size
        self._held[held.trace_id] = held

    def add(self, held: Held, packed: bytes) -> None:
        """Add a span to a trace that is here."""
        held.packed.append(packed)
        more = len(packed) + SPAN_BYTES
        held.size += more
        self.size += more

    def pop(self, trace_id: str) -> Held | None:
        """Take a trace out, if it is there."""
        held = self._held.pop(trace_id, None)
        if held is not None:
            self.size -= held.size
        return held
