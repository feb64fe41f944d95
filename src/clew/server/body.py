"""
Read request bodies, bounded while they stream: in size, in time, and all of them together.

What waits in the batcher is bounded there; this bounds what is still on its way in, so that a
thousand clients with a large body each cannot fill the memory.
"""

from __future__ import annotations

import anyio
from starlette.requests import ClientDisconnect, Request

from clew.errors import StoreBusy, TooLarge, UnsupportedMedia
from clew.server.problem import ClientGone, TooSlow

READ_TIMEOUT_S = 60.0


class Budget:
    """Bytes of bodies held in memory now, with a limit. Only for the event loop's thread."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    def take(self, count_bytes: int) -> None:
        """
        Hold *count_bytes* more.

        Raises:
            StoreBusy: that would be over the limit; nothing more is held.
        """
        if self.held_bytes + count_bytes > self.limit_bytes:
            raise StoreBusy("too many bodies are waiting to be stored; send this one again in a second")
        self.held_bytes += count_bytes

    def give_back(self, count_bytes: int) -> None:
        """Let go of *count_bytes*."""
        self.held_bytes -= count_bytes


class HeldBody:
    """One body and what it holds of the budget: `async with HeldBody(...) as body`."""

    def __init__(self, request: Request, budget: Budget, *, limit_bytes: int) -> None:
        self._request = request
        self._budget = budget
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0

    async def __aenter__(self) -> bytes:
        """
        Read the body.

        Raises:
            TooLarge: by its Content-Length, or by what came.
            StoreBusy: no room for it now.
            TooSlow: it was not whole after a minute.
            ClientGone: the client hung up first.
        """
        try:
            return await self._read()
        except BaseException:
            self._budget.give_back(self._taken_bytes)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._budget.give_back(self._taken_bytes)

    async def _read(self) -> bytes:
        announced = self._request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > self._limit_bytes:
            raise TooLarge("the body", limit_bytes=self._limit_bytes)
        chunks: list[bytes] = []
        try:
            with anyio.fail_after(READ_TIMEOUT_S):
                async for chunk in self._request.stream():
                    self._take(len(chunk))
                    chunks.append(chunk)
        except ClientDisconnect:
            raise ClientGone("the client hung up before its body was whole") from None
        except TimeoutError:
            raise TooSlow(f"the body was not whole after {READ_TIMEOUT_S:g} s") from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _take(self, count_bytes: int) -> None:
        if self._taken_bytes + count_bytes > self._limit_bytes:
            raise TooLarge("the body", limit_bytes=self._limit_bytes)
        self._budget.take(count_bytes)
        self._taken_bytes += count_bytes


def media_type(request: Request, accepted: tuple[str, ...]) -> str:
    """
    Give the body's media type, without its parameters.

    Raises:
        UnsupportedMedia: it is none of *accepted*.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in accepted:
        raise UnsupportedMedia(f"content type {given[:80]!r} is not read here; send {' or '.join(accepted)}")
    return given
