"""
The tokens of a stream as they come: one reading of the clock each, kept in an array of 8-byte integers.

What becomes of them (`clew.model.tokens`) is made when the span is packed, so that a token costs its
consumer one clock and one append. Long streams are thinned, so that a span stays small.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator
from time import perf_counter_ns
from typing import Any, Final

from clew.model.tokens import COUNT, EVERY, TOKENS, encode
from clew.sdk.faults import internal
from clew.sdk.outbox import outbox
from clew.sdk.span import ActiveSpan

MOST: Final = 8_192
"""So many times are kept of one stream; then every other one is let go."""


class Tokens:
    """The times of one stream's tokens. `note` is called for each."""

    __slots__ = ("_every", "_folded", "_head", "_tail")

    def __init__(self) -> None:
        self._head = array("q")
        """Every `_every`th time of those that were folded."""
        self._tail = array("q")
        """All times since."""
        self._every = 1
        self._folded = 0

    def note(self, item: Any = None) -> None:  # noqa: ARG002  `TokenSpans` keeps it
        """A token is here."""
        tail = self._tail
        tail.append(perf_counter_ns())
        if len(tail) >= MOST:
            self._fold()

    @property
    def count(self) -> int:
        """How many came."""
        return self._folded + len(self._tail)

    def _fold(self) -> None:
        tail, self._tail = self._tail, array("q")
        self._head.extend(self._thinned(tail))
        self._folded += len(tail)
        while len(self._head) > MOST:
            del self._head[1::2]
            self._every *= 2

    def _thinned(self, tail: array[int]) -> array[int]:
        """Of *tail*, which goes on after what was folded, every `_every`th."""
        return tail[-self._folded % self._every :: self._every]

    def attributes(self, start_ns: int) -> dict[str, Any]:
        """Tell them as attributes of a span that began at *start_ns*, by `time.perf_counter_ns`."""
        times = self._head + self._thinned(self._tail)
        if not times:
            return {}
        told = {TOKENS: encode(max(0, at - start_ns) // 1000 for at in times), COUNT: self.count}
        if self._every > 1:
            told[EVERY] = self._every
        return told

    def first_ms(self, start_ns: int) -> float:
        """Milliseconds to the first token."""
        return max(0, (self._head or self._tail)[0] - start_ns) / 1e6


class TokenSpans(Tokens):
    """The same, and each token becomes a child span: `token_spans=True`."""

    __slots__ = ("_before", "_span")

    def __init__(self, span: Any) -> None:
        super().__init__()
        self._span = span
        self._before = span._start

    def note(self, item: Any = None) -> None:
        """A token is here, and its span runs from the one before until now."""
        super().note()
        began, self._before = self._before, perf_counter_ns()
        made = ActiveSpan("token", parent=self._span)
        made._start = began
        made._outputs = item if type(item) is str else None
        made.end_at(self._before)


def tokens_for(span: Any) -> Tokens:
    """What notes the tokens of *span* as the settings say."""
    return TokenSpans(span) if outbox.token_spans else Tokens()


class Streamed:
    """What is iterated in place of a stream, with `for` or `async for`: each item is noted and handed on."""

    __slots__ = ("_source", "_steps", "_tokens")

    def __init__(self, tokens: Tokens, source: Any) -> None:
        self._tokens = tokens
        self._source = source
        self._steps: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        note = self._tokens.note
        for item in self._source:
            try:
                note(item)
            except Exception as error:
                internal(error)
            yield item

    def __next__(self) -> Any:
        if self._steps is None:
            self._steps = iter(self)
        return next(self._steps)

    async def __aiter__(self) -> AsyncIterator[Any]:
        note = self._tokens.note
        async for item in self._source:
            try:
                note(item)
            except Exception as error:
                internal(error)
            yield item
