"""Events of this process as an async iterator: bounded, and what did not fit is counted."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

from clew.model.event import CallEvent
from clew.sdk.events import Types, subscribe
from clew.sdk.faults import internal, once_more
from clew.sdk.outbox import Counter


class EventStream:
    """
    `async for event in stream:` gives the events from any thread, in the order in which they were told.

    It listens from its construction until `close`, the end of its `async with`, or until nobody
    holds it any more. One task reads it.
    """

    def __init__(self, *, types: Types = None, limit: int = 10_000) -> None:
        self._limit = limit
        self._waiting: deque[CallEvent] = deque()
        self._dropped = Counter()
        self._closed = False
        self._sleeper: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        # Weak: a stream that a `break` left behind must not go on filling.
        take = weakref.WeakMethod(self._take)

        def tell(event: CallEvent) -> None:
            method = take()
            if method is not None:
                method(event)

        self._subscription = subscribe(tell, types=types)

    @property
    def dropped(self) -> int:
        """Events that found *limit* others waiting, and were not kept."""
        try:
            return self._dropped.value()
        except Exception as fault:
            internal(fault)
            return 0

    def close(self) -> None:
        """Listen no more. What waits can still be read; then the iteration ends. Idempotent."""
        self._closed = True
        try:
            self._subscription.close()
            self._wake()
        except BaseException as fault:
            once_more(self._end, fault)

    def _end(self) -> None:
        self._subscription.close()
        self._wake()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> CallEvent:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            await self._sleep()
        try:
            return self._waiting.popleft()
        except Exception as fault:
            internal(fault)
            return await self.__anext__()

    async def __aenter__(self) -> EventStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            self.close()
        except BaseException as fault:
            once_more(self.close, fault)

    def __del__(self) -> None:
        try:
            self._subscription.close()
        except AttributeError:
            pass  # It was refused when it was made.
        except BaseException as fault:
            once_more(self._subscription.close, fault)

    def _take(self, event: CallEvent) -> None:
        """On the thread that tells."""
        if len(self._waiting) >= self._limit:
            self._dropped.add()
            return
        self._waiting.append(event)
        self._wake()

    def _wake(self) -> None:
        sleeper = self._sleeper
        if sleeper is not None:
            with suppress(RuntimeError):  # Its loop is closed: nobody will read.
                sleeper[0].call_soon_threadsafe(_end_wait, sleeper[1])

    async def _sleep(self) -> None:
        if self._sleeper is not None:
            raise RuntimeError("another task reads this stream already; make one stream for each")
        loop = asyncio.get_running_loop()
        self._sleeper = (loop, loop.create_future())
        try:
            # Looked at again, since an event may have come before there was a sleeper to wake.
            if not self._waiting and not self._closed:
                await self._sleeper[1]
        finally:
            self._sleeper = None


def _end_wait(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)
