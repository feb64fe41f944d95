"""
A chunk: the spans that one commit brought of one trace, whole.

msgpack with field names, so that a span of an older Clew reads in a newer one, compressed with
zstd, which makes the names and what spans share (resource, trace id) nearly free.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import zstandard

from clew.errors import StoreUnavailable
from clew.model import Span

PER_TRACE = 256
"""chunk_id = seq * PER_TRACE + n."""

REWRITE_AT = 16
"""A trace of so many chunks is rewritten as one."""

_LEVEL = 1
"""Level 3 saves 3 % and costs a tenth more time."""


class ChunkCoder:
    """Packs and unpacks chunks. Not for two threads at once."""

    def __init__(self) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[Span])
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, groups: Sequence[Sequence[Span]]) -> list[bytes]:
        """Pack each group of spans."""
        return self.compress(self.encode(groups))

    def encode(self, groups: Sequence[Sequence[Span]]) -> list[bytes]:
        """Do the first half of `pack`, which needs Python's lock."""
        return [self._encoder.encode(spans) for spans in groups]

    def compress(self, encoded: list[bytes]) -> list[bytes]:
        """Do the second half, three quarters of the work, without Python's lock."""
        if not encoded:
            return []
        # One call, since each lets go of Python's lock and must wait to take it back.
        packed = self._compressor.multi_compress_to_buffer([*encoded])
        return [packed[at].tobytes() for at in range(len(packed))]

    def unpack(self, chunk: bytes) -> list[Span]:
        """
        Unpack one chunk.

        Raises:
            StoreUnavailable: its bytes are damaged.
        """
        try:
            return self._decoder.decode(self._decompressor.decompress(chunk))
        except (zstandard.ZstdError, msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
            raise StoreUnavailable(f"a chunk of spans is damaged ({error}); restore the store from a copy") from error
