"""One trace as a tree in the terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from clew.cli.tree import FINE, guides, print_trace, waterfall_bar
from clew.model import Score, Span, in_tree_order, summarise
from clew.query.rows import score_row, span_row, trace_row

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
START_NS = 1_795_163_400_000_000_000
MS = 1_000_000


def span(number: int, parent: int | None = None, **fields: object) -> Span:
    """Give a span of 100 ms whose id is *number*."""
    return Span(
        **{
            "trace_id": TRACE_ID,
            "span_id": f"{number:016x}",
            "parent_id": None if parent is None else f"{parent:016x}",
            "name": f"span-{number}",
            "start_ns": START_NS + number,
            "end_ns": START_NS + 100 * MS,
        }
        | fields
    )


def body(*spans: Span, scores: tuple[Score, ...] = ()) -> dict:
    """Give the body of GET /api/v1/admin/traces/{trace_id}."""
    return {
        "trace": trace_row(summarise("default", spans, scores)),
        "spans": [span_row(placed, trace_start_ns=START_NS) for placed in in_tree_order(spans)],
        "scores": [score_row(score) for score in scores],
    }


def printed(shown: dict, *, width: int = 160, encoding: str = "utf-8", color: bool = False, **options: object) -> str:
    """Give what `print_trace` prints."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=file, width=width, force_terminal=color, color_system="standard" if color else None)
    print_trace(console, shown, **options)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_branches_show_who_called_whom():
    """A tree is read by its left edge."""
    assert guides([0, 1, 2, 2, 1, 2, 0]) == ["", "├─ ", "│  ├─ ", "│  ╰─ ", "╰─ ", "   ╰─ ", ""]


@given(st.lists(st.integers(0, 40), max_size=30))
def test_any_depths_give_a_branch_each(depths):
    """Orphans and cut cycles make odd trees, and none may break the printing."""
    lines = guides(depths, FINE)

    assert len(lines) == len(depths)
    assert all((line == "") is (depth == 0) for line, depth in zip(lines, depths, strict=True))


def test_a_trace_tells_its_whole_story():
    """Durations, kinds, model, tokens, status, flag and reason, error and link, at one look."""
    shown = body(
        span(1, kind="root", name="POST /query", status="ok", response_chars=5, output_preview="short", user_id="ada"),
        span(2, 1, kind="retrieval", name="documents", status="error", status_message="index is gone"),
        span(3, 1, kind="generation", name="ChatOpenAI", model="SmolLM2", input_tokens=43, output_tokens=8),
        scores=(Score(trace_id=TRACE_ID, name="rating", value=4, source="code"),),
    )

    text = printed(shown, link="http://127.0.0.1:4319/#/traces/1")

    for word in (
        "POST /query", "100 ms", "ROOT", "├─ documents", "╰─ ChatOpenAI", "GENERATION", "SmolLM2", "43 → 8 tokens",
        "EMPTY", "under 50", "index is gone", "user ada", "rating 4 of 5", "http://127.0.0.1:4319/#/traces/1", TRACE_ID,
    ):  # fmt: skip
        assert word in text


def test_what_a_trace_holds_neither_commands_the_terminal_nor_styles_it():
    """Names, models, errors, reasons, comments and payloads come from anywhere."""
    evil = "\x1b]0;owned\x07\x1b[2J[bold red]markup[/] \u202eesrever"
    one = span(
        1, name=evil, status="error", status_message=evil, model=evil, user_id=evil, problems=[evil],
        inputs={evil: evil}, outputs=evil,
        attributes={evil: evil}, input_preview=evil, output_preview=evil, response_chars=5,
    )  # fmt: skip
    shown = body(one, scores=(Score(trace_id=TRACE_ID, name=evil, value=1, comment=evil),))

    text = printed(shown, payloads=True)

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "[bold red]markup[/]" in text


def test_colours_are_the_only_escape_sequences_on_a_terminal():
    """The kind is told by colour too; the link can be clicked."""
    text = printed(body(span(1, kind="generation", name="\x1b[31mred")), color=True, link="http://127.0.0.1:1/#/x")

    assert "\x1b[" in text
    assert "\x1b[31mred" not in text


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_the_tree_keeps_to_the_width_of_the_terminal(width):
    """Wrapped rows are no tree. The narrowest that it fits is 60."""
    shown = body(
        span(1, kind="root", name="n" * 80),
        *(span(number, number - 1, kind="classification", model="m" * 30) for number in range(2, 9)),
    )

    rows = [line for line in printed(shown, width=width).splitlines() if "█" in line]

    assert len(rows) == 8
    assert max(map(len, rows)) <= max(width, 68)


def test_a_terminal_without_unicode_gets_plain_branches():
    """A log of a CI machine may be ASCII; an exception would hide the trace."""
    text = printed(body(span(1), span(2, 1)), encoding="ascii")

    assert "`- span-2" in text
    assert "* span-1" in text


def test_a_trace_that_runs_or_lost_its_root_is_shown_as_that():
    """A missing parent is a fact, and no reason to hide a span."""
    text = printed(body(span(2, parent=1, end_ns=None)))

    assert "parent not seen" in text
    assert "running" in text


def test_ten_thousand_levels_are_printed_flat_and_say_how_deep():
    """Agents loop."""
    text = printed(body(*(span(number, number - 1 if number > 1 else None) for number in range(1, 2_000))))

    assert "depth 1998" in text


@given(
    st.floats(-10, 2_000),
    st.one_of(st.none(), st.floats(0, 2_000)),
    st.floats(0, 1_500),
    st.integers(12, 36),
    st.booleans(),
)
def test_a_bar_is_never_outside_its_column(start_ms, duration_ms, total_ms, width, fine):
    """Clocks of two machines differ; a child may begin before its root."""
    row = {"start_ms": start_ms, "duration_ms": duration_ms, "status": "ok", "kind": "tool"}

    bar = waterfall_bar(row, total_ms, width, fine=fine)

    assert 1 <= bar.cell_len <= width
    assert bar.plain.strip()


def test_a_stream_shows_its_first_token_and_its_speed():
    """What one looks for first when an answer felt slow."""
    timed = {"clew.tokens": [300_000, *[20_000] * 50], "clew.token_count": 51}
    shown = body(span(1, kind="generation", first_token_ms=300.0, attributes=timed))

    assert "first token 300 ms · 50 tokens/s" in printed(shown)


def test_a_timeline_that_is_none_hides_nothing():
    shown = body(span(1, kind="generation", first_token_ms=300.0, attributes={"clew.tokens": ["x", -1]}))

    assert "first token 300 ms" in printed(shown)
    assert "tokens/s" not in printed(shown)
