"""What is said of a trace follows from its spans, in whatever order they came."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.model import Flag, Score, Span, in_tree_order, summarise

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(number: int, parent: int | None = None, **fields) -> Span:
    """Span *number* of the trace: it starts at that many microseconds and takes ten."""
    fields.setdefault("start_ns", number * 1_000)
    fields.setdefault("end_ns", fields["start_ns"] + 10_000)
    fields.setdefault("name", f"span {number}")
    parent_id = None if parent is None else f"{parent:016x}"
    return Span(trace_id=TRACE, span_id=f"{number:016x}", parent_id=parent_id, **fields)


def rag() -> list[Span]:
    return [
        span(1, kind="root", name="ROOT", status="ok"),
        span(2, 1, kind="chain", name="chat_generation", response_chars=300, output_preview="Because", confidence=0.8),
        span(3, 2, kind="chain", name="get_rag_context"),
        span(4, 3, kind="embedding", name="embedding", model="e5", input_tokens=9),
        span(5, 3, kind="retrieval", name="VectorStoreRetriever_documents"),
        span(6, 2, kind="generation", name="ChatOpenAI", model="smol", input_tokens=200, output_tokens=50),
    ]


def test_parents_stand_before_children_and_siblings_by_start():
    shuffled = rag()
    random.Random(7).shuffle(shuffled)

    placed = in_tree_order(shuffled)

    assert [(at.span.name, at.depth) for at in placed] == [
        ("ROOT", 0),
        ("chat_generation", 1),
        ("get_rag_context", 2),
        ("embedding", 3),
        ("VectorStoreRetriever_documents", 3),
        ("ChatOpenAI", 2),
    ]


def test_a_span_whose_parent_has_not_come_is_kept_as_an_orphan():
    placed = in_tree_order([span(2, 1), span(3, 2)])
    assert [(at.span.name, at.depth, at.orphan) for at in placed] == [("span 2", 0, True), ("span 3", 1, False)]


def test_a_cycle_of_parents_is_cut_and_nothing_is_left_out():
    placed = in_tree_order([span(1, 3), span(2, 1), span(3, 2), span(9)])
    assert sorted(at.span.name for at in placed) == ["span 1", "span 2", "span 3", "span 9"]


def test_a_trace_may_be_a_hundred_thousand_spans_deep():
    """A recursive walk would end in RecursionError."""
    deep = [span(1)] + [span(number, number - 1) for number in range(2, 100_001)]
    assert in_tree_order(deep)[-1].depth == 99_999


@given(st.lists(st.integers(1, 12), unique=True, min_size=1), st.data())
def test_the_order_of_arrival_changes_nothing(numbers, data):
    spans = [span(number, data.draw(st.sampled_from([None, *numbers, 99]))) for number in numbers]
    again = data.draw(st.permutations(spans))
    assert summarise("p", again) == summarise("p", spans)
    assert len(in_tree_order(again)) == len(spans)


def test_a_summary_says_what_the_list_of_traces_shows():
    said = summarise("shop", rag())
    assert (said.name, said.status, said.has_root, said.span_count, said.error_count) == ("ROOT", "ok", True, 6, 0)
    assert said.duration_ns == 15_000
    assert said.models == ["e5", "smol"]
    assert (said.input_tokens, said.output_tokens) == (209, 50)
    assert (said.output_preview, said.confidence, said.flag) == ("Because", 0.8, Flag.NORMAL)


def test_tokens_of_a_wrapper_and_the_call_inside_it_are_counted_once():
    """A framework's chat model and the instrumented client below it report the same call."""
    said = summarise(
        "p",
        [
            span(1, kind="generation", input_tokens=100, output_tokens=10, cost_usd=0.5),
            span(2, 1, kind="chain"),
            span(3, 2, kind="generation", input_tokens=100, output_tokens=10, cost_usd=0.5),
        ],
    )
    assert (said.input_tokens, said.output_tokens, said.cost_usd) == (100, 10, 0.5)


def test_tokens_on_a_chain_do_not_count():
    """Langfuse and others put the sum of a trace on its root as well."""
    said = summarise("p", [span(1, kind="chain", input_tokens=7), span(2, 1, kind="generation", input_tokens=7)])
    assert said.input_tokens == 7


def test_the_root_decides_the_status_since_it_may_have_caught_what_failed_below():
    spans = [span(1, status="ok"), span(2, 1, status="error")]
    assert (summarise("p", spans).status, summarise("p", spans).error_count) == ("ok", 1)


def test_any_error_is_an_error_while_the_root_says_nothing():
    assert summarise("p", [span(1), span(2, 1, status="error")]).status == "error"
    assert summarise("p", [span(3, 1, status="error")]).status == "error"


def test_the_answer_is_the_shallowest_that_was_captured():
    said = summarise(
        "p",
        [
            span(1, kind="root"),
            span(2, 1, kind="chain", response_chars=10, output_preview="short"),
            span(3, 2, kind="generation", response_chars=900, output_preview="long"),
        ],
    )
    assert (said.response_chars, said.output_preview, said.flag) == (10, "short", Flag.EMPTY)


def test_what_a_retriever_gave_is_no_answer():
    said = summarise("p", [span(1, kind="chain"), span(2, 1, kind="retrieval", response_chars=3)])
    assert (said.response_chars, said.flag) == (None, Flag.NORMAL)


def test_the_confidence_is_the_roots_or_else_the_lowest():
    below = [span(2, 1, confidence=0.9), span(3, 1, confidence=0.2)]
    assert summarise("p", [span(1), *below]).confidence == 0.2
    assert summarise("p", [span(1, confidence=0.7), *below]).confidence == 0.7


@pytest.mark.parametrize(
    ("scores", "flag"),
    [
        ([Score(trace_id=TRACE, name="rating", value=1)], Flag.USER_NEGATIVE),
        (
            [Score(trace_id=TRACE, name="rating", value=5), Score(trace_id=TRACE, name="tone", value=0, best=1)],
            Flag.USER_NEGATIVE,
        ),
        ([Score(trace_id=TRACE, name="judge", value=0, source="evaluator")], Flag.NORMAL),
    ],
)
def test_only_users_make_a_trace_user_negative(scores, flag):
    assert summarise("p", rag(), scores).flag is flag


def test_a_trace_that_still_runs_has_no_duration():
    assert summarise("p", [span(1, end_ns=None)]).duration_ns is None
