"""
What one request carries: spans and scores, or what was summed up over traffic that is not stored, or
a note of what a process that has ended had lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import msgspec

from clew.sdk.packing import PackedBody, strip_packed
from clew.wire.native import NativeBody

SPANS, DELTAS, NOTE = b"S", b"D", b"N"
"""The first byte of a record in the spool says what the rest is."""


class Flush:
    """Stands in the queue behind everything that ended before it, until that is delivered."""

    __slots__ = ("delivered", "done")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.delivered = False


class Parcel:
    """One request, and who waits for it."""

    __slots__ = ("body", "count", "data", "flushes", "is_bare", "kind")

    def __init__(
        self,
        *,
        body: PackedBody | None = None,
        data: bytes = b"",
        count: int | None = None,
        kind: bytes = SPANS,
        flushes: list[Flush] | None = None,
        is_bare: bool = False,
    ) -> None:
        self.body = body
        """Spans and scores; None if only their bytes are at hand, or these are deltas."""
        self.data = data
        """What is sent, if `body` is None."""
        self.kind = kind
        self.count = count if count is not None else len(body.spans) + len(body.scores) if body is not None else 0
        """Spans and scores."""
        self.flushes = flushes if flushes is not None else []
        self.is_bare = is_bare
        """Sent without payload already: refused again, it is lost."""

    @classmethod
    def of_record(cls, record: bytes, count: int) -> Parcel:
        """Read what `record` made."""
        return cls(data=record[1:], count=count, kind=record[:1])

    def record(self) -> bytes:
        """The parcel as it is kept in the spool."""
        return self.kind + (self.data if self.body is None else self.body.encode())

    def split(self, why: str) -> Iterator[Parcel]:
        """
        Halve what was refused, so that what is refused in it is found: one span is made bare. Nothing is
        left of what cannot be halved any more. The flushes go with the last part.
        """
        body = self.body if self.body is not None else self._unpacked()
        if body is None or self.count < 1 or (self.count == 1 and (self.is_bare or not body.spans)):
            return
        if self.count == 1:
            native, packed = strip_packed(body.spans[0], why)
            bare = PackedBody(spans=[native], packed=[packed], resource=body.resource)
            yield Parcel(body=bare, flushes=self.flushes, is_bare=True)
            return
        spans, packed_spans, scores, resource = body.spans, body.packed, body.scores, body.resource
        half, half_scores = (len(spans) + 1) // 2, 0 if spans else len(scores) // 2
        yield Parcel(
            body=PackedBody(
                spans=spans[:half], packed=packed_spans[:half], scores=scores[:half_scores], resource=resource
            )
        )
        yield Parcel(
            body=PackedBody(
                spans=spans[half:], packed=packed_spans[half:], scores=scores[half_scores:], resource=resource
            ),
            flushes=self.flushes,
        )

    def _unpacked(self) -> PackedBody | None:
        """The body of which only the bytes are at hand; None if they are none."""
        if self.kind != SPANS:
            return None
        try:
            body = unpacked(self.data)
        except msgspec.DecodeError:
            return None
        self.count = len(body.spans) + len(body.scores)
        return body


def unpacked(data: bytes) -> PackedBody:
    """
    Read back what `PackedBody.encode` made.

    Raises:
        msgspec.DecodeError: these bytes are something else.
    """
    body = msgspec.msgpack.decode(data, type=NativeBody)
    packed = [msgspec.msgpack.encode(span) for span in body.spans]
    return PackedBody(spans=body.spans, packed=packed, scores=body.scores, resource=body.resource)
