"""
From a question to an answer, one step after the other; each step is a span.

    chat_generation
    ├─ classification
    ├─ get_rag_context
    │  ├─ embedding
    │  ├─ VectorStoreRetriever_user_messages      these three
    │  ├─ VectorStoreRetriever_global_knowledge   run side by side
    │  └─ VectorStoreRetriever_documents
    └─ ChatOpenAI

The keyword strategy needs no embedding; and where nothing was found, the model is not asked: its
answer could only be made up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from openai.types.chat import ChatCompletionMessageParam

import clew

from .classify import Features, classify
from .embed import Embedder
from .generate import ChatOpenAI
from .knowledge import shorten
from .retrieve import Hit, Query, VectorStoreRetriever, confidence
from .users import UserMessages

MAX_SOURCES = 2
QUOTED_CHARS = 500
REPEATED_RELEVANCE = 0.75
"""From here on, an earlier question of the user is close enough to be told to the model."""

_LANGUAGES = {"en": "English", "de": "German", "fr": "French", "es": "Spanish"}


class Context(NamedTuple):
    """What was found for a question."""

    sources: list[Hit]
    """The best passages over the stores of knowledge, best first."""
    earlier: list[Hit]
    """What the user asked before that is much like it."""
    confidence: float
    notes: list[str]
    """What went wrong on the way, in words."""


class Answer(NamedTuple):
    """What is known about an answer once it is complete."""

    text: str
    features: Features
    context: Context


class Rag:
    """The pipeline, with everything that it needs loaded."""

    def __init__(
        self, embedder: Embedder, stores: list[VectorStoreRetriever], users: UserMessages, model: ChatOpenAI
    ) -> None:
        self.embedder = embedder
        self.stores = stores
        self.users = users
        self.model = model

    @clew.traced(kind="chain", capture_inputs=False, capture_outputs=False)
    async def chat_generation(
        self, question: str, *, user: str, strategy: str = "auto", language: str = "auto"
    ) -> AsyncIterator[str | Answer]:
        """Answer *question*: the pieces of the answer as they come, and at last the `Answer`."""
        span = clew.current_span()
        span.inputs = question
        features = self._classification(question, strategy, language)
        context = await self._get_rag_context(question, features, user)
        span.set(strategy=features.strategy, language=features.language, confidence=context.confidence)
        pieces: list[str] = []
        try:
            if context.sources:
                async for piece in self.model.stream(prompt(question, features, context)):
                    pieces.append(piece)
                    yield piece
        finally:
            span.outputs = "".join(pieces)
        yield Answer("".join(pieces), features, context)

    async def remember(self, user: str, question: str, context: Context) -> None:
        """Keep a question for the user's next ones; not while the user's store is broken."""
        if not context.notes:
            await asyncio.to_thread(self.users.remember, user, question)

    def _classification(self, question: str, strategy: str, language: str) -> Features:
        with clew.span("classification", kind="classification", inputs=question) as span:
            features = classify(question, strategy=strategy, language=language)
            span.set(strategy=features.strategy, language=features.language)
            span.outputs = features._asdict()
            return features

    async def _get_rag_context(self, question: str, features: Features, user: str) -> Context:
        with clew.span("get_rag_context", kind="chain", inputs=question, strategy=features.strategy) as span:
            vector = await self.embedder.query(question) if features.strategy != "keyword" else None
            query = Query(question, features.keywords, features.strategy, vector)
            retrievers = [self.users.of(user), *self.stores]
            # The parent is said, not guessed: these may run in whatever task or thread they like.
            searches = [retriever.search(query, parent=span) for retriever in retrievers]
            found = await asyncio.gather(*searches, return_exceptions=True)
            context = merge([retriever.name for retriever in retrievers], found)
            span.set(confidence=context.confidence, notes=context.notes)
            span.set(document_ids=[hit.passage.id for hit in context.sources])
            return context


def merge(names: Sequence[str], found: Sequence[list[Hit] | BaseException]) -> Context:
    """Make one context of what the stores gave; a store that failed is noted, and the others count."""
    notes = [
        f"{name} could not be searched: {result}"
        for name, result in zip(names, found, strict=True)
        if isinstance(result, BaseException)
    ]
    hits = {name: result for name, result in zip(names, found, strict=True) if not isinstance(result, BaseException)}
    earlier = hits.pop("user_messages", [])  # what was asked is no evidence of what is true
    sources = sorted((hit for of_store in hits.values() for hit in of_store), key=lambda hit: -hit.relevance)
    return Context(
        sources=sources[:MAX_SOURCES],
        earlier=[hit for hit in earlier if hit.relevance >= REPEATED_RELEVANCE][:1],
        confidence=confidence(sources, failures=len(notes)),
        notes=notes,
    )


def prompt(question: str, features: Features, context: Context) -> list[ChatCompletionMessageParam]:
    """Say to the model what was found, and ask."""
    language = _LANGUAGES.get(features.language, features.language)
    quoted = "\n\n".join(f"{hit.passage.title}: {shorten(hit.passage.text, QUOTED_CHARS)}" for hit in context.sources)
    asked = "".join(f"\n\nThe user asked before: {hit.passage.text}" for hit in context.earlier)
    return [
        {"role": "system", "content": f"Answer in {language}, in one or two sentences, from the context alone."},
        {"role": "user", "content": f"Context:\n{quoted}{asked}\n\nQuestion: {question}"},
    ]
