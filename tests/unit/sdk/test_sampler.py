"""Which traces are stored in product mode."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from sampled_traffic import MINUTE, MS, SECOND, START_NS, Clock, give, give_trace, names, span, trace_ids, traces

from clew.errors import ConfigError
from clew.model import Score
from clew.sdk import draw
from clew.sdk import sampler as sampling
from clew.sdk.draw import share_of
from clew.sdk.sampler import Sampler, sampler_from
from clew.wire.deltas import DeltaBody

[DROPPED, OTHER] = trace_ids(drawn=False, count=2)
[DRAWN] = trace_ids(drawn=True, count=1)
LONG = "x" * 60


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sampler(clock: Clock) -> Sampler:
    return Sampler(0.1, now_ns=clock)


def told(sampler: Sampler, clock: Clock) -> Counter[str]:
    """How often each operation is counted in the next delta; what is taken back counts below zero."""
    body = sampler.deltas(clock(), force=True)
    counted: Counter[str] = Counter()
    if body is not None:
        delta = msgspec.msgpack.decode(body, type=DeltaBody)
        counted.update({row.name: row.count for row in delta.metrics})
        counted.subtract({row.name: row.count for row in (delta.less.metrics if delta.less else [])})
    return Counter({name: count for name, count in counted.items() if count})


# Which are stored.


def test_a_drawn_trace_is_stored_whole_when_its_root_ends(sampler):
    assert names(give(sampler, span(DRAWN, 1))) == []
    assert names(give(sampler, span(DRAWN))) == ["step 1", "ask"]


def test_about_a_tenth_is_drawn_and_every_process_draws_the_same(clock):
    """The draw is a hash of the trace id, so it needs no word between processes."""
    ids = [f"{random.Random(7).getrandbits(128) ^ number:032x}" for number in range(20_000)]
    stored = [traces(give_trace(Sampler(0.1, now_ns=clock), each, children=0)) for each in ids[:500]]
    one, other = Sampler(0.1, now_ns=clock), Sampler(0.1, now_ns=clock)
    assert [give_trace(one, each, 0) for each in ids] == [give_trace(other, each, 0) for each in ids]
    assert sum(share_of(each) < 0.1 for each in ids) == pytest.approx(2_000, rel=0.1)
    assert [bool(each) for each in stored] == [share_of(each) < 0.1 for each in ids[:500]]


def test_a_larger_share_draws_what_a_smaller_one_draws_too():
    """So a trace through services of different shares is whole wherever the smallest stores it."""
    ids = [f"{number:032x}" for number in range(1, 2_000)]
    assert {each for each in ids if share_of(each) < 0.1} < {each for each in ids if share_of(each) < 0.5}


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_none_is_none_and_all_is_all(clock, rate):
    sampler = Sampler(rate, now_ns=clock)
    stored = [bool(give_trace(sampler, f"{number:032x}", 0)) for number in range(1, 500)]
    assert set(stored) == {bool(rate)}


def test_operations_have_shares_of_their_own_by_the_roots_name(clock):
    """A health check is not worth a tenth; a payment is worth all."""
    sampler = Sampler(0.1, {"GET /health": 0, "pay": 1}, now_ns=clock)
    assert names(give_trace(sampler, DROPPED, 1, name="pay")) == ["step 1", "pay"]
    assert names(give_trace(sampler, DRAWN, 1, name="GET /health")) == []


def test_a_trace_with_an_error_anywhere_is_stored(sampler):
    """The root may have caught it."""
    give(sampler, span(DROPPED, 1, status="error"))
    give(sampler, span(DROPPED, 2))
    assert names(give(sampler, span(DROPPED))) == ["step 1", "step 2", "ask"]
    assert names(give(sampler, span(OTHER, status="error"))) == ["ask"]


def test_a_trace_that_the_user_keeps_is_stored(sampler):
    give(sampler, span(DROPPED, 1), kept=True)
    assert names(give(sampler, span(DROPPED))) == ["step 1", "ask"]


@pytest.mark.parametrize(
    ("fields", "is_stored"),
    [
        ({"attributes": {"confidence": 0.49}}, True),
        ({"attributes": {"clew.confidence": "0.2"}}, True),
        ({"attributes": {"confidence": 0.5}}, False),
        ({"outputs": "too short"}, True),
        ({"outputs": {"answer": LONG}}, False),
        ({"outputs": None}, False),
    ],
)
def test_what_the_server_would_flag_is_stored(sampler, clock, fields, is_stored):
    """LOW_CONFIDENCE and EMPTY, as the server computes them: two seconds after the root has ended."""
    give_trace(sampler, DROPPED, 1, **fields)
    assert sampler.tick(clock()) == []
    clock.pass_(3 * SECOND)
    assert bool(sampler.tick(clock())) is is_stored
    assert bool(told(sampler, clock)) is not is_stored


def test_only_the_span_that_speaks_for_the_trace_can_make_it_empty(sampler, clock):
    """A generation below may well say no more than "yes"."""
    give(sampler, span(DROPPED, 1, kind="generation", outputs="yes"))
    give(sampler, span(DROPPED, outputs=LONG))
    assert sampler.drain() == []
    give(sampler, span(OTHER, 1, kind="generation", outputs="yes"))
    give(sampler, span(OTHER))
    assert names(sampler.drain()) == ["step 1", "ask"]


def test_a_late_span_can_flag_a_trace(sampler, clock):
    """The answer of a background task belongs to the trace as well."""
    give_trace(sampler, DROPPED, 1)
    assert give(sampler, span(DROPPED, 7, attributes={"confidence": 0.1})) == []
    clock.pass_(3 * SECOND)
    assert names(sampler.tick(clock())) == ["step 1", "ask", "step 7"]


# What was slow.


def test_a_request_slower_than_95_percent_of_its_operation_is_stored(sampler):
    for number, trace_id in enumerate(trace_ids(drawn=False, count=200)):
        give_trace(sampler, trace_id, 0, end_ns=START_NS + (10 + number % 10) * MS)
    slow, usual = trace_ids(drawn=False, count=202)[200:]
    assert names(give_trace(sampler, slow, 1, end_ns=START_NS + 25 * MS)) == ["step 1", "ask"]
    assert names(give_trace(sampler, usual, 1, end_ns=START_NS + 15 * MS)) == []


def test_what_is_slow_for_one_operation_is_usual_for_another(sampler):
    ids = trace_ids(drawn=False, count=302)
    for trace_id in ids[:150]:
        give_trace(sampler, trace_id, 0, name="fast", end_ns=START_NS + 10 * MS)
    for trace_id in ids[150:300]:
        give_trace(sampler, trace_id, 0, name="slow", end_ns=START_NS + 900 * MS)
    assert names(give_trace(sampler, ids[300], 0, name="slow", end_ns=START_NS + 900 * MS)) == []
    assert names(give_trace(sampler, ids[301], 0, name="fast", end_ns=START_NS + 100 * MS)) == ["fast"]


# Late, early, and not at all.


def test_late_spans_follow_the_decision_of_their_trace(sampler):
    give_trace(sampler, DRAWN, 1)
    give_trace(sampler, DROPPED, 1)
    assert names(give(sampler, span(DRAWN, 5))) == ["step 5"]
    assert names(give(sampler, span(DROPPED, 5))) == []


def test_a_late_failure_has_its_trace_stored_whole(sampler, clock):
    """All errors are stored, also those of a task that outlives its request."""
    give_trace(sampler, DROPPED, 1)
    sampler.drain()
    assert told(sampler, clock) == {"ask": 1, "step 1": 1}
    ready = give(sampler, span(DROPPED, 5, status="error"))
    assert names(ready) == ["step 1", "ask", "step 5"]
    assert told(sampler, clock) == {"ask": -1, "step 1": -1}
    assert names(give(sampler, span(DROPPED, 6))) == ["step 6"]


def test_a_trace_without_a_root_is_decided_after_a_minute(sampler, clock):
    give(sampler, span(DRAWN, 1))
    give(sampler, span(DROPPED, 1))
    give(sampler, span(OTHER, 1, status="error"))
    clock.pass_(MINUTE - 1)
    assert sampler.tick(clock()) == []
    clock.pass_(1)
    assert traces(sampler.tick(clock())) == {DRAWN, OTHER}


def test_a_root_that_comes_later_still_can_have_its_trace_stored(clock):
    """An agent that runs for ten minutes may fail in the last one, or be of an operation that is kept."""
    sampler = Sampler(0.1, {"pay": 1}, now_ns=clock)
    for trace_id in (DROPPED, OTHER):
        give(sampler, span(trace_id, 1))
    clock.pass_(5 * MINUTE)
    sampler.tick(clock())
    sampler.drain()
    assert names(give(sampler, span(DROPPED, status="error"))) == ["step 1", "ask"]
    assert names(give(sampler, span(OTHER, name="pay"))) == ["step 1", "pay"]
    assert told(sampler, clock) == {}


def test_when_too_much_waits_for_roots_the_oldest_trace_is_decided(clock, monkeypatch):
    monkeypatch.setattr(sampling, "UNDECIDED_BYTES", 20_000)
    sampler = Sampler(1.0, now_ns=clock)
    first = f"{1:032x}"
    ready = give(sampler, span(first, 1, inputs="x" * 9_000))
    ready += give(sampler, span(f"{2:032x}", 1, inputs="x" * 9_000))
    assert ready == []
    assert traces(give(sampler, span(f"{3:032x}", 1, inputs="x" * 9_000))) == {first}
    assert sampler._undecided.size <= 20_000


def test_a_flush_decides_everything(sampler):
    give(sampler, span(DRAWN, 1))
    give(sampler, span(DROPPED, 1))
    give(sampler, span(OTHER, 1))
    give(sampler, span(OTHER, attributes={"confidence": 0.1}))
    assert traces(sampler.drain()) == {DRAWN, OTHER}
    assert sampler.drain() == []


def test_a_clock_that_is_set_back_makes_nothing_wait_for_ever(sampler, clock):
    give(sampler, span(DRAWN, 1))
    give_trace(sampler, DROPPED, 0)
    clock.pass_(-60 * MINUTE)
    assert traces(sampler.tick(clock())) == {DRAWN}
    assert sampler.deltas(clock()) is not None


# Scores.


def test_a_bad_score_has_its_trace_stored_whole_and_takes_it_out_of_the_sums(sampler, clock):
    give_trace(sampler, DROPPED, 2)
    give_trace(sampler, OTHER, 2)
    sampler.drain()
    assert told(sampler, clock) == {"ask": 2, "step 1": 2, "step 2": 2}
    clock.pass_(9 * MINUTE)
    rescued, is_sent = sampler.score(Score(trace_id=DROPPED, name="rating", value=2, best=5))
    assert names(rescued) == ["step 1", "step 2", "ask"]
    assert is_sent
    assert told(sampler, clock) == {"ask": -1, "step 1": -1, "step 2": -1}
    assert names(give(sampler, span(DROPPED, 9))) == ["step 9"]
    assert sampler.score(Score(trace_id=DROPPED, name="rating", value=1))[0] == []


def test_a_trace_that_is_rescued_before_it_was_told_of_is_not_told_of(sampler, clock):
    give_trace(sampler, DROPPED, 2)
    sampler.score(Score(trace_id=DROPPED, name="rating", value=0))
    sampler.drain()
    assert told(sampler, clock) == {}


@pytest.mark.parametrize(
    "score",
    [
        Score(trace_id=DROPPED, name="rating", value=3, best=5),
        Score(trace_id=DROPPED, name="quality", value=0, source="evaluator"),
        Score(trace_id=DROPPED, name="quality", value=0, source="code"),
    ],
)
def test_other_scores_rescue_nothing_and_are_sent(sampler, score):
    """Only a user's score flags a trace. The trace may be another process's, so the score goes out."""
    give_trace(sampler, DROPPED)
    assert sampler.score(score) == ([], True)


def test_a_bad_score_before_the_root_has_ended_keeps_the_trace(sampler):
    give(sampler, span(DROPPED, 1))
    assert names(sampler.score(Score(trace_id=DROPPED, name="rating", value=0))[0]) == ["step 1"]
    assert names(give(sampler, span(DROPPED))) == ["ask"]
    sampler.score(Score(trace_id=OTHER, name="rating", value=0))
    assert names(give(sampler, span(OTHER))) == ["ask"]


def test_after_ten_minutes_a_trace_is_let_go_of(sampler, clock):
    give_trace(sampler, DROPPED)
    clock.pass_(10 * MINUTE)
    assert sampler.tick(clock()) == []
    assert sampler.score(Score(trace_id=DROPPED, name="rating", value=0)) == ([], True)
    assert told(sampler, clock) == {"ask": 1, "step 1": 1, "step 2": 1}


def test_what_does_not_fit_the_shelf_is_counted_and_let_go_of(clock, monkeypatch):
    monkeypatch.setattr(sampling, "SHELF_BYTES", 20_000)
    sampler = Sampler(0.0, now_ns=clock)
    for number in range(1, 51):
        assert give_trace(sampler, f"{number:032x}", 1, inputs="x" * 2_000) == []
        assert sampler._aside.size <= 20_000
    sampler.drain()
    assert told(sampler, clock) == {"ask": 50, "step 1": 50}


def test_what_is_let_go_of_for_want_of_room_is_stored_if_it_is_flagged(clock, monkeypatch):
    monkeypatch.setattr(sampling, "SHELF_BYTES", 0)
    sampler = Sampler(0.0, now_ns=clock)
    assert names(give_trace(sampler, DROPPED, 1, attributes={"confidence": 0.1})) == ["step 1", "ask"]
    assert told(sampler, clock) == {}


# Bounds and beginnings.


def test_decisions_are_remembered_for_a_bounded_number_of_traces(clock, monkeypatch):
    monkeypatch.setattr(draw, "REMEMBERED", 100)
    sampler = Sampler(1.0, now_ns=clock)
    for number in range(1, 1_000):
        give_trace(sampler, f"{number:032x}", 0)
    known = sampler._decisions
    assert len(known._last) + len(known._before) <= 200
    assert names(give(sampler, span(f"{999:032x}", 5))) == ["step 5"]
    assert names(give(sampler, span(f"{1:032x}", 5))) == [], "forgotten, so it waits and is drawn again"


def test_a_trace_on_which_spans_keep_coming_does_not_hold_up_the_others(sampler, clock):
    give_trace(sampler, DROPPED)
    give_trace(sampler, OTHER)
    for number in range(5, 10):
        clock.pass_(SECOND)
        give(sampler, span(DROPPED, number))
    sampler.tick(clock())
    assert told(sampler, clock)["ask"] == 2


def test_a_trace_that_was_counted_is_counted_anew_once_a_minute(sampler, clock, monkeypatch):
    """It is the whole trace that is read again, and spans may come late for ten minutes."""
    give_trace(sampler, DROPPED)
    sampler.drain()
    reads = []
    monkeypatch.setattr(
        sampler._rollup,
        "read",
        lambda packed, at_ns, read=sampler._rollup.read: reads.append(1) or read(packed, at_ns=at_ns),
    )
    for number in range(5, 305):
        clock.pass_(SECOND)
        give(sampler, span(DROPPED, number))
        sampler.tick(clock())
    assert len(reads) <= 2 * 5
    assert told(sampler, clock)["step 5"] == 1


def test_what_was_let_go_of_is_not_held_by_the_line_that_it_stood_in(clock, monkeypatch):
    """At a high rate two seconds of traffic are more than the shelf may hold."""
    monkeypatch.setattr(sampling, "SHELF_BYTES", 20_000)
    sampler = Sampler(0.0, now_ns=clock)
    for number in range(1, 101):
        give_trace(sampler, f"{number:032x}", 1, inputs="x" * 2_000)
    held = sum(len(packed) for _, each in sampler._line for packed in each.packed)
    assert held <= 20_000


def test_a_forked_child_forgets_what_the_parent_has(sampler, clock):
    give(sampler, span(DRAWN, 1))
    give_trace(sampler, DROPPED)
    sampler.after_fork()
    assert sampler.drain() == []
    assert told(sampler, clock) == {}


def test_what_cannot_be_looked_at_is_stored(sampler, clock, monkeypatch):
    """A bug in the counting must not cost a trace."""
    give_trace(sampler, DROPPED)
    monkeypatch.setattr(sampler._rollup, "read", lambda *_, **__: 1 / 0)
    clock.pass_(3 * SECOND)
    assert names(sampler.tick(clock())) == ["step 1", "step 2", "ask"]


# Settings.


def test_develop_needs_no_sampler():
    assert sampler_from("develop", 0.1, {}) is None
    assert isinstance(sampler_from("Product", 1, {"chat": 0.5}), Sampler)


@pytest.mark.parametrize("mode", ["prod", "", None, 1, ["product"]])
def test_an_unknown_mode_is_refused_with_the_known_ones(mode):
    with pytest.raises(ConfigError, match=r"mode: .*'develop'.*'product'"):
        sampler_from(mode, 0.1, {})


@pytest.mark.parametrize("rate", [-0.1, 1.01, float("nan"), float("inf"), "0.1", None, True, 10])
@pytest.mark.parametrize("mode", ["develop", "product"])
def test_a_share_outside_of_0_to_1_is_refused(mode, rate):
    """In develop mode too: it is a mistake wherever it stands."""
    with pytest.raises(ConfigError, match=r"sample_rate: .*from 0 .*to 1"):
        sampler_from(mode, rate, {})
    with pytest.raises(ConfigError, match=r"sample_rates\['chat'\]: .*from 0 .*to 1"):
        sampler_from(mode, 0.1, {"chat": rate})


@pytest.mark.parametrize("rates", [[("chat", 0.5)], "chat=0.5", 0.5, {7: 0.5}])
def test_rates_that_are_no_mapping_of_names_are_refused(rates):
    with pytest.raises(ConfigError, match="sample_rates: "):
        sampler_from("product", 0.1, rates)
