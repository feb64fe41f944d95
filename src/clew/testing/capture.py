"""
Capture what this process traces, for a test: no server, no network, no thread.

While it lasts, ended spans wait in the outbox as ever, but whoever looks at what was captured packs
them, as the writer would (processing included), and reads them back from the bytes that would be
sent. What was configured before rests meanwhile, with all that waits for it, and goes on afterwards.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter_ns
from typing import Any, Final

from clew.testing.captured import CapturedSpan, CapturedSpans, NoSuchSpan

__all__ = ["CapturedSpan", "CapturedSpans", "NoSuchSpan", "capture"]

REST_S: Final = 15.0
"""How long to wait for the writer to finish what it is sending just now."""


@contextmanager
def capture() -> Iterator[CapturedSpans]:
    """
    Capture the spans that end inside, from all threads and tasks of this process.

    Tracing is on inside, whatever was configured and whatever the environment says, and every trace
    is kept. `clew.configure` inside leaves it so: what it says of redaction, processors and capture
    counts, where to send to does not. Afterwards everything is as it was before. May be nested: the
    innermost captures.

    Raises:
        RuntimeError: what was configured before is busy sending, and did not come to rest.
    """
    from clew.sdk.outbox import settling

    spans = _Live()
    before = _set_aside(spans)
    try:
        yield spans
    finally:
        spans._finish()
        with settling:
            _put_back(before)


class _Live(CapturedSpans):
    """Takes from the outbox whenever somebody looks."""

    def __init__(self) -> None:
        super().__init__()
        self._is_over = False
        self._taking = threading.RLock()
        self._is_taking = False
        self._from_ns, self._until_ns = perf_counter_ns(), 1 << 63

    @property
    def open(self) -> list[Any]:
        """
        The spans that began inside and have not ended, in the order in which they began.

        Those that somebody still holds: a with, a task, a variable. They are looked for in all of
        memory, which takes some hundredths of a second.
        """
        from clew.sdk.span import ActiveSpan

        found = [each for each in gc.get_objects() if type(each) is ActiveSpan and not each._end]
        return sorted(
            (span for span in found if self._from_ns <= span._start <= self._until_ns), key=lambda span: span._start
        )

    def _all(self) -> list[CapturedSpan]:
        self._take()
        return self._spans

    def _take(self) -> None:
        """Pack all that waits. Of a span that ends meanwhile, in a `__repr__` perhaps, the same loop takes care."""
        from clew.sdk.outbox import outbox

        with self._taking:
            if self._is_over or self._is_taking:
                return
            self._is_taking = True
            try:
                while outbox.spans:
                    self._keep(outbox.spans.popleft())
            finally:
                self._is_taking = False

    def _keep(self, item: Any) -> None:
        import msgspec

        from clew.model import Score
        from clew.sdk.outbox import outbox
        from clew.sdk.packing import pack, without_secrets
        from clew.wire.native import NativeSpan

        if isinstance(item, Score):
            self._scores.append(without_secrets(item, outbox.processing))
        elif hasattr(item, "_span"):
            packed = pack(item, outbox.processing)[1]
            item.shed()
            self._add(msgspec.msgpack.decode(packed, type=NativeSpan))

    def _finish(self) -> None:
        self._take()
        with self._taking:
            self._is_over, self._until_ns = True, perf_counter_ns()


def _set_aside(spans: _Live) -> dict[str, Any]:
    """Let what was configured rest, and have *spans* capture. Gives what `_put_back` needs."""
    from clew.sdk import setup
    from clew.sdk.carriers import executors, processes
    from clew.sdk.outbox import CROWD, Outbox, outbox, settling

    with settling:
        processing, token_spans = (
            (outbox.processing, outbox.token_spans) if outbox.recording else _processing_from_environment()
        )
        if setup._writer is not None and not setup._writer.rest(REST_S):
            raise RuntimeError("tracing is busy sending what ended before; call clew.shutdown() before capture()")
        before = {name: getattr(outbox, name) for name in Outbox.__slots__}
        before |= {"setup": (setup._writer, setup.capturing)}
        setup._writer, setup.capturing = None, _stay_captured
        outbox._said, outbox.complaints = set(), []
        outbox.empty(wake_at_root=1 << 60)
        outbox.limit, outbox.crowded_at, outbox.ensure_writer = 1 << 60, CROWD, spans._take
        outbox.processing, outbox.token_spans = processing, token_spans
        executors.install()
        processes.install()
        outbox.settled = outbox.recording = True
    return before


def _processing_from_environment() -> tuple[Any, bool]:
    from clew import config
    from clew.errors import ConfigError
    from clew.sdk.processing import processing_from

    try:
        made = processing_from(config.REDACT.read(), config.REDACT_NAMES.read(), (), config.CAPTURE.read())
        return made, config.TOKEN_SPANS.read()
    except ConfigError:
        return None, False  # A wrong environment switches tracing off; here it is to be on.


def _put_back(before: dict[str, Any]) -> None:
    from clew.sdk import setup
    from clew.sdk.outbox import outbox

    setup._writer, setup.capturing = before.pop("setup")
    for name, value in before.items():
        setattr(outbox, name, value)
    if setup._writer is not None:
        setup._writer.go_on()


def _stay_captured(_exporter: Any, *, processing: Any = None, **_settings: Any) -> None:
    """Stand in for `setup.use`: of what is configured inside, only what is done to payloads counts."""
    from clew.sdk.outbox import outbox

    outbox.processing = processing
    outbox.settled = outbox.recording = True
