"""Rows by hand, as records, and text that PostgreSQL cannot hold as it is."""

import math

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import StoreUnavailable
from clew.store import open_store
from clew.store.postgres import binary
from clew.store.postgres.connect import register_packed
from clew.store.postgres.rows import LONGEST_WORD_BYTES, lexeme
from clew.store.postgres.words import Block, block_row, groups_of
from clew.store.protocol import TraceFilter
from clew.testing.store_contract import a_span, a_trace_id, ids, put

_TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\0\ufdd001"), max_size=20)


@given(_TEXT, _TEXT)
def test_any_text_comes_back_and_no_two_are_written_alike(one, other):
    """Also one that has the very character that zeros are written with."""
    assert binary.told(binary.safe(one)) == one
    assert "\0" not in binary.safe(one)
    assert (binary.safe(one) == binary.safe(other)) is (one == other)


@given(st.lists(st.text(max_size=3), min_size=1, max_size=3), st.lists(st.text(max_size=3), min_size=1, max_size=3))
def test_a_digest_stands_for_its_parts_and_not_for_their_sum(one, other):
    """("a", "bc") is not ("ab", "c")."""
    assert (binary.digest(*one) == binary.digest(*other)) is (one == other)


def test_what_is_written_is_what_was_meant(postgres):
    """Read back as PostgreSQL understood it."""
    values = [
        ("text", binary.text("Grüße 🧵"), "Grüße 🧵"),
        ("text", binary.text("x" * 5_000), "x" * 5_000),
        ("text", binary.text(None), None),
        ("text[]", binary.texts(["a", 'odd "{},', ""]), ["a", 'odd "{},', ""]),
        ("text[]", binary.texts([]), []),
        ("bytea", binary.bytea(b"\0\xff"), b"\0\xff"),
        ("bigint", binary.int8(-(1 << 62)), -(1 << 62)),
        ("bigint", binary.int8(None), None),
        ("integer", binary.int4(-7), -7),
        ("smallint", binary.int2(999), 999),
        ("double precision", binary.float8(0.1 + 0.2), 0.1 + 0.2),
        ("double precision", binary.float8(math.inf), math.inf),
        ("boolean", binary.boolean(True), True),
        ("boolean", binary.boolean(False), False),
    ]
    row = binary.record(*[written for _, written, _ in values])
    with psycopg.connect(postgres.url) as connection:
        register_packed(connection)
        named = ", ".join(f"c{at} {type_}" for at, (type_, _, _) in enumerate(values))
        connection.execute(f"CREATE TEMP TABLE written ({named})".encode())
        [of] = connection.execute("SELECT 'written'::regtype::oid").fetchone()
        connection.execute("INSERT INTO written SELECT * FROM unnest(%s::written[])", [binary.array(of, [row, row])])
        found = connection.execute("SELECT * FROM written").fetchall()
    assert found == [tuple(meant for _, _, meant in values)] * 2


def test_lists_are_what_was_meant(postgres):
    """Also empty ones."""
    with psycopg.connect(postgres.url) as connection:
        register_packed(connection)
        for numbers, some in (([], []), ([1 << 40, -1], [b"", b"\0\xff"])):
            lists = [binary.int8s(numbers), binary.byteas(some)]
            assert connection.execute("SELECT %s::bigint[], %s::bytea[]", lists).fetchone() == (numbers, some)


# Words.


def test_a_long_word_is_kept_as_its_digest():
    """An entry of the index has an end; and no word that was typed looks like a digest."""
    long = "é" * LONGEST_WORD_BYTES
    assert lexeme("short") == "short"
    assert len(lexeme(long)) < 40
    assert lexeme(long) != lexeme(long + "e")
    assert lexeme(long).startswith("#")


def test_a_block_knows_which_of_its_traces_have_a_word():
    traces = [(11, ["paris", "lyon"]), (12, ["lyon"]), (15, [])]
    _, _, _, places = _columns(block_row(traces))
    block, words = Block(places), ["lyon", "paris"]
    assert block.seqs == [11, 12, 15]
    assert block.with_word(words.index("lyon") + 1) == {11, 12}
    assert block.with_word(words.index("paris") + 1) == {11}
    assert block.with_word(None) == set()
    assert [(seq, sorted(found)) for seq, found in block.traces(words, {11, 15, 99})] == [
        (11, ["lyon", "paris"]),
        (15, []),
    ]


def test_a_damaged_block_is_said_to_be_damaged():
    with pytest.raises(StoreUnavailable, match="damaged"):
        Block(b"no zstd")


def test_a_block_has_no_trace_of_another_process_between_its_own():
    """Numbers are handed out by the thousand, from 1; who looks a trace up takes the nearest block before it."""
    traces = [(seq, []) for seq in (998, 1_000, 1_001, 4_001)]
    assert [[seq for seq, _ in group] for group in groups_of(traces)] == [[998, 1_000], [1_001], [4_001]]


def _columns(row):
    values, at = [], 8
    while at < len(row):
        size = int.from_bytes(row[at + 4 : at + 8], "big")
        values.append(row[at + 8 : at + 8 + size])
        at += 8 + size
    return values


def test_words_of_a_whole_batch_are_found_trace_by_trace(postgres_schema):
    """Common ones, rare ones, and pairs that meet in few traces; also after one of the traces was written anew."""
    store = open_store(postgres_schema)
    spans = [a_span(trace, inputs=f"common {'even' if trace % 2 == 0 else 'odd'} only{trace}") for trace in range(40)]
    running = a_span(99, end_ns=None, status="unset", inputs="common draft")
    put(store, *spans, running)
    assert len(ids(store, TraceFilter(text="common"))) == 41
    assert len(ids(store, TraceFilter(text="common EVEN"))) == 20
    assert ids(store, TraceFilter(text="odd only7")) == [a_trace_id(7)]
    assert ids(store, TraceFilter(text="even only7")) == []
    assert ids(store, TraceFilter(text="draft")) == [a_trace_id(99)]
    put(store, a_span(99, inputs="final"))
    assert ids(store, TraceFilter(text="draft")) == []
    assert ids(store, TraceFilter(text="final")) == [a_trace_id(99)]
    store.close()
