"""Where `clew graph evaluate` and `tune` read from: files of event lines, folders of them, or a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from clew.errors import ClewError, ConfigError, MalformedBody
from clew.graph.calls import in_order
from clew.graph.reading import calls_of
from clew.graph.recorded import RecordedTrace, read_data
from clew.model import Score
from clew.query.filters import DEFAULT_PROJECT
from clew.store import open_store
from clew.store.protocol import StoredTrace, TraceFilter, TraceReader

SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
_PAGE = 200


class NoTraces(ClewError):
    """There is nothing to replay. Exit status 1."""


def read_sets(names: Iterable[str], project: str) -> Iterator[tuple[str, list[RecordedTrace]]]:
    """
    Read each data set when it is asked for: its name and its traces.

    Raises:
        ConfigError: no such file; MalformedBody: a file is not event lines, and where; NoTraces: one is empty.
    """
    for name in names:
        if "://" in name:
            yield from [(f"{name} {project or DEFAULT_PROJECT}", _stored(name, project or DEFAULT_PROJECT))]
        else:
            for path in _files(Path(name)):
                yield _set_name(path), _recorded(path)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.name.endswith(SUFFIXES))
        if not found:
            raise NoTraces(f"there is no file of event lines ({', '.join(SUFFIXES)}) in {path}")
        return found
    return [path]


def _set_name(path: Path) -> str:
    return next((path.name.removesuffix(suffix) for suffix in SUFFIXES if path.name.endswith(suffix)), path.name)


def _recorded(path: Path) -> list[RecordedTrace]:
    try:
        traces = read_data(path.read_bytes())
    except OSError as error:
        raise ConfigError("DATA", f"{path} cannot be read: {error.strerror or error}") from error
    except MalformedBody as error:
        raise MalformedBody(f"{path}: {error}") from error
    if not traces:
        raise NoTraces(f"{path} holds no events")
    return traces


def _stored(url: str, project: str) -> list[RecordedTrace]:
    with closing(open_store(url, read_only=True)) as store:
        traces = [_recorded_of(trace) for trace in _traces(store, project)]
    if not traces:
        raise NoTraces(f"project {project!r} has no traces in {url}")
    return traces


def _traces(store: TraceReader, project: str) -> Iterator[StoredTrace]:
    after = None
    while True:
        page = store.list_traces(project, TraceFilter(), limit=_PAGE, after=after)
        for summary in page.traces:
            stored = store.trace(project, summary.trace_id)
            if stored is not None:
                yield stored
        after = page.next_cursor
        if after is None:
            return


def _recorded_of(stored: StoredTrace) -> RecordedTrace:
    """Runs of one session are one task: they must not stand on both sides of a split."""
    summary = stored.summary
    calls = calls_of(summary.trace_id, stored.spans)
    calls.calls = in_order(calls.calls)
    return RecordedTrace(
        task=summary.session_id or summary.trace_id,
        calls=calls,
        reward=_reward(stored.scores),
        text=summary.input_preview or "",
    )


def _reward(scores: Iterable[Score]) -> float | None:
    """What users thought of it, on average; None if nobody said."""
    shares = [score.share for score in scores if score.source == "user"]
    return sum(shares) / len(shares) if shares else None
