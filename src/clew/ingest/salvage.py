"""
Write what can be written, when a store chokes on something that it should have taken.

Decoding mends what no store could keep, so this is for bugs: a span that trips one costs itself,
not the spans that came beside it, and not the bodies of other clients.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from clew.errors import ClewError
from clew.model import Batch, Score, Span
from clew.store.protocol import SpanWriter, Written
from clew.wire import Decoded, Rejection

MAX_WRITES = 100
"""For one body. A single poisonous span of 512 takes 19; where more fail, the store itself is broken."""


def batch_of(project: str, decoded: Decoded, now_ns: Callable[[], int] = time.time_ns) -> Batch:
    """Give what was decoded as a batch, and scores without a time the time of receipt."""
    for score in decoded.scores:
        score.at_ns = score.at_ns or now_ns()
    return Batch(project=project, spans=decoded.spans, scores=decoded.scores)


class Salvage:
    """One body, written in ever smaller parts until what is bad in it stands alone."""

    def __init__(self, store: SpanWriter, project: str, decoded: Decoded) -> None:
        self._store = store
        self._project = project
        self._decoded = decoded
        self._writes_left = MAX_WRITES
        self.written = Written(0, 0)
        self.rejected = list(decoded.rejected)

    def run(self) -> None:
        """
        Write all but what the store cannot take, and add that to `rejected`.

        Raises:
            StoreBusy, StoreUnavailable: a part may be written; retrying is safe.
            Exception: what the store raised, if it will not take nearly anything.
        """
        lost = {each.index for each in self._decoded.rejected if each.error.startswith("spans[")}
        places = [index for index in range(len(self._decoded.spans) + len(lost)) if index not in lost]
        self._spans(list(zip(places, self._decoded.spans, strict=False)))
        for index, score in enumerate(self._decoded.scores):
            self._score(index, score)

    def _spans(self, placed: list[tuple[int, Span]]) -> None:
        if not placed:
            return
        try:
            self._write(Batch(project=self._project, spans=[span for _, span in placed]))
        except ClewError:
            raise
        except Exception as error:
            if self._writes_left <= 0:
                raise
            if len(placed) > 1:
                middle = len(placed) // 2
                self._spans(placed[:middle])
                self._spans(placed[middle:])
            else:
                self._reject("spans", placed[0][0], error)

    def _score(self, index: int, score: Score) -> None:
        try:
            self._write(Batch(project=self._project, scores=[score]))
        except ClewError:
            raise
        except Exception as error:
            if self._writes_left <= 0:
                raise
            self._reject("scores", index, error)

    def _write(self, batch: Batch) -> None:
        self._writes_left -= 1
        written = self._store.write([batch])
        self.written = Written(*(before + now for before, now in zip(self.written, written, strict=True)))

    def _reject(self, what: str, index: int, error: Exception) -> None:
        self.rejected.append(Rejection(index, f"{what}[{index}]: the store cannot keep it: {error!r:.200}"))
