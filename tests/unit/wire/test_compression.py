"""Bodies are inflated within bounds, and anything odd about them is told."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import ClewError, MalformedBody, TooLarge, UnsupportedMedia
from clew.wire.compression import inflate

LIMIT_BYTES = 1 << 20


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODERS = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}
every = pytest.mark.parametrize("encoding", list(ENCODERS))


@given(data=st.binary(max_size=5_000), encoding=st.sampled_from(list(ENCODERS)))
def test_what_was_deflated_is_inflated(data: bytes, encoding: str) -> None:
    assert inflate(ENCODERS[encoding](data), encoding, limit_bytes=LIMIT_BYTES) == data


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_without_an_encoding_a_body_stays_as_it_is(encoding: str) -> None:
    assert inflate(b"plain", encoding, limit_bytes=5) == b"plain"
    with pytest.raises(TooLarge):
        inflate(b"plain", encoding, limit_bytes=4)


def test_bare_deflate_is_read_too() -> None:
    """RFC 9110 says zlib's format, and some clients send it without."""
    assert inflate(bare_deflate(b"data" * 9), "deflate", limit_bytes=LIMIT_BYTES) == b"data" * 9


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "zstd"])
def test_several_members_are_one_body(encoding: str) -> None:
    """Both formats say so: proxies join what they were given."""
    encode = ENCODERS["zstd" if encoding == "zstd" else "gzip"]

    assert inflate(encode(b"one ") + encode(b"two"), encoding, limit_bytes=LIMIT_BYTES) == b"one two"


@every
def test_the_limit_itself_is_allowed_and_one_more_is_not(encoding: str) -> None:
    body = ENCODERS[encoding](bytes(1_000))

    assert len(inflate(body, encoding, limit_bytes=1_000)) == 1_000
    with pytest.raises(TooLarge) as refusal:
        inflate(body, encoding, limit_bytes=999)
    assert refusal.value.limit_bytes == 999


@every
def test_a_bomb_is_refused_before_it_fills_the_memory(encoding: str) -> None:
    """A megabyte that holds a gigabyte. Measured by what Python allocates while refusing it."""
    import tracemalloc

    bomb = ENCODERS[encoding](bytes(1 << 28))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, encoding, limit_bytes=LIMIT_BYTES)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 48 << 20


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_members_without_number_are_refused(encoding: str) -> None:
    """A million empty ones inflate to nothing, and would cost seconds."""
    with pytest.raises(MalformedBody):
        inflate(ENCODERS[encoding](b"") * 1_000_000, encoding, limit_bytes=LIMIT_BYTES)


@every
def test_a_truncated_body_is_malformed(encoding: str) -> None:
    body = ENCODERS[encoding](bytes(range(256)) * 4)
    for length in range(len(body)):
        with pytest.raises(MalformedBody):
            inflate(body[:length], encoding, limit_bytes=LIMIT_BYTES)


@every
@pytest.mark.parametrize("tail", [b"x", b"garbage behind the end", b"\0\0\0"])
def test_garbage_behind_the_end_is_malformed(encoding: str, tail: bytes) -> None:
    """What is behind the end may be what mattered."""
    with pytest.raises(MalformedBody):
        inflate(ENCODERS[encoding](b"data") + tail, encoding, limit_bytes=LIMIT_BYTES)


@given(body=st.binary(max_size=200), encoding=st.sampled_from(list(ENCODERS)))
def test_no_bytes_raise_anything_but_a_named_error(body: bytes, encoding: str) -> None:
    with contextlib.suppress(ClewError):
        inflate(body, encoding, limit_bytes=LIMIT_BYTES)


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "nonsense"])
def test_another_encoding_is_unsupported(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia, match="gzip"):
        inflate(b"x", encoding, limit_bytes=LIMIT_BYTES)
