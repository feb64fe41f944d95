"""What the writer does with the disk: when it keeps, what it replays, and in which order."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pytest
from writer_doubles import Clock, Networked, end

import clew
from clew.sdk import intake, packing, pipeline
from clew.sdk import span as span_module
from clew.sdk.exporter import Denied, Refused, TryLater
from clew.sdk.outbox import Outbox
from clew.sdk.parcels import Parcel
from clew.sdk.spool import Spool
from clew.sdk.spool_segment import SUFFIX, records_of
from clew.sdk.writer import Writer
from clew.wire.native import NativeBody

AWAY = TryLater("away", unreachable=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exporter() -> Networked:
    return Networked()


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def turns(monkeypatch, clock, exporter, folder, untouched) -> Writer:
    """A writer with a spool and without a thread: the test takes its turns."""
    outbox = Outbox()
    outbox.recording = outbox.settled = True
    monkeypatch.setattr(span_module, "outbox", outbox)
    monkeypatch.setattr(packing, "outbox", outbox)
    writer = Writer(outbox, exporter, clock=clock, pause=lambda seconds: None)
    writer.spool = Spool(folder, limit_bytes=1 << 20)
    writer.turn()
    return writer


def names_in(folder: Path) -> list[str]:
    """What lies in the spool, oldest first."""
    records = [record for path in sorted(folder.glob(f"*{SUFFIX}")) for record in records_of(path.read_bytes())]
    bodies = [msgspec.msgpack.decode(record.payload[1:], type=NativeBody) for record in records]
    return [span.name for body in bodies for span in body.spans]


def one(name: str) -> None:
    clew.span(name).end()


def pass_time(turns: Writer, clock: Clock, seconds: float) -> None:
    """Take a turn each tenth of a second."""
    for _ in range(int(seconds * 10)):
        clock.now += 0.1
        turns.turn()


def go_away(turns: Writer, clock: Clock, exporter: Networked, name: str = "first") -> None:
    """The server is away for so long that what waits is on disk."""
    exporter.away = AWAY
    one(name)
    pass_time(turns, clock, 9)


def test_the_folder_is_made_only_when_it_is_needed(turns, exporter, clock, folder):
    end()
    pass_time(turns, clock, 6)

    assert len(exporter.names()) == 2
    assert not folder.exists()


def test_a_server_that_is_away_for_a_moment_costs_no_disk(turns, exporter, clock, folder):
    exporter.away = AWAY
    one("step")
    pass_time(turns, clock, 6)
    exporter.away = None
    pass_time(turns, clock, 3)

    assert exporter.names() == ["step"]
    assert not folder.exists()


def test_what_waits_for_seconds_goes_to_disk_and_later_to_the_server(turns, exporter, clock, folder):
    """A kill -9 in between costs nothing that is on disk."""
    go_away(turns, clock, exporter)
    assert names_in(folder) == ["first"]
    assert turns.lost() == 0

    exporter.away = None
    pass_time(turns, clock, 40)
    assert exporter.names() == ["first"]
    assert not list(folder.iterdir())


def test_what_ends_later_goes_behind_what_is_on_disk(turns, exporter, clock, folder):
    """Replayed in order, and not one twice."""
    go_away(turns, clock, exporter)
    for n in range(4):
        one(f"later {n}")
        pass_time(turns, clock, 6)
    assert names_in(folder) == ["first", *(f"later {n}" for n in range(4))]

    one("last")
    exporter.away = None
    pass_time(turns, clock, 40)
    assert exporter.names() == ["first", *(f"later {n}" for n in range(4)), "last"]


def test_what_ends_while_it_is_replayed_is_last(turns, exporter, clock, folder):
    go_away(turns, clock, exporter)
    exporter.away = None
    exporter.judge = lambda body: one("meanwhile") if body.spans[0].name == "first" else None
    pass_time(turns, clock, 45)

    assert exporter.names() == ["first", "meanwhile"]


def test_pressure_sends_to_disk_at_once(turns, exporter, clock, folder, monkeypatch):
    """200,000 spans do not wait in memory for three seconds."""
    monkeypatch.setattr(pipeline, "KEEP_SPANS", 300)
    exporter.away = AWAY
    end(count=100)
    turns.turn()
    assert not folder.exists()

    end(count=200)
    turns.turn()
    assert len(names_in(folder)) == 600
    assert not turns.outbox.spans


def test_pressure_in_bytes_counts_too(turns, exporter, clock, folder, monkeypatch):
    exporter.away = AWAY
    end(count=300)
    turns.turn()
    turns.outbox.waiting_bytes = pipeline.KEEP_BYTES
    turns.turn()

    assert len(names_in(folder)) == 600


def test_a_slow_server_does_not_hold_up_the_queue(turns, exporter, clock, folder, monkeypatch):
    """The one thread waits for the answer and goes on taking what ends; the order stays."""
    monkeypatch.setattr(pipeline, "KEEP_SPANS", 20)
    on_disk = []

    def slowly(_) -> None:
        exporter.judge = lambda body: None
        for _ in range(30):
            one("meanwhile")
        for waited_s in (0.05, 0.15):
            exporter.while_waiting(waited_s)
            on_disk.append(len(names_in(folder)))

    exporter.judge = slowly
    one("first")
    pass_time(turns, clock, 10)

    assert on_disk == [0, 30], "an answer at once is not worth the disk"
    assert exporter.names() == ["first", *["meanwhile"] * 30]
    assert turns.lost() == 0


def test_what_went_to_disk_meanwhile_is_not_waited_for_in_memory(turns, exporter, clock, monkeypatch):
    """A turn sends what waited when it began; some of that may have gone to disk, and to the server, since."""
    monkeypatch.setattr(pipeline, "KEEP_SPANS", 2)
    monkeypatch.setattr(intake, "BATCH_SPANS", 1)
    monkeypatch.setattr(intake, "MANY_SPANS", 1)

    def slowly(_) -> None:
        exporter.judge = lambda body: None
        exporter.while_waiting(0.15)

    exporter.judge = slowly
    for n in range(5):
        one(f"step {n}")
    pass_time(turns, clock, 10)

    assert exporter.names() == [f"step {n}" for n in range(5)]


def test_what_a_server_fails_on_each_time_is_given_up_and_does_not_hold_up_the_rest(turns, exporter, clock):
    go_away(turns, clock, exporter, "poison")
    one("good")
    pass_time(turns, clock, 6)
    exporter.away = None

    def judge(body) -> None:
        if body.spans[0].name == "poison":
            raise TryLater("500", told=False)

    exporter.judge = judge
    pass_time(turns, clock, 200)

    assert exporter.names() == ["good"]
    assert turns.drops == {"failed": 1}


def test_what_is_refused_from_the_disk_costs_its_payload_alone(turns, exporter, clock):
    exporter.away = AWAY
    for n in range(8):
        clew.span(f"step {n}", **({"poison": 1} if n == 3 else {})).end()
    pass_time(turns, clock, 9)
    exporter.away = None

    def judge(body) -> None:
        if any("poison" in span.attributes for span in body.spans):
            raise Refused("400 no poison")

    exporter.judge = judge
    pass_time(turns, clock, 40)

    assert sorted(exporter.names()) == [f"step {n}" for n in range(8)]
    assert turns.lost() == 0


def test_what_is_denied_stays_on_disk(turns, exporter, clock, folder):
    """A key that was mistyped at a restart must not cost what an outage left."""
    go_away(turns, clock, exporter)
    exporter.away = Denied("401")
    pass_time(turns, clock, 200)
    assert names_in(folder) == ["first"]
    assert turns.lost() == 0

    exporter.away = None
    pass_time(turns, clock, 70)
    assert exporter.names() == ["first"]


def test_what_an_earlier_process_left_is_sent_after_what_ends_now(turns, exporter, clock, folder):
    left = Spool(folder, limit_bytes=1 << 20)
    body = packing.PackedBody(resource={"service.name": "dead"})
    left.append(b"S" + body.encode(), 0)
    left.close()
    one("now")
    pass_time(turns, clock, 12)

    assert [body.resource.get("service.name") for body in exporter.taken] == [None, "dead"]
    assert not list(folder.iterdir())


def test_what_an_earlier_process_left_makes_way_for_what_ends_now(turns, exporter, clock, folder):
    """A long backlog must not hide what happens now."""
    left = Spool(folder, limit_bytes=1 << 20)
    for n in range(3):
        left.append(b"S" + packing.PackedBody(resource={"old": n}).encode(), 0)
    left.close()

    def judge(body) -> None:
        if body.resource.get("old") == 0:
            end("now", count=100)

    exporter.judge = judge
    pass_time(turns, clock, 20)

    seen = ["now" if body.spans else body.resource["old"] for body in exporter.taken]
    assert seen == [0, "now", 1, 2]


def test_another_process_that_holds_what_we_kept_is_waited_for(turns, exporter, clock, folder):
    go_away(turns, clock, exporter)
    other = Spool(folder, limit_bytes=1 << 20)
    turns.spool.close()
    exporter.away = None

    def while_the_other_reads(payload: bytes, count: int) -> None:
        pass_time(turns, clock, 30)
        assert not turns.flush(0.05), "who knows whether the other delivers it"

    other.replay(while_the_other_reads)
    pass_time(turns, clock, 10)
    assert turns.flush(5)
    assert exporter.names() == []


def test_a_full_spool_leaves_the_rest_in_memory(turns, exporter, clock, folder, caplog):
    turns.spool.limit_bytes = 2_000
    go_away(turns, clock, exporter)
    for n in range(20):
        clew.span("big", text="x" * 500, n=n).end()
        pass_time(turns, clock, 6)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2_000
    assert caplog.text.count("the spool is full") == 1

    exporter.away = None
    pass_time(turns, clock, 100)
    assert len(exporter.names()) == 21
    assert turns.lost() == 0


def test_a_folder_that_cannot_be_written_is_said_once_and_costs_nothing(turns, exporter, clock, folder, caplog):
    folder.write_text("a file is in the way")
    go_away(turns, clock, exporter)
    for _ in range(10):
        one("later")
        pass_time(turns, clock, 6)
    assert caplog.text.count("the spool cannot be used") == 1

    exporter.away = None
    pass_time(turns, clock, 60)
    assert exporter.names() == ["first", *["later"] * 10]
    assert turns.lost() == 0


def test_a_disk_that_fails_in_the_middle_costs_nothing(turns, exporter, clock, folder, monkeypatch):
    go_away(turns, clock, exporter)

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        one("second")
        pass_time(turns, clock, 20)
    exporter.away = None
    pass_time(turns, clock, 60)

    assert sorted(exporter.names()) == ["first", "second"]
    assert turns.lost() == 0


def test_damage_is_counted_and_the_rest_is_delivered(turns, exporter, clock, folder):
    go_away(turns, clock, exporter)
    one("second")
    pass_time(turns, clock, 6)
    (segment,) = folder.iterdir()
    data = bytearray(segment.read_bytes())
    data[40] ^= 0xFF
    segment.write_bytes(data)
    exporter.away = None
    pass_time(turns, clock, 40)

    assert exporter.names() == ["second"]
    assert turns.drops == {"damaged": 1}


def test_the_end_keeps_what_is_left_and_says_so(turns, exporter, clock, folder, caplog):
    exporter.away = AWAY
    one("first")
    pass_time(turns, clock, 6)
    one("second")
    turns.stop()

    assert names_in(folder) == ["first", "second"]
    assert turns.lost() == 0
    assert "2 spans or scores wait in" in caplog.text
    assert "lost" not in caplog.text


def test_the_end_counts_what_does_not_fit(turns, exporter, clock, folder, caplog):
    turns.spool.limit_bytes = 10
    one("first")
    turns.stop()

    assert turns.drops == {"spool_full": 1}
    assert "1 spans or scores were lost so far (spool_full 1)" in caplog.text


def test_the_end_counts_what_a_broken_folder_cost(turns, exporter, clock, folder):
    folder.write_text("a file is in the way")
    one("first")
    turns.stop()

    assert turns.drops == {"spool_broken": 1}


def test_a_thread_that_hangs_does_not_keep_the_end_from_the_disk(turns, exporter, folder):
    """In the resolving of a name, say: nothing can interrupt that."""
    one("in flight")
    one("behind")
    turns.pipeline._take(1)
    turns._turn.acquire()
    turns.stop()

    assert names_in(folder) == ["in flight", "behind"]


def test_the_end_waits_for_what_goes_to_disk_just_now(turns, exporter, clock, folder, monkeypatch):
    """On a busy machine that takes longer than the end likes to wait; two threads must not do it at once."""
    exporter.away = AWAY
    for n in range(50):
        one(f"step {n}")
    keeping, may_go_on = threading.Event(), threading.Event()
    record = Parcel.record

    def slowly(parcel: Parcel) -> bytes:
        keeping.set()
        assert may_go_on.wait(10)
        return record(parcel)

    monkeypatch.setattr(intake, "BATCH_SPANS", 10)
    monkeypatch.setattr(Parcel, "record", slowly)
    monkeypatch.setattr(pipeline, "KEEP_SPANS", 10)
    clock.now += 5
    thread = threading.Thread(target=turns.turn)
    thread.start()
    assert keeping.wait(10)
    ending = threading.Thread(target=turns.stop)
    ending.start()
    while not turns.pipeline.is_ending:
        pass
    ending.join(timeout=0.3)
    assert ending.is_alive()
    may_go_on.set()
    ending.join(timeout=10)
    thread.join(timeout=10)

    assert sorted(names_in(folder)) == sorted(f"step {n}" for n in range(50))
    assert turns.lost() == 0


def test_a_flush_is_not_done_while_something_is_on_disk(turns, exporter, clock):
    """Kept is not lost, and not delivered either."""
    go_away(turns, clock, exporter)
    assert not turns.flush(0.05)
    assert turns.lost() == 0

    exporter.away = None
    turns.pipeline.delivery.retry_at = 0.0
    assert turns.flush(5)
    assert exporter.names() == ["first"]


def test_sums_over_unstored_traffic_are_kept_and_replayed_byte_for_byte(turns, exporter, clock):
    """The same bytes bear the same id, so that a sum that is sent twice counts once."""

    class Summing:
        def __init__(self) -> None:
            self.due = [b"\x80sum"]

        def take(self, native, packed, *, is_root, kept):
            return [(native, packed)]

        def tick(self, now_ns):
            return []

        def drain(self):
            return []

        def deltas(self, now_ns, *, force=False):
            return self.due.pop() if self.due else None

    turns.sampler = Summing()
    pass_time(turns, clock, 1)
    exporter.away = AWAY
    pass_time(turns, clock, 20)
    exporter.away = None
    pass_time(turns, clock, 40)

    assert exporter.deltas == [b"\x80sum"]
