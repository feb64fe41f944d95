"""Who may ask, and what they asked before. In memory: a restart forgets all but the seeds."""

from __future__ import annotations

import numpy as np

from .embed import DIMENSIONS, Embedder, Vector
from .knowledge import Passage
from .retrieve import VectorStoreRetriever

USERS_BY_TOKEN = {"demo-ada": "ada", "demo-grace": "grace", "demo-edgar": "edgar"}

_SEEDS = {
    "ada": ["What does return give back without a value?", "How do I write a loop over the lines of a file?"],
    "grace": ["Wie schreibe ich eine Funktion ohne Namen?"],
    "edgar": ["What is a global variable?"],
}

# Edgar's messages were embedded by an older model of 768 dimensions, and nobody embedded them anew
# when the model changed: searching them by meaning fails, as it does in many a grown service.
_OLD_MODEL = {"edgar": 768}


class UserMessages:
    """Each user's earlier questions, as a store that can be searched."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._stores = {user: self._store(user, questions) for user, questions in _SEEDS.items()}

    def of(self, user: str) -> VectorStoreRetriever:
        """Give the store of *user*."""
        return self._stores[user]

    def remember(self, user: str, question: str) -> None:
        """Add a question, unless it is there. Embeds, so it blocks for some milliseconds."""
        known = [passage.text for passage in self._stores[user].passages]
        if question not in known:
            self._stores[user] = self._store(user, [*known, question])

    def _store(self, user: str, questions: list[str]) -> VectorStoreRetriever:
        passages = [Passage(f"{user}#{number}", question, question) for number, question in enumerate(questions)]
        return VectorStoreRetriever("user_messages", passages, self._vectors(user, questions))

    def _vectors(self, user: str, questions: list[str]) -> Vector:
        dimensions = _OLD_MODEL.get(user, DIMENSIONS)
        if dimensions != DIMENSIONS:
            return np.zeros((len(questions), dimensions), dtype=np.float32)
        return self._embedder.passages(questions)
