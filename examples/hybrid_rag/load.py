"""Load the models and build the stores, saying in the log how far it is."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from clew.logs import TraceIdFilter

from .embed import Embedder
from .generate import ChatOpenAI
from .knowledge import Passage, documents, global_knowledge
from .rag import Rag
from .retrieve import VectorStoreRetriever
from .users import UserMessages

log = logging.getLogger("hybrid_rag")


def load() -> Rag:
    """Give the pipeline, ready. Takes a second or two, and some 15 more the first time, to embed."""
    log_with_trace_ids()
    log.info("loading the language model")
    model = ChatOpenAI()
    log.info("loading the embedding model")
    embedder = Embedder(Path(os.environ.get("DEMO_DIR", ".demo")) / "embeddings.npz")
    stores = [
        build_store("global_knowledge", global_knowledge(), embedder),
        build_store("documents", documents(), embedder),
    ]
    users = UserMessages(embedder)
    embedder.save()
    log.info("%s, %d passages", model.model, sum(len(store.passages) for store in stores))
    return Rag(embedder, stores, users, model)


def build_store(name: str, passages: list[Passage], embedder: Embedder) -> VectorStoreRetriever:
    """Embed *passages* and index their words."""

    def report(done: int, total: int) -> None:
        log.info("embedding %s: %d of %d passages", name, done, total)

    vectors = embedder.passages([f"{passage.title}\n{passage.text}" for passage in passages], report)
    return VectorStoreRetriever(name, passages, vectors)


def log_with_trace_ids() -> None:
    """A log line that a request wrote names its trace."""
    handler = logging.StreamHandler()
    handler.addFilter(TraceIdFilter())
    handler.setFormatter(logging.Formatter("%(message)s  [trace %(trace_id)s]"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
