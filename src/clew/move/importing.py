"""
Read an export into a store or a server, part by part.

Nothing needs to be remembered for a second try: a store takes a span once, counts it once, and adds
what is known beyond the spans once for each export. A damaged part costs itself: the others are taken.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, Protocol, TypeVar

import msgspec

from clew.errors import BadTemplate, ClewError, MalformedBody, StoreBusy
from clew.model import Score, Span
from clew.move.boxes import Box
from clew.move.choices import Choice
from clew.move.manifest import Kind, Manifest, Part, UnreadableExport
from clew.move.parts import DamagedPart, check, lines, messages
from clew.store.protocol import KeyRecord
from clew.wire.otlp_exact import decode

COMMIT_SPANS = 4_000
MOST_SPANS = 20_000
"""A trace is written in one commit, if it is not longer."""

COMMIT_SCORES = 2_000
PATIENCE = 8
"""So often a busy store is asked again."""

ORDER: tuple[Kind, ...] = ("spans", "scores", "choices", "beyond", "keys")

T = TypeVar("T")


class Expected:
    """Traces that must be there."""

    def __init__(self) -> None:
        self.spans: Counter[str] = Counter()
        """How many of each trace, at least."""
        self.first_ns, self.last_ns = 1 << 62, 0
        """When the first and the last of all spans began, Unix nanoseconds."""

    def add(self, spans: Iterable[Span]) -> None:
        """Expect *spans*, too."""
        for span in spans:
            self.spans[span.trace_id] += 1
            self.first_ns, self.last_ns = min(self.first_ns, span.start_ns), max(self.last_ns, span.start_ns)


class Target(Protocol):
    """Takes what is imported. All of it may come again."""

    def take_spans(self, project: str, spans: Sequence[Span]) -> int:
        """Make *spans* durable; gives how many were there before."""

    def take_scores(self, project: str, scores: Sequence[Score]) -> None:
        """Make *scores* durable."""

    def take_choice(self, project: str, choice: Choice) -> bool:
        """Keep a declared workflow or an arm; False if it is there already."""

    def take_beyond(self, project: str, body: bytes) -> bool:
        """Add what is known beyond the spans; False if it was added before."""

    def take_key(self, key: KeyRecord) -> None:
        """Keep an API key."""

    def missing(self, project: str, expected: Expected) -> int:
        """Say how many of these traces are not there whole."""

    def missing_scores(self, project: str, expected: dict[str, int]) -> int:
        """Of traces with so many scores each, say how many scores are not there."""


class Problem(msgspec.Struct):
    """What went wrong with one part."""

    part: Part
    why: str


class Imported(msgspec.Struct):
    """What an import did."""

    traces: int = 0
    spans: int = 0
    scores: int = 0
    duplicates: int = 0
    choices: int = 0
    beyond: int = 0
    beyond_before: int = 0
    keys: int = 0
    keys_left: int = 0
    problems: list[Problem] = []
    complete: bool = True

    def matches(self, parts: Sequence[Part]) -> bool:
        """Say whether everything that the manifest tells of is there."""
        expected = (sum(p.traces for p in parts), sum(p.spans for p in parts), sum(p.scores for p in parts))
        return self.complete and not self.problems and (self.traces, self.spans, self.scores) == expected


def load(box: Box, path: str) -> Manifest:
    """
    Give the manifest of an export that is to be read.

    Raises:
        UnreadableExport: there is none, or a newer Clew wrote it.
    """
    try:
        manifest = box.load()
    except OSError as error:
        raise UnreadableExport(f"{path} cannot be read: {error.strerror or error}") from None
    if manifest is None:
        raise UnreadableExport(f"{path} holds no export: there is no manifest in it")
    return manifest


class Importer:
    """Moves what *box* holds into *target*."""

    def __init__(
        self,
        box: Box,
        target: Target,
        *,
        rename: Callable[[str], str] = lambda project: project,
        keys: bool = False,
        tell: Callable[[int], object] = bool,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """*tell* is told of spans that are stored; *keys* says to take API keys, too."""
        self._box = box
        self._target = target
        self._rename = rename
        self._keys = keys
        self._tell = tell
        self._wait = wait
        self.done = Imported()

    def run(self, parts: Sequence[Part], *, complete: bool) -> Imported:
        """
        Take *parts*; of those that cannot be taken `Imported.problems` tells.

        Raises:
            StoreUnavailable, StoreBusy: the target went away. Doing it again is safe.
        """
        self.done.complete = complete
        for part in sorted(parts, key=lambda part: ORDER.index(part.kind)):
            try:
                with self._box.open(part) as file:
                    check(file, size_bytes=part.bytes, sha256=part.sha256)
                    self._take(part, file)
            except (DamagedPart, MalformedBody, BadTemplate, msgspec.MsgspecError) as error:
                self.done.problems.append(Problem(part, str(error)))
            except OSError as error:
                self.done.problems.append(Problem(part, f"it cannot be read: {error.strerror or error}"))
        return self.done

    def _take(self, part: Part, file: BinaryIO) -> None:
        taken = {
            "spans": self._spans, "scores": self._scores, "choices": self._choices, "beyond": self._beyond,
            "keys": self._api_keys,
        }  # fmt: skip
        taken[part.kind](self._rename(part.project), part, file)

    def _spans(self, project: str, part: Part, file: BinaryIO) -> None:
        expected = Expected()
        before = 0
        for spans in _commits(messages(file)):
            before += self._patiently(partial(self._target.take_spans, project, spans))
            expected.add(spans)
            self._tell(len(spans))
        found = len(expected.spans), expected.spans.total()
        if missing := self._patiently(partial(self._target.missing, project, expected)):
            raise DamagedPart(f"{missing:,} of its {found[0]:,} traces are not whole in the store")
        if found != (part.traces, part.spans):
            told = f"{part.traces:,} traces and {part.spans:,} spans"
            raise DamagedPart(f"it holds {found[0]:,} traces and {found[1]:,} spans, but the manifest says {told}")
        self.done.traces += part.traces
        self.done.spans += part.spans
        self.done.duplicates += before

    def _scores(self, project: str, part: Part, file: BinaryIO) -> None:
        expected: Counter[str] = Counter()
        for scores in _groups((msgspec.json.decode(line, type=Score) for line in lines(file)), COMMIT_SCORES):
            self._patiently(partial(self._target.take_scores, project, scores))
            expected.update(score.trace_id for score in scores)
        missing = self._patiently(partial(self._target.missing_scores, project, dict(expected)))
        if missing or expected.total() != part.scores:
            raise DamagedPart(f"{missing or part.scores - expected.total():,} of its scores are not in the store")
        self.done.scores += expected.total()

    def _choices(self, project: str, part: Part, file: BinaryIO) -> None:  # noqa: ARG002
        for line in lines(file):
            choice = msgspec.json.decode(line, type=Choice)
            self.done.choices += self._patiently(partial(self._target.take_choice, project, choice))

    def _beyond(self, project: str, part: Part, file: BinaryIO) -> None:  # noqa: ARG002
        for body in messages(file):
            added = self._patiently(partial(self._target.take_beyond, project, body))
            self.done.beyond += added
            self.done.beyond_before += not added

    def _api_keys(self, project: str, part: Part, file: BinaryIO) -> None:  # noqa: ARG002
        for line in lines(file):
            if self._keys:
                self._target.take_key(msgspec.json.decode(line, type=KeyRecord))
                self.done.keys += 1
            else:
                self.done.keys_left += 1

    def _patiently(self, work: Callable[[], T]) -> T:
        """A store that another process writes to is asked again."""
        for turn in range(PATIENCE):
            try:
                return work()
            except StoreBusy:
                self._wait(min(8.0, 0.5 * 2**turn))
            except ClewError:
                raise
            except Exception as error:
                raise DamagedPart(f"the store cannot keep it: {error}") from error
        return work()


def _commits(bodies: Iterable[bytes]) -> Iterator[list[Span]]:
    """Spans in groups that are written together, cut between traces where they can be."""
    waiting: list[Span] = []
    for body in bodies:
        for span in decode(body):
            full = len(waiting) >= COMMIT_SPANS and waiting[-1].trace_id != span.trace_id
            if full or len(waiting) >= MOST_SPANS:
                yield waiting
                waiting = []
            waiting.append(span)
    if waiting:
        yield waiting


def _groups(things: Iterable[T], size: int) -> Iterator[list[T]]:
    group: list[T] = []
    for thing in things:
        group.append(thing)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
