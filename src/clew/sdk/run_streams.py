"""
Streams under a run: what goes by is noted, reduced at the end, and never held back.

A `Stream` looks enough like a generator to be driven by `clew.sdk.generators`, which keeps the
span current during each step and not between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from clew.sdk.faults import internal
from clew.sdk.generators import drive, drive_async
from clew.sdk.outbox import outbox
from clew.sdk.span import ActiveSpan, nothing_span

KEPT_ITEMS: Final = 10_000


class Stream:
    """One generator or iterator, and the items it gave; *call* is told of the end: `run_calls.RunCall`."""

    def __init__(self, call: Any, make: Callable[[], Any]) -> None:
        self._call = call
        self._make = make
        self._source: Any = None
        self._send: Any = None
        self._throw: Any = None
        self._close: Any = None
        self._items: list[Any] = []
        self._count = 0
        self._over = False

    def begin(self) -> ActiveSpan:
        """Begin the run, at the first step; the function is called here, as it may want the run."""
        run = self._call.begin()
        return run._span if run is not None else nothing_span()

    def source(self) -> Any:
        """What is asked for items."""
        if self._source is None:
            self._source = source = self._make()
            # Asked for in this way and not by `hasattr`, which like every call could fail.
            try:
                self._send, self._throw = source.send, source.throw
            except AttributeError:
                self._send = self._throw = None  # A mere iterator.
            try:
                self._close = source.close
            except AttributeError:
                self._close = None
        return self._source

    def note(self, item: Any) -> None:
        """Keep *item* for the outputs, as far as they are kept."""
        self._count += 1
        if self._call.run is not None and self._count <= KEPT_ITEMS:
            self._items.append(self._call.chunk(item))

    def finish(self, error: BaseException | None = None, result: Any = None) -> None:
        """The stream is over; the first time counts."""
        if self._over:
            return
        self._over = True
        items = self._items if result is None else [*self._items, result]
        self._items = []
        if self._count > KEPT_ITEMS:
            outbox.complain("stream", f"of a stream's items only the first {KEPT_ITEMS} were kept")
        call = self._call
        call.finish(call.reduced(items), error)
        if call.run is not None:
            call.run._span.__exit__(type(error) if error is not None else None, error, None)
            call.close()

    def send(self, value: Any) -> Any:
        """Make one step, as a generator does."""
        try:
            source = self.source()
            item = self._send(value) if self._send is not None else next(source)
        except StopIteration as stop:
            try:
                self.finish(result=stop.value)
            except Exception as fault:
                internal(fault)
            raise
        except BaseException as error:
            try:
                self.finish(error)
            except Exception as fault:
                internal(fault)
            raise
        try:
            self.note(item)
        except Exception as fault:
            internal(fault)
        return item

    def throw(self, error: BaseException) -> Any:
        """Make one step with an exception, which a mere iterator has no use for."""
        try:
            self.source()
            item = self._throw(error) if self._throw is not None else _raise(error)
        except StopIteration as stop:
            try:
                self.finish(result=stop.value)
            except Exception as fault:
                internal(fault)
            raise
        except BaseException as raised:
            try:
                self.finish(raised)
            except Exception as fault:
                internal(fault)
            raise
        try:
            self.note(item)
        except Exception as fault:
            internal(fault)
        return item

    def close(self) -> None:
        """Break it off: no failure."""
        try:
            if self._close is not None:
                self._close()
        except BaseException as error:
            try:
                self.finish(error)
            except Exception as fault:
                internal(fault)
            raise
        try:
            self.finish()
        except Exception as fault:
            internal(fault)


class AsyncStream(Stream):
    """The same, awaited."""

    def source(self) -> Any:
        """What is asked for items."""
        if self._source is None:
            self._source = source = self._make()
            try:
                self._send, self._throw = source.asend, source.athrow
            except AttributeError:
                self._send = self._throw = None
            try:
                self._close = source.aclose
            except AttributeError:
                self._close = None
        return self._source

    async def asend(self, value: Any) -> Any:
        """Make one step, as an async generator does."""
        try:
            source = self.source()
            item = await (self._send(value) if self._send is not None else source.__anext__())
        except StopAsyncIteration:
            try:
                self.finish()
            except Exception as fault:
                internal(fault)
            raise
        except BaseException as error:
            try:
                self.finish(error)
            except Exception as fault:
                internal(fault)
            raise
        try:
            self.note(item)
        except Exception as fault:
            internal(fault)
        return item

    async def athrow(self, error: BaseException) -> Any:
        """Make one step with an exception."""
        try:
            self.source()
            item = await self._throw(error) if self._throw is not None else _raise(error)
        except StopAsyncIteration:
            try:
                self.finish()
            except Exception as fault:
                internal(fault)
            raise
        except BaseException as raised:
            try:
                self.finish(raised)
            except Exception as fault:
                internal(fault)
            raise
        try:
            self.note(item)
        except Exception as fault:
            internal(fault)
        return item

    async def aclose(self) -> None:
        """Break it off: no failure."""
        try:
            if self._close is not None:
                await self._close()
        except BaseException as error:
            try:
                self.finish(error)
            except Exception as fault:
                internal(fault)
            raise
        try:
            self.finish()
        except Exception as fault:
            internal(fault)


def _raise(error: BaseException) -> NoReturn:
    raise error


class Traced:
    """What a function returned that streams: all of it shows through, and iterating is traced."""

    def __init__(self, stream: Stream, returned: Any) -> None:
        self._clew_stream = stream
        self._clew_returned = returned
        self._clew_steps: Any = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_clew_"):  # Being copied or unpickled, so there is nothing to ask yet.
            raise AttributeError(name)
        return getattr(self._clew_returned, name)

    def __repr__(self) -> str:
        return f"Traced({self._clew_returned!r})"

    def __del__(self) -> None:
        try:
            self._clew_stream.finish()
        except Exception as fault:  # It may not even have been made.
            internal(fault)


class TracedIterator(Traced):
    """A stream that is iterated."""

    def __iter__(self) -> TracedIterator:
        return self

    def __next__(self) -> Any:
        if self._clew_steps is None:
            stream: Any = self._clew_stream
            self._clew_steps = drive(stream, stream.begin, capture=False)
        return next(self._clew_steps)

    def __enter__(self) -> TracedIterator:
        self._clew_returned.__enter__()
        return self

    def __exit__(self, *raised: Any) -> Any:
        try:
            return self._clew_returned.__exit__(*raised)
        finally:
            try:
                self._clew_stream.finish(raised[1])
            except Exception as fault:
                internal(fault)


class TracedAsyncIterator(Traced):
    """A stream that is iterated with `async for`."""

    def __aiter__(self) -> TracedAsyncIterator:
        return self

    async def __anext__(self) -> Any:
        if self._clew_steps is None:
            stream: Any = self._clew_stream
            self._clew_steps = drive_async(stream, stream.begin, capture=False)
        return await self._clew_steps.__anext__()

    async def __aenter__(self) -> TracedAsyncIterator:
        await self._clew_returned.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> Any:
        try:
            return await self._clew_returned.__aexit__(*raised)
        finally:
            try:
                self._clew_stream.finish(raised[1])
            except Exception as fault:
                internal(fault)
