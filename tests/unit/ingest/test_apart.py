"""A second process decodes when bodies queue up. It makes what the server makes, and its death loses nothing."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from clew.errors import MalformedBody
from clew.ingest import Batcher, Receipt, apart, batcher, decoder, frames
from clew.ingest.apart import Apart
from clew.ingest.salvage import batch_of
from clew.model import Batch, Score
from clew.store.protocol import Meanwhile, Written
from clew.store.ready import ReadyBatch
from clew.store.sqlite import SqliteStore
from clew.wire.native import NativeBody, NativeSpan
from clew.wire.reading import Reading

WAIT_S = 30.0
START_NS = 1_763_700_000_000_000_000
READ = Reading("native", "application/msgpack", "", 1 << 20)


def body(number: int, *, name: str = "step", traces: int = 3, of: int = 0) -> bytes:
    """Spans with ids of their own, in *traces* traces that are the same for each *of*."""
    spans = [
        NativeSpan(
            trace_id=f"{of * 1000 + index % traces + 1:032x}",
            span_id=f"{number * 100 + index + 1:016x}",
            name=name,
            start_ns=START_NS + index,
            end_ns=START_NS + index + 5,
            outputs={"answer": f"word{number}"},
        )
        for index in range(6)
    ]
    score = Score(trace_id=spans[0].trace_id, name="rating", value=1, at_ns=START_NS)
    return msgspec.msgpack.encode(NativeBody(spans=spans, scores=[score], resource={"service.name": "shop"}))


class SlowStore(SqliteStore):
    """Can be held in a write, so that bodies queue up behind it."""

    def __init__(self, path: str) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.fails = 0
        self.batches: list[Batch] = []
        super().__init__(path)

    def write(self, batches: Sequence[Batch], *, meanwhile: Meanwhile | None = None) -> Written:
        assert self.gate.wait(WAIT_S)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("this store chokes")
        self.batches += batches
        return super().write(batches, meanwhile=meanwhile)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SlowStore]:
    made = SlowStore(str(tmp_path / "clew.db"))
    yield made
    made.close()


@pytest.fixture
def ingest(store: SlowStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Batcher]:
    """One that starts a second process for the first body that waits."""
    monkeypatch.setattr(batcher, "worth_it", lambda: True)
    monkeypatch.setattr(batcher, "APART_FROM_BODIES", 1)
    monkeypatch.setattr(batcher, "APART_FROM_BYTES", 1)
    made = Batcher(store, max_queue_bytes=10 << 20, second_process=True)
    made.start()
    yield made
    store.gate.set()
    made.close(WAIT_S)


def started(ingest: Batcher, store: SlowStore) -> tuple[Apart[batcher._Body], list[Future[Receipt]]]:
    """Let bodies queue up until the second process runs; gives it, and their receipts."""
    store.gate.clear()
    receipts = [ingest.submit("shop", body(number), READ) for number in range(4)]
    second = ingest._apart
    assert second is not None
    second.start()
    with second._changed:
        assert second._changed.wait_for(lambda: second._ready, WAIT_S)
    return second, receipts


def test_what_is_prepared_apart_is_what_is_prepared_here(store: SlowStore) -> None:
    """Both are written by the same statements, and a chunk that differs could not be read."""
    decoded = READ(body(1))
    here = store.prepare(batch_of("shop", decoded))
    prepare = store.preparer()()
    _, there = frames.made(decoder.answer((7, "shop", READ), body(1), prepare))

    assert isinstance(here, ReadyBatch)
    assert isinstance(there.batch, ReadyBatch)
    assert there.batch.traces.keys() == here.traces.keys()
    for trace_id, trace in here.traces.items():
        other = there.batch.traces[trace_id]
        assert (other.changed, other.has_root, other.summary) == (trace.changed, trace.has_root, trace.summary)
        assert list(other.rows) == list(trace.rows)
        assert (other.chunk, other.words) == (trace.chunk, trace.words)
        assert dict(other.spans) == trace.spans
    assert sorted(span.span_id for span in there.batch.spans) == sorted(span.span_id for span in here.spans)
    assert (len(there.decoded.spans), there.decoded.scores) == (6, decoded.scores)


def test_what_waits_is_decoded_in_the_second_process_and_stored(ingest: Batcher, store: SlowStore) -> None:
    """And a trace of which something is stored already is joined with what comes."""
    _, before = started(ingest, store)
    receipts = [ingest.submit("shop", body(number, name="late"), READ) for number in range(10, 20)]
    store.gate.set()

    assert [receipt.result(WAIT_S).rejected for receipt in [*before, *receipts]] == [[]] * 14
    assert any(not isinstance(batch.spans, list) for batch in store.batches)
    stored = store.trace("shop", f"{1:032x}")
    assert stored is not None
    assert len(stored.spans) == 2 * 14
    assert stored.summary.span_count == 2 * 14


def test_when_the_second_process_dies_nothing_is_lost(ingest: Batcher, store: SlowStore) -> None:
    """Nothing was promised for what it held, so the server decodes it itself."""
    second, before = started(ingest, store)
    assert second.pid is not None
    os.kill(second.pid, signal.SIGSTOP)
    receipts = [ingest.submit("shop", body(number, of=1), READ) for number in range(10, 15)]
    assert len(second) == 5
    os.kill(second.pid, signal.SIGKILL)
    store.gate.set()

    assert [receipt.result(WAIT_S).accepted for receipt in receipts] == [7] * 5
    assert [receipt.result(WAIT_S).rejected for receipt in before] == [[]] * 4
    assert len(second) == 0
    assert not second.take(None, "shop", b"", READ)  # type: ignore[arg-type]


def test_what_cannot_be_read_is_refused_in_the_same_words(ingest: Batcher, store: SlowStore) -> None:
    """An error of the other process would have to cross over; instead the server meets it itself."""
    with pytest.raises(MalformedBody) as here:
        READ(b"no spans")
    _, _ = started(ingest, store)
    refused = ingest.submit("shop", b"no spans", READ)
    taken = ingest.submit("shop", body(9, of=2), READ)
    store.gate.set()

    with pytest.raises(MalformedBody) as there:
        refused.result(WAIT_S)
    assert str(there.value) == str(here.value)
    assert taken.result(WAIT_S).accepted == 7


def test_a_bad_span_is_told_of_with_its_place(ingest: Batcher, store: SlowStore) -> None:
    """It costs itself, in whichever process it is found out."""
    spans = [{"trace_id": "nonsense", "span_id": "1", "name": "bad", "start_ns": START_NS}]
    started(ingest, store)
    receipt = ingest.submit("shop", msgspec.msgpack.encode({"spans": spans}), READ)
    store.gate.set()

    assert [one.index for one in receipt.result(WAIT_S).rejected] == [0]


def test_when_a_commit_fails_each_body_is_written_alone(ingest: Batcher, store: SlowStore) -> None:
    """Their spans were left behind in the other process, and are read once more."""
    _, before = started(ingest, store)
    receipts = [ingest.submit("shop", body(number, of=number), READ) for number in range(10, 14)]
    store.fails = 2
    store.gate.set()

    assert sum(receipt.result(WAIT_S).accepted for receipt in [*before, *receipts]) == 8 * 7
    assert [len(receipt.result(WAIT_S).rejected) for receipt in receipts] == [0] * 4


def test_closing_stores_what_the_second_process_holds_and_ends_it(ingest: Batcher, store: SlowStore) -> None:
    second, before = started(ingest, store)
    pid = second.pid
    receipts = [ingest.submit("shop", body(number, of=number), READ) for number in range(10, 14)]
    store.gate.set()

    assert ingest.close(WAIT_S)
    assert all(receipt.result(0).rejected == [] for receipt in [*before, *receipts])
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_nothing_is_started_unless_it_may_be_and_can_be(store: SlowStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One core, one process; and a store that says nothing of it prepares where it is."""
    monkeypatch.setattr(apart, "_start", lambda: pytest.fail("a process was started"))
    monkeypatch.setattr(batcher, "APART_FROM_BODIES", 0)
    monkeypatch.setattr(batcher, "APART_FROM_BYTES", 0)
    for cores, wanted in ((2, False), (1, True)):
        monkeypatch.setattr(batcher, "worth_it", lambda cores=cores: cores > 1)
        ingest = Batcher(store, max_queue_bytes=1 << 20, second_process=wanted)
        ingest.start()
        receipts = [ingest.submit("shop", body(number, of=number), READ) for number in range(10, 14)]
        assert [receipt.result(WAIT_S).rejected for receipt in receipts] == [[]] * 4
        assert ingest.close(WAIT_S)


def test_a_process_that_cannot_be_started_is_done_without(
    ingest: Batcher, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A system may be out of processes; the next try is a while away."""

    def refuse() -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(apart, "_start", refuse)
    store.gate.clear()
    receipts = [ingest.submit("shop", body(number, of=number), READ) for number in range(10)]
    store.gate.set()

    assert [receipt.result(WAIT_S).accepted for receipt in receipts] == [7] * 10


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows a process's environment")
def test_the_second_process_is_not_told_what_opens_the_store(
    ingest: Batcher, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads what anybody may send."""
    monkeypatch.setenv("CLEW_ADMIN_KEY", "the-admin-key")
    second, _ = started(ingest, store)

    told = Path(f"/proc/{second.pid}/environ").read_bytes()
    assert b"PATH=" in told
    assert b"the-admin-key" not in told


@pytest.mark.parametrize("cut", [0, 5, 16, 30])
def test_a_frame_that_is_cut_is_the_end(cut: int) -> None:
    """The other end was killed while it wrote."""
    pipe = io.BytesIO()
    frames.send(pipe, ["said"], b"raw" * 9)
    whole = pipe.getvalue()

    assert frames.receive(io.BytesIO(whole)) == (["said"], b"raw" * 9)
    assert cut < len(whole)
    assert frames.receive(io.BytesIO(whole[:cut])) is None


def test_a_process_ends_with_its_server() -> None:
    """Its input ends when the server dies, however that was."""
    answers = io.BytesIO()
    decoder.serve(io.BytesIO(), answers)

    assert answers.getvalue() == b""
