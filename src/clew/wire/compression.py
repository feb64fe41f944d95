"""
Undo `Content-Encoding`, without trusting what comes out to be small.

Nothing ever inflates past the limit: a bomb is refused after that many bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from clew.errors import MalformedBody, TooLarge, UnsupportedMedia

try:
    import zstandard
except ImportError:  # an extra: without it zstd bodies are refused with 415
    zstandard = None  # type: ignore[assignment]

_GZIP, _ZLIB, _BARE_DEFLATE = 31, 15, -15

_MAX_MEMBERS = 100
"""Concatenated gzip members or zstd frames. Millions of empty ones would cost time and inflate to nothing."""

_ZLIB_STEP_BYTES = 64 << 10
_ZSTD_STEP_BYTES = 1024
"""zstd cannot be told where to stop, and four bytes can stand for 128 KiB: one step makes at most 32 MiB."""

_ZSTD_MAX_WINDOW_BYTES = 8 << 20
"""What RFC 8878 asks every decoder to take, and so the most memory that a frame can demand."""


def inflate(body: bytes, encoding: str, *, limit_bytes: int) -> bytes:
    """
    Give *body* without its content encoding: identity, gzip, deflate, or zstd if zstandard is there.

    Raises:
        UnsupportedMedia: an encoding that is not known.
        MalformedBody: truncated, damaged, or with something behind its end.
        TooLarge: it inflates to more than *limit_bytes*; it was not inflated further.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        if len(body) > limit_bytes:
            raise TooLarge("the body", limit_bytes=limit_bytes)
        return body
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise UnsupportedMedia(f"no decoder for content encoding {encoding[:80]!r}; use {', '.join(_DECODERS)} or none")
    return decoder(body, limit_bytes)


class _Codec(NamedTuple):
    """How one encoding is undone: a decompressor for each member, fed in steps."""

    name: str
    start: Callable[[], Any]
    feed: Callable[[Any, bytes, int], bytes]
    step_bytes: int
    members: int = _MAX_MEMBERS


def _gunzip(body: bytes, limit_bytes: int) -> bytes:
    start = partial(zlib.decompressobj, _GZIP)
    return _inflate(body, _Codec("gzip", start, _feed_zlib, _ZLIB_STEP_BYTES), limit_bytes)


def _undeflate(body: bytes, limit_bytes: int) -> bytes:
    # RFC 9110 means zlib's format; some clients send bare deflate, whose first byte is never zlib's.
    bare = not body or body[0] & 0x0F != 8
    start = partial(zlib.decompressobj, _BARE_DEFLATE if bare else _ZLIB)
    return _inflate(body, _Codec("deflate", start, _feed_zlib, _ZLIB_STEP_BYTES, members=1), limit_bytes)


def _unzstd(body: bytes, limit_bytes: int) -> bytes:
    start = zstandard.ZstdDecompressor(max_window_size=_ZSTD_MAX_WINDOW_BYTES).decompressobj
    return _inflate(body, _Codec("zstd", start, _feed_zstd, _ZSTD_STEP_BYTES), limit_bytes)


def _feed_zlib(member: Any, step: bytes, room: int) -> bytes:
    try:
        return bytes(member.decompress(step, room + 1))
    except zlib.error as error:
        raise MalformedBody(f"the body is damaged: {error}") from None


def _feed_zstd(member: Any, step: bytes, _room: int) -> bytes:
    try:
        return bytes(member.decompress(step))
    except zstandard.ZstdError as error:
        raise MalformedBody(f"the body is damaged: {error}") from None


def _inflate(body: bytes, codec: _Codec, limit_bytes: int) -> bytes:
    """Inflate member after member, in steps, so that neither many nor huge ones cost more than the limit."""
    parts: list[bytes] = []
    room, position, seen = limit_bytes, 0, 1
    member = codec.start()
    while position < len(body):
        if member.eof:
            if seen == codec.members:
                raise MalformedBody(f"the {codec.name} body goes on behind its end, after {seen} part(s)")
            member, seen = codec.start(), seen + 1
        step = body[position : position + codec.step_bytes]
        part = codec.feed(member, step, room)
        position += len(step) - len(member.unused_data)
        room -= len(part)
        if room < 0:
            raise TooLarge(f"the body, inflated from {codec.name},", limit_bytes=limit_bytes)
        parts.append(part)
    if not member.eof:
        raise MalformedBody(f"the {codec.name} body is truncated")
    return parts[0] if len(parts) == 1 else b"".join(parts)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _undeflate,
    **({"zstd": _unzstd} if zstandard is not None else {}),
}
