"""
Batches on disk, for as long as the server stays away.

A folder of segments; each process appends to one of its own, which it holds by a file lock, and
whoever finds one that nobody holds (its process has ended, or has filled it) may deliver it. A
record is a batch: durable (fsync'd) when `append` returns, checked by CRC when it is read, and
found again behind damage by its mark. A segment is deleted once all of it was delivered; a crash
before that delivers some of it twice, which the server's keys make harmless.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from clew.sdk.spool_segment import HEAD, SUFFIX, Segment, hold, let_go, read_all, records_of

SEGMENT_BYTES: Final = 4 << 20


class SpoolBroken(Exception):
    """The folder cannot be written or read now; what was to be kept is not."""


class Spool:
    """The spool of one process. Called by the writer's thread alone."""

    def __init__(self, folder: str | os.PathLike[str], *, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes
        self.segment_bytes = segment_bytes
        self.damaged_count = 0
        """Records that could not be read back, ever."""
        self._segment: Segment | None = None
        self._own: dict[Path, int] = {}
        """Segments that this process wrote and nobody has delivered yet: how many spans each holds."""
        self._delivered: dict[Path, int] = {}
        """How many records of a segment went before a delivery failed: they are not sent again."""
        self._reading = -1
        """The file that `replay` holds, which a forked child must let go."""

    def twin(self) -> Spool:
        """The same folder for another thread, with a segment of its own; it knows what this one put there."""
        twin = Spool(self.folder, limit_bytes=self.limit_bytes, segment_bytes=self.segment_bytes)
        twin._own = dict(self._own)
        return twin

    def append(self, payload: bytes, span_count: int, *, is_note: bool = False) -> bool:
        """
        Keep one batch; it is on disk when this returns True. False: the spool is full, which does not
        keep out a note of a few bytes.

        Raises:
            SpoolBroken: the folder cannot be written. Nothing was kept.
        """
        try:
            if not is_note and self.size_bytes() + HEAD.size + len(payload) > self.limit_bytes:
                return False
            if self._segment is None:
                self._segment = Segment.begin(self.folder)
            self._segment.append(payload, span_count)
            self._own[self._segment.path] = self._own.get(self._segment.path, 0) + span_count
            if self._segment.size_bytes >= self.segment_bytes:
                self.close()
        except OSError as error:
            self.close()
            raise SpoolBroken(f"{self.folder}: {error.strerror or error}") from None
        return True

    def size_bytes(self) -> int:
        """What all processes keep here."""
        return sum(_size(path) for path in self._paths())

    def waits(self) -> bool:
        """Whether there is anything here, of whichever process."""
        return any(True for _ in self._paths())

    def own_spans(self) -> int:
        """How many of the spans that this process put here wait still."""
        if self._own:
            waiting = set(self._paths())
            self._own = {path: count for path, count in self._own.items() if path in waiting}
        return sum(self._own.values())

    def waits_for_us(self) -> bool:
        """Whether anything that this process put here waits still, of whatever it holds."""
        self.own_spans()
        return bool(self._own)

    def replay(self, deliver: Callable[[bytes, int], None]) -> int:
        """
        Deliver what waits, oldest segment first; gives how many records went.

        What *deliver* raises comes out, and what was not delivered stays for another time. Segments
        that a living process holds are left to it. *deliver* may append: that waits for the next replay.

        Raises:
            SpoolBroken: a segment cannot be read or deleted.
        """
        delivered = 0
        for path in sorted(self._paths()):
            if self._segment is not None and path == self._segment.path:
                delivered += self._deliver_open(self._segment, deliver)
                continue
            try:
                held = hold(path)
            except OSError as error:
                raise SpoolBroken(f"{path}: {error.strerror or error}") from None
            if held is None:
                continue
            self._reading = held
            try:
                delivered += self._deliver(path, held, deliver)
            finally:
                self._reading = -1
                let_go(held)
        return delivered

    def _deliver_open(self, segment: Segment, deliver: Callable[[bytes, int], None]) -> int:
        """Deliver what this process is writing; it goes on there if that fails, or if it grew meanwhile."""
        try:
            file = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.close()  # Somebody took it away.
            raise SpoolBroken(f"{segment.path}: {error.strerror or error}") from None
        size = segment.size_bytes
        try:
            delivered = self._deliver(segment.path, file, deliver, lambda: segment.size_bytes == size)
        finally:
            os.close(file)
        if self._segment is segment and segment.size_bytes == size:
            self.close()
        return delivered

    def _deliver(
        self, path: Path, file: int, deliver: Callable[[bytes, int], None], is_all: Callable[[], bool] = lambda: True
    ) -> int:
        try:
            data = read_all(file)
        except OSError as error:
            raise SpoolBroken(f"{path}: {error.strerror or error}") from None
        went, seen, expected, end = self._delivered.get(path, 0), 0, 0, 0
        for record in records_of(data):
            seen += 1
            if seen > went:
                deliver(record.payload, record.span_count)
                self._delivered[path] = seen
            expected, end = max(expected, record.number + 1), record.end
        if is_all():
            self._delete(path)
            # Counted when the whole segment is done, so that another try does not count again. Behind
            # the last whole record lies at most one that was being written, or that broke.
            self.damaged_count += max(0, expected - seen) + (end < len(data))
        return seen - went

    def _delete(self, path: Path) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            # All of it was delivered: it must not be again and again for want of a permission.
            raise SpoolBroken(f"{path}: {error.strerror or error}") from None
        self._delivered.pop(path, None)
        self._own.pop(path, None)

    def close(self) -> None:
        """Let go of the segment that is being written; it may be delivered from now on."""
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()

    def after_fork(self) -> None:
        """In a forked child: what is being written or read is the parent's, who still holds it."""
        segment, self._segment = self._segment, None
        for file in (segment.file if segment else -1, self._reading):
            with suppress(OSError):
                os.close(file)  # Without unlocking, which would unlock the parent's too.
        self._reading = -1
        self._own, self._delivered = {}, {}

    def _paths(self) -> Iterator[Path]:
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries if entry.name.endswith(SUFFIX)]
        except OSError:
            return
        yield from (self.folder / name for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class Kept(NamedTuple):
    """What lies in a spool."""

    records: int
    spans: int
    bytes: int
    damaged: int


def inspect(folder: Path) -> Kept:
    """
    Look at a spool without touching it; a folder that is not there is an empty one.

    Raises:
        OSError: it cannot be read.
    """
    records = spans = size = damaged = 0
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        data = path.read_bytes()
        found = list(records_of(data))
        records, size = records + len(found), size + len(data)
        spans += sum(record.span_count for record in found)
        last = max((record.number + 1 for record in found), default=0)
        damaged += max(0, last - len(found)) + (max((record.end for record in found), default=0) < len(data))
    return Kept(records, spans, size, damaged)
