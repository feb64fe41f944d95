"""When the writer sends, what it does when it cannot, and that it counts what it loses."""

from __future__ import annotations

import logging
import threading

import pytest
from writer_doubles import Clock, Scripted, end

import clew
from clew.errors import SchemaTooNew, StoreBusy
from clew.sdk import delivery, intake, packing, setup, writer
from clew.sdk import outbox as outbox_module
from clew.sdk import span as span_module
from clew.sdk.exporter import Denied, Refused, TryLater
from clew.sdk.outbox import Outbox
from clew.sdk.packing import PackedBody
from clew.sdk.writer import Writer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exporter() -> Scripted:
    return Scripted()


@pytest.fixture
def turns(monkeypatch, clock, exporter, untouched) -> Writer:
    """A writer without a thread: the test takes its turns."""
    outbox = Outbox()
    outbox.recording = outbox.settled = True
    monkeypatch.setattr(span_module, "outbox", outbox)
    monkeypatch.setattr(packing, "outbox", outbox)
    return Writer(outbox, exporter, clock=clock, pause=lambda seconds: None)


def test_a_hundred_traces_are_sent_at_once(turns, exporter):
    end(count=99)
    turns.turn()
    assert exporter.taken == []

    end()
    turns.turn()
    assert len(exporter.names()) == 200


def test_the_next_hundred_is_counted_from_there(turns, exporter):
    end(count=100)
    turns.turn()
    end(count=99)
    turns.turn()
    assert len(exporter.names()) == 200

    end()
    turns.turn()
    assert len(exporter.names()) == 400


def test_the_hundredth_trace_wakes_the_writer(turns):
    rung = []
    turns.outbox.wait(0)
    end(count=99)
    assert turns.outbox._bell.locked()

    end()
    rung.append(not turns.outbox._bell.locked())
    assert rung == [True]


def test_five_seconds_send_whatever_there_is(turns, exporter, clock):
    end()
    clock.now += 4.9
    turns.turn()
    assert exporter.taken == []
    assert turns.wait_s() == pytest.approx(0.1)

    clock.now += 0.1
    turns.turn()
    assert exporter.names() == ["step child", "step"]


def test_nothing_is_sent_when_nothing_waits(turns, exporter, clock):
    clock.now += 60
    turns.turn()

    assert exporter.tried == []


def test_batches_are_bounded_in_spans(turns, exporter, monkeypatch):
    monkeypatch.setattr(intake, "BATCH_SPANS", 50)
    end(count=100)
    turns.turn()

    assert [len(body.spans) for body in exporter.taken] == [50, 50, 50, 50]


def test_batches_are_bounded_in_bytes(turns, exporter, clock, monkeypatch):
    monkeypatch.setattr(intake, "BATCH_BYTES", 10_000)
    for _ in range(20):
        clew.span("step", text="x" * 3_000).end()
    clock.now += 5
    turns.turn()

    assert len(exporter.names()) == 20
    assert max(len(body.encode()) for body in exporter.taken) < 15_000


def test_what_does_not_fit_in_the_queue_is_counted_and_logged(turns, exporter, clock, caplog):
    turns.outbox.limit = 10
    end(count=20)
    clock.now += 5
    turns.turn()

    assert len(exporter.names()) == 10
    assert turns.lost() == 30
    assert "30 spans or scores were lost so far (queue_full 30)" in caplog.text


def test_the_queue_is_bounded_in_bytes_too(turns, exporter, clock, monkeypatch):
    """A server that is away must not cost the program its memory."""
    monkeypatch.setattr(outbox_module, "QUEUE_BYTES", 10_000_000)
    monkeypatch.setattr(outbox_module, "WEIGHED_AT", outbox_module.CROWD)
    exporter.script = [TryLater("away")]
    for n in range(2_000):
        clew.span("step", messages=[{"role": "user", "content": f"{n:05}" * 4_000}]).end()

    waiting = len(turns.outbox.spans)
    assert outbox_module.CROWD + 400 < waiting < outbox_module.CROWD + 500
    assert turns.lost() == 2_000 - waiting

    for _ in range(2):
        clock.now += 5
        turns.turn()
    assert len(exporter.names()) == waiting
    assert turns.outbox.waiting_bytes == 0


def test_losses_are_logged_at_most_once_a_minute(turns, clock, caplog):
    turns.outbox.limit = 0
    for _ in range(59):
        end()
        turns.turn()
        clock.now += 1
    assert caplog.text.count("were lost so far") == 1

    clock.now += 1
    turns.turn()
    assert caplog.text.count("were lost so far") == 2
    assert "118 spans" in caplog.text


def test_a_busy_server_gets_the_same_batch_again_later(turns, exporter, clock):
    exporter.script = [TryLater("busy")]
    end()
    clock.now += 5
    turns.turn()
    assert exporter.taken == []

    turns.turn()
    assert len(exporter.tried) == 1, "it is not asked again at once"
    assert turns.wait_s() < 1

    clock.now += 1
    turns.turn()
    assert exporter.tried[0] is exporter.tried[1]
    assert exporter.names() == ["step child", "step"]
    assert turns.lost() == 0


def test_waiting_grows_and_has_a_bound(turns, exporter, clock):
    exporter.script = [TryLater("away") for _ in range(12)]
    end()
    clock.now += 5
    waits = []
    for _ in range(12):
        turns.turn()
        waits.append(turns.wait_s())
        clock.now += waits[-1]

    assert waits[0] < waits[2] < waits[4]
    assert max(waits) <= 36
    turns.turn()
    assert exporter.names() == ["step child", "step"]


def test_retry_after_is_kept_to(turns, exporter, clock):
    exporter.script = [TryLater("busy", after_s=20)]
    end()
    clock.now += 5
    turns.turn()
    clock.now += 19.9
    turns.turn()
    assert len(exporter.tried) == 1

    clock.now += 0.1
    turns.turn()
    assert len(exporter.taken) == 1


def test_a_store_that_is_busy_is_asked_again(turns, exporter, clock):
    exporter.script = [StoreBusy("busy")]
    end()
    clock.now += 5
    turns.turn()
    clock.now += 5
    turns.turn()

    assert exporter.names() == ["step child", "step"]


@pytest.mark.parametrize("error", [Denied("wrong key"), SchemaTooNew(found=9, known=1)])
def test_what_will_never_be_taken_is_not_tried_again(turns, exporter, clock, caplog, error):
    exporter.script = [error]
    end()
    clock.now += 5
    turns.turn()
    clock.now += 60
    turns.turn()

    assert len(exporter.tried) == 1
    assert turns.drops == {"denied": 2}
    assert str(error) in caplog.text


def test_a_batch_that_always_makes_the_server_fail_is_given_up(turns, exporter, clock):
    """Otherwise it would hold up everything behind it for ever."""
    exporter.script = [TryLater("500", told=False)] * 20
    end()
    for _ in range(20):
        clock.now += 60
        turns.turn()

    assert len(exporter.tried) == delivery.FAILURES
    assert turns.drops == {"failed": 2}


def test_a_poisonous_span_costs_its_payload_and_nothing_beside_it(turns, exporter, clock):
    def judge(body: PackedBody) -> None:
        if any("poison" in span.attributes for span in body.spans):
            raise Refused("400 no poison")

    exporter.judge = judge
    for n in range(20):
        clew.span(f"step-{n}", **({"poison": 1} if n == 7 else {"good": 1})).end()
    clock.now += 5
    turns.turn()

    assert sorted(exporter.names()) == sorted(f"step-{n}" for n in range(20))
    (bare,) = [span for body in exporter.taken for span in body.spans if span.name == "step-7"]
    assert bare.attributes == {}
    assert "400 no poison" in bare.problems[0]
    assert turns.lost() == 0


def test_a_span_that_is_refused_even_bare_is_counted(turns, exporter, clock):
    def judge(body: PackedBody) -> None:
        if any(span.name == "bad" for span in body.spans):
            raise ValueError("an exporter's own bug")

    exporter.judge = judge
    clew.span("bad").end()
    clew.span("good").end()
    clew.score("bad", 1, trace_id="1" * 32)
    clock.now += 5
    turns.turn()

    assert exporter.names() == ["good"]
    assert turns.drops == {"rejected": 1}


def test_spans_that_the_server_rejects_are_counted(turns, exporter, clock, caplog):
    exporter.script = [["span 1: bad id"]]
    end()
    clock.now += 5
    turns.turn()

    assert turns.drops == {"rejected": 1}
    assert "span 1: bad id" in caplog.text


# With its thread.


@pytest.fixture
def running(untouched, exporter) -> Writer:
    return setup.use(exporter, flush_interval_s=3600)


def test_the_thread_starts_with_the_first_span_that_ends(running):
    assert not running.is_running
    span = clew.span("step")
    assert not running.is_running
    span.end()

    assert running.is_running


def test_flush_delivers_what_ended_before_it(running, exporter):
    end()
    assert clew.flush(timeout=5)

    assert exporter.names() == ["step child", "step"]


def test_flush_of_nothing_is_true_at_once(running):
    assert clew.flush(timeout=0)


def test_flush_says_when_the_time_was_up(running, exporter):
    exporter.script = [TryLater("away")] * 1_000
    end()

    assert not clew.flush(timeout=0.1)
    exporter.script.clear()
    assert clew.flush(timeout=5)
    assert exporter.names() == ["step child", "step"]


def test_flush_says_when_something_was_lost_since_the_last(running, exporter):
    exporter.script = [Denied("wrong key")]
    end()

    assert not clew.flush(timeout=5)
    end()
    assert clew.flush(timeout=5)


def test_flush_does_not_overrule_what_the_server_asked_for(running, exporter):
    exporter.script = [TryLater("busy", after_s=100)]
    end()
    assert not clew.flush(timeout=0.1)
    assert not clew.flush(timeout=0.1)

    assert len(exporter.tried) == 1


def test_shutdown_delivers_and_ends(running, exporter):
    end()
    assert clew.shutdown(timeout=5)
    end("after")

    assert exporter.names() == ["step child", "step"]
    assert exporter.closed == 1
    assert not running.is_running
    assert clew.flush(timeout=0)
    assert clew.shutdown(timeout=0)


def test_shutdown_counts_what_it_could_not_deliver(running, exporter, caplog):
    exporter.script = [TryLater("away")] * 1_000
    end()

    assert not clew.shutdown(timeout=0.1)
    assert running.drops == {"shutdown": 2}
    assert "2 spans or scores were lost so far (shutdown 2); last: away" in caplog.text


def test_shutdown_does_not_wait_for_nobody(running, exporter):
    """A script must not hang at its end because no server runs."""
    exporter.script = [TryLater("refused", unreachable=True)] * 1_000
    end()

    assert not setup.shutdown(60, patience_s=0.05)


def test_after_shutdown_configure_begins_again(running, exporter):
    clew.shutdown(timeout=5)
    setup.use(exporter)
    end()
    assert clew.flush(timeout=5)

    assert exporter.names() == ["step child", "step"]


def test_a_span_that_ends_after_shutdown_is_counted(running):
    span = clew.span("late")
    clew.shutdown(timeout=5)
    span.end()

    assert running.lost() == 1


def test_spans_that_wait_go_to_the_endpoint_configured_last(running, exporter):
    """A library that makes a span before `configure` is called loses nothing."""
    end()
    second = Scripted()
    setup.use(second)
    assert clew.flush(timeout=5)

    assert second.names() == ["step child", "step"]
    assert exporter.closed == 1


def test_a_writer_that_dies_is_replaced(running, exporter, monkeypatch, caplog):
    """Seen elsewhere: a sender thread that dies silently, and a queue that fills for ever."""
    end()
    assert clew.flush(timeout=5)
    first = running._thread
    monkeypatch.setattr(running, "stopped", True)
    running.outbox.ring()
    first.join(timeout=5)
    assert not running.is_running
    monkeypatch.setattr(running, "stopped", False)
    running.outbox.limit, running.outbox.crowded_at = 100_000, 0
    end("again")
    assert clew.flush(timeout=5)

    assert running._thread is not first
    assert "again" in exporter.names()


def test_the_writer_survives_whatever_goes_wrong_in_a_turn(running, exporter, caplog):
    exporter.script = [KeyboardInterrupt()]
    with caplog.at_level(logging.ERROR):
        end()
        assert clew.flush(timeout=5)

    assert exporter.names() == ["step child", "step"]
    assert "stumbled" in caplog.text


def test_flush_works_without_a_thread(running, exporter, monkeypatch):
    """At exit newer Pythons start no threads any more."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(writer, "start_thread", refuse)
    end()
    assert clew.flush(timeout=5)

    assert exporter.names() == ["step child", "step"]


def test_the_writers_own_work_is_never_traced(running, exporter):
    """Or an instrumented HTTP library would make each batch give rise to the next."""
    exporter.judge = lambda body: end("from the exporter")
    end()
    assert clew.flush(timeout=5)
    assert clew.flush(timeout=5)

    assert exporter.names() == ["step child", "step"]


def test_many_threads_lose_nothing(running, exporter):
    threads = [threading.Thread(target=end, kwargs={"name": f"t{n}", "count": 500}) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clew.flush(timeout=20)

    assert len(exporter.names()) == 8_000
    assert len({span.span_id for body in exporter.taken for span in body.spans}) == 8_000


def test_created_is_delivered_plus_lost(running, exporter):
    """Every drop is counted, also when many threads overflow the queue at once."""
    running.outbox.limit = 700
    threads = [threading.Thread(target=end, kwargs={"count": 2_000}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clew.flush(timeout=20)

    assert len(exporter.names()) + running.lost() == 16_000
