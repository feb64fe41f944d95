"""
Generators under a span: entered and left around each step, never held across a yield.

Between the steps the consumer's own spans must not become children of the generator's, and the
next step may run in another task or thread. So each step saves what is current, makes the
generator's own current, and puts back what was. What comes out is a true generator, so loops,
frameworks and garbage collection treat it as one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final

from clew.sdk.ambient import CURRENT, current
from clew.sdk.held import Inner, placed
from clew.sdk.outbox import outbox
from clew.sdk.span import ActiveSpan

KEPT_ITEMS: Final = 10_000
KEPT_CHARS: Final = 1 << 20


class Scope:
    """A generator's span, what is current inside of the generator, and what it has yielded."""

    __slots__ = ("_chars", "_count", "_inside", "_items", "_outside", "capture", "span")

    def __init__(self, span: ActiveSpan, *, capture: bool) -> None:
        self.span = span
        self.capture = capture
        self._outside: Any = None
        # While tracing is off the span is none, and inside is what is outside.
        self._inside: Any = span if span else current()
        self._items: list[Any] = []
        self._count = 0
        self._chars = 0

    def enter(self) -> None:
        """Before a step."""
        self._outside = CURRENT.get()
        CURRENT.set(placed(self._inside))

    def leave(self) -> None:
        """After a step: the generator may have a span of its own open, which its next step continues."""
        inside = CURRENT.get()
        self._inside = inside.value if type(inside) is Inner else inside
        CURRENT.set(self._outside)
        self._outside = None

    def keep(self, item: Any) -> None:
        """Note what was yielded, as far as it is kept."""
        if not self._count and self.span.kind == "generation":
            self.span.first_token()
        self._count += 1
        if self.capture and len(self._items) < KEPT_ITEMS and self._chars < KEPT_CHARS:
            self._items.append(item)
            self._chars += len(item) if type(item) is str else 0

    def end(self, error: BaseException | None = None) -> None:
        """End the span, with what was yielded so far."""
        try:
            if self.capture and self._items:
                self.span.outputs = _joined(self._items)
            if len(self._items) < self._count and self.capture:
                self.span.event("outputs cut", kept=len(self._items), yielded=self._count)
        except Exception as failure:
            outbox.complain("generator", f"a generator's outputs were not kept: {failure!r:.300}")
        # Not current here (each step puts back what was), so this only notes the error and ends.
        self.span.__exit__(type(error) if error else None, error, None)


def drive(
    generator: Generator[Any, Any, Any], begin: Callable[[], ActiveSpan], *, capture: bool
) -> Generator[Any, Any, Any]:
    """Run *generator* under the span that *begin* makes at the first step."""
    scope = Scope(begin(), capture=capture)
    step: Callable[[Any], Any] = generator.send
    sent: Any = None
    try:
        while True:
            scope.enter()
            try:
                item = step(sent)
            finally:
                scope.leave()
            scope.keep(item)
            try:
                sent = yield item
                step = generator.send
            except GeneratorExit:
                scope.enter()
                try:
                    generator.close()
                finally:
                    scope.leave()
                raise
            except BaseException as thrown:
                sent, step = thrown, generator.throw
    except StopIteration as stop:
        scope.end()
        return stop.value
    except BaseException as error:
        scope.end(error)
        raise


async def drive_async(
    generator: AsyncGenerator[Any, Any], begin: Callable[[], ActiveSpan], *, capture: bool
) -> AsyncGenerator[Any, Any]:
    """Run an async *generator* under the span that *begin* makes at the first step."""
    scope = Scope(begin(), capture=capture)
    step: Callable[[Any], Any] = generator.asend
    sent: Any = None
    try:
        while True:
            scope.enter()
            try:
                item = await step(sent)
            finally:
                scope.leave()
            scope.keep(item)
            try:
                sent = yield item
                step = generator.asend
            except GeneratorExit:
                scope.enter()
                try:
                    await generator.aclose()
                finally:
                    scope.leave()
                raise
            except BaseException as thrown:
                sent, step = thrown, generator.athrow
    except StopAsyncIteration:
        scope.end()
    except BaseException as error:
        scope.end(error)
        raise


def _joined(items: list[Any]) -> Any:
    return "".join(items) if all(type(item) is str for item in items) else items
