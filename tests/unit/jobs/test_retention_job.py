"""Rounds of retention: complete, in short steps, and never in the way."""

import random

import pytest

from clew.config import AgeRule
from clew.errors import StoreBusy
from clew.jobs import retention
from clew.jobs.retention import RetentionJob, Round
from clew.jobs.retention_plan import plan
from clew.store import open_store
from clew.store.protocol import Policy, Whom
from clew.testing.store_contract import DAY_NS, a_span, a_trace_id, put
from clew.testing.store_contract_choices import a_suggestion
from clew.testing.store_contract_graph import learn_all
from clew.testing.store_contract_retention import DAYS_30, NOW_NS, aged, listed


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    store = open_store("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/clew.db")
    yield store
    store.close()


@pytest.fixture
def file(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/clew.db")
    yield store
    store.close()


def job_on(store, policy, **fields):
    return RetentionJob(store, policy, **{"now_ns": lambda: NOW_NS, "wait": lambda _: None} | fields)


def large(number, days, **fields):
    """A trace that takes some kilobytes, however it is packed."""
    return aged(number, days, inputs=random.Random(number).randbytes(8_000).hex(), **fields)


def do(this):
    return sum(1 for _ in this.steps())


def test_a_round_drops_all_that_is_too_old(store, monkeypatch):
    """However many steps it takes."""
    monkeypatch.setattr(retention, "STEP_TRACES", 3)
    put(store, *(aged(number, 40) for number in range(10)), aged(10, 1))
    learn_all(store)
    assert job_on(store, DAYS_30).run_once().expired == (10, 10)
    assert listed(store) == {a_trace_id(10)}


def test_what_is_to_be_learned_waits_for_it(store):
    """Where nothing is learned, it need not."""
    put(store, aged(0, 40), aged(1, 40))
    done = job_on(store, DAYS_30).run_once()
    assert (done.expired.traces, done.waiting) == (0, 2)
    assert job_on(store, DAYS_30, learns=False).run_once().expired.traces == 2


def test_suggestions_go_with_the_age_of_traces(store):
    """Their log would grow for ever; those that nobody closed yet stay, and without an age all do."""
    for number in range(3):
        store.log_suggestion(a_suggestion(number, at_ns=NOW_NS - (29 + number) * DAY_NS))
    store.score_suggestions([a_suggestion(number, scored=True) for number in (0, 2)])
    assert job_on(store, Policy()).run_once().suggestions == 0
    assert job_on(store, DAYS_30).run_once().suggestions == 1
    assert [each.suggestion_id for each in store.suggestion_records("default", "suggest", 0)] == ["s1", "s0"]


def test_a_job_tells_what_it_did_since_it_began(store, monkeypatch):
    """Over its rounds, those included that broke off; bytes by the share of the spans."""
    job = job_on(store, DAYS_30, learns=False)
    monkeypatch.setattr(store, "used_bytes", lambda: 4_000)
    for days in (40, 50):
        put(store, aged(days, days), a_span(days, 1), aged(0, 1), aged(1, 1))
        job.run_once()
    assert job.totals.done.expired == (2, 4)
    assert job.totals.done.bytes == 4_000
    assert (job.totals.rounds, job.totals.failures, job.totals.last_round_ns) == (2, 0, NOW_NS)

    def fail(*_, **__):
        raise StoreBusy("somebody writes")

    monkeypatch.setattr(store, "expired", fail)
    job.run_once()
    assert (job.totals.rounds, job.totals.failures, job.totals.dropped_traces) == (3, 1, 2)


def test_the_job_rests_after_each_step(store, monkeypatch):
    """So that writes go on between them."""
    monkeypatch.setattr(retention, "STEP_TRACES", 2)
    put(store, *(aged(number, 40) for number in range(6)))
    rests = []
    job_on(store, DAYS_30, learns=False, wait=rests.append).run_once()
    assert len(rests) >= 3
    assert all(rest > 0 for rest in rests)


def test_a_job_that_is_closed_stops_at_its_next_step(store, monkeypatch):
    """A stop must not wait for a long round."""
    monkeypatch.setattr(retention, "STEP_TRACES", 1)
    put(store, *(aged(number, 40) for number in range(6)))
    job = job_on(store, DAYS_30, learns=False, wait=lambda _: job.close())
    assert job.run_once().expired.traces == 1


def test_a_store_that_is_busy_is_asked_again_later(store, monkeypatch, caplog):
    """Nothing raises; the next round does the rest."""

    def busy(*_, **__):
        raise StoreBusy("somebody writes")

    put(store, aged(0, 40))
    with monkeypatch.context() as patched:
        patched.setattr(store, "drop_expired", busy)
        job = job_on(store, DAYS_30, learns=False)
        assert job.run_once().expired.traces == 0
    assert "somebody writes" in caplog.text
    assert job.run_once().expired.traces == 1
    assert job.totals.dropped_traces == 1


def test_a_store_that_is_too_large_loses_what_came_first(file):
    """As much as is too much; what a rule keeps longer goes last."""
    put(file, *(large(number, 1, status="error" if number < 5 else "ok") for number in range(150)))
    rules = (AgeRule("status", "error", 90 * DAY_NS),)
    most = file.used_bytes() * 2 // 3
    rounds = 0
    while file.used_bytes() > most:
        do(Round(file, Policy(rules=rules, most_bytes=most), now_ns=NOW_NS, learned_only=False, spare=False))
        rounds += 1
        assert rounds < 10
    left = listed(file)
    assert file.used_bytes() <= most
    assert 70 < len(left) < 110
    assert {a_trace_id(number) for number in (*range(5), 149)} <= left
    assert a_trace_id(5) not in left


def test_a_store_within_its_size_loses_nothing(file):
    """Also right at the edge."""
    put(file, *(aged(number, 1) for number in range(20)))
    this = Round(file, Policy(most_bytes=file.used_bytes()), now_ns=NOW_NS, learned_only=False)
    do(this)
    assert this.done.crowded_out == (0, 0)


def test_finer_histograms_go_by_their_own_ages(file):
    """Also where traces are kept for ever."""
    put(file, aged(0, 40), aged(1, 1))
    this = Round(file, Policy(), now_ns=NOW_NS, learned_only=True)
    do(this)
    assert this.done.metrics == 1
    window = {"since_ns": NOW_NS - 50 * DAY_NS, "until_ns": NOW_NS}
    assert file.latency("default", **window)[0].count == 2


def test_an_erasure_that_was_cut_short_is_finished(file):
    """Its bytes are still in the file."""
    put(file, a_span(0, user_id="ana"))
    file.erase(Whom(user_id="ana"))
    do(Round(file, Policy(), now_ns=NOW_NS, learned_only=True))
    assert file.scrub() is False


def test_a_plan_says_by_project_and_rule_what_would_go(store):
    """And drops nothing."""
    rules = (AgeRule("project", "demo", 7 * DAY_NS), AgeRule("status", "error", 60 * DAY_NS))
    put(store, aged(0, 40), a_span(0, 1), aged(1, 61, status="error"))
    put(store, aged(0, 8), project="demo")
    learn_all(store)
    put(store, aged(2, 40))
    planned = plan(store, Policy(keep_ns=30 * DAY_NS, rules=rules), now_ns=NOW_NS)
    assert [(each.project, each.rule, each.traces, each.spans, each.waiting) for each in planned] == [
        ("default", "all", 2, 3, 1),
        ("default", "status:error", 1, 1, 0),
        ("demo", "project:demo", 1, 1, 0),
    ]
    assert store.stats()["traces"] == 4


def test_a_plan_is_what_a_round_does(file):
    """Of size as well."""
    put(file, *(large(number, 1 + number % 40) for number in range(120)))
    policy = Policy(keep_ns=30 * DAY_NS, most_bytes=file.used_bytes() // 2)
    planned = {each.rule: each.traces for each in plan(file, policy, now_ns=NOW_NS)}
    this = Round(file, policy, now_ns=NOW_NS, learned_only=False)
    do(this)
    assert planned["all"] == this.done.expired.traces
    assert planned["bytes"] == pytest.approx(this.done.crowded_out.traces, rel=0.3)
    assert sum(each.bytes for each in plan(file, policy, now_ns=NOW_NS)) < file.used_bytes()
