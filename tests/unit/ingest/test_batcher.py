"""The batcher acknowledges after the commit, commits together, and lets nobody pay for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from clew.errors import MalformedBody, StoreBusy, StoreUnavailable
from clew.ingest import Batcher, Receipt
from clew.model import Batch, Score, Span
from clew.store.protocol import Meanwhile, Written
from clew.wire import Decoded, Rejection
from clew.wire.native import decode

WAIT_S = 10.0
POISON = "poison"


class FakeStore:
    """Keeps spans in a dict; can be held in the middle of a write, and told to fail."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], Span] = {}
        self.scores: list[Score] = []
        self.commits: list[list[str]] = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.failing: BaseException | None = None
        self.is_busy: Callable[[], bool] = lambda: False

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def write(self, batches: Sequence[Batch], *, meanwhile: Meanwhile | None = None) -> Written:
        self.entered.release()
        assert self.gate.wait(WAIT_S)
        if meanwhile is not None:
            meanwhile(self.is_busy)
        if self.failing is not None:
            raise self.failing
        spans = [(batch.project, span) for batch in batches for span in batch.spans]
        if any(span.name == POISON for _, span in spans):
            raise ValueError("this store chokes on poison")
        new = {(project, span.span_id): span for project, span in spans if (project, span.span_id) not in self.stored}
        self.stored |= new
        self.scores += [score for batch in batches for score in batch.scores]
        self.commits.append([span.span_id for _, span in spans])
        return Written(len(new), len(spans) - len(new))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let a write begin, and keep it from ending meanwhile."""
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()


def span(number: int, name: str = "n") -> Span:
    return Span(trace_id="ab" * 16, span_id=f"{number:016x}", name=name, start_ns=1)


def holding(
    *spans: Span, scores: Sequence[Score] = (), rejected: Sequence[Rejection] = ()
) -> Callable[[bytes], Decoded]:
    return lambda _: Decoded(list(spans), list(scores), list(rejected))


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def batcher(store: FakeStore) -> Iterator[Batcher]:
    made = Batcher(store, max_queue_bytes=1_000, max_group_spans=50)
    made.start()
    yield made
    store.gate.set()
    assert made.close(WAIT_S)


def submit(batcher: Batcher, *spans: Span, body: bytes = b"x", project: str = "p", **decoded: Any) -> Future[Receipt]:
    return batcher.submit(project, body, holding(*spans, **decoded))


def wait(receipt: Future[Receipt]) -> Receipt:
    return receipt.result(WAIT_S)


def test_a_receipt_comes_after_the_commit(batcher: Batcher, store: FakeStore) -> None:
    """Acknowledged means durable."""
    with store.held():
        receipt = submit(batcher, span(1))
        assert store.entered.acquire(timeout=WAIT_S)
        assert not receipt.done()

    assert wait(receipt) == Receipt(accepted=1, duplicates=0, rejected=[])
    assert ("p", span(1).span_id) in store.stored


def test_the_body_itself_is_what_gets_decoded(batcher: Batcher, store: FakeStore) -> None:
    wait(batcher.submit("p", b"7", lambda body: Decoded([span(int(body))], [], [])))

    assert ("p", span(7).span_id) in store.stored


def test_all_that_waits_is_committed_together(batcher: Batcher, store: FakeStore) -> None:
    """One fsync for all, also for those of different projects."""
    with store.held():
        first = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        others = [submit(batcher, span(number), project=f"p{number % 2}") for number in range(1, 10)]
    for receipt in [first, *others]:
        wait(receipt)

    assert [len(commit) for commit in store.commits] == [1, 9]
    assert ("p1", span(3).span_id) in store.stored
    assert ("p0", span(4).span_id) in store.stored


def test_what_comes_during_a_commit_is_read_then_and_written_next(batcher: Batcher, store: FakeStore) -> None:
    """The store works without Python then; decoding is what Python can do with the time."""
    with store.held():
        first = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        unreadable = batcher.submit("p", b"junk", lambda body: decode(body, "application/json"))
        good = submit(batcher, span(1))
    assert wait(first).accepted == 1
    with pytest.raises(MalformedBody):
        wait(unreadable)
    assert wait(good).accepted == 1
    assert [len(commit) for commit in store.commits] == [1, 1]


def test_when_reading_ahead_fails_its_bodies_fail_once_and_the_next_are_stored(
    batcher: Batcher, store: FakeStore
) -> None:
    """What was told to have failed must not be written, nor counted, as well."""

    def broken() -> bool:
        store.is_busy = lambda: False
        raise RuntimeError("the store cannot say")

    with store.held():
        first = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        store.is_busy = broken
        ahead = submit(batcher, span(1))
    assert wait(first).accepted == 1
    with pytest.raises(RuntimeError, match="cannot say"):
        wait(ahead)
    assert wait(submit(batcher, span(2))).accepted == 1
    assert [len(commit) for commit in store.commits] == [1, 1]
    assert batcher.stats()["held_bytes"] == 0


def test_a_commit_is_bounded(batcher: Batcher, store: FakeStore) -> None:
    """However much waits: what is decoded lies in memory."""
    with store.held():
        first = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        others = [submit(batcher, *(span(20 * body + n) for n in range(1, 21))) for body in range(10)]
    for receipt in [first, *others]:
        wait(receipt)

    assert sum(map(len, store.commits)) == 201
    assert max(map(len, store.commits)) < 50 + 20


def test_a_body_that_cannot_be_read_fails_alone(batcher: Batcher, store: FakeStore) -> None:
    def unreadable(_: bytes) -> Decoded:
        raise MalformedBody("no")

    with store.held():
        first = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        bad, good = batcher.submit("p", b"x", unreadable), submit(batcher, span(1))

    assert wait(good).accepted == 1
    assert wait(first).accepted == 1
    with pytest.raises(MalformedBody):
        wait(bad)


def test_a_bug_in_decoding_fails_alone_and_the_batcher_goes_on(batcher: Batcher) -> None:
    """A thread that dies silently would take everybody with it."""

    def broken(_: bytes) -> Decoded:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wait(batcher.submit("p", b"x", broken))
    assert wait(submit(batcher, span(1))).accepted == 1


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), StoreBusy("full")])
def test_when_the_store_is_away_all_of_the_group_hear_of_it(
    batcher: Batcher, store: FakeStore, failure: Exception
) -> None:
    """And nothing was written, so each may retry. When it is back, the next is stored."""
    store.failing = failure
    with store.held():
        receipts = [submit(batcher, span(number)) for number in range(3)]
    for receipt in receipts:
        with pytest.raises(type(failure)):
            wait(receipt)

    store.failing = None
    assert wait(submit(batcher, span(9))).accepted == 1
    assert batcher.stats()["held_bytes"] == 0


def test_a_poisonous_span_costs_only_itself(batcher: Batcher, store: FakeStore) -> None:
    """Not the bodies beside it, nor the spans in its own; and the answer says which it was."""
    with store.held():
        first = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        poisoned = submit(batcher, *(span(number, POISON if number == 5 else "n") for number in range(1, 12)))
        clean = submit(batcher, span(100))

    wait(first)
    assert wait(clean) == Receipt(1, 0, [])
    receipt = wait(poisoned)
    assert receipt.accepted == 10
    assert [one.index for one in receipt.rejected] == [4]
    assert "spans[4]" in receipt.rejected[0].error
    assert len(store.stored) == 12


def test_the_places_of_poison_and_of_what_decoding_rejected_agree(batcher: Batcher) -> None:
    """The index is that in the client's body, whoever rejected the span."""
    rejected = [Rejection(1, "spans[1]: bad id"), Rejection(0, "scores[0]: bad value")]
    receipt = wait(submit(batcher, span(0), span(2), span(3, POISON), rejected=rejected))

    assert [one.index for one in receipt.rejected] == [1, 0, 3]
    assert receipt.accepted == 2


def test_a_store_that_takes_nothing_fails_the_body_and_not_after_trying_each(
    batcher: Batcher, store: FakeStore
) -> None:
    """A bug in the store, not in a span: the client hears of it and keeps its spans."""
    store.failing = RuntimeError("broken")
    with pytest.raises(RuntimeError):
        wait(submit(batcher, *(span(number) for number in range(500))))

    store.failing = None
    assert wait(submit(batcher, span(1))).accepted == 1


def test_nothing_that_a_store_raises_ends_the_thread(batcher: Batcher, store: FakeStore) -> None:
    """Not even what is no Exception."""
    store.failing = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        wait(submit(batcher, span(0)))

    store.failing = None
    assert wait(submit(batcher, span(1))).accepted == 1


def test_a_duplicate_is_told(batcher: Batcher) -> None:
    assert wait(submit(batcher, span(1))) == Receipt(1, 0, [])
    assert wait(submit(batcher, span(1), span(2))) == Receipt(1, 1, [])


def test_scores_get_the_time_of_receipt(batcher: Batcher, store: FakeStore) -> None:
    """Unless they say when they were given."""
    before_ns = time.time_ns()
    scores = [Score(trace_id="ab" * 16, name="a", value=1), Score(trace_id="ab" * 16, name="b", value=1, at_ns=5)]
    assert wait(submit(batcher, scores=scores)).accepted == 2

    assert before_ns <= store.scores[0].at_ns <= time.time_ns()
    assert store.scores[1].at_ns == 5


def test_over_the_bound_a_body_is_refused_and_what_waits_is_kept(batcher: Batcher, store: FakeStore) -> None:
    """Memory is bounded by refusing, never by dropping. What is being written counts too."""
    with store.held():
        first = submit(batcher, span(0), body=bytes(600))
        assert store.entered.acquire(timeout=WAIT_S)
        second = submit(batcher, span(1), body=bytes(400))
        with pytest.raises(StoreBusy):
            submit(batcher, span(2))
        assert batcher.stats()["refused_bodies"] == 1

    wait(first), wait(second)
    assert wait(submit(batcher, span(2))).accepted == 1


def test_a_body_over_the_bound_is_taken_when_nothing_waits(batcher: Batcher) -> None:
    """Otherwise its client would retry it forever."""
    assert wait(submit(batcher, span(0), body=bytes(5_000))).accepted == 1


def test_a_cancelled_body_is_not_decoded(batcher: Batcher, store: FakeStore) -> None:
    """Its client has gone; under load that is work saved."""
    with store.held():
        first = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        gone = submit(batcher, span(1))
        assert gone.cancel()
        last = submit(batcher, span(2))
    wait(first), wait(last)

    assert ("p", span(1).span_id) not in store.stored
    assert batcher.stats()["held_bytes"] == 0


def test_closing_stores_what_waits(store: FakeStore) -> None:
    """SIGTERM must not cost what is already here."""
    batcher = Batcher(store, max_queue_bytes=1_000)
    batcher.start()
    with store.held():
        receipts = [submit(batcher, span(number)) for number in range(5)]
        closed: list[bool] = []
        closing = threading.Thread(target=lambda: closed.append(batcher.close(WAIT_S)))
        closing.start()
        assert store.entered.acquire(timeout=WAIT_S)
    closing.join(WAIT_S)

    assert closed == [True]
    assert all(receipt.done() and receipt.result().accepted == 1 for receipt in receipts)
    with pytest.raises(StoreBusy):
        submit(batcher, span(9))
    assert batcher.close(WAIT_S)


def test_closing_with_a_store_that_hangs_gives_up_in_time(store: FakeStore) -> None:
    """What waits behind it fails, so that its clients send it again."""
    batcher = Batcher(store, max_queue_bytes=1_000)
    batcher.start()
    with store.held():
        stuck = submit(batcher, span(0))
        assert store.entered.acquire(timeout=WAIT_S)
        waiting = submit(batcher, span(1))
        assert not batcher.close(0.01)
        with pytest.raises(StoreBusy):
            wait(waiting)
    assert wait(stuck).accepted == 1
    assert batcher.close(WAIT_S)


def test_closing_one_that_never_started_fails_what_waits(store: FakeStore) -> None:
    batcher = Batcher(store, max_queue_bytes=1_000)
    receipt = submit(batcher, span(0))
    batcher.close(WAIT_S)

    with pytest.raises(StoreBusy):
        wait(receipt)


def test_what_was_done_is_counted(batcher: Batcher) -> None:
    """Created is stored plus rejected, by cause."""
    wait(submit(batcher, span(1), span(2), rejected=[Rejection(2, "spans[2]: bad")]))
    wait(submit(batcher, span(1)))
    stats = batcher.stats()

    assert (stats["bodies"], stats["spans"], stats["duplicates"], stats["rejected"]) == (2, 3, 1, 1)
    assert (stats["waiting_bodies"], stats["held_bytes"], stats["failed_bodies"]) == (0, 0, 0)


def test_many_threads_at_once_lose_nothing(batcher: Batcher, store: FakeStore) -> None:
    """Each client retries what was refused; in the end all is there, once."""

    def client(first: int) -> None:
        for number in range(first, first + 50):
            deadline = time.monotonic() + WAIT_S
            while time.monotonic() < deadline:
                try:
                    wait(submit(batcher, span(number), body=bytes(300)))
                    break
                except StoreBusy:
                    continue

    clients = [threading.Thread(target=client, args=(first,)) for first in range(0, 400, 50)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(WAIT_S)

    assert len(store.stored) == 400
    assert batcher.stats()["spans"] == 400
