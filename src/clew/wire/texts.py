"""
Find the text in inputs and outputs, whatever shape a client gave them.

A string is its own text. Of an object the first of the usual keys counts; of chat messages
(OpenAI's, OpenInference's, gen_ai's parts, LangChain's) their contents, joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

PREVIEW_CHARS = 160

_ANSWER_KEYS = (
    "answer", "output", "response", "result", "content", "text", "completion", "message", "messages", "choices",
    "parts", "generations", "kwargs",
)  # fmt: skip
_QUESTION_KEYS = (
    "question",
    "query",
    "input",
    "prompt",
    "user_input",
    "message",
    "content",
    "text",
    "messages",
    "parts",
)
_ASKING_ROLES = frozenset({"user", "human"})
_MAX_DEPTH = 6


def answer_text(outputs: Any) -> str | None:
    """Give the text of *outputs*; None if there is none that people would read."""
    return outputs if type(outputs) is str else _text(outputs, _ANSWER_KEYS, _MAX_DEPTH)


def question_text(inputs: Any) -> str | None:
    """Give the text of *inputs*: of chat messages, the last that a user wrote."""
    if type(inputs) is str:
        return inputs
    if type(inputs) is dict and type(inputs.get("messages")) is list:
        return question_text(inputs["messages"])
    if type(inputs) is list:
        for message in reversed(inputs):
            if type(message) is dict and message.get("role", message.get("type")) in _ASKING_ROLES:
                return _text(message, _QUESTION_KEYS, _MAX_DEPTH)
    return _text(inputs, _QUESTION_KEYS, _MAX_DEPTH)


def as_json(value: Any) -> str:
    """Write *value* as JSON, or by its repr if it cannot be."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError, UnicodeError, OverflowError):
        return repr(value)


def preview(text: str) -> str:
    """Give the first line's worth of *text*: at most `PREVIEW_CHARS`, on one line."""
    # A space is printable, a line break or a tab is not: most texts pass this in one scan.
    head = text[:PREVIEW_CHARS]
    if head.isprintable() and not head.startswith(" "):
        return head if len(text) <= PREVIEW_CHARS else f"{head[:-1]}…"
    line = " ".join(text[: 8 * PREVIEW_CHARS].split())
    shown = "".join(char if char.isprintable() else "\ufffd" for char in line[:PREVIEW_CHARS])
    return shown if len(line) <= PREVIEW_CHARS else f"{shown[:-1]}…"


def _text(value: Any, keys: Sequence[str], depth: int) -> str | None:
    if type(value) is str:
        return value
    if depth == 0:
        return None
    if type(value) is dict:
        return _text_of_object(value, keys, depth)
    if type(value) is list:
        texts = [text for item in value if (text := _text(item, keys, depth - 1)) is not None]
        return "\n".join(texts) if texts else None
    return None


def _text_of_object(value: dict[str, Any], keys: Sequence[str], depth: int) -> str | None:
    for key in keys:
        found = value.get(key)
        if found is not None and (text := _text(found, keys, depth - 1)) is not None:
            # A message that only calls tools has an empty content beside the calls.
            return text if text or not _calls_tools(value) else None
    return None


def _calls_tools(message: dict[str, Any]) -> bool:
    return any(key.startswith(("tool_call", "function_call")) for key in message)
