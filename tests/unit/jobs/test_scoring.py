"""What came of a suggestion."""

import pytest

from clew.graph import Call, TraceCalls
from clew.jobs.scoring import scored
from clew.model.graph import Node
from clew.testing.store_contract_choices import a_suggestion

SEARCH, BOOK, PAY = (Node("tool", name) for name in ("search", "book", "pay"))


def trace(*calls):
    """Calls as (id, parent, name, start)."""
    return TraceCalls(
        trace_id="t",
        calls=[
            Call(call_id=call_id, parent_id=parent_id, kind="tool", name=name, start_ns=start_ns, end_ns=start_ns + 1)
            for call_id, parent_id, name, start_ns in calls
        ],
    )


def suggestion(at_ns, within="", ranked=(SEARCH, BOOK)):
    return a_suggestion(at_ns=at_ns, parent_span_id=within, ranked=list(ranked))


def test_the_outcome_is_the_first_call_from_then_on():
    """Not the one that came first in the batch, nor what ran before."""
    run = trace(("a", None, "pay", 5), ("c", None, "search", 20), ("b", None, "book", 10))
    done = scored(suggestion(10), run)
    assert (done.outcome, done.rank, done.scored) == (BOOK, 2, True)


@pytest.mark.parametrize(("within", "outcome"), [("a", BOOK), ("", PAY), ("x", None)])
def test_the_outcome_lies_where_the_suggestion_was_asked_for(within, outcome):
    """Below its capability, or at the top, where a call without its parent stands too."""
    run = trace(("a", None, "pay", 10), ("b", "a", "book", 12), ("c", "gone", "search", 11))
    done = scored(suggestion(10, within), run)
    assert (done.outcome if done else None) == outcome


def test_a_call_whose_parent_never_came_stands_at_the_top():
    """As it does in the graph."""
    assert scored(suggestion(11), trace(("a", None, "pay", 10), ("c", "gone", "search", 11))).outcome == SEARCH


def test_what_was_not_suggested_is_a_miss():
    """Rank 0."""
    done = scored(suggestion(0, ranked=[BOOK]), trace(("a", None, "pay", 10)))
    assert (done.outcome, done.rank, done.scored) == (PAY, 0, True)


def test_without_a_call_after_it_nothing_is_known():
    """The run may have ended there, or a late span may tell."""
    assert scored(suggestion(11), trace(("a", None, "pay", 10))) is None


def test_the_record_that_was_given_stays_as_it_was():
    """It may be kept elsewhere."""
    record = suggestion(0)
    scored(record, trace(("a", None, "pay", 10)))
    assert record == suggestion(0)
