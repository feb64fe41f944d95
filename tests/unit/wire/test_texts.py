"""The text in inputs and outputs, whatever shape a client gave them."""

from __future__ import annotations

from typing import Any

import pytest

from clew.model import Span
from clew.wire import texts
from clew.wire.conventions import derive


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ("plain", "plain"),
        ({"answer": "A", "sources": ["x"]}, "A"),
        ({"output": {"content": "A"}}, "A"),
        ({"response": "A"}, "A"),
        ({"choices": [{"message": {"role": "assistant", "content": "A"}}]}, "A"),
        ([{"role": "assistant", "content": "A"}, {"role": "assistant", "content": "B"}], "A\nB"),
        ([{"role": "assistant", "parts": [{"type": "text", "content": "A"}]}], "A"),
        ({"content": [{"type": "text", "text": "A"}, {"type": "image"}]}, "A"),
        ({"generations": [[{"text": "A"}]]}, "A"),
        (["A", "B"], "A\nB"),
        ({"answer": ""}, ""),
        ({"content": "", "tool_calls": [{"name": "weather"}]}, None),
        ({"role": "assistant", "content": None, "tool_calls": []}, None),
        ({"rows": 3}, None),
        (7, None),
        ([], None),
    ],
)
def test_the_answer_in_outputs(outputs: Any, text: str | None) -> None:
    assert texts.answer_text(outputs) == text


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ("plain", "plain"),
        ({"question": "Q", "strategy": "auto"}, "Q"),
        (
            [
                {"role": "system", "content": "S"},
                {"role": "user", "content": "Q"},
                {"role": "assistant", "content": "A"},
            ],
            "Q",
        ),
        ({"messages": [{"type": "human", "content": "Q"}]}, "Q"),
        ({"rows": 3}, None),
    ],
)
def test_the_question_in_inputs(inputs: Any, text: str | None) -> None:
    assert texts.question_text(inputs) == text


def test_what_has_no_text_counts_as_its_json() -> None:
    """An answer that is an object is not an empty one."""
    span = Span(trace_id="ab" * 16, span_id="cd" * 8, start_ns=1, kind="root", outputs={"rows": [1, 2, 3]})
    derive(span)

    assert span.response_chars == len('{"rows":[1,2,3]}')
    assert span.output_preview == '{"rows":[1,2,3]}'


@pytest.mark.parametrize(("outputs", "chars"), [(None, None), ("", 0), ("   \n", 0), (" four ", 4)])
def test_an_answer_of_nothing_but_space_is_empty(outputs: str | None, chars: int | None) -> None:
    """And one that was not captured is not known to be empty."""
    span = Span(trace_id="ab" * 16, span_id="cd" * 8, start_ns=1, kind="root", outputs=outputs)
    derive(span)

    assert span.response_chars == chars


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("short", "short"),
        ("two\nlines\tand  more", "two lines and more"),
        ("  led by space", "led by space"),
        ("x" * 160, "x" * 160),
        ("x" * 161, "x" * 159 + "…"),
        ("word " * 100, ("word " * 100)[:159] + "…"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("", ""),
    ],
)
def test_a_preview_is_one_short_line(text: str, shown: str) -> None:
    """It stands in lists and terminals: no breaks, no control characters."""
    assert texts.preview(text) == shown
