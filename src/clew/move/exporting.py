"""Write what a store holds into a box, part by part; after a kill, go on after the last part."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import msgspec

from clew.errors import ClewError, ConfigError
from clew.model import Score, Span
from clew.move.beyond import beyond
from clew.move.boxes import Box
from clew.move.choices import choices_of
from clew.move.manifest import Kind, Manifest, Part
from clew.move.parts import PartWriter, make_durable
from clew.store.protocol import Store, TraceFilter
from clew.store.snapshot import each_trace
from clew.wire import deltas
from clew.wire.otlp_exact import encode

PART_SPANS = 20_000
PART_BYTES = 32 << 20
"""Before compression. A part ends with the trace that goes over one of the two."""

MESSAGE_SPANS = 500
MESSAGE_BYTES = 4 << 20
"""What other backends take at once. A single span may be longer."""

PAGE = 1_000

_EXTENSIONS: dict[Kind, str] = {
    "spans": "otlp", "scores": "jsonl", "beyond": "msgpack", "choices": "jsonl", "keys": "jsonl",
}  # fmt: skip

Tell = Callable[[int], object]
"""Told how many spans are exported by now, those of earlier tries included."""


class ExportFailed(ClewError):
    """The export could not be written on. Exit status 1; the same command goes on after the last finished part."""


class AlreadyExported(ClewError):
    """There is a finished export, or half of another. Exit status 1. Nothing was written."""


class Exporter:
    """Moves what *store* holds into *box*. A window keeps to the traces that started in it, and to their scores."""

    def __init__(self, store: Store, box: Box, *, place: str, tell: Tell) -> None:
        self._store = store
        self._box = box
        self._place = place
        self._tell = tell
        self._manifest: Manifest

    def run(self, wanted: Manifest) -> Manifest:
        """
        Write the export that *wanted* begins, or go on with it; gives the finished manifest.

        Raises:
            AlreadyExported: something else is there.
            ExportFailed: no space, or the disk failed.
            StoreBusy, StoreUnavailable: the store could not be read.
        """
        with self._explained():
            self._manifest = self._begun(wanted)
            for project in self._manifest.projects:
                self._export(project)
            if self._manifest.keys and not self._manifest.of("", "keys"):
                self._put([self._lines("", "keys", self._store.list_keys())])
            self._tell(self._manifest.totals.spans)
            self._box.sweep()
            self._manifest.complete = True
            self._box.finish(self._manifest)
        return self._manifest

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise AlreadyExported(f"{self._place} is there already; name another place") from None
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            what = f"no space is left for {self._place}" if full else f"{self._place}: {error.strerror or error}"
            raise ExportFailed(f"{what}; what is finished stays, and the same command goes on after it") from None

    def _begun(self, wanted: Manifest) -> Manifest:
        have = self._box.load()
        if have is None:
            self._box.begin(wanted)
            return wanted
        if have.complete:
            raise AlreadyExported(f"{self._place} holds a finished export of {have.made_at}; name another place")
        for name in ("source", "projects", "since_ns", "until_ns", "keys"):
            ours, theirs = getattr(wanted, name), getattr(have, name)
            if ours != theirs:
                what = f"{theirs!r} there, {ours!r} now" if name != "projects" else "its projects differ"
                half = f"{self._place} holds half of another export ({name}: {what})"
                raise AlreadyExported(f"{half}; ask for the same, or name another place")
        return have

    # One project.

    def _export(self, project: str) -> None:
        window = self._manifest.since_ns, self._manifest.until_ns
        if not self._manifest.of(project, "choices"):
            self._put([*(self._known(project) if window == (None, None) else []), self._choices(project)])
        done = self._manifest.of(project, "spans")
        after = done[-1].after if done else None
        where = TraceFilter(from_ns=window[0], to_ns=window[1])
        while True:
            parts, after, more = self._some_traces(project, where, after)
            if parts:
                self._put(parts)
            if not more:
                return

    def _known(self, project: str) -> Iterator[Part]:
        """What is known beyond the spans, and scores whose trace is not there; of a backend that can tell."""
        if not hasattr(self._store, "snapshot"):
            return
        with self._store.snapshot() as snapshot:
            with self._part(project, "beyond") as made:
                for body in beyond(snapshot, project, self._manifest.export_id):
                    made.writer.add(deltas.encode(body))
                    made.part.rows += 1
            yield made.part
            scores = snapshot.lone_scores(project)
        if scores:
            yield self._lines(project, "scores", scores)

    def _choices(self, project: str) -> Part:
        """What people decided: declared workflows, and arms."""
        return self._lines(project, "choices", choices_of(self._store, project))

    def _some_traces(
        self, project: str, where: TraceFilter, after: tuple[int, str] | None
    ) -> tuple[list[Part], tuple[int, str] | None, bool]:
        """Write one part of spans, and the scores of its traces; where to go on, and whether there is more."""
        scores: list[Score] = []
        more = True
        with self._part(project, "spans") as made:
            messages = _Messages(made.writer)
            while not made.is_full and more:
                self._tell(self._manifest.totals.spans + made.part.spans)
                page = self._store.list_traces(project, where, limit=PAGE, after=after)
                more = page.next_cursor is not None
                places = {summary.trace_id: summary.start_ns for summary in page.traces}
                # What was dropped, or erased, since it was listed, is not among them.
                listed = ((summary.trace_id, summary.span_count) for summary in page.traces)
                for stored in each_trace(self._store, project, listed):
                    trace_id = stored.summary.trace_id
                    after = places[trace_id], trace_id
                    messages.add(stored.spans)
                    scores += stored.scores
                    made.part.traces += 1
                    made.part.spans += len(stored.spans)
                    if made.is_full:
                        more = more or trace_id != page.traces[-1].trace_id
                        break
                else:
                    after = page.next_cursor or after
            messages.flush()
            made.part.after = after
        if not made.part.traces:
            self._box.workplace(made.part.file).unlink()
            return [], after, more
        return [made.part, *([self._lines(project, "scores", scores)] if scores else [])], after, more

    # Parts.

    def _lines(self, project: str, kind: Kind, things: Iterable[Any]) -> Part:
        with self._part(project, kind) as made:
            for thing in things:
                made.writer.add_line(msgspec.json.encode(thing))
                if kind == "scores":
                    made.part.scores += 1
                else:
                    made.part.rows += 1
        return made.part

    @contextmanager
    def _part(self, project: str, kind: Kind) -> Iterator[_Made]:
        """Write a part to its workplace; durable at the end of the block, gone if that fails."""
        number = sum(part.kind == kind for part in self._manifest.parts) + 1
        name = f"{kind}-{number:05d}.{_EXTENSIONS[kind]}.zst"
        workplace = self._box.workplace(name)
        try:
            with workplace.open("wb") as file:
                made = _Made(file, Part(file=name, kind=kind, project=project, bytes=0, sha256=""))
                yield made
                made.part.bytes, made.part.sha256 = made.writer.finish()
                make_durable(file)
        except BaseException:
            workplace.unlink(missing_ok=True)
            raise

    def _put(self, parts: list[Part]) -> None:
        self._manifest.add(parts)
        self._box.put(self._manifest, parts)


class _Made:
    """A part that is being written."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self.writer = PartWriter(file)
        self.part = part

    @property
    def is_full(self) -> bool:
        return self.part.spans >= PART_SPANS or self.writer.raw_bytes >= PART_BYTES


class _Messages:
    """Gathers spans into messages of a bounded size."""

    def __init__(self, writer: PartWriter) -> None:
        self._writer = writer
        self._waiting: list[Span] = []

    def add(self, spans: list[Span]) -> None:
        self._waiting += spans
        while len(self._waiting) >= MESSAGE_SPANS:
            self._write(self._waiting[:MESSAGE_SPANS])
            del self._waiting[:MESSAGE_SPANS]

    def flush(self) -> None:
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []

    def _write(self, spans: list[Span]) -> None:
        message = encode(spans)
        if len(spans) > 1 and message.ByteSize() > MESSAGE_BYTES:
            middle = len(spans) // 2
            self._write(spans[:middle])
            self._write(spans[middle:])
        else:
            self._writer.add(message.SerializeToString())


def projects_of(store: Store, asked: str) -> list[str]:
    """
    Say which projects to export: the one that was asked for, or all of which there is anything.

    Raises:
        ConfigError: there is no such project.
    """
    if hasattr(store, "snapshot"):
        with store.snapshot() as snapshot:
            found = list(snapshot.projects())
    else:
        found = store.projects()
    if not asked:
        return found
    if asked not in found:
        there = ", ".join(map(repr, found[:10])) or "none at all"
        raise ConfigError("--project", f"there is no project {asked!r} in this store; it has {there}")
    return [asked]
