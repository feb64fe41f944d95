"""How the writer asks the sampler, and that a sampler that fails costs no span."""

from __future__ import annotations

import pytest
from writer_doubles import Clock, Networked

import clew
from clew.sdk import packing
from clew.sdk import span as span_module
from clew.sdk.outbox import Outbox
from clew.sdk.writer import Writer


class Holding:
    """Holds each span until it is rescued by a score, or until all is decided."""

    def __init__(self) -> None:
        self.held = []
        self.seen = []
        self.ticked = []
        self.sums = [b"forced"]

    def take(self, native, packed, *, is_root, kept):
        self.seen.append((native.name, is_root, kept))
        self.held.append((native, packed))
        return []

    def score(self, score):
        return self.drain(), score.name != "unwanted"

    def tick(self, now_ns):
        assert now_ns > 1_600_000_000_000_000_000
        due, self.ticked = self.ticked, []
        return due

    def drain(self):
        held, self.held = self.held, []
        return held

    def deltas(self, now_ns, *, force=False):
        return self.sums.pop() if force and self.sums else None


class Broken:
    def __getattr__(self, name):
        def fail(*args, **kwargs):
            raise ValueError("a sampler's own bug")

        return fail


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exporter() -> Networked:
    return Networked()


@pytest.fixture
def turns(monkeypatch, clock, exporter, untouched) -> Writer:
    outbox = Outbox()
    outbox.recording = outbox.settled = True
    monkeypatch.setattr(span_module, "outbox", outbox)
    monkeypatch.setattr(packing, "outbox", outbox)
    writer = Writer(outbox, exporter, clock=clock, pause=lambda seconds: None)
    writer.ensure_running = lambda: None
    return writer


def test_what_the_sampler_holds_is_not_sent(turns, exporter, clock):
    turns.sampler = sampler = Holding()
    with clew.span("root") as root:
        clew.span("child").end()
        root.keep()
    clock.now += 5
    turns.turn()

    assert exporter.tried == []
    assert sampler.seen == [("child", False, False), ("root", True, True)]


def test_what_time_decides_is_sent_without_any_span(turns, exporter, clock):
    turns.sampler = sampler = Holding()
    clew.span("root").end()
    clock.now += 5
    turns.turn()
    sampler.ticked = sampler.drain()
    turns.turn()

    assert exporter.names() == ["root"]


def test_a_flush_has_everything_decided_and_the_sums_sent(turns, exporter):
    turns.sampler = Holding()
    clew.span("root").end()

    assert turns.flush(5)
    assert exporter.names() == ["root"]
    assert exporter.deltas == [b"forced"]


def test_what_the_sampler_holds_at_the_end_is_counted_where_there_is_no_spool(turns, exporter, clock):
    turns.sampler = Holding()
    clew.span("held").end()
    clock.now += 5
    turns.turn()
    clew.span("waiting").end()
    turns.stop()

    assert turns.drops["shutdown"] == 2


def test_a_score_rescues_the_spans_of_its_trace_and_goes_behind_them(turns, exporter, clock):
    turns.sampler = Holding()
    clew.span("root").end()
    for name in ("rating", "unwanted"):
        turns.outbox.put(clew.model.Score(trace_id="1" * 32, name=name, value=1), is_root=False)
    clock.now += 5
    turns.turn()

    assert exporter.names() == ["root"]
    assert [score.name for body in exporter.taken for score in body.scores] == ["rating"]


def test_a_sampler_that_fails_stores_everything_and_is_named_once(turns, exporter, clock, caplog):
    turns.sampler = Broken()
    for _ in range(3):
        clew.span("root").end()
    turns.outbox.put(clew.model.Score(trace_id="1" * 32, name="rating", value=1), is_root=False)

    assert turns.flush(5)
    assert exporter.names() == ["root"] * 3
    assert len(exporter.taken[0].scores) == 1
    assert caplog.text.count("sampling failed") == 1


def test_the_sums_of_an_exporter_that_takes_none_are_let_go(turns, exporter, monkeypatch):
    """A store's own writer, in a version that does not know them."""
    monkeypatch.delattr(Networked, "send_deltas")
    turns.sampler = Holding()
    clew.span("root").end()

    assert turns.flush(5)
    assert turns.lost() == 0
