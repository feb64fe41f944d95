"""
Readers and gatherers: how the value of a span's field is read from foreign attributes.

A reader takes one attribute's value; a gatherer takes the whole span, for what is spread over
numbered keys or events. Both give None for what says nothing, and never raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from clew.model import Kind, Span
from clew.wire.values import Cleaner, clean_text

MAX_ID_CHARS = 200
_MAX_TOKENS = 1 << 53
_MAX_JSON_CHARS = 1 << 20

_decode_json = msgspec.json.Decoder().decode


def text(value: Any) -> str | None:
    """A short text: an id, or the name of a model."""
    if type(value) is str:
        # MLflow writes each attribute as JSON, so its strings stand in quotes.
        said = _unquoted(value) if value[:1] == '"' else value
        return said[:MAX_ID_CHARS] or None
    if type(value) is int:
        return str(value)
    return None


def _unquoted(value: str) -> str:
    try:
        return clean_text(str(_decode_json(value)), MAX_ID_CHARS)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return value


def count(value: Any) -> int | None:
    """A count of tokens: not negative, and small enough to be summed."""
    if type(value) is int:
        return value if 0 <= value <= _MAX_TOKENS else None
    known = number(value)
    return None if known is None or not 0 <= known <= _MAX_TOKENS else int(known)


def number(value: Any) -> float | None:
    """A finite number, also written as text; a bool is none."""
    kind = type(value)
    if kind is int:
        return value  # type: ignore[no-any-return]
    if kind is str and len(value) <= 40:
        try:
            value = float(value)
        except ValueError:
            return None
    elif kind is not float:
        return None
    return value if value - value == 0.0 else None


def amount(value: Any) -> float | None:
    """A number that is not negative."""
    known = number(value)
    return None if known is None or known < 0 else float(known)


def share(value: Any) -> float | None:
    """A number from 0 to 1."""
    known = number(value)
    return None if known is None or not 0 <= known <= 1 else float(known)


def milliseconds_of_seconds(value: Any) -> float | None:
    """Milliseconds, of an attribute in seconds."""
    seconds = amount(value)
    return None if seconds is None else seconds * 1e3


def payload(value: Any) -> Any:
    """A payload as it came; JSON in a string is opened, so that the page can show its shape."""
    if type(value) is not str or value[:1] not in ("{", "[", '"') or len(value) > _MAX_JSON_CHARS:
        return value
    try:
        # The text was clean, but what it spells need not be: escaped NULs, great depth, huge integers.
        return Cleaner(_ignore, len(value)).value(_decode_json(value), "")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return value


def _ignore(_problem: str) -> None:
    """The attribute stays as it came, so nothing is lost that would have to be told."""


def one_of(meanings: Mapping[str, Kind]) -> Callable[[Any], Kind | None]:
    """Make a reader for another convention's kinds, in whatever case and quotes."""
    as_usual = {**meanings, **{name.upper(): kind for name, kind in meanings.items()}}

    def kind(value: Any) -> Kind | None:
        if type(value) is not str:
            return None
        return as_usual.get(value) or meanings.get(value.strip('"').lower())

    return kind


def always_tool(_value: Any) -> Kind:
    """Only tools have such an attribute."""
    return "tool"


def part(*names: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Read one part of an object, or of JSON that holds one: the first of *names* that it has."""

    def part(value: Any) -> Any:
        details = payload(value)
        if type(details) is not dict:
            return None
        return next((read(details[name]) for name in names if details.get(name) is not None), None)

    return part


def numbered(prefix: str, keys: Iterable[str]) -> Callable[[Span], list[dict[str, Any]] | None]:
    """Make a gatherer of `prefix.0.message.role`, `prefix.0.message.content`, … among *keys* into a list of objects."""
    groups: dict[int, list[tuple[str, str]]] = {}
    for key in keys:
        number, _, path = key[len(prefix) :].partition(".") if key.startswith(prefix) else ("", "", "")
        name = path.removeprefix("message.").removeprefix("document.").removeprefix("embedding.")
        # A vector is a thousand numbers that nobody reads; the attributes keep them.
        if name and name != "vector" and number.isdecimal() and len(number) <= 6:
            groups.setdefault(int(number), []).append((key, name))
    entries = [group for _, group in sorted(groups.items())]
    if any(name.startswith("contents.") for group in entries for _, name in group):
        return lambda span: [_joined(group, span.attributes) for group in entries]

    def gather(span: Span) -> list[dict[str, Any]] | None:
        attributes = span.attributes
        return [{name: attributes[key] for key, name in group} for group in entries] or None

    return gather


def _joined(group: list[tuple[str, str]], attributes: dict[str, Any]) -> dict[str, Any]:
    """One message whose content comes in numbered parts."""
    message: dict[str, Any] = {}
    for key, name in group:
        value = attributes[key]
        if name.startswith("contents.") and name.endswith(".message_content.text"):
            before = message.get("content")
            message["content"] = f"{before}\n{value}" if before else value
        else:
            message[name] = value
    return message


def event_messages(names: frozenset[str], span: Span) -> list[dict[str, Any]] | None:
    """gen_ai's older events, one for each message."""
    messages = []
    for event in span.events:
        if event.name in names:
            role = event.name.removeprefix("gen_ai.").removesuffix(".message")
            said = {key.removeprefix("gen_ai.event."): payload(value) for key, value in event.attributes.items()}
            messages.append({"role": "assistant" if role == "choice" else role, **said})
    return messages or None


def event_attribute(key: str, span: Span) -> Any:
    """gen_ai's newer event, which holds the messages as attributes."""
    return next((payload(event.attributes[key]) for event in span.events if key in event.attributes), None)


def first_token(names: frozenset[str], span: Span) -> float | None:
    """Milliseconds from the span's start to the first event of one of *names*."""
    first_ns = min((event.at_ns for event in span.events if event.name in names), default=None)
    return None if first_ns is None else max(0.0, (first_ns - span.start_ns) / 1e6)


def completion_start(span: Span) -> float | None:
    """Langfuse: the moment of the first token, ISO 8601, in quotes since it is JSON."""
    said = span.attributes.get("langfuse.observation.completion_start_time")
    try:
        at = datetime.fromisoformat(str(said).strip('"').replace("Z", "+00:00"))
        if at.tzinfo is None:
            at = at.replace(tzinfo=timezone.utc)
        since_ms = at.timestamp() * 1e3 - span.start_ns / 1e6
    except (ValueError, OverflowError):
        return None
    return since_ms if since_ms >= 0 else None
