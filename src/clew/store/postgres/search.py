"""
Which traces have some words. A trace's words may lie in several rows, so each word is looked up by
itself and the traces are intersected.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from clew.store.postgres.connect import Connection
from clew.store.postgres.numbers import run_of
from clew.store.postgres.rows import lexeme
from clew.store.postgres.statements import Statements, load
from clew.store.postgres.words import Block
from clew.store.text import check_words, words

QUERIES = load("queries.sql")

RARE = 1_000
"""A word in fewer rows is rare: all its traces are looked up at once."""

BLOCK_COUNTS_AS = 25


class Search:
    """The words of one search, over *connection*."""

    def __init__(self, connection: Connection, text: str) -> None:
        """
        Take the words of *text*.

        Raises:
            BadFilter: there is none, or too many.
        """
        self._sql = Statements(connection, QUERIES)
        # Words lie beside their rows, so the planner takes reading all of them for cheap, and it is not.
        self._sql.run("by_index")
        found = check_words(words(text.encode("utf-8", "replace").decode()))
        counts = {word: self._count(word) for word in map(lexeme, found)}
        self._words = sorted(counts, key=lambda word: (counts[word], word))
        self.is_rare = counts[self._words[0]] < RARE

    def _count(self, word: str) -> int:
        """In how many rows it is; a row of many traces counts as many, since it costs as much to look at."""
        blocks, rows = self._sql.row("word_count", word=word, most=RARE) or (0, 0)
        return int(blocks) * BLOCK_COUNTS_AS + int(rows)

    def everywhere(self) -> set[int]:
        """Every trace that has all the words, of which the first is rare."""
        first, *others = self._words
        found = self._with(first)
        # A common one is in every block there is, so it is looked for only where the rare one was found.
        return self._among(found, others) if others else found

    def _with(self, word: str) -> set[int]:
        # One after the other: unpacked, a block is a hundred times as large, and a common word is in all of them.
        found: set[int] = set()
        for places, at in self._sql.stream("blocks_with_word", word=word):
            found |= Block(places).with_word(at)
        found = self._valid(found)
        return found | {seq for (seq,) in self._sql.rows("traces_with_word", word=word)}

    def _valid(self, seqs: set[int]) -> set[int]:
        """Those of *seqs* of which blocks still tell the truth."""
        return seqs - {seq for (seq,) in self._sql.rows("void", seqs=sorted(seqs))} if seqs else seqs

    def among(self, seqs: Sequence[int]) -> set[int]:
        """Those of *seqs*, which are few, that have all the words."""
        return self._among(seqs, self._words)

    def _among(self, seqs: Collection[int], words: Sequence[str]) -> set[int]:
        if not seqs:
            return set()
        # A run is of a thousand numbers, and what lies between its first and last is read.
        runs = [list(group) for _, group in itertools.groupby(sorted(seqs), key=run_of)]
        between = {"firsts": [run[0] for run in runs], "lasts": [run[-1] for run in runs]}
        alone = {seq: set(found) for seq, found in self._sql.rows("words_of", words=words, **between)}
        found, inside = set(seqs), set[int]()
        hits = {word: set[int]() for word in words}
        for places, at in self._sql.stream("blocks_of", words=list(words), **between):
            block = Block(places)
            inside |= found.intersection(block.seqs)
            for word, place in zip(words, at, strict=True):
                hits[word] |= found & block.with_word(place)
        valid = self._valid(inside)
        for word in words:
            found &= (hits[word] & valid) | {seq for seq, has in alone.items() if word in has}
        return found
