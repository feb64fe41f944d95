"""Which window and which steps a question over time is answered with."""

import pytest

from clew.errors import BadFilter
from clew.query.latency import latency_heat, latency_steps, parse_heat_query, parse_steps_query
from clew.query.latency_steps import with_a_step
from clew.store import open_store
from clew.store.protocol import Policy
from clew.testing.store_contract import DAY_NS, SECOND_NS, a_span, put

HOUR_NS = 3_600 * SECOND_NS
NOW_NS = 20_000 * DAY_NS


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    """Spans 40 hours ago and 38 hours ago, in a minute each."""
    opened = open_store("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/clew.db")
    for number, hours in enumerate((40, 38)):
        start_ns = NOW_NS - hours * HOUR_NS
        put(opened, a_span(number, kind="tool", start_ns=start_ns, end_ns=start_ns + 5_000_000))
    yield opened
    opened.close()


def test_a_fitted_window_begins_with_the_first_span_and_ends_with_the_last(store):
    """To the minute where that makes no more steps than can be drawn; every span stays in it."""
    body = latency_heat(store, parse_heat_query([("fit", "1")]), now_ns=NOW_NS)
    first_ns, last_ns = NOW_NS - 40 * HOUR_NS, NOW_NS - 38 * HOUR_NS
    assert body["from"] == "2024-10-02T08:00:00.000000Z"
    assert body["to"] == body["steps"][-1]["to"]
    assert len(body["steps"]) * body["step_s"] * SECOND_NS <= last_ns - first_ns + 900 * SECOND_NS
    assert [count for *_, count in body["cells"]] == [1, 1]


def test_steps_are_fitted_as_the_heat_map_is(store):
    """`minute` over a week would be refused for its 10,080 steps."""
    body = latency_steps(store, parse_steps_query([("fit", "1"), ("step", "minute")]), now_ns=NOW_NS)
    full = [len(step["operations"]) for step in body["steps"]]
    assert (full[0], sum(full[-5:]), sum(full)) == (1, 1, 2)
    assert len(full) <= 125
    with pytest.raises(BadFilter, match="steps"):
        latency_steps(store, parse_steps_query([("step", "minute")]), now_ns=NOW_NS)


def test_a_window_without_spans_stays_as_it_was(store):
    """So that its emptiness can be told of the time that was asked about."""
    body = latency_heat(store, parse_heat_query([("fit", "1"), ("name", "no such")]), now_ns=NOW_NS)
    assert body["cells"] == []
    assert len(body["steps"]) in (56, 57)


@pytest.mark.parametrize("value", ["true", "2", "-1"])
def test_fit_is_yes_or_no(value):
    """And is told how to say it."""
    with pytest.raises(BadFilter, match="fit"):
        parse_heat_query([("fit", value)])


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)  # A store in memory keeps every minute.
def test_where_only_hours_are_kept_a_step_that_nobody_named_is_an_hour(store):
    """Two hours long ago would be drawn in minutes, and those went."""
    before_s = Policy(metrics_ns={"minutes": DAY_NS}).dropped_before_s(NOW_NS)[60]
    while store.drop_metrics(60, before_s=before_s, limit=100):
        pass
    window = [("from", str((NOW_NS - 41 * HOUR_NS) // SECOND_NS)), ("to", str((NOW_NS - 37 * HOUR_NS) // SECOND_NS))]
    body = latency_heat(store, parse_heat_query(window), now_ns=NOW_NS)
    assert body["step_s"] == 3_600
    assert sum(count for *_, count in body["cells"]) == 2
    with pytest.raises(BadFilter, match="step"):
        latency_heat(store, parse_heat_query([*window, ("step", "5m")]), now_ns=NOW_NS)


def test_another_refusal_is_no_reason_to_ask_again():
    """Only a step can be mended by another step."""
    asked = []

    def ask(step_s):
        asked.append(step_s)
        raise BadFilter("model", "no")

    with pytest.raises(BadFilter, match="model"):
        with_a_step(0, HOUR_NS, ask)
    assert asked == [60]
