"""
Nothing reaches the user's code: a fault is raised at every internal call, one by one.

`make faults` tries each call with each kind of fault; here it is each place once, and some of each other kind.
"""

import os

import pytest
from fault_injection import FAULTS, Injector, Report, Site, complaints, points_of, run
from fault_scenarios import SCENARIOS, needs_of

import clew
from clew.sdk import span as spans

EVERYTHING = os.environ.get("CLEW_TEST_FAULTS") == "all"


@pytest.fixture(autouse=True)
def _untouched(untouched):
    """Each begins as in a fresh process."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_any_internal_call_reaches_nobody(name, record_property):
    """
    The user's code gets its results, its own exception is the same object, a Ctrl-C goes through, and the
    next span works, hangs where it should, and is delivered.
    """
    report = Report()
    if EVERYTHING:
        report.attack(name, SCENARIOS[name], dict.fromkeys(FAULTS, 1))
    else:
        report.attack(name, SCENARIOS[name], {"exception": 7 if needs_of(SCENARIOS[name]).is_long else 1}, limit=1)
        report.attack(name, SCENARIOS[name], {"memory": 29, "recursion": 31, "interrupt": 13})
    record_property("faults", str(report))
    assert report.failures == [], str(report)
    assert sum(report.tried.values()) > 20
    assert report.missed <= sum(report.tried.values()) // 20, "what is not met again was not tried"


def test_the_count_is_the_same_each_time():
    """What is not met again cannot be tried."""
    scenario = SCENARIOS["spans"]
    first, second = (
        [point for point in points_of(scenario)[0] if point[0].role == "user"],
        [point for point in points_of(scenario)[0] if point[0].role == "user"],
    )
    assert first == second


def test_clew_and_the_standard_library_and_c_are_called_inside():
    called = {site.callee for name in ("spans", "flushes", "threads") for site, _ in points_of(SCENARIOS[name])[0]}
    assert called >= {"perf_counter_ns", "append", "put", "get", "set", "_become_nothing", "wait"} - {"_become_nothing"}


def test_a_hole_would_be_seen(monkeypatch):
    """The harness itself must be able to fail: a span that lets a fault out is found."""
    scenario = SCENARIOS["spans"]
    points, expected = points_of(scenario)
    at_the_end = next(
        point for point in points if point[0].caller == "__exit__" and point[0].callee == "perf_counter_ns"
    )
    assert complaints(scenario, at_the_end, "exception", expected) == []

    def let_out(span, fault):
        raise fault

    monkeypatch.setattr(spans, "leave_anyway", let_out)
    said = complaints(scenario, at_the_end, "exception", expected)
    assert any("raised Injected" in each for each in said)
    assert any("still current" in each for each in said)


def test_a_swallowed_interrupt_would_be_seen():
    def swallows():
        try:  # noqa: SIM105  the fault itself
            clew.span("step").end()
        except KeyboardInterrupt:
            pass

    points, expected = points_of(swallows)
    inside = next(point for point in points if point[0].callee == "perf_counter_ns")
    assert complaints(swallows, inside, "interrupt", expected) != []


def test_a_point_that_does_not_come_is_no_success():
    nowhere = (Site("user", "nowhere.py", 1, "nobody", "nothing"), 1)
    expected = run(SCENARIOS["log_records"], Injector())
    assert complaints(SCENARIOS["log_records"], nowhere, "exception", expected) is None
