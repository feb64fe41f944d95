"""What a span costs is saved on calls and look-ups, never on what they would have done."""

from __future__ import annotations

import sys

import pytest

import clew
from clew.sdk.held import HELD, _any_runs
from clew.sdk.outbox import Outbox


def leave(*, parent: clew.span | None = None) -> None:
    with clew.span("left", parent=parent):
        pass


def end(*, parent: clew.span | None = None) -> None:
    clew.span("ended", parent=parent).end()


@pytest.fixture
def queue(captured, monkeypatch) -> Outbox:
    """An outbox of its own, whose writer is never started but counted."""
    made = Outbox()
    made.recording = made.settled = True
    monkeypatch.setattr("clew.sdk.span.outbox", made)
    return made


@pytest.mark.parametrize("hand_over", [leave, end])
def test_the_first_span_starts_the_writer(queue, hand_over):
    """The `with` appends by itself where that is all there is to do; at first there is more."""
    started = []
    queue.ensure_writer = lambda: started.append(len(queue.spans))
    with clew.span("request") as request:
        hand_over(parent=request)

    assert started == [0, 1]


@pytest.mark.parametrize("hand_over", [leave, end])
def test_a_full_queue_is_full_however_a_span_ends(queue, hand_over):
    queue.crowded_at = queue.limit = 3
    with clew.span("request") as request:
        for _ in range(5):
            hand_over(parent=request)
        assert len(queue.spans) == 3
        assert queue.full.value() == 2


@pytest.mark.parametrize("hand_over", [leave, end])
def test_an_ended_root_rings_however_it_ends(queue, hand_over):
    queue.crowded_at, queue.wake_at_root = 100, 2
    hand_over()
    assert not queue.traces_due

    hand_over()
    assert queue.traces_due


def test_a_child_rings_for_nobody(queue):
    """A trace is sent as a whole as far as can be, so its root counts alone."""
    queue.crowded_at, queue.wake_at_root = 100, 1
    with clew.span("request") as request:
        leave(parent=request)
        end(parent=request)
        assert not queue.traces_due


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there a held frame is known by its address alone")
def test_suspended_generators_are_told_from_running_ones_at_a_glance(captured):
    """Otherwise each span of a service would walk up its stack while any answer is streamed."""

    def streaming():
        with clew.span("stream"):
            yield _any_runs()

    stream = streaming()
    assert next(stream) is True
    assert HELD
    assert not _any_runs()
    stream.close()
    assert not HELD
