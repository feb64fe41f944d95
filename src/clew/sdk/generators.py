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
from clew.sdk.faults import internal, once_more
from clew.sdk.held import Inner, placed
from clew.sdk.outbox import outbox
from clew.sdk.span import NOTHING, ActiveSpan, begin_tokens, leave_anyway

KEPT_ITEMS: Final = 10_000
KEPT_CHARS: Final = 1 << 20
_NOT_ENTERED: Final = object()


class Scope:
    """A generator's span, what is current inside of the generator, and what it has yielded."""

    __slots__ = ("_chars", "_count", "_inside", "_items", "_note", "_outside", "capture", "span")

    def __init__(self, span: ActiveSpan, *, capture: bool) -> None:
        self.span = span
        self.capture = capture
        self._outside: Any = _NOT_ENTERED
        # While tracing is off the span is none, and inside is what is outside.
        self._inside: Any = span if span else current()
        self._items: list[Any] = []
        self._count = 0
        self._chars = 0
        self._note: Callable[[Any], None] | None = None
        """Told of each token."""

    def enter(self) -> None:
        """Before a step."""
        outside = CURRENT.get()
        CURRENT.set(placed(self._inside))
        self._outside = outside

    def leave(self) -> None:
        """After a step: the generator may have a span of its own open, which its next step continues."""
        if self._outside is not _NOT_ENTERED:
            inside = CURRENT.get()
            CURRENT.set(self._outside)
            self._inside = inside.value if type(inside) is Inner else inside
            self._outside = _NOT_ENTERED

    def keep(self, item: Any) -> None:
        """Note what was yielded, as far as it is kept."""
        if not self._count and _streams_tokens(self.span):
            self._note = begin_tokens(self.span).note
        self._count += 1
        if self._note is not None:
            self._note(item)
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
        try:
            self.span.__exit__(type(error) if error else None, error, None)
        except BaseException as failure:
            leave_anyway(self.span, failure)


def _streams_tokens(span: ActiveSpan) -> bool:
    """Whether what is yielded are a model's tokens, and the function does not note them itself."""
    return span.kind == "generation" and (span._extra is None or span._extra.tokens is None)


def drive(  # noqa: PLR0912, PLR0915  one state machine, guarded at each step
    generator: Generator[Any, Any, Any], begin: Callable[[], ActiveSpan], *, capture: bool
) -> Generator[Any, Any, Any]:
    """Run *generator* under the span that *begin* makes at the first step."""
    try:
        scope = Scope(begin(), capture=capture)
    except Exception as fault:
        internal(fault)
        scope = Scope(NOTHING, capture=False)
    step: Callable[[Any], Any] = generator.send
    sent: Any = None
    try:
        while True:
            try:
                scope.enter()
            except Exception as fault:
                internal(fault)
            try:
                item = step(sent)
            finally:
                try:
                    scope.leave()
                except BaseException as fault:
                    once_more(scope.leave, fault)
            try:
                scope.keep(item)
            except Exception as fault:
                internal(fault)
            try:
                sent = yield item
                step = generator.send
            except GeneratorExit:
                try:
                    scope.enter()
                except Exception as fault:
                    internal(fault)
                try:
                    generator.close()
                finally:
                    try:
                        scope.leave()
                    except BaseException as fault:
                        once_more(scope.leave, fault)
                raise
            except BaseException as thrown:
                sent, step = thrown, generator.throw
    except StopIteration as stop:
        try:
            scope.end()
        except BaseException as fault:
            leave_anyway(scope.span, fault)
        return stop.value
    except BaseException as error:
        try:
            scope.end(error)
        except BaseException as fault:
            leave_anyway(scope.span, fault)
        raise


async def drive_async(  # noqa: PLR0912, PLR0915  as above
    generator: AsyncGenerator[Any, Any], begin: Callable[[], ActiveSpan], *, capture: bool
) -> AsyncGenerator[Any, Any]:
    """Run an async *generator* under the span that *begin* makes at the first step."""
    try:
        scope = Scope(begin(), capture=capture)
    except Exception as fault:
        internal(fault)
        scope = Scope(NOTHING, capture=False)
    step: Callable[[Any], Any] = generator.asend
    sent: Any = None
    try:
        while True:
            try:
                scope.enter()
            except Exception as fault:
                internal(fault)
            try:
                item = await step(sent)
            finally:
                try:
                    scope.leave()
                except BaseException as fault:
                    once_more(scope.leave, fault)
            try:
                scope.keep(item)
            except Exception as fault:
                internal(fault)
            try:
                sent = yield item
                step = generator.asend
            except GeneratorExit:
                try:
                    scope.enter()
                except Exception as fault:
                    internal(fault)
                try:
                    await generator.aclose()
                finally:
                    try:
                        scope.leave()
                    except BaseException as fault:
                        once_more(scope.leave, fault)
                raise
            except BaseException as thrown:
                sent, step = thrown, generator.athrow
    except StopAsyncIteration:
        try:
            scope.end()
        except BaseException as fault:
            leave_anyway(scope.span, fault)
    except BaseException as error:
        try:
            scope.end(error)
        except BaseException as fault:
            leave_anyway(scope.span, fault)
        raise


def _joined(items: list[Any]) -> Any:
    return "".join(items) if all(type(item) is str for item in items) else items
