"""
The one door to the store: bodies wait, bounded in bytes, and are committed together.

One thread decodes and writes. While the store is busy without Python, the same thread decodes what
has come meanwhile. A second decoding thread was tried and gained nothing that could be measured: it
wants the interpreter just when the store's own Python does. A second process does gain: once bodies
queue up, one is started (`clew.ingest.apart`), if the store can be prepared for elsewhere.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import msgspec

from clew.errors import ClewError, StoreBusy, StoreUnavailable
from clew.ingest.apart import Apart, worth_it
from clew.ingest.frames import Made
from clew.ingest.salvage import Salvage, batch_of
from clew.model import Batch
from clew.store.protocol import PreparesApart, SpanWriter
from clew.wire import Decoded, Rejection
from clew.wire.reading import Reading

MAX_GROUP_SPANS = 8_000
"""A commit is closed at so many: it bounds the memory for decoded spans, and how long the first one waits."""

APART_FROM_BODIES, APART_FROM_BYTES = 4, 1 << 20
"""So much must wait to be decoded before a second process is started for it."""

_GLANCE_S = 0.001
"""How often it is looked whether the store is still busy, while nothing comes."""

_logger = logging.getLogger(__name__)


class Receipt(NamedTuple):
    """What became of one body. It is given after the commit."""

    accepted: int
    """Spans and scores that are durable now."""
    duplicates: int
    """Spans besides them that were durable before; 0 where others shared the commit and nobody can tell whose."""
    rejected: list[Rejection]


class _Body(NamedTuple):
    """One that waits."""

    project: str
    body: bytes
    decode: Callable[[bytes], Decoded]
    size_bytes: int
    receipt: Future[Receipt]


class _Read(NamedTuple):
    """One that is decoded, and ready for the store."""

    body: _Body
    decoded: Decoded
    batch: Batch | None
    """None if nothing in it is to be stored."""
    apart: bool = False
    """By the second process, so that its spans only say how many they are."""


class Counters(msgspec.Struct):
    """What the batcher did since it was made."""

    bodies: int = 0
    spans: int = 0
    scores: int = 0
    duplicates: int = 0
    rejected: int = 0
    commits: int = 0
    refused_bodies: int = 0
    """Turned away because too much was waiting."""
    failed_bodies: int = 0
    """Answered with an error: unreadable, or the store was busy or away."""
    decode_s: float = 0.0
    """Both processes together."""
    write_s: float = 0.0


class Batcher:
    """Takes bodies from any thread; owns the thread that writes. `start` before use, `close` after."""

    def __init__(
        self,
        store: SpanWriter,
        *,
        max_queue_bytes: int,
        max_group_spans: int = MAX_GROUP_SPANS,
        second_process: bool = False,
    ) -> None:
        """With *second_process* one is started when bodies queue up, where there is a second core for it."""
        self._store = store
        self._max_queue_bytes = max_queue_bytes
        self._max_group_spans = max_group_spans
        self._waiting: deque[_Body] = deque()
        self._held_bytes = 0
        self._apart: Apart[_Body] | None = None
        if second_process and worth_it() and isinstance(store, PreparesApart):
            self._apart = Apart(store.preparer(), self._take_made)
        self._made: deque[tuple[_Body, Made]] = deque()
        """Come from the second process."""
        self._made_spans = 0
        self._decoding_s = 0.0
        """On the thread itself."""
        self._ahead: list[_Read] = []
        """Made ready while the group before was written; only the thread touches it."""
        self._closing = False
        self._changed = threading.Condition()
        self._counters = Counters()
        self._thread = threading.Thread(target=self._run, name="clew-ingest", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(
        self, project: str, body: bytes, decode: Callable[[bytes], Decoded], size_bytes: int | None = None
    ) -> Future[Receipt]:
        """
        Queue *body*; its receipt comes when it is durable. *size_bytes* is what it counts in the queue.

        The receipt fails with what *decode* raises, or with StoreBusy or StoreUnavailable, after
        which nothing of the body is kept that a retry would duplicate.

        Raises:
            StoreBusy: too much is waiting, or the batcher is closing.
        """
        size = len(body) if size_bytes is None else size_bytes
        receipt: Future[Receipt] = Future()
        with self._changed:
            if self._closing:
                raise StoreBusy("shutting down; send it again in a second")
            # An empty queue takes anything, or a body over the bound could never be stored.
            if self._held_bytes and self._held_bytes + size > self._max_queue_bytes:
                self._counters.refused_bodies += 1
                raise StoreBusy(f"{self._held_bytes} bytes are waiting to be stored; send it again in a second")
            self._held_bytes += size
            self._queue(_Body(project, body, decode, size, receipt))
            self._changed.notify_all()
        return receipt

    def _queue(self, body: _Body) -> None:
        apart = self._apart
        if apart is not None and isinstance(body.decode, Reading):
            if apart.take(body, body.project, body.body, body.decode):
                return
            if len(self._waiting) >= APART_FROM_BODIES and self._held_bytes >= APART_FROM_BYTES:
                apart.start()
        self._waiting.append(body)

    def _take_made(self, body: _Body, made: Made | None) -> None:
        """From the second process. Its thread waits here while enough is ready, and so does the process."""
        with self._changed:
            if made is None:
                self._waiting.append(body)
            else:
                while self._made_spans >= self._max_group_spans and not self._closing:
                    self._changed.wait()
                self._made.append((body, made))
                self._made_spans += len(made.decoded.spans)
            self._changed.notify_all()

    def close(self, timeout: float | None = None) -> bool:
        """
        Take nothing more, store what waits, and end the thread. Idempotent.

        Returns False if that took longer than *timeout* seconds; what still waits then fails with
        StoreBusy, so that its clients send it again elsewhere.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout)
        if self._apart is not None:
            self._apart.close()
        with self._changed:
            left = [*self._waiting, *(body for body, _ in self._made)]
            self._waiting, self._made = deque(), deque()
        for body in left:
            self._fail(body, StoreBusy("shutting down; it was not stored"))
        return not left and not self._thread.is_alive()

    def stats(self) -> dict[str, float]:
        """Give what waits now, and what was done since the start."""
        with self._changed:
            waiting_bodies = len(self._waiting) + len(self._made) + len(self._apart or ())
            waiting = {"waiting_bodies": waiting_bodies, "held_bytes": self._held_bytes}
        return {**waiting, "max_queue_bytes": self._max_queue_bytes, **msgspec.structs.asdict(self._counters)}

    def _run(self) -> None:
        while True:
            taken: list[_Body] = []
            try:
                if not self._take_group(taken):
                    return
            except BaseException as error:
                _logger.exception("ingest failed; going on")
                for body in taken:
                    self._fail(body, error)

    def _take_group(self, taken: list[_Body]) -> bool:
        """Store all that waits now, or as much as makes a group. False if it is closed and empty."""
        group, self._ahead = self._ahead, []
        taken += [each.body for each in group]
        if not group:
            with self._changed:
                while not self._waiting and not self._made:
                    if self._take_back():
                        break
                    if self._closing and not self._apart:
                        return False
                    self._changed.wait()
            self._read_waiting(group, taken)
        self._write(group)
        return True

    def _take_back(self) -> bool:
        """With nothing to write, decode one of those that the second process has not come to."""
        body = None if self._apart is None else self._apart.take_back()
        if body is not None:
            self._waiting.append(body)
        return body is not None

    def _read_ahead(self, store_is_busy: Callable[[], bool]) -> None:
        """Make the next group ready for as long as the store is busy with this one."""
        taken: list[_Body] = []
        try:
            while True:
                self._read_waiting(self._ahead, taken)
                if not store_is_busy() or _span_count(self._ahead) >= self._max_group_spans:
                    return
                with self._changed:
                    if not self._waiting and not self._made:
                        self._changed.wait(_GLANCE_S)
        except BaseException as error:
            _logger.exception("reading ahead failed; going on")
            self._ahead = []
            for body in taken:
                self._fail(body, error)

    def _read_waiting(self, group: list[_Read], taken: list[_Body]) -> None:
        """Decode all that waits now into *group*, or as much as makes one."""
        began = time.perf_counter()
        self._gather_made(group, taken)
        with self._changed:
            waiting = len(self._waiting)
        span_count = _span_count(group)
        while waiting and span_count < self._max_group_spans:
            waiting -= 1
            read = self._read_next(taken)
            if read is not None:
                group.append(read)
                span_count += len(read.decoded.spans)
        took_s = time.perf_counter() - began
        self._decoding_s += took_s
        self._counters.decode_s += took_s

    def _gather_made(self, group: list[_Read], taken: list[_Body]) -> None:
        """Take what the second process has made ready, or as much of it as makes a group."""
        span_count = _span_count(group)
        while span_count < self._max_group_spans:
            with self._changed:
                if not self._made:
                    return
                body, made = self._made.popleft()
                self._made_spans -= len(made.decoded.spans)
                self._changed.notify_all()
            taken.append(body)
            self._counters.decode_s += made.took_s
            if body.receipt.set_running_or_notify_cancel():
                group.append(_Read(body, made.decoded, made.batch, apart=True))
                span_count += len(made.decoded.spans)
            else:
                self._let_go(body)

    def _read_next(self, taken: list[_Body]) -> _Read | None:
        with self._changed:
            if not self._waiting:  # closed meanwhile
                return None
            body = self._waiting.popleft()
        taken.append(body)
        # A client that has gone does not cost the work; if it comes back, nothing was promised.
        if not body.receipt.set_running_or_notify_cancel():
            self._let_go(body)
            return None
        try:
            decoded = body.decode(body.body)
            return _Read(body, decoded, self._prepared(body.project, decoded))
        except Exception as error:
            if not isinstance(error, ClewError):
                _logger.exception("a body could not be decoded, and this is a bug")
            self._fail(body, error)
            return None

    def _prepared(self, project: str, decoded: Decoded) -> Batch | None:
        if not decoded.spans and not decoded.scores:
            return None
        batch = batch_of(project, decoded)
        try:
            return self._store.prepare(batch)
        except Exception:
            return batch  # What is wrong comes up again when it is written, and is dealt with there.

    def _write(self, group: list[_Read]) -> None:
        began, decoding_s = time.perf_counter(), self._decoding_s
        batches = [each.batch for each in group if each.batch is not None]
        try:
            written = self._store.write(batches, meanwhile=self._read_ahead) if batches else (0, 0)
        except (StoreBusy, StoreUnavailable) as error:
            for each in group:
                self._fail(each.body, error)
        except Exception:
            _logger.exception("a commit of %d bodies failed; trying each alone", len(group))
            for each in group:
                self._salvage(each)
        else:
            self._counters.commits += bool(batches)
            alone = len(group) == 1
            self._counters.duplicates += written[1]
            for each in group:
                self._acknowledge(each, written[1] if alone else 0, each.decoded.rejected)
        self._counters.write_s += time.perf_counter() - began - (self._decoding_s - decoding_s)

    def _salvage(self, each: _Read) -> None:
        try:
            decoded = each.body.decode(each.body.body) if each.apart else each.decoded
            salvage = Salvage(self._store, each.body.project, decoded)
            salvage.run()
        except Exception as error:
            self._fail(each.body, error)
            return
        self._counters.duplicates += salvage.written.duplicates
        self._acknowledge(each, salvage.written.duplicates, salvage.rejected)

    def _acknowledge(self, each: _Read, duplicates: int, rejected: list[Rejection]) -> None:
        counters, decoded = self._counters, each.decoded
        counters.bodies += 1
        counters.spans += len(decoded.spans)
        counters.scores += len(decoded.scores)
        counters.rejected += len(rejected)
        refused_by_store = len(rejected) - len(decoded.rejected)
        accepted = len(decoded.spans) + len(decoded.scores) - duplicates - refused_by_store
        self._let_go(each.body)
        each.body.receipt.set_result(Receipt(accepted, duplicates, rejected))

    def _fail(self, body: _Body, error: BaseException) -> None:
        if body.receipt.done():
            return
        self._counters.failed_bodies += 1
        self._let_go(body)
        body.receipt.set_exception(error)

    def _let_go(self, body: _Body) -> None:
        with self._changed:
            self._held_bytes -= body.size_bytes


def _span_count(group: list[_Read]) -> int:
    return sum(len(each.decoded.spans) for each in group)
