"""
Read what `clew.wire.native` describes. Apart from it, because the SDK writes and never reads.

The whole body is decoded by one typed call into the spans that the store keeps. Only if that
fails is each span tried alone, so that one bad span costs itself and no other; and only if the
JSON itself is wrong is it read again by the standard library, which takes what Python's own
`json` writes: NaN, infinities and lone surrogates.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

import msgspec

from clew.config import MAX_VALUE_CHARS
from clew.errors import MalformedBody, MalformedId, UnsupportedMedia
from clew.model import Score, Span
from clew.wire import Decoded, Rejection
from clew.wire.conventions import derive
from clew.wire.mend import clean_resource, mend, mend_ids, mend_score
from clew.wire.native import NativeBody, NativeSpan
from clew.wire.values import MAX_KEY_CHARS, clean_text

T = TypeVar("T")

OTEL_KINDS = frozenset({"internal", "server", "client", "producer", "consumer"})


class _Body(msgspec.Struct):
    """Straight into the spans that the store keeps: no second object for each."""

    spans: list[Span] = []
    scores: list[Score] = []
    resource: dict[str, Any] = {}


class _LooseBody(msgspec.Struct):
    spans: list[msgspec.Raw] = []
    scores: list[msgspec.Raw] = []
    resource: dict[str, Any] = {}


_SPAN = msgspec.msgpack.Decoder(Span)
_JSON = (msgspec.json.Decoder(_Body).decode, msgspec.json.decode)
_MSGPACK = (msgspec.msgpack.Decoder(_Body).decode, msgspec.msgpack.decode)
_DECODERS: dict[str, tuple[Callable[[bytes], _Body], Callable[..., Any]]] = {
    "application/json": _JSON,
    "application/msgpack": _MSGPACK,
    "application/x-msgpack": _MSGPACK,
    "application/vnd.msgpack": _MSGPACK,
}

_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError, OverflowError)
_PYTHONS_OWN_JSON = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")


def decode(body: bytes, content_type: str) -> Decoded:
    """
    Read a native body; see `clew.wire.native.decode`.

    Raises:
        UnsupportedMedia: neither JSON nor MessagePack.
        MalformedBody: the body as a whole cannot be read.
    """
    media = content_type.partition(";")[0].strip().lower()
    if media not in _DECODERS:
        raise UnsupportedMedia(f"no decoder for {content_type[:80]!r}; send application/json or application/msgpack")
    decode_whole, decode_piece = _DECODERS[media]
    try:
        whole = decode_whole(body)
    except msgspec.ValidationError:
        return _one_by_one(body, decode_piece)
    except _UNREADABLE as error:
        # It sees no more than what is there: text that is no JSON at all costs no second reading.
        if decode_piece is msgspec.json.decode and (
            isinstance(error, UnicodeDecodeError) or _PYTHONS_OWN_JSON.search(body)
        ):
            return _by_the_standard_library(body)
        raise MalformedBody(f"the body is not {media}: {error}") from None
    return _receive(enumerate(whole.spans), enumerate(whole.scores), whole.resource, [])


def from_native(body: NativeBody) -> Decoded:
    """Take a body that never was bytes: the SDK's, which writes straight into a store."""
    fields = NativeSpan.__struct_fields__
    spans = [Span(**{field: getattr(native, field) for field in fields}) for native in body.spans]
    return _receive(enumerate(spans), enumerate(body.scores), body.resource, [], trusted_text=False)


def read_spans(packed: Iterable[bytes], *, received_ns: int) -> list[Span]:
    """Read single spans in MessagePack; see `clew.wire.native.read_spans`."""
    spans = _each("spans", list(packed), _SPAN.decode, [])
    return _receive(spans, (), {}, [], received_ns=received_ns).spans


def _one_by_one(body: bytes, decode_piece: Callable[..., Any]) -> Decoded:
    try:
        loose: _LooseBody = decode_piece(body, type=_LooseBody)
    except _UNREADABLE as error:
        raise MalformedBody(f"the body is not {{spans, scores, resource}}: {error}") from None
    rejected: list[Rejection] = []
    spans = _each("spans", loose.spans, partial(decode_piece, type=Span), rejected)
    scores = _each("scores", loose.scores, partial(decode_piece, type=Score), rejected)
    return _receive(spans, scores, loose.resource, rejected)


def _by_the_standard_library(body: bytes) -> Decoded:
    try:
        document = msgspec.convert(json.loads(body.decode("utf-8", "replace"), strict=False), dict[str, Any])
        resource = msgspec.convert(document.get("resource", {}), dict[str, Any])
        lists = {name: msgspec.convert(document.get(name, []), list[Any]) for name in ("spans", "scores")}
    except _UNREADABLE as error:
        raise MalformedBody(f"the body is not JSON of {{spans, scores, resource}}: {error}") from None
    rejected: list[Rejection] = []
    spans = _each("spans", lists["spans"], partial(msgspec.convert, type=Span), rejected)
    scores = _each("scores", lists["scores"], partial(msgspec.convert, type=Score), rejected)
    return _receive(spans, scores, resource, rejected, trusted_text=False)


def _each(what: str, pieces: list[Any], read: Callable[[Any], T], rejected: list[Rejection]) -> Iterator[tuple[int, T]]:
    """Read piece by piece, each with its place; a bad one is rejected alone."""
    for index, piece in enumerate(pieces):
        try:
            yield index, read(piece)
        except _UNREADABLE as error:
            rejected.append(_rejection(what, index, error))


def _receive(
    spans: Iterable[tuple[int, Span]],
    scores: Iterable[tuple[int, Score]],
    resource: dict[str, Any],
    rejected: list[Rejection],
    *,
    trusted_text: bool = True,
    received_ns: int | None = None,
) -> Decoded:
    max_chars = MAX_VALUE_CHARS.read()
    received_ns = time.time_ns() if received_ns is None else received_ns
    resource = clean_resource(resource, max_chars)
    good_spans: list[Span] = []
    trace_ids: dict[str, str] = {}
    for index, span in spans:
        try:
            mend_ids(span, trace_ids)
        except MalformedId as error:
            rejected.append(_rejection("spans", index, error))
            continue
        span.resource = resource
        if span.scope or span.otel_kind:
            span.scope = clean_text(span.scope, MAX_KEY_CHARS)
            span.otel_kind = span.otel_kind if span.otel_kind in OTEL_KINDS else ""
        mend(span, max_chars=max_chars, received_ns=received_ns, trusted_text=trusted_text)
        derive(span)
        good_spans.append(span)
    good_scores: list[Score] = []
    for index, score in scores:
        try:
            mend_score(score)
        except (MalformedId, ValueError) as error:
            rejected.append(_rejection("scores", index, error))
            continue
        good_scores.append(score)
    return Decoded(good_spans, good_scores, rejected)


def _rejection(what: str, index: int, error: Exception) -> Rejection:
    return Rejection(index, f"{what}[{index}]: {error}")
