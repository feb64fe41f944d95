"""What `attr.KEY` and `score.NAME` mean, in a URL and on the command line."""

from contextlib import suppress
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import BadFilter
from clew.query.conditions import conditions_of, pair_of
from clew.query.filters import parse_trace_query
from clew.store.conditions import number_of
from clew.store.protocol import Condition


def asked(query):
    """Give the filter of a query string."""
    return parse_trace_query(parse_qsl(query, keep_blank_values=True)).where


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("attr.user_tier=gold", Condition("user_tier", "=", "gold")),
        ("attr.top_k>=5", Condition("top_k", ">=", "5")),
        ("attr.top_k%3C=-0.5", Condition("top_k", "<=", "-0.5")),
        ("attr.region!=eu", Condition("region", "!=", "eu")),
        ("attr.region=*", Condition("region")),
        ('attr.region="*"', Condition("region", "=", "*")),
        ('attr."a<b">=1', Condition("a<b", ">=", "1")),
        ('attr."tab\\there"=x', Condition("tab\there", "=", "x")),
        ("attr.a.b.c=1", Condition("a.b.c", "=", "1")),
        ("attr.x=>=5", Condition("x", "=", ">=5")),
    ],
)
def test_a_condition_is_written_as_it_is_read(query, condition):
    """An operator stands where it stands in mathematics; quotes say what is meant literally."""
    assert asked(query).attributes == (condition,)
    assert asked(query.replace("attr.", "score.", 1)).scores == (condition,)


@pytest.mark.parametrize(
    "query",
    ["attr.k>5", "attr.k<5", "attr.a<b=5", "attr.=1", 'attr."x=1', 'attr.x="\\q"', "attr.k>=abc", "attr.k>=nan",
     "attr.k>=", "attr.k<=1e999",
     f"attr.{'x' * 1001}=1", f"attr.x={'y' * 65_536}",
     "&".join(f"attr.k{n}=1" for n in range(11)),
     "&".join(f"tag={n}" for n in range(11)), "min_tokens=-1", "min_tokens=5&max_tokens=4", "min_cost_usd=nan",
     "max_cost_usd=-1", "attr=1", "Attr.x=1"],
)  # fmt: skip
def test_a_condition_that_cannot_be_meant_so_is_refused(query):
    """One that were ignored would show every trace as if it had matched."""
    with pytest.raises(BadFilter):
        asked(query)


def test_an_empty_value_is_not_given():
    """That is what forms send."""
    assert asked("attr.x=&tag=&score.y=&name=").attributes == ()


def test_tags_and_one_key_may_be_asked_for_more_than_once():
    """Both of two tags; between two numbers."""
    where = asked("tag=a&tag=b&tag=a&attr.k>=5&attr.k<=9&attr.tags=a&attr.tags=b")
    assert where.tags == ("a", "b")
    assert [each.value for each in where.attributes] == ["5", "9", "a", "b"]


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("tier=gold", ("attr.tier", "gold")),
        ("top_k>=5", ("attr.top_k>", "5")),
        ("top_k <= 5", ("attr.top_k<", " 5")),
        ("tier!=a=b", ("attr.tier!", "a=b")),
        ("tier", ("attr.tier", "*")),
        ('"a=b"=c', ('attr."a=b"', "c")),
    ],
)
def test_a_line_of_the_shell_is_one_parameter(line, pair):
    """So that both mean the same."""
    assert pair_of("attr.", line) == pair


@pytest.mark.parametrize("line", ["", "=5", "a<5", "a>5", " =x"])
def test_a_line_that_says_nothing_is_refused(line):
    """With what to write instead."""
    with pytest.raises(BadFilter, match="name=value"):
        pair_of("attr.", line)


@given(st.text(), st.text())
def test_no_name_and_no_value_breaks_the_parser(name, value):
    """Whatever comes is conditions or a BadFilter."""
    with suppress(BadFilter):
        assert len(conditions_of("attr.", [(f"attr.{name}", value)])) <= 1


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_exactly(number):
    """Whole ones beyond what a float holds, too."""
    assert number_of(str(number)) == number


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "0x10", "1,5", "٣", " 1", "1e99999", "--1", "."])
def test_what_is_no_number_is_text(text):
    """Only what people write as a number is one."""
    assert number_of(text) is None
