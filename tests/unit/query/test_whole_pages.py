"""Whole traces in pages that neither side minds to hold."""

import pytest

from clew.query import parse_trace_query
from clew.query import whole as pages
from clew.query.filters import cursor_text
from clew.query.whole import decided, decode_page, whole_page
from clew.store import open_store
from clew.testing.store_contract import START_NS, a_span, a_trace_id, put


@pytest.fixture
def store():
    opened = open_store("memory:")
    for number in range(7):
        put(opened, a_span(number, start_ns=START_NS + number, inputs="x" * 100), a_span(number, 1))
    yield opened
    opened.close()


def pages_of(store):
    """Follow the pages to the end."""
    found, after = [], None
    while True:
        page = decode_page(whole_page(store, parse_trace_query([("cursor", cursor_text(after) or "")])))
        found.append([trace.trace_id for trace in page.traces])
        after = page.after
        if not page.more:
            return found


@pytest.mark.parametrize(("limit", "traces"), [(1, 1), (10**9, 3)])
def test_pages_are_bounded_and_leave_nothing_out(store, monkeypatch, limit, traces):
    """By bytes or by traces; each trace comes once, newest first."""
    monkeypatch.setattr(pages, "PAGE_BYTES", limit)
    monkeypatch.setattr(pages, "PAGE_TRACES", 3)
    found = pages_of(store)
    assert max(map(len, found)) == traces
    assert [each for page in found for each in page] == [a_trace_id(number) for number in reversed(range(7))]


def test_what_went_since_it_was_listed_is_passed_over(store, monkeypatch):
    """The page goes on behind it, also if all of it went."""
    monkeypatch.setattr(pages, "PAGE_TRACES", 3)
    gone = {a_trace_id(number) for number in (4, 5, 6)}
    kept = store.trace
    monkeypatch.setattr(store, "trace", lambda project, trace_id: None if trace_id in gone else kept(project, trace_id))
    assert pages_of(store) == [[], [a_trace_id(number) for number in (3, 2, 1)], [a_trace_id(0)]]


def test_what_people_decided_is_told_by_project(store):
    """Beside how many spans there are, for a bar."""
    store.add_arm("default", "next", "plain", {}, "", START_NS)
    told = decided(store)["default"]
    assert (told.templates, [arm.arm for arm in told.arms], told.spans) == ([], ["plain"], 14)
