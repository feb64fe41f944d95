"""
What is stored of traces, folded from their pieces.

Pieces are folded in one order, whoever folds them: by place, which grows with what a writer had seen,
and by id where two writers wrote at once. So all make the same of the same pieces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date
from typing import NamedTuple

from clew.model import Score, Span
from clew.model.halves import keep
from clew.store.clickhouse.connect import Servers, wanted
from clew.store.clickhouse.rows import read_scores, read_spans

TraceKey = tuple[str, bytes]
"""Project and trace id."""


class Piece(NamedTuple):
    """What one commit brought of one trace."""

    piece: int
    place: int
    day: date
    committed_ns: int
    span_count: int
    score_count: int
    spans: bytes
    scores: bytes


class Row(NamedTuple):
    """A trace's row: of which pieces it was made."""

    mark: int
    base: int
    """How much of the trace went before that; see `clew.store.clickhouse.gone`."""
    pieces: frozenset[int]


class Folded:
    """All of a trace."""

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}
        self.scores: dict[tuple[str | None, str, str], Score] = {}

    def add_score(self, score: Score) -> bool:
        """Take *score* in, unless a later one of its name is there; False if it changes nothing."""
        name = score.span_id, score.name, score.source
        have = self.scores.get(name)
        if have is not None and (score.at_ns < have.at_ns or score == have):
            return False
        self.scores[name] = score
        return True


class Stored(NamedTuple):
    """What is there of one trace."""

    row: Row | None
    """None: it is not there yet, but for pieces that came before it, or whose write was broken off."""
    pieces: list[Piece]

    @property
    def mark(self) -> int:
        """How many pieces brought spans."""
        return sum(piece.span_count > 0 for piece in self.pieces)


def read_rows(servers: Servers, keys: Collection[TraceKey]) -> dict[TraceKey, Row]:
    """Read the rows of some traces."""
    found = servers.rows("rows_of_traces", data=wanted(keys)) if keys else []
    return {
        (project.decode(), trace_id): Row(mark, base, frozenset(pieces))
        for project, trace_id, mark, base, pieces in found
    }


def read_pieces(servers: Servers, keys: Collection[TraceKey]) -> dict[TraceKey, list[Piece]]:
    """Read all pieces of some traces, in order."""
    read: dict[TraceKey, list[Piece]] = {}
    for project, trace_id, *piece in servers.rows("pieces_of_traces", data=wanted(keys)) if keys else ():
        read.setdefault((project.decode(), trace_id), []).append(Piece(*piece))
    return read


def read_stored(servers: Servers, keys: Collection[TraceKey]) -> dict[TraceKey, Stored]:
    """Read what is there of some traces: the rows first, so that all their pieces are among those read then."""
    rows = read_rows(servers, keys)
    return {key: Stored(_whole(rows.get(key), pieces), pieces) for key, pieces in read_pieces(servers, keys).items()}


def _whole(row: Row | None, pieces: Iterable[Piece]) -> Row | None:
    """None if some of what the row is made of went since it was read."""
    return row if row is not None and row.pieces <= {piece.piece for piece in pieces} else None


def fold(pieces: Iterable[Piece]) -> Folded:
    """
    Put together what *pieces* say, in their order.

    Raises:
        StoreUnavailable: the bytes of one are damaged.
    """
    folded = Folded()
    for piece in pieces:
        for span in read_spans(piece.spans) if piece.spans else ():
            keep(span, folded.spans)
        for score in read_scores(piece.scores) if piece.scores else ():
            folded.add_score(score)
    return folded


def only(pieces: Iterable[Piece], of: Collection[int]) -> list[Piece]:
    """Of *pieces* those of these ids."""
    return [piece for piece in pieces if piece.piece in of]
