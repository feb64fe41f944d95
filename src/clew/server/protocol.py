"""
HTTP/1.1 off the wire: uvicorn's protocol on httptools, with an end to headers.

httptools collects headers and trailers without a limit, and they are collected before any
route, policy or budget is asked; so a single client could fill the memory.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 256 << 10
"""Generous: a read from the socket may bring so much at once, and cookies are large."""


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on a client that sends and sends and gets nowhere."""

    _stalled_bytes = 0
    """Received since the parser last got somewhere: a head complete, or a piece of a body."""

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._stalled_bytes += len(data)
        super().data_received(data)
        if self._stalled_bytes > MAX_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response(f"the headers are over {MAX_HEADER_BYTES} bytes")

    def on_headers_complete(self) -> None:
        """Note that the head is whole."""
        self._stalled_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that a piece of the body came."""
        self._stalled_bytes = 0
        super().on_body(body)
