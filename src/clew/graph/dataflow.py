"""
Dataflow: which output values of earlier calls turn up in the arguments of later ones.

What counts, and what does not:

- Only values that are worth matching (`clew.graph.values`); as a whole argument, or inside a longer
  one if it has eight characters at least and stands between other than word characters.
- Only calls that had ended when the later one began. So never from a call to what ran inside it: what
  a capability passes down it was given itself, and the edge leads to the capability.
- Of several calls that gave a value the most recent counts. One that was itself given the value does
  not give it: a tool that repeats its arguments is no source of them.
- A value that was known before any output had it came from outside: it stood in the inputs of a call
  around this one (the user's question), or in the arguments of an earlier call.

Bounded: so many values a call, so much work a trace; what comes after that has no dataflow.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from clew.graph.order import moments
from clew.graph.values import KNOWN_CHARS, leaves

LEAST_INSIDE = 8
"""Characters that a value needs to be found inside a longer argument."""

MOST_PENDING = 64
"""Output paths of which a call is told that nothing has used them yet: the most recent."""

MOST_WORK = 20_000_000
"""Roughly characters looked at in one trace; a second or so of work."""

_OF_A_VALUE = 40
"""What a value costs beside its characters."""
_MOST_ABOVE = 32
_MOST_SOURCES = 16
_MOST_LENGTHS = 32
_WORTH_A_SEARCH = 24
"""Characters that are looked through for one thing in the time in which one of them is looked at by itself."""
_STARTS = re.compile(r"(?<!\w)\S")


class Exchange(NamedTuple):
    """One call with what went in and what came out."""

    call_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int | None
    inputs: Any
    outputs: Any


class Flow(NamedTuple):
    """What one call took from others, and what it could have taken."""

    provider_ids: tuple[str, ...] = ()
    """The calls whose values it took, sorted."""
    consumed: tuple[str, ...] = ()
    """The output paths that these came from, sorted."""
    pending: tuple[str, ...] = ()
    """Output paths that nothing had used when it began: the most recent last."""


def flows(exchanges: Sequence[Exchange]) -> list[Flow]:
    """Give the flow of each call of a trace, in the order in which the calls are given."""
    times = [moments(each.start_ns, each.end_ns) for each in exchanges]
    # What began together stands with the longest first: that is around the others.
    by_begin = sorted(range(len(times)), key=lambda at: (times[at][0], -times[at][1], exchanges[at].call_id))
    to_end = deque(sorted(by_begin, key=lambda at: times[at][1]))
    sweep = _Sweep(exchanges)
    found = [Flow()] * len(exchanges)
    for at in by_begin:
        while times[to_end[0]][1] <= times[at][0]:
            sweep.end(to_end.popleft())
        found[at] = sweep.begin(at)
    return found


class _Sweep:
    """The calls of a trace as they begin and end."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.exchanges = exchanges
        self.places = {each.call_id: at for at, each in enumerate(exchanges)}
        self.taken: dict[int, list[str]] = {}
        """The texts that went into each call."""
        self.known: set[str] = set()
        """Values that went into some call before any gave them."""
        self.sources: dict[str, list[tuple[int, str]]] = {}
        """The calls that gave a value, at which output path; most recent last."""
        self.lengths: dict[str, list[int]] = {}
        """How long the values are that begin so; longest first."""
        self.unused: dict[str, set[str]] = {}
        """Values that nothing used yet, by output path; most recent last."""
        self.pending: tuple[str, ...] | None = ()
        self.work = MOST_WORK

    def begin(self, at: int) -> Flow:
        """See what a call takes."""
        if self.pending is None:
            self.pending = tuple(reversed([*islice(reversed(self.unused), MOST_PENDING)]))
        pending = self.pending
        texts = [text for _, text in self._read("", self.exchanges[at].inputs)]
        if not texts:
            return Flow(pending=pending)
        self.taken[at] = texts
        provider_ids: set[str] = set()
        consumed: set[str] = set()
        for value in self._values(texts):
            giver = self._giver(value, at)
            if giver is not None:
                provider_ids.add(self.exchanges[giver].call_id)
                consumed.update(path for source, path in self.sources[value] if source == giver)
                self._use(value)
        return Flow(tuple(sorted(provider_ids)), tuple(sorted(consumed)), pending)

    def end(self, at: int) -> None:
        """Note what a call gives."""
        own = {text[:KNOWN_CHARS] for text in self.taken.get(at, ())}
        given: dict[str, set[str]] = {}
        for path, text in self._read(self.exchanges[at].name, self.exchanges[at].outputs):
            value = text[:KNOWN_CHARS]
            if value in self.known or value in own:
                continue
            given.setdefault(path, set()).add(value)
            sources = self.sources.setdefault(value, [])
            sources.append((at, path))
            del sources[:-_MOST_SOURCES]
            self._note_length(value)
        for path, values in given.items():
            earlier = self.unused.pop(path, set())
            earlier |= values
            self.unused[path] = earlier
            self.pending = None

    def _read(self, name: str, payload: Any) -> list[tuple[str, str]]:
        if payload is None or self.work <= 0:
            return []
        found = leaves(name, payload)
        self.work -= sum([len(text) for _, text in found]) + _OF_A_VALUE * (1 + len(found))
        return found

    def _values(self, texts: Sequence[str]) -> list[str]:
        """The values that some call gave and that are among *texts*, or inside one."""
        values: dict[str, None] = {}
        for text in texts:
            value = text[:KNOWN_CHARS]
            if value in self.sources:
                values[value] = None
                continue
            self.known.add(value)
            if len(text) > LEAST_INSIDE and self.lengths:
                values.update(dict.fromkeys(self._inside(text)))
        return list(values)

    def _inside(self, text: str) -> Iterator[str]:
        for at in self._starts(text):
            for length in self.lengths.get(text[at : at + LEAST_INSIDE], ()):
                value = text[at : at + length]
                if value in self.sources and (length == KNOWN_CHARS or not _is_word(text, at + length)):
                    yield value
                    break

    def _starts(self, text: str) -> Iterable[int]:
        """Where in *text* a value may begin: of few beginnings each is looked for, else each word is looked at."""
        if len(self.lengths) * _WORTH_A_SEARCH > len(text):
            return (start.start() for start in _STARTS.finditer(text))
        found: list[int] = []
        for beginning in self.lengths:
            at = text.find(beginning)
            while at >= 0:
                if not at or not _is_word(text, at - 1):
                    found.append(at)
                at = text.find(beginning, at + 1)
        return sorted(found)

    def _giver(self, value: str, taker: int) -> int | None:
        """The most recent call that gave a value and was not given it; none if it came from outside."""
        if any(self._was_given(above, value) for above in self._above(taker)):
            return None
        for source, _ in reversed(self.sources[value]):
            if not self._was_given(source, value):
                return source
        return None

    def _above(self, at: int) -> Iterator[int]:
        for _ in range(_MOST_ABOVE):
            above = self.places.get(self.exchanges[at].parent_id or "")
            if above is None:
                return
            yield above
            at = above

    def _was_given(self, at: int, value: str) -> bool:
        for text in self.taken.get(at, ()):
            self.work -= len(text)
            if self.work <= 0 or _stands_in(value, text):
                return True
        return False

    def _use(self, value: str) -> None:
        for _, path in self.sources[value]:
            values = self.unused.get(path)
            if values is not None:
                values.discard(value)
                if not values:
                    del self.unused[path]
                    self.pending = None

    def _note_length(self, value: str) -> None:
        if len(value) >= LEAST_INSIDE:
            lengths = self.lengths.setdefault(value[:LEAST_INSIDE], [])
            if len(value) not in lengths and len(lengths) < _MOST_LENGTHS:
                lengths.append(len(value))
                lengths.sort(reverse=True)


def _stands_in(value: str, text: str) -> bool:
    """Say whether *text* holds *value* between other than word characters."""
    at = text.find(value)
    while at >= 0:
        if not (at and _is_word(text, at - 1)) and not _is_word(text, at + len(value)):
            return True
        at = text.find(value, at + 1)
    return False


def _is_word(text: str, at: int) -> bool:
    return at < len(text) and (text[at].isalnum() or text[at] == "_")
