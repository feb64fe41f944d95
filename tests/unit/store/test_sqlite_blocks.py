"""Blocks of traces: they only leave out what cannot match, and what has gone leaves nothing in them."""

import random

import pytest

from clew.errors import StoreUnavailable
from clew.model import KINDS as KINDS_OF_ALL
from clew.model import Flag
from clew.model.trace import summarise
from clew.store import open_store
from clew.store.memory import MemoryStore
from clew.store.protocol import Policy, TraceFilter, Whom
from clew.store.sqlite import blocks, commit, newest, rows
from clew.testing.store_contract import DAY_NS, START_NS, a_span, ids, put

KINDS = ("tool", "generation", "retrieval", "agent")
MODELS = ("one", "two", None, 'th"ree')
USERS = ("u", "v", None)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Of which each commit begins a block."""
    known = commit.QUERIES["known"].replace("coalesce(max(seq), 0)", "coalesce(max(seq), 0) / 1024 * 1024 + 1024")
    monkeypatch.setitem(commit.QUERIES, "known", known)
    store = open_store(f"sqlite:///{tmp_path}/clew.db")
    yield store
    store.close()


def filled(store, seed, count=120):
    """Traces in blocks of one to six, more or less in the order of their start; the plain reference has them too."""
    draw = random.Random(seed)
    memory = MemoryStore()
    numbers = sorted(range(count), key=lambda number: number + draw.choice((0, 0, 3, 40)) * draw.random())
    while numbers:
        several, numbers = numbers[: (size := draw.randint(1, 6))], numbers[size:]
        spans = [a_drawn_span(draw, number) for number in several]
        put(store, *spans)
        put(memory, *spans)
    return memory


def a_drawn_span(draw, number):
    start_ns = START_NS + number // 3 * 1_000
    return a_span(
        number,
        kind=draw.choice(KINDS[:2]) if number % 50 else draw.choice(KINDS),
        model=draw.choice(MODELS[:3]) if number % 40 else draw.choice(MODELS),
        user_id=draw.choice(USERS),
        session_id=draw.choice(("s", None)),
        status=draw.choice(("ok", "ok", "error")),
        start_ns=start_ns,
        end_ns=draw.choice((None, start_ns + draw.randrange(10))),
        input_tokens=draw.choice((None, draw.randrange(100))),
        cost_usd=draw.choice((None, draw.random())),
        confidence=draw.choice((None, 0.1, 0.9)),
    )


def a_drawn_filter(draw):
    """One to three conditions of all that columns answer."""
    every = {
        "kind": draw.choice(KINDS),
        "model": draw.choice(("one", "two", 'th"ree', "none")),
        "user_id": draw.choice(("u", "nobody")),
        "session_id": "s",
        "status": draw.choice(("ok", "error", "unset")),
        "flag": draw.choice((Flag.NORMAL, Flag.LOW_CONFIDENCE, Flag.EMPTY)),
        "min_duration_ns": draw.randrange(12),
        "max_duration_ns": draw.randrange(12),
        "min_tokens": draw.randrange(120),
        "max_tokens": draw.randrange(3),
        "min_cost_usd": draw.choice((0.5, 0.99, 2.0)),
        "max_cost_usd": draw.choice((0.01, 0.5)),
        "from_ns": START_NS + draw.randrange(40_000),
        "to_ns": START_NS + draw.randrange(40_000),
    }
    return TraceFilter(**{name: every[name] for name in draw.sample(sorted(every), draw.randint(1, 3))})


def pages(store, where, limit):
    """Ids of all pages."""
    page = store.list_traces("default", where, limit=limit)
    found = [[summary.trace_id for summary in page.traces]]
    while page.next_cursor is not None:
        page = store.list_traces("default", where, limit=limit, after=page.next_cursor)
        found.append([summary.trace_id for summary in page.traces])
    return found


@pytest.mark.parametrize("far", [1, 20, 10_000])
@pytest.mark.parametrize("seed", range(3))
def test_blocks_leave_nothing_out_that_matches(store, monkeypatch, seed, far):
    """Whatever is asked, page after page, the answer is that of the plain reference."""
    monkeypatch.setattr(newest, "FAR", far)
    monkeypatch.setattr(newest, "PAGES_FAR", 1 if far < 100 else 4)
    monkeypatch.setattr(newest, "BLOCKS_AT_ONCE", 1)
    memory = filled(store, seed)
    draw = random.Random(seed)
    for _ in range(60):
        where, limit = a_drawn_filter(draw), draw.choice((1, 3, 7, 50))
        assert pages(store, where, limit) == pages(memory, where, limit), where


def test_a_filter_that_no_block_meets_reads_no_trace(store, monkeypatch):
    """A list of nothing must not take as long as there are traces."""
    monkeypatch.setattr(newest, "FAR", 1)
    monkeypatch.setattr(newest, "PAGES_FAR", 0)
    filled(store, 0)
    read = []
    monkeypatch.setattr(newest.Query, "_by_blocks", counted(newest.Query._by_blocks, read))
    for where in (
        TraceFilter(kind="guardrail"),
        TraceFilter(model="none"),
        TraceFilter(min_duration_ns=3_600 * 10**9),
        TraceFilter(min_tokens=10**6),
        TraceFilter(min_cost_usd=1e3),
        TraceFilter(user_id="u", model="none"),
        TraceFilter(status="unset"),
    ):
        assert ids(store, where) == []
    assert len(read) == 7
    assert max(read) <= 1


def counted(by_blocks, read):
    """Count the statements that read traces of blocks."""

    def count(self, connection, limit):
        ran = []
        run = self._run
        self._run = lambda *args: ran.append(1) or run(*args)
        found = by_blocks(self, connection, limit)
        read.append(len(ran))
        return found

    return count


def test_a_trace_that_grows_widens_its_block(store, monkeypatch):
    """Late spans bring another kind, model and end."""
    monkeypatch.setattr(newest, "FAR", 1)
    monkeypatch.setattr(newest, "PAGES_FAR", 0)
    put(store, *(a_span(number, kind="tool") for number in range(5)))
    put(store, *(a_span(number, kind="tool") for number in range(5, 9)))
    put(store, a_span(3, 1, kind="rerank", model="late", end_ns=START_NS + DAY_NS))
    for where in (TraceFilter(kind="rerank"), TraceFilter(model="late"), TraceFilter(min_duration_ns=DAY_NS // 2)):
        assert ids(store, where) == [a_span(3).trace_id]


def test_blocks_go_with_their_traces(store):
    """What is left of a block names no model that only those had that went."""
    put(store, a_span(0, model="gone", user_id="u"), a_span(1, model="stays"))
    put(store, a_span(2, model="gone", user_id="u"))
    store.erase(Whom(user_id="u"))
    connection = store._connection
    assert connection.execute("SELECT model, block FROM trace_block_models").fetchall() == [("stays", 1)]
    assert connection.execute("SELECT block FROM trace_blocks").get == 1
    found = store.expired(Policy(keep_ns=1), now_ns=START_NS + DAY_NS, limit=9)
    store.drop_expired(found, learned_only=False)
    assert connection.execute("SELECT count(*) FROM trace_blocks, trace_block_models").get == 0


def test_the_columns_that_blocks_read_are_those_of_the_summary():
    """They are found by their place."""
    summary = summarise("default", [a_span(0, kind="generation", model="m", input_tokens=3, output_tokens=4)])
    values = rows.summary_values(summary)
    bounds, models = blocks.rows_of(7, [(2_049, values)])
    assert models == [(7, "m", 2)]
    duration_ns = summary.duration_ns
    assert bounds[0][:8] == (7, 2, START_NS, START_NS, duration_ns, duration_ns, 7, 7)


def test_a_block_of_another_size_would_be_told():
    """The size stands in SQL and in Python."""
    assert f"seq >> {blocks.BLOCK_BITS}" in newest.Query(1, TraceFilter(user_id="u")).among_blocks
    assert (1 << blocks.BLOCK_BITS) == 1_024


def test_the_view_gives_each_span_as_it_was(store):
    """Questions in SQL see what is stored, however it lies there."""
    root = a_span(0, 0, user_id="u", confidence=0.25, status="error", status_message="no")
    child = a_span(0, 1, parent_id=root.span_id, kind="generation", model="m", output_tokens=3, end_ns=None)
    stray = a_span(0, 2, parent_id="ab" * 8, name='"odd"\n\u0000', start_ns=START_NS + 5)
    put(store, root, child, stray)
    columns = (
        "lower(hex(span_id)), lower(hex(parent_id)), name, kind, start_ns, end_ns, status, model, output_tokens, "
        "user_id, confidence, status_message"
    )
    asked = f"SELECT {columns} FROM trace_spans ORDER BY span_id"
    assert store._connection.execute(asked).fetchall() == [
        (
            span.span_id,
            span.parent_id or "",
            span.name,
            span.kind,
            span.start_ns,
            span.end_ns,
            span.status,
            span.model,
            span.output_tokens,
            span.user_id,
            span.confidence,
            span.status_message or None,
        )
        for span in sorted((root, child, stray), key=lambda span: span.span_id)
    ]


def test_the_view_knows_every_kind_and_status(store):
    """They are numbers in the table; their names stand in the view, in the order of the model."""
    wanted = [(kind, status) for kind in KINDS_OF_ALL for status in ("unset", "ok", "error")]
    put(store, *(a_span(number, kind=kind, status=status) for number, (kind, status) in enumerate(wanted)))
    assert store._connection.execute("SELECT kind, status FROM trace_spans ORDER BY chunk_id").fetchall() == wanted


def test_a_chunk_that_nobody_asked_for_is_damage(store):
    """A spoilt page may make SQLite answer with another trace's spans."""
    put(store, a_span(0))
    with pytest.raises(StoreUnavailable, match="damaged"):
        list(commit.read_chunks(Lying(), {4}))


class Lying:
    """A connection whose pages were spoilt."""

    def execute(self, *_):
        return [(256, b"")]
