"""What the demo asks, and exactly what trace each question must leave."""

from __future__ import annotations

from typing import NamedTuple

from examples.hybrid_rag.demo.shape import Node

QUERY = "POST /api/v1/query"
STORES = ("user_messages", "global_knowledge", "documents")


class Ask(NamedTuple):
    """One question, who asks it, and what must come of it."""

    title: str
    question: str
    expected: Node
    flag: str
    user: str = "ada"
    strategy: str = "auto"
    stream: bool = False
    rating: int | None = None
    comment: str = ""


def expected_trace(*, embeds: bool = True, answers: bool = True, failing: str = "") -> Node:
    """Give the one trace that a question leaves, by what is particular about it."""
    retrievers = [Node(f"VectorStoreRetriever_{store}", "retrieval", failed=store == failing) for store in STORES]
    embedding = [Node("embedding", "embedding")] if embeds else []
    context = Node("get_rag_context", "chain", children=(*embedding, *retrievers))
    model = [Node("ChatOpenAI", "generation")] if answers else []
    chat = Node("chat_generation", "chain", children=(Node("classification", "classification"), context, *model))
    return Node(QUERY, "root", children=(chat,))


SCRIPT = [
    Ask(
        title="Hybrid: by meaning and by words, fused",
        question="What does the yield expression do in a generator function?",
        strategy="hybrid",
        expected=expected_trace(),
        flag="NORMAL",
    ),
    Ask(
        title="Streamed, token by token; then the user gives it 1 of 5",
        question="How can a class be used as a context manager?",
        stream=True,
        rating=1,
        comment="that is not what I asked",
        expected=expected_trace(),
        flag="USER_NEGATIVE",
    ),
    Ask(
        title="In German, over English knowledge: dense alone",
        question="Was macht das Schlüsselwort yield in einer Funktion?",
        user="grace",
        expected=expected_trace(),
        flag="NORMAL",
    ),
    Ask(
        title="Keywords that nothing has: no embedding, no model, an empty answer",
        question="Wibblesnatch frobnicator blorptang?",
        user="grace",
        strategy="keyword",
        expected=expected_trace(embeds=False, answers=False),
        flag="EMPTY",
    ),
    Ask(
        title="A retriever fails: Edgar's messages were embedded by an older model",
        question="What does the nonlocal statement do?",
        user="edgar",
        strategy="hybrid",
        expected=expected_trace(failing="user_messages"),
        flag="NORMAL",
    ),
    Ask(
        title="Nothing in store about it: the model talks, retrieval is not sure",
        question="How do I bake sourdough bread?",
        expected=expected_trace(),
        flag="LOW_CONFIDENCE",
    ),
]
