"""What a trace holds, made safe for a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.cli.text import cost, duration, one_line, payload, safe, tokens


@given(st.text() | st.text("\x1b\x9b\x07\x00\r\n\t\u202e\u2028[]31m;"))
def test_no_control_character_gets_through(text):
    """An escape sequence can overwrite what was printed, and on some terminals types."""
    kept = {unicodedata.category(character) for character in safe(text) if character not in "\n\t"}

    assert not kept & {"Cc", "Cs", "Zl", "Zp"}


@given(st.text())
def test_one_line_is_one_line_and_has_an_end(text):
    """A row of a table must not become a page."""
    line = one_line(text, 20)

    assert len(line) <= 20
    assert "\n" not in line


def test_a_cut_is_visible():
    """Or two long names would look the same and be different."""
    assert one_line("x" * 30, 10) == "x" * 9 + "…"
    assert payload("x" * 30, 10).startswith("x" * 10 + "… (20 more")


def test_a_payload_reads_as_it_was_written():
    """Text as text, with its lines; anything else as JSON."""
    assert payload("a\nb\x1b[2J") == "a\nb�[2J"
    assert payload({"a": [1]}) == '{\n  "a": [\n    1\n  ]\n}'


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (None, "running"),
        (0.0, "0.00 ms"),
        (0.123, "0.12 ms"),
        (38.4, "38 ms"),
        (999.6, "1 s"),
        (1_240.0, "1.24 s"),
        (99_940.0, "99.9 s"),
        (125_000.0, "2 min 05 s"),
        (3_600_000.0, "60 min 00 s"),
    ],
)
def test_a_duration_has_three_figures(duration_ms, text):
    """More would be noise, and less would hide a difference."""
    assert duration(duration_ms) == text


def test_what_is_not_known_is_not_shown():
    """Zero tokens and no cost are different from unknown ones, and neither needs a column."""
    assert tokens({"input_tokens": None, "output_tokens": None}) == ""
    assert tokens({"input_tokens": 1_200, "output_tokens": 3}) == "1,200 → 3 tokens"
    assert tokens({"input_tokens": 12, "output_tokens": 0}) == "12 tokens"
    assert cost(None) == ""
    assert cost(0.0012) == "$0.0012"


@pytest.mark.parametrize(
    ("cost_usd", "shown"),
    [(None, ""), (0.0, "$0.00"), (1e-12, "$0.00"), (1.234e-05, "$0.000012"), (0.008625, "$0.0086"), (0.0192, "$0.019"),
     (0.1, "$0.10"), (1234.5, "$1,234.50")],
)  # fmt: skip
def test_costs_are_read_side_by_side(cost_usd, shown):
    """Of one request, a cent is often all; two figures tell cheap ones apart, and no power of ten."""
    assert cost(cost_usd) == shown
