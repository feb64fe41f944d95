"""What is broken, huge or impossible is told in words or taken as it is; nothing else is lost for it."""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clew.errors import ClewError, ConfigError, StoreUnavailable
from clew.model import Score
from clew.store import open_store
from clew.store.protocol import TraceFilter
from clew.testing.store_contract import DAY_NS, START_NS, a_span, a_trace_id, ids, put
from clew.testing.store_contract_graph import due, learn_all

PAGE_BYTES = 4_096


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """A store of each engine that keeps anything."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/clew.db"
    return request.getfixturevalue("postgres_schema")


@pytest.fixture
def store(url):
    opened = open_store(url)
    yield opened
    opened.close()


# Broken files.


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """The bytes of a store of some hundred pages."""
    path = tmp_path_factory.mktemp("sound") / "clew.db"
    store = open_store(f"sqlite:///{path}")
    for first in range(0, 200, 20):
        put(store, *(a_span(trace, at, inputs=noise(trace)) for trace in range(first, first + 20) for at in range(3)))
    store.close()
    return path.read_bytes()


def noise(seed):
    return random.Random(seed).randbytes(600).hex()


@pytest.mark.parametrize("how", ["zeros", "noise", "another page", "some bits"])
def test_pages_that_were_flipped_are_told_in_words(tmp_path, sound, how):
    """Whichever page it is: an answer, or an error that names file and remedy; never a crash."""
    said = set()
    for seed in range(12):
        path = tmp_path / f"{seed}.db"
        path.write_bytes(damaged(sound, how, random.Random(seed)))
        said |= everything_asked(f"sqlite:///{path}")
    assert said
    assert all("damaged" in line for line in said), said


def damaged(content, how, draw):
    """The file with four of its pages spoilt; the first, whose damage is noticed at once, is left."""
    spoilt = bytearray(content)
    for _ in range(4):
        at = draw.randrange(1, len(content) // PAGE_BYTES) * PAGE_BYTES
        if how == "zeros":
            page = bytes(PAGE_BYTES)
        elif how == "noise":
            page = draw.randbytes(PAGE_BYTES)
        elif how == "another page":
            other = draw.randrange(1, len(content) // PAGE_BYTES) * PAGE_BYTES
            page = content[other : other + PAGE_BYTES]
        else:
            page = bytearray(content[at : at + PAGE_BYTES])
            for _ in range(40):
                page[draw.randrange(PAGE_BYTES)] ^= 1 << draw.randrange(8)
        spoilt[at : at + PAGE_BYTES] = page
    return bytes(spoilt)


def everything_asked(url):
    """What a store says when it is asked everything; what it cannot answer it must refuse as Clew does."""
    said = set()
    try:
        store = open_store(url)
    except StoreUnavailable as refused:
        return {str(refused)}
    until_ns = START_NS + DAY_NS
    for ask in (
        lambda: ids(store),
        lambda: ids(store, TraceFilter(status="error")),
        lambda: ids(store, TraceFilter(text="step")),
        *(lambda trace=trace: store.trace("default", a_trace_id(trace)) for trace in range(0, 200, 3)),
        lambda: store.latency("default", since_ns=START_NS, until_ns=until_ns, group_by=("kind", "name", "model")),
        store.stats,
        lambda: due(store),
        lambda: put(store, *(a_span(trace, 5) for trace in range(0, 250, 10))),
        lambda: ids(store),
    ):
        try:
            ask()
        except ClewError as refused:
            said.add(str(refused))
    store.close()
    return said


def test_a_file_that_was_cut_short_is_told_in_words(tmp_path, sound):
    """A copy that ran out of space."""
    path = tmp_path / "clew.db"
    path.write_bytes(sound[: len(sound) // 2])
    said = everything_asked(f"sqlite:///{path}")
    assert said
    assert all("damaged" in line for line in said), said


# What is missing.


def test_a_missing_driver_is_named(monkeypatch):
    """PostgreSQL is an extra: whoever did not install it is told how."""
    for name in [name for name in sys.modules if name.startswith(("psycopg", "clew.store.postgres"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"clew\S*\[postgres\]"):
        open_store("postgresql://clew@127.0.0.1:1/postgres")


# At once.


def test_servers_that_start_at_once_on_one_new_file_migrate_once(tmp_path):
    """The others wait; nobody meets a table that is half there."""
    url = f"sqlite:///{tmp_path}/clew.db"
    with ThreadPoolExecutor(6) as pool:
        stores = list(pool.map(lambda _: open_store(url), range(6)))
    assert [put(store, a_span(number)) for number, store in enumerate(stores)] == [(1, 0)] * 6
    assert len(ids(stores[0])) == 6
    for store in stores:
        store.close()


# Clocks and ids.


def test_a_clock_that_jumps_loses_nothing_and_doubles_nothing(store, monkeypatch):
    """A day ahead, ten years back, to before the epoch of all computers: each trace is there, and learned once."""
    now_ns = time.time_ns()
    for number, jump_ns in enumerate((0, DAY_NS, -3_650 * DAY_NS, 40 * DAY_NS, -now_ns + 1, 0)):
        monkeypatch.setattr("time.time_ns", lambda jump_ns=jump_ns: now_ns + jump_ns)
        assert put(store, a_span(number, kind="tool")) == (1, 0)
        assert put(store, a_span(0, number + 10, kind="tool")) == (1, 0)
        assert put(store, a_span(number, kind="tool")) == (0, 1)
    monkeypatch.undo()
    assert len(ids(store)) == 6
    assert len(store.trace("default", a_trace_id(0)).spans) == 7
    assert learn_all(store) >= 6
    assert store.graph("default").trace_count == 6


def test_ids_that_collide_between_projects_are_two_traces(store):
    """A copied example, a seeded generator: each project sees its own, and a judgement goes to one of them."""
    put(store, a_span(0, name="ours"), project="one")
    put(store, a_span(0, name="theirs"), a_span(0, 1), project="two")
    put(store, scores=[Score(trace_id=a_trace_id(0), name="rating", value=0, best=5, source="user")], project="two")
    one, two = (store.trace(project, a_trace_id(0)) for project in ("one", "two"))
    assert [span.name for span in one.spans] == ["ours"]
    assert [span.name for span in two.spans] == ["theirs", "step 1"]
    assert one.summary.worst_user_score is None
    assert two.summary.worst_user_score == (0, 5)


# Sizes.


@pytest.mark.slow
def test_a_trace_of_a_hundred_thousand_spans_is_one_trace(store):
    """It comes in bodies, is read whole, and takes one span more."""
    spans = [a_span(0, number, name="step") for number in range(100_000)]
    for first in range(0, len(spans), 25_000):
        assert put(store, *spans[first : first + 25_000]) == (25_000, 0)
    assert put(store, a_span(0, 100_000)) == (1, 0)
    trace = store.trace("default", a_trace_id(0))
    assert len(trace.spans) == trace.summary.span_count == 100_001
    assert trace.summary.orphan_count == 0


@pytest.mark.slow
def test_a_payload_of_64_megabytes_is_kept_whole(store):
    """A picture, a book: larger than any page, and than what is searched."""
    book = random.Random(1).randbytes(32 << 20).hex()
    assert put(store, a_span(0, inputs=book), a_span(1)) == (2, 0)
    assert store.trace("default", a_trace_id(0)).spans[0].inputs == book
    assert len(ids(store)) == 2
