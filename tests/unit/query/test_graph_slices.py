"""What `diff` can be asked to compare, and what is refused."""

from __future__ import annotations

import pytest

from clew.errors import BadFilter
from clew.query.graph_slices import MAX_DAYS, Part, parts, refuse_unknown_version

NOW_NS = 1_795_219_200 * 10**9  # 2026-11-21, 00:00 UTC


def days(first, count):
    return tuple(f"day:2026-11-{first + at:02}" for at in range(count))


def both(before=None, after=None):
    return parts(before, after, now_ns=NOW_NS)


def test_without_both_sides_the_last_seven_days_are_compared_with_the_seven_before():
    """'What has changed?' is asked without looking at a calendar; no day is in both."""
    before, after = both()

    assert before.slices == days(8, 7)
    assert after.slices == days(15, 7)
    assert (before.text, after.text) == ("2026-11-08..2026-11-14", "2026-11-15..2026-11-21")


def test_a_number_of_days_ends_today_and_is_compared_with_as_many_before():
    before, after = both("1d")

    assert (before.slices, after.slices) == (days(20, 1), days(21, 1))


def test_a_number_of_days_beside_another_side_is_just_these_days():
    before, after = both("version:1.4.1", "2d")

    assert before == Part("version 1.4.1", slices=("version:1.4.1",))
    assert after.slices == days(20, 2)


def test_any_other_side_alone_is_compared_with_everything():
    before, after = both("version:1.4.1")

    assert before.slices == ("version:1.4.1",)
    assert after == Part("everything until now")


@pytest.mark.parametrize(
    "text", ["2026-11-20", "day:2026-11-20", "2026-11-20..2026-11-20", "day:2026-11-20..2026-11-20"]
)
def test_one_day_can_be_said_in_each_form(text):
    assert both(text, "now")[0].slices == days(20, 1)


def test_the_last_day_of_a_range_is_in_it():
    assert both("2026-11-01..2026-11-07", "now")[0].slices == days(1, 7)


def test_a_version_or_project_may_hold_colons_and_dots():
    """Names are the users'."""
    before, after = both("version:1..2:rc", "project:a:b")

    assert before.slices == ("version:1..2:rc",)
    assert after.project == "a:b"


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-13-01", "2026-02-30", "2026-11-07..2026-11-01", "1970-01-01..2026-11-01", "0d", "99999d",
     "version:", "project:", "2026-11-01..", "..", "day:", "-7d", "\u0667d", "2026-11-20 "],
)  # fmt: skip
def test_what_is_no_side_is_refused_and_named(text):
    """A side that is guessed at would compare something else than was meant."""
    with pytest.raises(BadFilter) as caught:
        both(text, "now")

    assert caught.value.field == "before"


def test_many_days_are_still_so_many_names():
    assert len(both(f"{MAX_DAYS}d", "now")[0].slices) == MAX_DAYS


def test_a_version_that_was_never_learned_is_refused_with_those_that_were():
    """A misspelt version would look as if everything had gone."""
    before, _ = both("version:1.4.l")

    with pytest.raises(BadFilter, match=r"1\.4\.1"):
        refuse_unknown_version("before", before, ["day:2026-11-20", "version:1.4.1"])
    refuse_unknown_version("before", both("version:1.4.1")[0], ["version:1.4.1"])


def test_a_day_without_traces_is_an_empty_side():
    """Nothing happened on it, which is an answer."""
    refuse_unknown_version("before", both("2020-01-01")[0], [])
