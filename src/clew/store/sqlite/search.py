"""
Which traces have some words. A trace's words may lie in several chunks, so each word is looked up
by itself and the traces are intersected: FTS5's own AND would want all words in one chunk.
"""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from clew.store import sql
from clew.store.text import check_words, spaced

QUERIES = sql.load("clew.store.sqlite", "queries.sql")

RARE_CHUNKS = 2_000
"""A word in fewer chunks is rare: all its traces are looked up at once."""

_TOKENIZER = ["remove_diacritics", "2", "categories", "L* N* Co Mn Mc"]
"""As in schema.sql."""

_LAST_SEQ = (1 << 54) - 1

_seqs = msgspec.json.Decoder(set[int])


class Search:
    """The words of one search, rarest first, over *connection*."""

    def __init__(self, connection: apsw.Connection, text: str) -> None:
        """
        Take the words of *text*.

        Raises:
            BadFilter: there is none, or too many.
        """
        self._connection = connection
        tokenize = connection.fts5_tokenizer("unicode61", _TOKENIZER)
        found: Any = tokenize(
            spaced(text).encode(), apsw.FTS5_TOKENIZE_QUERY, None, include_offsets=False, include_colocated=False
        )
        counts = {word: self._count(word) for word in check_words(found)}
        self._words = sorted(counts, key=lambda word: counts[word])
        self.is_rare = counts[self._words[0]] < RARE_CHUNKS

    def everywhere(self) -> set[int]:
        """Every trace that has all the words."""
        return self._narrowed(self._with(self._words[0], 0, _LAST_SEQ), self._words[1:])

    def among(self, seqs: set[int]) -> set[int]:
        """Those of *seqs* that have all the words."""
        return self._narrowed(seqs, self._words)

    def _narrowed(self, seqs: set[int], words: list[str]) -> set[int]:
        for word in words:
            if not seqs:
                break
            seqs &= self._with(word, min(seqs), max(seqs))
        return seqs

    def _with(self, word: str, from_seq: int, to_seq: int) -> set[int]:
        values = {"word": _quoted(word), "from_seq": from_seq, "to_seq": to_seq}
        return _seqs.decode(self._connection.execute(QUERIES["traces_with_word"], values).get)

    def _count(self, word: str) -> int:
        values = {"word": _quoted(word), "most": RARE_CHUNKS}
        return int(self._connection.execute(QUERIES["word_count"], values).get)


def _quoted(word: str) -> str:
    """A word as FTS5 takes it literally. Tokens hold no quotes; doubled all the same."""
    return '"' + word.replace('"', '""') + '"'


def storable(text: str) -> str:
    """Replace lone surrogates, which no store holds, so nothing is found instead of failing."""
    return text.encode("utf-8", "replace").decode()
