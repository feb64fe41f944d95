"""
Text search over short texts: names of tools, their descriptions, what was asked in past runs.

An inverted index that only grows: adding a text costs its own length, whatever is there, and
weights are worked out when it is asked. Pure, and with nothing to install.

Source: Robertson and Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond (2009),
with the idf of Lucene, which is never negative.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from heapq import nlargest
from math import log
from operator import itemgetter

MOST_LETTERS = 4_000
"""Of one text, so many are read: a prompt of a megabyte says in its beginning what it is about."""

K1 = 1.2
B = 0.75
_STEM = 4  # Words of fewer letters are left as they are, and so many must be shared to be taken for each other.
_MOST_KIN = 8
_LONGEST = 80  # Letters of one chunk: what is longer is data, not a name.

_CHUNK = re.compile(r"[^\W_]+")
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def words(text: str) -> list[str]:
    """
    Give the words of a name or a text, in small letters and without endings.

    'getHTTPReply_v2' gives get, http, reply, v, 2 and, since people write it so, gethttpreply. Where
    a script has no spaces, pairs of letters are words.
    """
    return [word for chunk in _CHUNK.findall(text[:MOST_LETTERS]) for word in _of_chunk(chunk[:_LONGEST])]


def words_asked(text: str) -> list[str]:
    """Give the words of a request, without those that say nothing if there are others."""
    found = words(text)
    return [word for word in found if word not in COMMON] or found


@lru_cache(maxsize=20_000)
def _of_chunk(chunk: str) -> tuple[str, ...]:
    humps = _humps(unicodedata.normalize("NFKC", chunk))
    found = [word for hump in humps for word in _of_hump(hump)]
    if len(humps) > 1:
        found.append(_stem("".join(humps).casefold()))
    return tuple(found)


def _humps(chunk: str) -> list[str]:
    """Cut where a small letter meets a capital or a digit, and before the last capital of several: get HTTP Reply 2."""
    cuts = [0]
    for at in range(1, len(chunk)):
        one, two = chunk[at - 1], chunk[at]
        begins = two.isupper() and (one.islower() or (one.isupper() and chunk[at + 1 : at + 2].islower()))
        if begins or one.isdigit() != two.isdigit() or _is_dense(one) != _is_dense(two):
            cuts.append(at)
    return [chunk[start:end] for start, end in zip(cuts, [*cuts[1:], len(chunk)], strict=True)]


def _is_dense(letter: str) -> bool:
    """Say whether a letter is of a script without spaces between words."""
    return letter > "\u3000" and _NO_SPACES.match(letter) is not None


def _of_hump(hump: str) -> list[str]:
    if _is_dense(hump[:1]) and len(hump) > 2:
        return [hump[at : at + 2] for at in range(len(hump) - 1)]
    return [_stem(hump.casefold())]


def _stem(word: str) -> str:
    """
    Cut the endings that tell flights from flight and cancelling from cancel.

    Source: Harman: How effective is suffixing? (1991), the S stemmer, and the first step of Porter's.
    """
    if word.endswith("ies") and len(word) > _STEM:
        word = word[:-3] + "y"
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) >= _STEM:
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) >= _STEM + len(ending):
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    word = word[:-1] if word.endswith("ll") and len(word) > _STEM + 1 else word
    return word[:-1] if word.endswith("e") and len(word) > _STEM else word


COMMON = frozenset(
    words(
        "a an and are as at be by can could do does for from have how i in is it me my of on or our please should so "
        "that the then there this to us want was we what when which who will with would you your"
    )
)
"""Words that say nothing in a request. A long list of requests would show it by itself; a new project has none."""


class Bm25:
    """Texts by number, in the order in which they were added."""

    def __init__(self, most_found: int = 1_000) -> None:
        """*most_found*: texts that are scored for one search, the likeliest; more would only be slower."""
        self._most_found = most_found
        self.lengths = array("l")
        self._total = 0
        self._where: dict[str, tuple[array[int], array[int]]] = {}
        """Word -> texts that hold it, and how often."""
        self._kin: dict[str, list[str]] = {}
        """The first letters of a word -> the words that begin so."""

    def __len__(self) -> int:
        return len(self.lengths)

    def add(self, found: Iterable[str]) -> int:
        """Add a text by its words; give its number."""
        number = len(self.lengths)
        counts = Counter(found)
        for word, count in counts.items():
            where = self._where.get(word)
            if where is None:
                where = self._where[word] = (array("l"), array("l"))
                self._kin.setdefault(word[:_STEM], []).append(word)
            where[0].append(number)
            where[1].append(count)
        self.lengths.append(sum(counts.values()))
        self._total += self.lengths[-1]
        return number

    def score(self, asked: Iterable[str]) -> dict[int, float]:
        """
        Score texts that hold a word of *asked*, by number: all of them, or of very many the likeliest.

        A word that no text holds is taken for those that begin alike, at half their weight. Rare
        words come first; when enough texts are found, a common word adds to these and finds no others.

        Source: Moffat and Zobel: Self-Indexing Inverted Files for Fast Text Retrieval (1996), "continue".
        """
        weights: dict[str, float] = {}
        for word in dict.fromkeys(asked):
            kin = [word] if word in self._where else self._alike(word)
            for each in kin:
                weights[each] = max(weights.get(each, 0.0), 1.0 if each == word else 0.5 / len(kin))
        scores: dict[int, float] = {}
        for word in sorted(weights, key=lambda word: (len(self._where[word][0]), word)):
            self._add_word(scores, word, weights[word])
            if len(scores) > self._most_found:
                scores = dict(nlargest(self._most_found, scores.items(), key=itemgetter(1)))
        return scores

    def most(self, asked: Iterable[str]) -> float:
        """What a text that holds nothing but *asked*, again and again, would come near to; above 0."""
        return (
            sum(self._gain(len(self._where[word][0]) if word in self._where else 0) for word in dict.fromkeys(asked))
            or 1.0
        )

    def _gain(self, holding: int) -> float:
        return log(1 + (len(self.lengths) - holding + 0.5) / (holding + 0.5)) * (K1 + 1)

    def _add_word(self, scores: dict[int, float], word: str, weight: float) -> None:
        numbers, counts = self._where[word]
        lengths, many = self.lengths, len(self.lengths)
        gain = weight * self._gain(len(numbers))
        at_zero, for_length = K1 * (1 - B), K1 * B * many / self._total
        for number, count in self._holding(scores, numbers, counts):
            scores[number] = scores.get(number, 0.0) + gain * count / (count + at_zero + for_length * lengths[number])

    def _holding(
        self, found: Mapping[int, float], numbers: array[int], counts: array[int]
    ) -> Iterable[tuple[int, int]]:
        """Of the texts that hold a word those that matter, with how often they hold it."""
        if len(found) < self._most_found:
            return zip(numbers, counts, strict=True)
        if len(numbers) < 2 * len(found):
            return [each for each in zip(numbers, counts, strict=True) if each[0] in found]
        places = [(number, bisect_left(numbers, number)) for number in found]
        return [(number, counts[at]) for number, at in places if at < len(numbers) and numbers[at] == number]

    def _alike(self, word: str) -> list[str]:
        """The words that begin as *word* does for three fifths of the longer of both, nearest length first."""
        near = []
        for each in self._kin.get(word[:_STEM], ()) if len(word) >= _STEM else ():
            shared = next((at for at, (a, b) in enumerate(zip(word, each, strict=False)) if a != b), None)
            if shared is None or shared >= 0.6 * max(len(word), len(each)):
                near.append(each)
        return sorted(near, key=lambda each: (abs(len(each) - len(word)), each))[:_MOST_KIN]
