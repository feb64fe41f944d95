"""Every loss is counted, by cause, and told: created is stored plus lost."""

from __future__ import annotations

import random
import threading

import pytest
from writer_doubles import Networked, end

import clew
from clew.sdk import pipeline, setup
from clew.sdk.exporter import Denied, Refused, TryLater
from clew.sdk.losses import DROPS_HEADER, INSTANCE_HEADER
from clew.sdk.spool import Spool
from clew.server.sdk_drops import CAUSES, SdkDrops


class Moody(Networked):
    """Takes, refuses, fails and hesitates, as the dice fall; one span may come to it more than once."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.dice = random.Random(seed)

    def send(self, body):
        roll = self.dice.random()
        if roll < 0.3:
            raise TryLater("busy", unreachable=roll < 0.1)
        if roll < 0.33:
            raise Refused("400")
        if roll < 0.34:
            raise Denied("401")
        if roll < 0.5:
            self.while_waiting(0.2)
        return super().send(body)


@pytest.mark.parametrize("seed", range(8))
def test_created_is_stored_plus_lost_whatever_happens(untouched, tmp_path, monkeypatch, seed):
    """Several threads, a small queue, a small spool, and a server in every mood; then the end."""
    monkeypatch.setattr(pipeline, "KEEP_SPANS", 300)
    exporter = Moody(seed)
    spool = Spool(tmp_path, limit_bytes=60_000 if seed % 2 else 1 << 20)
    writer = setup.use(exporter, queue_spans=700, spool=spool)
    threads = [threading.Thread(target=end, kwargs={"count": 1_000}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clew.shutdown(timeout=0.3)
    stored = {span.span_id for body in exporter.taken for span in body.spans}
    lost = writer.lost()
    assert set(writer.pipeline.losses.by_cause()) <= CAUSES

    left = Networked()
    later = setup.use(left, spool=Spool(tmp_path, limit_bytes=1))
    end("next process")
    while later.spool is None or later.spool.waits():
        clew.flush(5)
        end("next process")
    waiting = {s.span_id for body in left.taken for s in body.spans if not s.name.startswith("next process")}
    assert lost + len(stored | waiting) == 8_000


def test_every_request_tells_the_losses_so_far(untouched):
    exporter = Networked()
    writer = setup.use(exporter)
    assert exporter.more_headers() == {}
    writer.pipeline.losses.add("denied", 3, "wrong key")
    headers = exporter.more_headers()

    assert headers[DROPS_HEADER] == "denied=3"
    drops = SdkDrops()
    drops.hear("default", {name.lower(): value for name, value in headers.items()})
    assert drops.by_cause == {"denied": 3}
    assert len(headers[INSTANCE_HEADER]) == 16


def test_losses_are_told_within_a_minute_though_nothing_else_is_sent(untouched):
    """A process that lost spans and has gone quiet."""
    exporter = Networked()
    writer = setup.use(exporter)
    line = writer.pipeline
    now = line.clock()
    line.clock = line.delivery.clock = lambda: now
    line.losses.add("failed", 1, "500")
    now += 61
    writer.turn()
    assert [len(body.spans) for body in exporter.tried] == [0]

    now += 61
    writer.turn()
    assert len(exporter.tried) == 1, "it was told"


def test_what_a_process_lost_is_told_by_the_next_one_in_its_name(untouched, tmp_path):
    """It ended while the server was away, so nobody heard."""
    exporter = Networked()
    exporter.away = TryLater("away", unreachable=True)
    writer = setup.use(exporter, spool=Spool(tmp_path, limit_bytes=10))
    clew.span("does not fit").end()
    setup.shutdown(1, patience_s=0.01)
    assert writer.drops == {"spool_full": 1}

    told = []
    after = Networked()
    after.judge = lambda body: told.append(after.more_headers())
    setup.use(after, spool=Spool(tmp_path, limit_bytes=10))
    clew.span("now").end()
    assert clew.shutdown(5)
    assert {} in told
    assert {INSTANCE_HEADER: writer.pipeline.losses.instance, DROPS_HEADER: "spool_full=1"} in told
    assert after.more_headers() == {}
    assert not list(tmp_path.iterdir())
