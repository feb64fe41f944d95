"""
From ended spans to parcels: what happens on the writer's thread before anything is sent.

Each span is packed (and processed on the way: capture, redaction), shown to the sampler, and put
into a parcel. It works in small pieces and pauses between them, because whatever it computes the
caller's threads wait for (they share the interpreter): an exporter that works in one go is what
gives tracing its long tails. A part that fails costs no span.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter_ns, time_ns
from typing import Any, Final

from clew.model import Score
from clew.sdk.losses import Losses
from clew.sdk.outbox import CROWD, Outbox
from clew.sdk.packing import PackedBody, encoded_size, pack, without_secrets
from clew.sdk.parcels import DELTAS, Flush, Parcel
from clew.sdk.sampler import Sampler
from clew.sdk.span import ActiveSpan
from clew.wire.native import NativeSpan

BATCH_SPANS: Final = 512
MANY_SPANS: Final = 8192
"""In one parcel when many wait: fewer requests and fewer fsyncs."""
BATCH_BYTES: Final = 4 << 20
PIECE: Final = 8
"""Spans packed between two pauses..."""
CROWDED: Final = 4096
BIG_PIECE_NS: Final = 400_000
"""... and how long it computes between two when so many wait."""
PAUSE_S: Final = 0.0002


class Intake:
    """Takes from the outbox. Called by the writer's thread alone."""

    def __init__(self, outbox: Outbox, losses: Losses, pause: Callable[[float], None]) -> None:
        self.outbox = outbox
        self.losses = losses
        self.pause = pause
        self.resource: dict[str, Any] = {}
        self._sampler: Sampler | None = None
        self.forget()

    def forget(self) -> None:
        """Begin with nothing: at first, and in a forked child."""
        self.roots_taken = 0
        self._ready: deque[Any] = deque()
        self._marks: list[Flush] = []
        if self.sampler is not None:
            self._guarded(self.sampler.after_fork, None)

    @property
    def sampler(self) -> Sampler | None:
        """Decides which traces are stored; None: all."""
        return self._sampler

    @sampler.setter
    def sampler(self, sampler: Sampler | None) -> None:
        self._sampler = sampler
        if sampler is not None:
            sampler.on_loss = lambda why: self.losses.add("unsendable", 1, why)

    @property
    def ready_count(self) -> int:
        """How many spans and scores were taken from the outbox and are in no parcel yet."""
        return len(self._ready)

    @property
    def has_more(self) -> bool:
        """Something was taken from the outbox and is in no parcel yet."""
        return bool(self._ready or self._marks)

    def tick(self) -> None:
        """Let the sampler decide what time decides."""
        if self.sampler is not None:
            self._ready.extend(self._guarded(lambda: self.sampler.tick(time_ns()), []))  # type: ignore[union-attr]

    def drain(self) -> None:
        """Have the sampler decide all that is undecided."""
        if self.sampler is not None:
            self._ready.extend(self._guarded(self.sampler.drain, []))

    def deltas(self, *, force: bool = False) -> Parcel | None:
        """Give what all traffic adds up to, if it is due."""
        sampler = self.sampler
        data = None if sampler is None else self._guarded(lambda: sampler.deltas(time_ns(), force=force), None)
        return Parcel(data=data, kind=DELTAS) if data else None

    def take(self, limit: int, *, hurried: bool) -> tuple[list[Parcel], int]:
        """Make one parcel of up to *limit* waiting things; gives how many were taken. Not *hurried* it pauses."""
        body = PackedBody(resource=self.resource)
        try:
            taken = self._fill(body, limit, hurried)
            return self._parcels(body), taken
        except BaseException:
            self._put_back(body)
            raise

    def _fill(self, body: PackedBody, limit: int, hurried: bool) -> int:
        waiting, taken, size = self.outbox.spans, 0, 0
        began_ns = perf_counter_ns()
        most = BATCH_SPANS if len(waiting) < 4 * CROWD else max(BATCH_SPANS, MANY_SPANS)
        while len(body.spans) + len(body.scores) < most and size < BATCH_BYTES:
            if self._ready:
                size += self._put(body, self._ready[0])
                self._ready.popleft()
                continue
            if self._marks or taken >= limit or not waiting:
                break  # What ended after a flush is not to delay it.
            item = waiting.popleft()
            taken += 1
            if type(item) is Flush:
                self._marks += (item,)
                self.drain()
                continue
            try:
                self.outbox.taken(item)
                self._prepare(item)
            except Exception as error:
                self.losses.add("unsendable", 1, f"{error!r:.200}")
            if taken % PIECE == 0 and not hurried:
                began_ns = self._pause(began_ns)
        return taken

    def _put_back(self, body: PackedBody) -> None:
        """The parcel was not made as a whole: what would be in it is ready still."""
        del body.spans[len(body.packed) :]
        self._ready.extendleft([*zip(body.spans, body.packed, strict=True), *body.scores][::-1])

    def _pause(self, began_ns: int) -> int:
        """
        Let callers go on, if it is time; gives since when it computes.

        A caller that only computes makes each pause last for 5 ms, so there are few or none when many wait.
        """
        waiting = len(self.outbox.spans)
        self.outbox.yields = waiting >= self.outbox.limit // 4
        if self.outbox.yields or (waiting >= CROWDED and perf_counter_ns() - began_ns < BIG_PIECE_NS):
            return began_ns
        self.pause(PAUSE_S)
        return perf_counter_ns()

    def _parcels(self, body: PackedBody) -> list[Parcel]:
        parcels = [Parcel(body=body)] if body.spans or body.scores else []
        if self._marks and not self._ready:
            last = self.deltas(force=True)
            if last is not None or not parcels:
                parcels.append(last or Parcel(body=body))
            parcels[-1].flushes, self._marks = self._marks, []
        return parcels

    def _prepare(self, item: ActiveSpan | Score) -> None:
        """Pack and sample one thing; what is to be sent is ready then."""
        try:
            if isinstance(item, Score):
                self._prepare_score(item)
                return
            is_root, extra = item._is_root, item._extra
            self.roots_taken += is_root
            native, packed = pack(item, self.outbox.processing)
            item.shed()
        except Exception as error:
            self.losses.add("unsendable", 1, f"{error!r:.200}")
            if isinstance(item, Score):
                self._store(item.trace_id)  # It was bad, perhaps: better one trace more than one that is missed.
            return
        kept = extra is not None and extra.kept
        if self.sampler is None:
            self._ready.append((native, packed))
        else:
            self._sample(self.sampler, native, packed, is_root, kept)

    def _sample(self, sampler: Sampler, native: NativeSpan, packed: bytes, is_root: bool, kept: bool) -> None:
        ready = self._guarded(lambda: sampler.take(native, packed, is_root=is_root, kept=kept), None)
        if ready is not None:
            self._ready.extend(ready)
            return
        # Half a trace tells little: what waits of it goes as well, and this once.
        self._store(native.trace_id)
        if not (self._ready and self._ready[-1][1] is packed):
            self._ready.append((native, packed))

    def _store(self, trace_id: str) -> None:
        """Send what waits of a trace, and what comes."""
        sampler = self.sampler
        if sampler is not None:
            self._ready.extend(self._guarded(lambda: sampler.store(trace_id), []))

    def _prepare_score(self, score: Score) -> None:
        sampler = self.sampler
        if sampler is not None:
            told = self._guarded(lambda: sampler.score(score), None)
            if told is None:
                self._store(score.trace_id)
            else:
                rescued, wanted = told
                self._ready += rescued
                if not wanted:
                    return
        score = without_secrets(score, self.outbox.processing)
        encoded_size(score)  # Raises for what cannot be sent.
        self._ready.append(score)

    @staticmethod
    def _put(body: PackedBody, ready: Any) -> int:
        if isinstance(ready, Score):
            body.scores.append(ready)
            return encoded_size(ready)
        native, packed = ready
        body.spans.append(native)
        body.packed.append(packed)
        return len(packed)

    def _guarded(self, ask: Callable[[], Any], otherwise: Any) -> Any:
        """Ask the sampler; if it fails, everything is stored, and the log says so once."""
        try:
            return ask()
        except Exception as error:
            self.outbox.complain(
                f"sampler:{type(error).__name__}", f"sampling failed, so more is stored: {error!r:.300}"
            )
            return otherwise
