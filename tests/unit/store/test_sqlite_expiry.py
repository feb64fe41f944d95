"""What is erased from the file is gone to the byte; what expires gives its space back, a little at a time."""

import random

import pytest

from clew.errors import StoreBusy
from clew.model import Batch, Score
from clew.store import open_store
from clew.store.protocol import Policy, Whom
from clew.store.sqlite import expiry
from clew.testing.store_contract import DAY_NS, START_NS, a_span, a_trace_id, put
from clew.testing.store_contract_choices import a_suggestion
from clew.testing.store_contract_graph import learn_all

USER, SAID, SESSION = "zq-user-marker", "qxzsecretmarker", "zq-session-marker"
ERASED = a_trace_id(0xFEEDFACE)


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/clew.db")
    yield store
    store.close()


def traces(numbers, **fields):
    """Put traces whose rows are of changing length, so that pages are split and filled in every way."""
    chance = random.Random(7)
    for number in numbers:
        text = " ".join(f"word{chance.randrange(5_000)}" for _ in range(chance.randrange(5, 60)))
        yield a_span(
            number,
            start_ns=START_NS + number * 1_000_000,
            end_ns=START_NS + number * 1_000_000 + 5,
            inputs=text,
            status_message=text[: chance.randrange(300)],
            **{"user_id": f"user {chance.randrange(50)}"} | fields,
        )


def plant(store, number):
    """A trace with the markers wherever text of a user may be, come in pieces."""
    marked = {"user_id": USER, "session_id": SESSION, "inputs": f"{SAID} {SAID[3:]}", "status_message": SAID}
    put(store, a_span(number, attributes={"who": SAID}, **marked), a_span(number, 1, end_ns=None, outputs=SAID))
    put(store, a_span(number, 1, status="error", **marked))
    score = Score(trace_id=a_trace_id(number), name="rating", value=1, best=5, comment=SAID, label=SAID)
    store.write([Batch(project="default", scores=[score])])
    store.log_suggestion(a_suggestion(number, trace_id=a_trace_id(number)))


def found_in(folder, numbers=(0xFEEDFACE,)):
    """Which of the markers any file of the folder holds."""
    data = b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
    names = [USER.encode(), SAID.encode(), SAID[3:].encode(), SESSION.encode()]
    names += [form for number in numbers for form in (a_trace_id(number).encode(), bytes.fromhex(a_trace_id(number)))]
    return [name for name in names if name in data]


@pytest.mark.parametrize("whom", [Whom(user_id=USER), Whom(session_id=SESSION), Whom(trace_id=ERASED)], ids=str)
def test_nothing_is_left_in_any_file_of_what_was_erased(store, tmp_path, whom):
    """Rows, search index, scores, suggestions, exemplars, what waits to be learned, free pages, and the log."""
    put(store, *traces(range(300)))
    plant(store, 0xFEEDFACE)
    put(store, *traces(range(300, 900)))
    learn_all(store)
    put(store, a_span(0xFEEDFACE, 2, inputs=SAID))
    assert len(found_in(tmp_path)) >= 5
    erased = store.erase(whom)
    assert (erased.traces, erased.spans) == (1, 3)
    assert store.scrub() is True
    assert found_in(tmp_path) == []
    assert store.stats()["traces"] == 900


def test_nothing_is_left_of_many_among_many(store, tmp_path):
    """Every second trace, so that pages are split, merged and half empty everywhere."""
    planted = range(1_000, 1_400, 2)
    for number in range(1_000, 1_400):
        if number in planted:
            plant(store, number)
        else:
            put(store, *traces([number]))
    learn_all(store)
    store.erase(Whom(user_id=USER))
    store.scrub()
    assert found_in(tmp_path, planted) == []
    assert store.stats()["traces"] == 200


def test_what_was_replaced_before_is_gone_too(store, tmp_path):
    """A chunk that was rewritten, or a row that grew, leaves its old bytes in free space."""
    for at in range(40):
        put(store, *(a_span(number, at, user_id=USER, inputs=f"{SAID} {at}") for number in range(5)))
    put(store, *traces(range(50, 300)))
    store.erase(Whom(user_id=USER))
    store.scrub()
    assert found_in(tmp_path) == []


def test_a_reader_that_holds_the_old_file_is_waited_for(store, monkeypatch):
    """Its bytes must stay until it is done; the duty to clean stays too, also over a restart."""
    monkeypatch.setattr("clew.store.sqlite.connect.BUSY_TIMEOUT_MS", 10)
    put(store, a_span(0, user_id=USER), a_span(1))
    with store._readers.lend() as reader:
        reader.execute("SELECT count(*) FROM traces").get  # noqa: B018
        store._connection.set_busy_timeout(10)
        store.erase(Whom(user_id=USER))
        with pytest.raises(StoreBusy):
            store.scrub()
    assert store.scrub() is True
    assert store.scrub() is False


def test_expired_traces_give_their_space_back(store, tmp_path, monkeypatch):
    """The file gets smaller, step by step, also where the search index was."""
    monkeypatch.setattr(expiry, "VACUUM_BYTES", 1 << 17)
    put(store, *traces(range(1_500)))
    with store._exclusively() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    before, used = (tmp_path / "clew.db").stat().st_size, store.used_bytes()
    policy = Policy(keep_ns=DAY_NS)
    while found := store.expired(policy, now_ns=START_NS + 2 * DAY_NS, limit=200):
        store.drop_expired(found, learned_only=False)
    steps = 0
    while store.give_back():
        steps += 1
    after = (tmp_path / "clew.db").stat().st_size
    assert steps > 5
    assert after < before / 3
    assert store.used_bytes() < used / 3
    assert after == store.used_bytes()


def test_as_much_is_left_free_as_is_wanted(store):
    """What comes next would only ask for it again."""
    put(store, *traces(range(1_000)))
    while found := store.expired(Policy(keep_ns=DAY_NS), now_ns=START_NS + 2 * DAY_NS, limit=200):
        store.drop_expired(found, learned_only=False)
    while store.give_back(spare_bytes=200_000):
        pass
    with store._readers.lend() as reader:
        free = reader.pragma("freelist_count") * reader.pragma("page_size")
    assert 200_000 <= free < 200_000 + 32_768


def test_a_file_made_without_gradual_vacuum_learns_it(tmp_path):
    """By the one rewriting that a scrub is."""
    store = open_store(f"sqlite:///{tmp_path}/clew.db")
    put(store, a_span(0, user_id=USER))
    with store._exclusively() as connection:
        connection.execute("PRAGMA auto_vacuum = NONE")
        connection.execute("VACUUM")
        assert connection.pragma("auto_vacuum") == 0
    assert store.give_back() in (True, False)
    store.erase(Whom(user_id=USER))
    store.scrub()
    with store._exclusively() as connection:
        assert connection.pragma("auto_vacuum") == 2
    store.close()


def test_a_step_is_small(store, monkeypatch):
    """However many are found, one transaction drops a few hundred at most."""
    monkeypatch.setattr(expiry, "STEP_TRACES", 10)
    put(store, *traces(range(25)))
    found = store.expired(Policy(keep_ns=DAY_NS), now_ns=START_NS + 2 * DAY_NS, limit=100)
    assert len(found) == 25
    assert store.drop_expired(found, learned_only=False).traces == 10


def test_dropping_leaves_merging_the_search_index_to_steps_of_its_own(store):
    """By itself SQLite would do it at the next commit, which then took seconds; and only once it is worth it."""
    put(store, *traces(range(100)))
    with store._readers.lend() as reader:
        assert reader.execute("SELECT v FROM trace_text_config WHERE k = 'deletemerge'").get == 0
    policy = Policy(keep_ns=DAY_NS)
    found = store.expired(policy, now_ns=START_NS + 2 * DAY_NS, limit=100)
    store.drop_expired(found[:10], learned_only=False)
    while store.give_back():
        pass
    dropped = "SELECT value FROM facts WHERE name = 'words_dropped'"
    with store._readers.lend() as reader:
        assert reader.execute(dropped).get == "10"
    store.drop_expired(found[10:40], learned_only=False)
    while store.give_back():
        pass
    with store._readers.lend() as reader:
        assert reader.execute(dropped).get is None
        assert reader.execute("SELECT value FROM facts WHERE name = 'words_merging'").get is None
