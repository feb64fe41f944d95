"""How one body is read, said so shortly that another process can be told. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from clew.wire import Decoded, compression, native, otlp_protobuf


class Reading(msgspec.Struct, frozen=True):
    """From the bytes of one request to spans: call it with them."""

    protocol: Literal["native", "otlp"]
    media_type: str
    encoding: str
    """Its Content-Encoding; empty for none."""
    limit_bytes: int
    """It is not inflated further than this."""

    def __call__(self, body: bytes) -> Decoded:
        """
        Inflate and decode *body*.

        Raises:
            MalformedBody, TooLarge, UnsupportedMedia: it cannot be read.
        """
        inflated = compression.inflate(body, self.encoding, limit_bytes=self.limit_bytes)
        return native.decode(inflated, self.media_type) if self.protocol == "native" else otlp_protobuf.decode(inflated)
