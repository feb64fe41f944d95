"""
Filters that no index answers: names of spans, tags, attributes and scores. Pure.

Attributes lie in compressed chunks, so traces that match all else are looked through, newest first,
until the page is full. One page looks through so many at most; then it ends where it got to, and its
cursor goes on from there. So each answer is exact, and what it costs has an end. A chunk is
decompressed, but decoded only if the bytes of what is asked for are in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import zstandard

from clew.errors import StoreUnavailable
from clew.store.chunks import PER_TRACE
from clew.store.conditions import Group, grouped, is_plain_text, score_meets, span_has_tag, span_meets
from clew.store.protocol import TraceFilter

WINDOWS = (256, 1_024, 4_096)
"""How many candidates are read at first, then, and from then on."""

AT_ONCE = 128
"""So many are looked through before it is seen whether the page is full."""

MOST_TRACES = 10_000
MOST_BYTES = 256_000_000
"""What one page may look through, of traces and of their spans' bytes."""

Cursor = tuple[int, str]


class Candidate(NamedTuple):
    """A trace that matches everything that an index answers."""

    start_ns: int
    trace_id: str
    seq: int


class Looks(Protocol):
    """What a backend looks up of some candidates."""

    def with_name(self, candidates: Sequence[Candidate], name: str) -> set[int]:
        """Give the seqs of those that have a span of this name."""

    def scores(self, candidates: Sequence[Candidate], name: str) -> Iterable[tuple[str, float, str]]:
        """Give (trace id, value, label) of their scores of this name."""

    def chunks(self, candidates: Sequence[Candidate]) -> Iterable[tuple[int, bytes]]:
        """Give (chunk id, chunk) of all their chunks, one after the other."""


class Sifted(NamedTuple):
    """A page of candidates that hold."""

    found: list[Candidate]
    next_cursor: Cursor | None
    unfinished: bool
    """The limit of work came before the page was full."""


def sift(
    where: TraceFilter,
    candidates: Callable[[Cursor | None, int], list[Candidate]],
    looks: Looks,
    *,
    limit: int,
    after: Cursor | None,
) -> Sifted:
    """Give the page; *candidates* gives so many, newest first, behind a cursor."""
    sieve = Sieve(where, looks)
    found: list[Candidate] = []
    looked = 0
    for window in itertools.chain(WINDOWS, itertools.repeat(WINDOWS[-1])):
        some = candidates(after, window)
        for at in range(0, len(some), AT_ONCE):
            few = some[at : at + AT_ONCE]
            found += sieve.through(few)
            looked += len(few)
            after = few[-1].start_ns, few[-1].trace_id
            if len(found) > limit:
                return Sifted(found[:limit], (found[limit - 1].start_ns, found[limit - 1].trace_id), False)
            if looked >= MOST_TRACES or sieve.looked_bytes >= MOST_BYTES:
                is_last = len(some) < window and at + AT_ONCE >= len(some)
                return Sifted(found, None if is_last else after, not is_last)
        if len(some) < window:
            break
    return Sifted(found, None, False)


class Sieve:
    """Lets through the candidates that hold."""

    def __init__(self, where: TraceFilter, looks: Looks) -> None:
        self._where = where
        self._looks = looks
        self._groups = [_Group(each) for each in grouped(where.attributes)]
        self._tags = [_Tag(each) for each in where.tags]
        self._scores = grouped(where.scores)
        self._decompressor = zstandard.ZstdDecompressor()
        self.looked_bytes = 0

    @staticmethod
    def is_needed(where: TraceFilter) -> bool:
        """Say whether there is anything to look through for."""
        return bool(where.name or where.tags or where.attributes or where.scores)

    def through(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Give those of *candidates* that hold. What is cheap to look up comes first."""
        kept = list(candidates)
        if self._where.name and kept:
            named = self._looks.with_name(kept, self._where.name)
            kept = [each for each in kept if each.seq in named]
        for name, conditions in self._scores:
            rated = {
                trace_id
                for trace_id, value, label in (self._looks.scores(kept, name) if kept else ())
                if score_meets(value, label, conditions)
            }
            kept = [each for each in kept if each.trace_id in rated]
        if kept and (self._groups or self._tags):
            held = self._held(kept)
            kept = [each for each in kept if each.seq in held]
        return kept

    def _held(self, candidates: Sequence[Candidate]) -> set[int]:
        wanted: list[_Wanted] = [*self._groups, *self._tags]
        missing = {each.seq: wanted for each in candidates}
        for chunk_id, chunk in self._looks.chunks(candidates):
            seq = chunk_id // PER_TRACE
            if missing[seq]:
                raw = self._unpacked(chunk)
                self.looked_bytes += len(raw)
                missing[seq] = _still_missing(raw, missing[seq])
        return {seq for seq, left in missing.items() if not left}

    def _unpacked(self, chunk: bytes) -> bytes:
        try:
            return self._decompressor.decompress(chunk)
        except zstandard.ZstdError as error:
            raise StoreUnavailable(f"a chunk of spans is damaged ({error}); restore the store from a copy") from error


class _Carried(msgspec.Struct):
    """Of a span what is looked at; the rest is skipped."""

    attributes: dict[str, Any] = {}
    resource: dict[str, Any] = {}


_decoder = msgspec.msgpack.Decoder(list[_Carried])


class _Wanted(Protocol):
    def may_be_in(self, raw: bytes) -> bool: ...

    def is_met(self, span: _Carried) -> bool: ...


class _Group:
    """Conditions on one key."""

    def __init__(self, group: Group) -> None:
        self._group = group
        key, conditions = group
        # Of a key with dots the last piece alone may be what is stored, inside something nested.
        self._bytes = [_bytes(key.rsplit(".", 1)[-1])]
        self._bytes += [_bytes(each.value) for each in conditions if is_plain_text(each)]

    def may_be_in(self, raw: bytes) -> bool:
        return all(each in raw for each in self._bytes)

    def is_met(self, span: _Carried) -> bool:
        return span_meets(span, self._group)


class _Tag:
    """A tag."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._bytes = _bytes(tag)

    def may_be_in(self, raw: bytes) -> bool:
        return self._bytes in raw

    def is_met(self, span: _Carried) -> bool:
        return span_has_tag(span, self._tag)


def _still_missing(raw: bytes, wanted: list[_Wanted]) -> list[_Wanted]:
    likely = [each for each in wanted if each.may_be_in(raw)]
    if not likely:
        return wanted
    try:
        spans = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise StoreUnavailable(f"a chunk of spans is damaged ({error}); restore the store from a copy") from error
    met = [each for each in likely if any(each.is_met(span) for span in spans)]
    return [each for each in wanted if each not in met]


def _bytes(text: str) -> bytes:
    """As msgpack holds it. Lone surrogates are held by nothing."""
    return text.encode("utf-8", "surrogatepass")
