"""
The words of many traces in one row: each word once, and which of the traces have it. Pure.

Traces of one application share most of their words, so a commit of a hundred has a tenth as many
different ones as all of them together. The index gets so many fewer entries, and the row is small:
beside the words, in their order, lies for each a bit for every trace.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

import msgspec
import zstandard

from clew.errors import StoreUnavailable
from clew.store.postgres.binary import bytea, int8, plain_texts, record
from clew.store.postgres.numbers import run_of

FEWEST_IN_BLOCK = 8
"""Fewer traces have a row each."""

Traces = Sequence[tuple[int, Sequence[str]]]
"""Seq and words of each."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[list[int], bytes])


def groups_of(traces: Traces) -> Iterator[Traces]:
    """Split *traces*, which are in order, so that no trace of another process lies between those of a group."""
    for _, group in itertools.groupby(traces, key=lambda trace: run_of(trace[0])):
        yield list(group)


def block_row(traces: Traces) -> bytes:
    """A record of `trace_text_blocks`."""
    masks: dict[str, int] = {}
    get = masks.get
    for place, (_, words) in enumerate(traces):
        bit = 1 << place
        for word in words:
            masks[word] = get(word, 0) | bit
    seqs, size = [seq for seq, _ in traces], _mask_bytes(len(traces))
    ordered = sorted(masks)
    packed = _encoder.encode((seqs, b"".join([masks[word].to_bytes(size, "little") for word in ordered])))
    places = zstandard.ZstdCompressor(level=1).compress(packed)
    return record(int8(seqs[0]), int8(seqs[-1]), plain_texts(ordered), bytea(places))


def _mask_bytes(traces: int) -> int:
    return (traces + 7) // 8


class Block:
    """What `block_row` put into the column `places`."""

    def __init__(self, packed: bytes) -> None:
        """
        Read it.

        Raises:
            StoreUnavailable: its bytes are damaged.
        """
        try:
            self.seqs, self._masks = _decoder.decode(zstandard.ZstdDecompressor().decompress(packed))
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise StoreUnavailable(f"a block of words is damaged ({error}); restore the store from a copy") from error

    def with_word(self, at: int | None) -> set[int]:
        """Give the seqs of the traces that have the word which stands at *at*, from 1, of the row's; None: no word."""
        if at is None:
            return set()
        size = _mask_bytes(len(self.seqs))
        mask = int.from_bytes(self._masks[(at - 1) * size : at * size], "little")
        return set(itertools.compress(self.seqs, map(int, reversed(f"{mask:b}"))))

    def traces(self, words: Sequence[str], seqs: Collection[int]) -> list[tuple[int, list[str]]]:
        """Give those of *seqs* that are in it, with their words; *words* are the row's."""
        found: dict[int, list[str]] = {seq: [] for seq in self.seqs if seq in seqs}
        for at, word in enumerate(words, start=1):
            for seq in self.with_word(at).intersection(found):
                found[seq].append(word)
        return list(found.items())

    def without(self, words: Sequence[str], seqs: Collection[int]) -> list[tuple[int, list[str]]]:
        """Give all others, for `block_row`."""
        return self.traces(words, set(self.seqs) - set(seqs))
