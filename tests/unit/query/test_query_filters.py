"""What the list of traces can be asked, and what is refused."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.model import KINDS, Flag
from clew.query.filters import (
    MAX_LIMIT,
    MAX_TIME_NS,
    TRACE_PARAMS,
    cursor_of,
    cursor_text,
    parse_trace_query,
    time_of,
)
from clew.query.latency import LATENCY_PARAMS, parse_heat_query, parse_latency_query, parse_steps_query
from clew.query.latency_steps import usual_step_s
from clew.query.rows import iso
from clew.store.protocol import TraceFilter

SECOND_NS = 1_000_000_000
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def test_nothing_asked_means_the_newest_of_the_default_project():
    """The page's first question has no parameters at all."""
    assert parse_trace_query([]) == ("default", TraceFilter(), 50, None)


def test_every_filter_reaches_the_store_in_its_own_unit():
    """People write milliseconds and dates; stores keep nanoseconds."""
    query = parse_trace_query(
        {
            "project": "shop",
            "user_id": "u-1",
            "session_id": "s-1",
            "from": "2026-11-20T08:30:00Z",
            "to": "1796000000",
            "min_latency_ms": "1.5",
            "max_latency_ms": "2000",
            "quality_flag": "empty",
            "status": "ERROR",
            "kind": "RETRIEVAL",
            "model": "gpt-5-mini",
            "text": "two words",
            "limit": "7",
            "cursor": f"5-{TRACE_ID}",
        }.items()
    )

    assert query.project == "shop"
    assert query.limit == 7
    assert query.after == (5, TRACE_ID)
    assert query.where == TraceFilter(
        user_id="u-1",
        session_id="s-1",
        from_ns=int(datetime(2026, 11, 20, 8, 30, tzinfo=timezone.utc).timestamp()) * SECOND_NS,
        to_ns=1_796_000_000 * SECOND_NS,
        min_duration_ns=1_500_000,
        max_duration_ns=2_000_000_000,
        flag=Flag.EMPTY,
        status="error",
        kind="retrieval",
        model="gpt-5-mini",
        text="two words",
    )


def test_an_empty_value_is_not_given():
    """Forms send every field, also those that nobody filled in."""
    assert parse_trace_query([(name, " ") for name in TRACE_PARAMS]) == parse_trace_query([])


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"frobnicate": "1"}, "frobnicate"),
        ({"userid": "u"}, "userid"),
        ({"from": "2026-11-21", "to": "2026-11-20"}, "from"),
        ({"from": "100", "to": "100"}, "from"),
        ({"from": "yesterday"}, "from"),
        ({"from": "NaN"}, "from"),
        ({"from": "-1"}, "from"),
        ({"to": "1763700000000"}, "to"),  # milliseconds: the year 57858
        ({"to": "9" * 29}, "to"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
        ({"min_latency_ms": "-1"}, "min_latency_ms"),
        ({"min_latency_ms": "NaN"}, "min_latency_ms"),
        ({"max_latency_ms": "inf"}, "max_latency_ms"),
        ({"max_latency_ms": "fast"}, "max_latency_ms"),
        ({"min_latency_ms": "2", "max_latency_ms": "1"}, "min_latency_ms"),
        ({"kind": "llm-ish"}, "kind"),
        ({"quality_flag": "BAD"}, "quality_flag"),
        ({"status": "fine"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "1e2"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"cursor": "abc"}, "cursor"),
        ({"cursor": "5-" + "0" * 32}, "cursor"),
        ({"cursor": "99999999999999999999-" + TRACE_ID}, "cursor"),
        ({"cursor": f"-5-{TRACE_ID}"}, "cursor"),
        ({"user_id": "a\x00b"}, "user_id"),
        ({"text": "x" * 1_001}, "text"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(params, field):
    """An empty page would read as "no such traces"; an ignored filter as "all of them match"."""
    with pytest.raises(BadFilter) as refused:
        parse_trace_query(params.items())

    assert refused.value.field == field


def test_a_filter_given_twice_is_refused():
    """Which of the two was meant cannot be known."""
    with pytest.raises(BadFilter, match="more than once"):
        parse_trace_query([("kind", "tool"), ("kind", "agent")])


def test_what_is_unknown_is_answered_with_what_is_known():
    """A misspelling is mended from the message alone."""
    with pytest.raises(BadFilter, match="user_id"):
        parse_trace_query([("user", "x")])


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T08:30:00Z",
        "2026-11-20T08:30:00z",
        "2026-11-20T08:30:00",
        "2026-11-20 08:30:00",
        "2026-11-20T08:30:00.000Z",
        "2026-11-20T08:30:00.000000000Z",
        "2026-11-20T09:30:00+01:00",
        "2026-11-20T09:30:00 01:00",  # a "+" that nobody escaped in a URL
        "1795163400",
        "1795163400.0",
    ],
)
def test_a_time_is_read_in_each_way_that_people_write_it(text):
    """No zone means UTC, so that an answer does not depend on where the server stands."""
    assert time_of("from", text) == 1_795_163_400 * SECOND_NS


@given(st.integers(0, MAX_TIME_NS))
def test_unix_seconds_keep_every_nanosecond(time_ns):
    """A float would be off by hundreds of nanoseconds and skip a trace at the border."""
    assert time_of("from", f"{time_ns // SECOND_NS}.{time_ns % SECOND_NS:09}") == time_ns


@given(st.integers(0, MAX_TIME_NS))
def test_a_time_that_we_wrote_is_one_that_we_read(time_ns):
    """What stands in a row as `started_at` can be pasted into `from`."""
    assert time_of("from", iso(time_ns)) == time_ns // 1_000 * 1_000


@given(st.integers(0, MAX_TIME_NS), st.integers(1, 2**128 - 1))
def test_a_cursor_comes_back_as_it_went(start_ns, number):
    """Clients hand it back without looking inside."""
    cursor = (start_ns, f"{number:032x}")

    assert cursor_of("cursor", cursor_text(cursor)) == cursor


@given(st.lists(st.tuples(st.sampled_from([*TRACE_PARAMS, "x"]), st.text()), max_size=5))
def test_no_query_string_breaks_the_parser(params):
    """Whatever comes is a query or a BadFilter, never another exception."""
    with suppress(BadFilter):
        assert 1 <= parse_trace_query(params).limit <= MAX_LIMIT


def test_latency_is_asked_for_a_week_by_kind_if_nothing_is_said():
    """The question of the first screen."""
    asked = parse_latency_query([])
    assert (asked.project, asked.kind, asked.group_by) == ("default", None, ("kind",))
    week_ns = 7 * 86_400 * SECOND_NS
    assert asked.window(2 * week_ns) == (week_ns, 2 * week_ns)


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_type_is_a_kind_in_any_case(kind):
    """The original design writes them in capitals."""
    assert parse_latency_query([("operation_type", kind.upper())]).kind == kind


def test_groups_are_read_in_any_order_and_given_in_ours():
    """So the same question is asked of the store in the same way."""
    assert parse_latency_query([("group_by", "model, Kind,model")]).group_by == ("kind", "model")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lookback_days", "0"),
        ("lookback_days", "-1"),
        ("lookback_days", "nan"),
        ("lookback_days", "1e9"),
        ("lookback_days", "week"),
        ("operation_type", "LLM-ISH"),
        ("group_by", "kind,colour"),
        ("group_by", ","),
        ("quantiles", "p99"),
        ("quantiles", "0.5,,0.9"),
        ("step", "hour"),
        ("from", "yesterday"),
    ],
)
def test_a_latency_question_that_makes_no_sense_is_refused(name, value):
    """As with the filters of the list."""
    with pytest.raises(BadFilter, match=name):
        parse_latency_query([(name, value)])


@given(st.lists(st.tuples(st.sampled_from([*LATENCY_PARAMS]), st.text()), max_size=4))
def test_no_query_string_breaks_the_latency_parser(params):
    """Whatever comes is a query or a BadFilter."""
    with suppress(BadFilter):
        assert parse_latency_query(params).lookback_ns > 0


@pytest.mark.parametrize(
    ("text", "step_s"),
    [
        ("minute", 60),
        ("hour", 3600),
        ("Day", 86_400),
        ("5m", 300),
        ("6 h", 21_600),
        ("7d", 604_800),
        ("2 days", 172_800),
    ],
)
def test_a_step_is_read_in_each_way_that_people_write_it(text, step_s):
    """Seconds are none of them: nothing finer than a minute is counted."""
    assert parse_steps_query([("step", text)]).step_s == step_s


@pytest.mark.parametrize("text", ["second", "5", "5s", "1.5h", "-1h", "hourly", "9" * 40 + "m", "m5"])
def test_a_step_that_is_none_is_refused(text):
    """A number alone might be meant as seconds or as minutes."""
    with pytest.raises(BadFilter, match="step"):
        parse_steps_query([("step", text)])


@pytest.mark.parametrize(
    ("days", "step_s"), [("0.01", 60), ("1", 900), ("7", 10_800), ("90", 86_400), ("3660", 2_419_200)]
)
def test_without_a_step_there_are_as_many_as_can_be_drawn(days, step_s):
    """The step is chosen from lengths that people know."""
    asked = parse_heat_query([("lookback_days", days)])
    window = asked.window(4_000 * 86_400 * SECOND_NS)
    assert usual_step_s(*window) == step_s


def test_a_window_is_said_in_one_way():
    """`from` and `lookback_days` both say where it begins; a window ahead of now has no end."""
    with pytest.raises(BadFilter, match="lookback_days"):
        parse_latency_query([("from", "10"), ("lookback_days", "1")])
    with pytest.raises(BadFilter, match="before it begins"):
        parse_latency_query([("from", "10"), ("to", "9")]).window(SECOND_NS)
    assert parse_latency_query([("from", "1"), ("to", "9")]).window(SECOND_NS) == (SECOND_NS, 9 * SECOND_NS)


def test_quantiles_are_read_once_each():
    """In the order in which they were asked for."""
    assert parse_latency_query([("quantiles", "0.9, 0.5,0.9,1")]).quantiles == (0.9, 0.5, 1.0)
