"""The demo's check that a trace is exactly as it must be: it must be able to fail."""

from __future__ import annotations

import pytest

from examples.hybrid_rag.demo.script import SCRIPT, expected_trace
from examples.hybrid_rag.demo.shape import Node, differences, lines_of, seen_in

TREE = Node("POST /q", "root", children=(Node("search", "retrieval"), Node("answer", "generation")))


def row(span_id, parent_id, name, kind, status="ok"):
    return {"span_id": span_id, "parent_id": parent_id, "name": name, "kind": kind, "status": status}


ROWS = [
    row("1", None, "POST /q", "root"),
    row("3", "1", "answer", "generation"),
    row("2", "1", "search", "retrieval"),
]


def with_row(at, **changes):
    return [{**each, **changes} if number == at else each for number, each in enumerate(ROWS)]


def test_the_same_tree_has_no_differences_in_any_order_of_siblings():
    """Retrievers run side by side, so either may start first."""
    assert differences(TREE, seen_in(ROWS)) == []
    assert differences(TREE, seen_in(ROWS[::-1])) == []


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:2],
        [*ROWS, row("4", "1", "more", "other")],
        [*ROWS, row("4", "1", "search", "retrieval")],
        with_row(1, name="Answer"),
        with_row(1, kind="chain"),
        with_row(1, status="error"),
        with_row(1, parent_id="2"),
        with_row(1, parent_id="9"),
        [],
    ],
    ids=["missing", "extra", "twice", "name", "kind", "status", "wrong parent", "orphan", "nothing"],
)
def test_whatever_differs_is_said(rows):
    """`make demo ONCE=1` promises exactly the expected tree."""
    assert differences(TREE, seen_in(rows))


def test_a_difference_names_what_is_missing_and_what_came_instead():
    """The reader sees the spans, not an assertion."""
    changed = [line.split() for line in differences(TREE, seen_in(with_row(1, kind="chain")))]

    assert ["-", "answer", "GENERATION"] in changed
    assert ["+", "answer", "CHAIN"] in changed


def test_the_full_trace_is_the_one_that_the_pipeline_promises():
    """Written out once, so that the script cannot drift from what `rag.py` documents."""
    assert lines_of(expected_trace()) == [
        "POST /api/v1/query ROOT",
        "   chat_generation CHAIN",
        "      ChatOpenAI GENERATION",
        "      classification CLASSIFICATION",
        "      get_rag_context CHAIN",
        "         VectorStoreRetriever_documents RETRIEVAL",
        "         VectorStoreRetriever_global_knowledge RETRIEVAL",
        "         VectorStoreRetriever_user_messages RETRIEVAL",
        "         embedding EMBEDDING",
    ]


def test_the_script_shows_every_flag():
    """A newcomer sees each verdict once."""
    assert {ask.flag for ask in SCRIPT} == {"USER_NEGATIVE", "EMPTY", "LOW_CONFIDENCE", "NORMAL"}
