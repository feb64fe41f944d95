"""What is looked up of candidates of a page: their spans and scores as they are now, put together from pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import zstandard

from clew.store.chunks import PER_TRACE
from clew.store.clickhouse.connect import Servers
from clew.store.clickhouse.rows import pack_spans
from clew.store.clickhouse.traces import Piece, fold, only, read_stored
from clew.store.sieve import Candidate


class ClickhouseLooks:
    """A `clew.store.sieve.Looks`; one for each page."""

    def __init__(self, servers: Servers, project: str) -> None:
        self._servers = servers
        self._project = project
        self._compressor = zstandard.ZstdCompressor(level=1)
        self._count = 0

    def candidate(self, start_ns: int, trace_id: str) -> Candidate:
        """Give a trace its number in this page."""
        self._count += 1
        return Candidate(start_ns, trace_id, self._count)

    def with_name(self, candidates: Sequence[Candidate], name: str) -> set[int]:
        """Give the seqs of those that have a span of this name; a column answers that before."""
        raise NotImplementedError

    def scores(self, candidates: Sequence[Candidate], name: str) -> Iterator[tuple[str, float, str]]:
        """Give (trace id, value, label) of their scores of this name."""
        for candidate, pieces in self._read(candidates):
            for score in fold(pieces).scores.values() if any(each.scores for each in pieces) else ():
                if score.name == name:
                    yield candidate.trace_id, score.value, score.label

    def chunks(self, candidates: Sequence[Candidate]) -> Iterator[tuple[int, bytes]]:
        """Give (chunk id, chunk) of their spans, without what was said of one before it ended."""
        for candidate, pieces in self._read(candidates):
            with_spans = [piece for piece in pieces if piece.spans]
            # One piece is what it is; of several the sieve must not see what a later one replaced.
            body = with_spans[0].spans if len(with_spans) == 1 else pack_spans(list(fold(with_spans).spans.values()))
            chunk = self._compressor.compress(body)
            yield candidate.seq * PER_TRACE, chunk

    def _read(self, candidates: Sequence[Candidate]) -> Iterator[tuple[Candidate, list[Piece]]]:
        keys = [(self._project, bytes.fromhex(each.trace_id)) for each in candidates]
        stored = read_stored(self._servers, keys)
        for candidate, key in zip(candidates, keys, strict=True):
            trace = stored.get(key)
            if trace is not None and trace.row is not None:
                yield candidate, only(trace.pieces, trace.row.pieces)
