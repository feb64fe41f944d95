"""`clew import FILE`: an export of `clew export`, or events that were recorded elsewhere, made into traces."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from clew import config
from clew.cli.event_file import EventFile, UnreadableFile, open_events
from clew.cli.out import errors
from clew.cli.sinks import Sink, open_sink
from clew.cli.text import one_line
from clew.errors import ClewError, ConfigError
from clew.move.boxes import is_export
from clew.wire import Decoded
from clew.wire.event_times import Base, Unreadable, read_time
from clew.wire.events import EventReader, Item

CHUNK = 2_000
"""Lines that are read, and committed, together."""

EXAMPLE = "{trace, id, parent, type, name, start, end, args}"

TOLD = 20
"""So many skipped lines are told one by one."""

START = "2026-01-01T00:00:00Z"
"""What times that are no dates count from: fixed, so that a file imported twice gives the same spans."""


class NothingImported(ClewError):
    """No line of the file is an event. Exit status 1."""


def import_(
    file: Annotated[str, typer.Argument(help="An export, or event lines (plain or gzip; - reads standard input).")],
    *,
    store: Annotated[
        str | None, typer.Option("--store", help="Write into this store straight, such as sqlite:///clew.db.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", help="The server to send to; CLEW_URL if not given.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="An ingest or admin key; CLEW_API_KEY if not given.")] = None,
    project: Annotated[str, typer.Option("--project", help="The project to write to.")] = "",
    at: Annotated[str, typer.Option("--at", help="When times begin that are no dates but 0, 1, 2.")] = START,
    unit_ms: Annotated[float, typer.Option("--unit-ms", help="How long 1 of them lasts, in milliseconds.")] = 1.0,
    keys: Annotated[bool, typer.Option("--keys", help="Of an export: take its API keys, too.")] = False,
    learn: Annotated[bool, typer.Option(help="Of an export: learn the graph at once, not when a server does.")] = True,
) -> None:
    """Read an export, or recorded events, and store what they hold."""
    server, secret = config.URL.read() if url is None else url, config.API_KEY.read() if key is None else key
    if file != "-" and is_export(file):
        # Here and not above: protobuf's messages take a while to load, which other commands need not wait for.
        from clew.cli.import_export import import_export

        import_export(file, store=store, url=server, key=secret, project=project, keys=keys, learn=learn)
        return
    base = _base(at, unit_ms)
    began = time.monotonic()
    with open_events(file) as events, closing(open_sink(store, server, secret, project)) as sink:
        importer = Importer(sink, EventReader(base, what="line {}"))
        try:
            with _progress() as progress:
                task = progress.add_task(one_line(file, 60), total=events.size_bytes)
                for chunk in _chunks(events):
                    importer.take(chunk)
                    progress.update(task, completed=events.read_bytes)
        finally:
            importer.tell(time.monotonic() - began)
    if importer.skipped and not importer.events:
        raise NothingImported(f"nothing was imported; a line is {EXAMPLE}")


class Importer:
    """Feeds chunks of events to a sink, and counts."""

    def __init__(self, sink: Sink, reader: EventReader) -> None:
        self._sink = sink
        self._reader = reader
        self._traces: set[str] = set()
        self.events = 0
        self.duplicates = 0
        self.skipped = 0

    def take(self, items: list[Item]) -> None:
        """Read and store one chunk; what cannot be read is told, and skipped."""
        decoded: Decoded = self._reader.read(items, time.time_ns())
        self.events += len(items) - len(decoded.rejected)
        self._skip(each.error for each in decoded.rejected)
        if decoded.spans:
            taken = self._sink.take(decoded.spans)
            self._traces.update(span.trace_id for span in decoded.spans)
            self.duplicates += taken.duplicates
            self._skip(taken.refused)

    def tell(self, lasted_s: float) -> None:
        """Say what was done."""
        told = f"{_count(self.events, 'event')} of {_count(len(self._traces), 'trace')} stored in {lasted_s:.1f} s"
        if self.duplicates:
            told += f"; {_count(self.duplicates, 'call')} there before"
        if self.skipped:
            told += f"; {_count(self.skipped, 'event')} skipped"
        errors().print(told, markup=False, soft_wrap=True)

    def _skip(self, problems: Iterable[str]) -> None:
        for problem in problems:
            self.skipped += 1
            if self.skipped <= TOLD:
                errors().print(one_line(problem, 300), style="yellow", markup=False, soft_wrap=True)
            elif self.skipped == TOLD + 1:
                errors().print("… and more", style="yellow")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _chunks(events: EventFile) -> Iterator[list[Item]]:
    """Cut into chunks; of a damaged file also the last one, before it is said."""
    chunk: list[Item] = []
    try:
        for item in events.items():
            chunk.append(item)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    except UnreadableFile:
        yield chunk
        raise
    yield chunk


def _progress() -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = errors()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _base(at: str, unit_ms: float) -> Base:
    try:
        begin = read_time(at, Base(0))
    except Unreadable as error:
        raise ConfigError("--at", str(error)) from None
    if begin.is_ordinal:
        raise ConfigError("--at", f"{at!r} is no date; it looks like {START}")
    if not 0 < unit_ms <= 86_400_000:
        raise ConfigError("--unit-ms", f"{unit_ms:g} is no number of milliseconds over 0, at most a day")
    return Base(begin.ns, round(unit_ms * 1_000_000))
