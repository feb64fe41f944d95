"""
Which traces are stored in `product` mode, and what is told of those that are not.

A trace is decided when its root ends. Stored is what failed anywhere, what the user kept, what was
slow for its operation (`slowness`), and of the rest a share, drawn by a hash of the trace id, so that
every process that has a part of the trace draws the same. What is left waits on a shelf: spans that
come late join it there, and two seconds after its root it is looked at as the server would. If that
would flag it, it is stored; if not it is counted (`rollup`), and only the sums are sent. It stays on
the shelf for some minutes, where a bad score or a late failure still finds it and has it stored whole.

Everything is bounded in bytes, and called by the writer's thread alone.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from clew.errors import ConfigError
from clew.model import Flag, Score, judge
from clew.sdk.draw import Decisions, Draw
from clew.sdk.outbox import outbox
from clew.sdk.rollup import Rollup, is_flagged
from clew.sdk.shelf import Held, Shelf
from clew.sdk.slowness import Slowness
from clew.wire.native import NativeSpan

Ready = list[tuple[NativeSpan, bytes]]

MODES: Final = ("develop", "product")

ROOT_WAIT_NS: Final = 60 * 10**9
"""A trace whose root has not come so long after its first span is decided without it."""

UNDECIDED_BYTES: Final = 16 << 20
"""So much may wait for roots; of more, the oldest trace is decided without its root."""

SHELF_NS: Final = 10 * 60 * 10**9
"""So long after its last span a trace that is not stored can still be rescued..."""

SHELF_BYTES: Final = 16 << 20
"""... if no more than this wait with it."""

QUIET_NS: Final = 2 * 10**9
"""So long after its root a trace is looked at: most spans that end late have come by then."""

LATE_NS: Final = 60 * 10**9
"""So long after it was counted a trace to which spans came late is counted anew, all of it."""

FOLDED_AT_ONCE: Final = 2
"""Traces that are counted each time that a trace is put aside, so that the work is spread evenly."""

TELL_EVERY_NS: Final = 10 * 10**9
TELL_SPANS: Final = 20_000
"""What was counted is sent after so long, or so many spans."""

_decode: Final = msgspec.msgpack.Decoder(NativeSpan).decode


class Sampler:
    """Decides trace by trace, when the root has ended. Called by the writer's thread alone."""

    def __init__(
        self,
        rate: float = 0.1,
        rates: Mapping[str, float] | None = None,
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """
        *rate* is the share of unremarkable traces that is stored, *rates* others by the root's name.

        Raises:
            ConfigError: a share is not from 0 to 1.
        """
        self._draw = Draw(rate, {} if rates is None else rates)
        self._now_ns = now_ns
        self.on_loss: Callable[[str], object] = lambda why: None  # noqa: ARG005
        """Told of each span that could not be given back, and why."""
        self.after_fork()

    def after_fork(self) -> None:
        """Forget everything: the parent has it."""
        self._decisions = Decisions()
        self._slowness = Slowness()
        self._rollup = Rollup()
        self._undecided = Shelf()
        self._aside = Shelf()
        self._line: deque[tuple[int, Held]] = deque()
        """Traces to be counted, and since when: those that were put aside first first."""
        self._late: deque[tuple[int, Held]] = deque()
        """Traces to be counted anew."""
        self._told_ns = self._now_ns()

    # What comes.

    def take(self, native: NativeSpan, packed: bytes, *, is_root: bool, kept: bool) -> Ready:
        """Take one ended span; gives what is to be sent now, of whichever trace."""
        trace_id = native.trace_id
        remarkable = kept or native.status == "error"
        if is_root and self._slowness.judge(native.name, (native.end_ns or 0) - native.start_ns):
            remarkable = True
        stored = self._decisions.get(trace_id)
        if stored:
            return [(native, packed)]
        if stored is False:
            wanted = remarkable or (is_root and self._draw.has(trace_id, native.name))
            return self._take_late(native, packed, wanted)
        held = self._undecided.get(trace_id)
        if held is None:
            held = Held(trace_id, self._now_ns())
            self._undecided.put(held)
        self._undecided.add(held, packed)
        held.is_remarkable |= remarkable
        return self._decide(held, native.name) if is_root else self._relieve_undecided()

    def _take_late(self, native: NativeSpan, packed: bytes, wanted: bool) -> Ready:
        """A span of a trace that is not stored joins it, or has it stored after all."""
        held = self._aside.get(native.trace_id)
        if wanted:
            return [*self.store(native.trace_id), (native, packed)]
        now_ns = self._now_ns()
        if held is None:
            held = Held(native.trace_id, now_ns)
        held.since_ns = now_ns
        self._aside.put(held)
        self._aside.add(held, packed)
        self._stand_in_line(held, now_ns)
        return self._relieve_aside(now_ns)

    def score(self, score: Score) -> tuple[Ready, bool]:
        """
        Take a score; gives the spans that it rescued, and whether the score is to be sent.

        It always is: it takes little room, and another process may have sent its trace.
        """
        if score.source == "user":
            verdict = judge(worst_user_score=(score.value, score.best), response_chars=None, confidence=None)
            if verdict.flag is Flag.USER_NEGATIVE:
                return self.store(score.trace_id), True
        return [], True

    def tick(self, now_ns: int) -> Ready:
        """What is to be sent because time has passed: traces whose root did not come. Unix ns."""
        ready: Ready = []
        while (held := self._undecided.oldest()) is not None and _is_over(ROOT_WAIT_NS, held.since_ns, now_ns):
            ready += self._decide(held, None)
        ready += self._fold_line(now_ns)
        while self._late and _is_over(LATE_NS, self._late[0][0], now_ns):
            ready += self._fold(self._late.popleft()[1])
        return ready + self._relieve_aside(now_ns)

    def drain(self) -> Ready:
        """Decide everything that is undecided: at `flush` and `shutdown`."""
        ready: Ready = []
        while (held := self._undecided.oldest()) is not None:
            ready += self._decide(held, None)
        for line in (self._line, self._late):
            while line:
                ready += self._fold(line.popleft()[1])
        return ready

    def deltas(self, now_ns: int, *, force: bool = False) -> bytes | None:
        """The body of what all traffic that is not stored adds to histograms and graph, when it is due."""
        if not (force or self._rollup.spans >= TELL_SPANS or _is_over(TELL_EVERY_NS, self._told_ns, now_ns)):
            return None
        self._told_ns = now_ns
        return self._rollup.take()

    # Deciding.

    def _decide(self, held: Held, operation: str | None) -> Ready:
        """Decide an undecided trace; without *operation* its root has not come."""
        if held.is_remarkable or self._draw.has(held.trace_id, operation):
            return self.store(held.trace_id)
        # In this order it is on one shelf at least, whatever fails.
        self._decisions.note(held.trace_id, stored=False)
        now_ns = held.since_ns = self._now_ns()
        self._aside.put(held)
        self._undecided.pop(held.trace_id)
        self._stand_in_line(held, now_ns)
        return self._fold_line(now_ns, FOLDED_AT_ONCE) + self._relieve_aside(now_ns)

    def store(self, trace_id: str) -> Ready:
        """Let a trace be stored from now on; gives what there is of it. What was counted is taken back."""
        self._decisions.note(trace_id, stored=True)
        held = self._undecided.get(trace_id) or self._aside.get(trace_id)
        if held is None:
            return []
        try:
            self._take_back(held)
        except Exception as error:
            outbox.complain("fold", f"a trace is stored and was counted already: {error!r:.300}")
        # It is let go of last, so that whoever asks again after a failure has it.
        ready = self._released(held)
        try:
            self._undecided.pop(trace_id)
            self._aside.pop(trace_id)
        except Exception:  # noqa: S110  an empty trace waits until it is too old
            pass
        return ready

    def _released(self, held: Held) -> Ready:
        """Give the spans of a trace, which is let go of; it may still stand in line to be counted."""
        spans, held.packed, held.in_line = held.packed, [], False
        ready: Ready = []
        for packed in spans:
            try:
                ready += [(_decode(packed), packed)]
            except Exception as error:
                self.on_loss(f"a span that waited could not be read again: {error!r:.200}")
        return ready

    def _relieve_undecided(self) -> Ready:
        ready: Ready = []
        while self._undecided.size > UNDECIDED_BYTES and (held := self._undecided.oldest()) is not None:
            ready += self._decide(held, None)
        return ready

    # Counting.

    def _stand_in_line(self, held: Held, now_ns: int) -> None:
        if not held.in_line:
            held.in_line = True
            (self._late if held.folded else self._line).append((now_ns, held))

    def _fold_line(self, now_ns: int, most: int | None = None) -> Ready:
        """Count what is quiet, at most so many; gives what turns out to be flagged."""
        ready: Ready = []
        while self._line and (most is None or most > 0) and _is_over(QUIET_NS, self._line[0][0], now_ns):
            ready += self._fold(self._line.popleft()[1])
            most = None if most is None else most - 1
        return ready

    def _fold(self, held: Held) -> Ready:
        """Count a trace as it is now; gives it instead if the server would flag it."""
        if not held.in_line:
            return []  # It was stored meanwhile.
        held.in_line = False
        now_ns = self._now_ns()
        try:
            spans = self._rollup.read(held.packed, at_ns=now_ns)
            if is_flagged(spans):
                return self.store(held.trace_id)
            self._take_back(held)
        except Exception as error:
            outbox.complain("fold", f"a trace is stored, since it could not be looked at: {error!r:.300}")
            return self.store(held.trace_id)
        held.folded_with_dataflow = self._rollup.add(spans)
        held.folded, held.folded_ns = len(held.packed), now_ns
        return []

    def _take_back(self, held: Held) -> None:
        if held.folded:
            spans = self._rollup.read(held.packed[: held.folded], at_ns=held.folded_ns)
            self._rollup.take_back(spans, dataflow=held.folded_with_dataflow)
            held.folded = 0

    def _relieve_aside(self, now_ns: int) -> Ready:
        """Let go of what is too old or too much; it is counted by then."""
        ready: Ready = []
        while (held := self._aside.oldest()) is not None and (
            self._aside.size > SHELF_BYTES or _is_over(SHELF_NS, held.since_ns, now_ns)
        ):
            ready += self._fold(held)
            self._aside.pop(held.trace_id)
            held.packed = []  # It may still stand in line.
        return ready


def _is_over(span_ns: int, since_ns: int, now_ns: int) -> bool:
    """Say whether so long has passed; also if the clock was set back, since nobody knows then."""
    return not 0 <= now_ns - since_ns < span_ns


def sampler_from(mode: str, sample_rate: float, sample_rates: Mapping[str, float]) -> Sampler | None:
    """
    Make the sampler of *mode*; None where everything is stored.

    Raises:
        ConfigError: what was given cannot be used.
    """
    known = mode.lower() if isinstance(mode, str) else mode
    if known not in MODES:
        raise ConfigError("mode", f"{mode!r:.100} is unknown; use 'develop', which stores all, or 'product'")
    # Also where everything is stored: a mistake is one in any mode.
    sampler = Sampler(sample_rate, sample_rates)
    return sampler if known == "product" else None
