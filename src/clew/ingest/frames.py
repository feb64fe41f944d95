"""
What goes between the server and the process that decodes for it, through two pipes.

A frame is the sizes of its two parts, then the parts: a pickle, and bytes as they are. Both ends
are the same program on the same machine, and nobody else can write into these pipes.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from struct import Struct
from typing import IO, Any, NamedTuple

import msgspec

from clew.model import Batch, Span
from clew.store.chunks import ChunkCoder
from clew.store.ready import ReadyBatch, ReadyTrace
from clew.wire import Decoded

_SIZES = Struct("<QQ")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_TOLD = tuple(name for name in ReadyTrace.__slots__ if name != "spans")

_encoded = msgspec.msgpack.Decoder(list[Span])


def send(pipe: IO[bytes], said: Any, raw: bytes = b"") -> None:
    """Write one frame. Blocks while the other end does not read."""
    pickled = pickle.dumps(said, 5)
    pipe.write(_SIZES.pack(len(pickled), len(raw)) + pickled)
    if raw:
        pipe.write(raw)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[Any, bytes] | None:
    """Read one frame; None if the other end is gone, be it in the middle of one."""
    sizes = pipe.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    pickled_size, raw_size = _SIZES.unpack(sizes)
    pickled, raw = pipe.read(pickled_size), pipe.read(raw_size) if raw_size else b""
    if len(pickled) < pickled_size or len(raw) < raw_size:
        return None
    return pickle.loads(pickled), raw  # noqa: S301 - only our own process writes here


class Made(NamedTuple):
    """A body, decoded and made ready for the store."""

    decoded: Decoded
    """Its spans only say how many they are."""
    batch: Batch | None
    took_s: float


def told(number: int, decoded: Decoded, batch: Batch | None, took_s: float) -> Any:
    """Say what became of body *number*. Spans stay behind: each trace's chunk holds them."""
    known = None
    if isinstance(batch, ReadyBatch):
        traces = [
            (trace_id, len(trace.spans), [_plain(getattr(trace, name)) for name in _TOLD])
            for trace_id, trace in batch.traces.items()
        ]
        known = batch.project, len(batch.spans), batch.scores, traces, batch.minutes
    return number, len(decoded.spans), decoded.scores, decoded.rejected, known, took_s


def made(said: Any) -> tuple[int, Made]:
    """Understand what `told` said."""
    number, span_count, scores, rejected, known, took_s = said
    batch = None
    if known is not None:
        project, count, batch_scores, told_traces, minutes = known
        traces = {trace_id: _trace(spans, values) for trace_id, spans, values in told_traces}
        spans: Any = Asleep(count, traces)
        batch = ReadyBatch(project=project, spans=spans, scores=batch_scores, traces=traces, minutes=minutes)
    decoded = Decoded(range(span_count), scores, rejected)  # type: ignore[arg-type]
    return number, Made(decoded, batch, took_s)


def _plain(value: Any) -> Any:
    # Rows may come as an iterator, which cannot be sent.
    return list(value) if isinstance(value, Iterator) else value


def _trace(span_count: int, values: list[Any]) -> ReadyTrace:
    trace = ReadyTrace()
    for name, value in zip(_TOLD, values, strict=True):
        setattr(trace, name, value)
    trace.spans = AsleepById(span_count, trace.chunk)  # type: ignore[assignment]
    return trace


class AsleepById(Mapping[str, Span]):
    """The spans of one trace by id, unpacked when somebody asks: where more of the trace is known."""

    def __init__(self, count: int, chunk: bytes) -> None:
        self._count = count
        self._chunk = chunk
        self._awake: dict[str, Span] | None = None

    def _spans(self) -> dict[str, Span]:
        if self._awake is None:
            packed = self._chunk[:4] == _ZSTD_MAGIC
            spans = ChunkCoder().unpack(self._chunk) if packed else _encoded.decode(self._chunk)
            self._awake = {span.span_id: span for span in spans}
        return self._awake

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, span_id: str) -> Span:
        return self._spans()[span_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans())


class Asleep:
    """The spans of one batch, unpacked when somebody asks."""

    def __init__(self, count: int, traces: Mapping[str, ReadyTrace]) -> None:
        self._count = count
        self._traces = traces

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Span]:
        each: Iterable[Iterable[Span]] = (trace.spans.values() for trace in self._traces.values())
        return chain.from_iterable(each)
