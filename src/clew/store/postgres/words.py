"""
The words of many traces in one row: each word once, and which of the traces have it. Pure.

Traces of one application share most of their words, so a commit of a hundred has a tenth as many
different ones as all of them together. The index gets so many fewer entries, and the row is small.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter

import msgspec
import zstandard

from clew.errors import StoreUnavailable
from clew.store.postgres.binary import bytea, int8, record, texts
from clew.store.postgres.numbers import run_of

FEWEST_IN_BLOCK = 8
"""Fewer traces have a row each."""

Traces = Sequence[tuple[int, Sequence[str]]]
"""Seq and words of each."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[int], dict[str, list[int]]])


def groups_of(traces: Traces) -> Iterator[Traces]:
    """Split *traces*, which are in order, so that no trace of another process lies between those of a group."""
    for _, group in itertools.groupby(traces, key=lambda trace: run_of(trace[0])):
        yield list(group)


def block_row(traces: Traces) -> bytes:
    """A row of `trace_text_blocks`."""
    places: dict[str, list[int]] = {}
    for place, (_, words) in enumerate(traces):
        for word in words:
            have = places.get(word)
            if have is None:
                places[word] = [place]
            else:
                have.append(place)
    seqs = [seq for seq, _ in traces]
    packed = zstandard.ZstdCompressor(level=1).compress(_encoder.encode((seqs, places)))
    return record(int8(seqs[0]), int8(seqs[-1]), texts(sorted(places)), bytea(packed))


class Block:
    """What `block_row` put into the column `places`."""

    def __init__(self, packed: bytes) -> None:
        """
        Read it.

        Raises:
            StoreUnavailable: its bytes are damaged.
        """
        try:
            self.seqs, self._places = _decoder.decode(zstandard.ZstdDecompressor().decompress(packed))
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise StoreUnavailable(f"a block of words is damaged ({error}); restore the store from a copy") from error

    def with_word(self, word: str) -> set[int]:
        """Give the seqs of the traces that have *word*."""
        places = self._places.get(word, [])
        return set(itemgetter(*places)(self.seqs)) if len(places) > 1 else {self.seqs[place] for place in places}

    def traces(self, seqs: Collection[int]) -> list[tuple[int, list[str]]]:
        """Give those of *seqs* that are in it, with their words."""
        words: dict[int, list[str]] = {seq: [] for seq in self.seqs if seq in seqs}
        for word, places in self._places.items():
            for place in places:
                if self.seqs[place] in words:
                    words[self.seqs[place]].append(word)
        return list(words.items())

    def without(self, seqs: Collection[int]) -> list[tuple[int, list[str]]]:
        """Give all others, for `block_row`."""
        return self.traces(set(self.seqs) - set(seqs))


def with_word(blocks: Iterable[Block], word: str) -> set[int]:
    """Give the traces of some blocks that have *word*."""
    found: set[int] = set()
    for block in blocks:
        found |= block.with_word(word)
    return found
