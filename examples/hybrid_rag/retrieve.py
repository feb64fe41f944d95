"""
One store, searched by words and by meaning, the two rankings fused into one.

Keywords: BM25 (bm25s). Meaning: the cosine between vectors. Fused by reciprocal rank, because the
two scores have no common scale (Cormack et al., 2009: 1 / (60 + rank), summed).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import bm25s
import numpy as np

import clew

from .classify import Strategy, keywords_of
from .embed import Vector
from .knowledge import Passage

TOP_K = 3
RANK_CONSTANT = 60

# With multilingual-e5-small two unrelated texts still have a cosine near 0.78, and a question and
# its answer rarely go over 0.90: confidence is where between the two a hit lies.
UNRELATED_COSINE, CERTAIN_COSINE = 0.78, 0.88
PENALTY_PER_FAILURE = 0.8


class Hit(NamedTuple):
    """A passage that was found, and how good it looks."""

    passage: Passage
    fused: float
    """The sum of its reciprocal ranks; only orders hits within one store."""
    relevance: float
    """0 to 1, comparable between stores: see `relevance`."""


class Query(NamedTuple):
    """A question, ready to be searched for."""

    text: str
    keywords: list[str]
    strategy: Strategy
    vector: Vector | None
    """None when the strategy is keyword."""


class VectorStoreRetriever:
    """Finds the passages of one store that answer a query."""

    def __init__(self, name: str, passages: Sequence[Passage], vectors: Vector) -> None:
        self.name = name
        self.passages = list(passages)
        self.vectors = vectors
        self._words = [keywords_of(f"{passage.title} {passage.text}") for passage in passages]
        self._bm25 = _index(self._words)

    async def search(self, query: Query, *, parent: clew.span | None = None, top_k: int = TOP_K) -> list[Hit]:
        """Find the best *top_k* passages, best first, as a step below *parent*."""
        name = f"VectorStoreRetriever_{self.name}"
        with clew.span(name, kind="retrieval", parent=parent, inputs=query.text, top_k=top_k) as span:
            span.set(strategy=query.strategy, store_size=len(self.passages))
            hits = await asyncio.to_thread(self._search, query, top_k)
            span.set(document_ids=[hit.passage.id for hit in hits], scores=[round(hit.relevance, 3) for hit in hits])
            span.outputs = [
                {"id": hit.passage.id, "title": hit.passage.title, "text": hit.passage.text} for hit in hits
            ]
            return hits

    def _search(self, query: Query, top_k: int) -> list[Hit]:
        rankings = []
        cosines = None
        if query.strategy != "keyword":
            cosines = self._cosines(query.vector)
            rankings.append(np.argsort(-cosines)[: top_k * 2].tolist())
        if query.strategy != "dense" and self._bm25 and query.keywords:
            scores = self._bm25.get_scores(query.keywords)
            rankings.append([int(at) for at in np.argsort(-scores)[: top_k * 2] if scores[at] > 0])
        return [
            Hit(self.passages[at], fused, relevance(query, self._words[at], None if cosines is None else cosines[at]))
            for at, fused in fuse(rankings)[:top_k]
        ]

    def _cosines(self, vector: Vector) -> Vector:
        stored, asked = self.vectors.shape[1], len(vector)
        if stored != asked:
            raise ValueError(f"its vectors have {stored} dimensions, the question's has {asked}: embed them anew")
        return self.vectors @ vector


def fuse(rankings: Iterable[Sequence[int]]) -> list[tuple[int, float]]:
    """Fuse rankings by reciprocal rank: (item, score), best first; ties go to the smaller item."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (RANK_CONSTANT + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))


def relevance(query: Query, words: Sequence[str], cosine: float | None) -> float:
    """
    How well a passage fits, 0 to 1.

    Dense: where its cosine lies between "unrelated" and "certain". Keyword: the share of the
    question's keywords that it has. Hybrid: the mean of the two.
    """
    known = set(words)
    by_words = sum(word in known for word in query.keywords) / max(len(query.keywords), 1)
    if cosine is None:
        return by_words
    by_meaning = min(max((float(cosine) - UNRELATED_COSINE) / (CERTAIN_COSINE - UNRELATED_COSINE), 0.0), 1.0)
    return by_meaning if query.strategy == "dense" else (by_words + by_meaning) / 2


def confidence(hits: Iterable[Hit], *, failures: int) -> float:
    """The relevance of the best hit, 0 to 1; each store that failed takes a fifth of it away."""
    best = max((hit.relevance for hit in hits), default=0.0)
    return float(round(best * PENALTY_PER_FAILURE**failures, 3))


def _index(words: list[list[str]]) -> bm25s.BM25 | None:
    if not any(words):
        return None
    index = bm25s.BM25()
    index.index(words, show_progress=False)
    return index
