"""
Whether a trace's attributes, tags and scores are what a filter asks for. Pure.

Conditions on one key, or on the scores of one name, must be met by one value; those on different
keys may be met by different spans of the trace. An attribute is one of a span, or of the process that
made it (its resource); `a.b` also means `b` inside `a`. A list meets a condition if one of its
elements does, and `!=` if none is equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from clew.store.protocol import Condition

TAG_KEYS = ("tags", "tag.tags", "langsmith.span.tags", "langfuse.trace.tags")
"""Where SDKs put tags: a list of texts, or one text with commas."""

_NUMBER = re.compile(r"[+-]?([0-9]{1,400}|[0-9]{0,400}\.[0-9]{1,400}|[0-9]{1,400}\.)([eE][+-]?[0-9]{1,4})?")

Group = tuple[str, Sequence[Condition]]
"""A key and all that is asked of it."""


class Carries(Protocol):
    """Of a span what is looked at."""

    attributes: dict[str, Any]
    resource: dict[str, Any]


def grouped(conditions: Iterable[Condition]) -> list[Group]:
    """Put those of one key together."""
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        groups.setdefault(condition.key, []).append(condition)
    return list(groups.items())


def span_meets(span: Carries, group: Group) -> bool:
    """Say whether one value of *span* under the group's key meets all of its conditions."""
    key, conditions = group
    return any(
        all(_meets(value, each) for each in conditions)
        for carried in (span.attributes, span.resource)
        for value in _values(carried, key)
    )


def span_has_tag(span: Carries, tag: str) -> bool:
    """Say whether *tag* is one of the span's tags."""
    return any(tag in _tags(value) for key in TAG_KEYS for value in _values(span.attributes, key))


def score_meets(value: float, label: str, conditions: Iterable[Condition]) -> bool:
    """Say whether a score meets all *conditions*: by its value, or by its label where a text is asked for."""
    return all(
        not _equals(value, each.value) and label != each.value
        if each.op == "!="
        else _meets(value, each) or (each.op == "=" and label == each.value)
        for each in conditions
    )


def number_of(text: str) -> float | None:
    """Read *text* as a number, whole ones exactly; None if it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else None


def _values(carried: Mapping[str, Any], key: str) -> Iterator[Any]:
    """What stands under *key*: as it is, and with each dot a step into what is nested."""
    if carried.get(key) is not None:
        yield carried[key]
    if "." not in key:
        return
    found: Any = carried
    for step in key.split("."):
        if type(found) is not dict or found.get(step) is None:
            return
        found = found[step]
    yield found


def _meets(value: Any, condition: Condition) -> bool:
    if condition.op == "has":
        return True
    several = value if isinstance(value, list) else [value]
    if condition.op == "!=":
        return not any(_equals(each, condition.value) for each in several)
    if condition.op == "=":
        return any(_equals(each, condition.value) for each in several)
    return any(_compares(each, condition) for each in several)


def _equals(value: Any, text: str) -> bool:
    if type(value) is str:
        return value == text
    if type(value) is bool:
        return text.lower() == ("true" if value else "false")
    return type(value) in (int, float) and value == number_of(text)


def _compares(value: Any, condition: Condition) -> bool:
    """Only numbers do; texts have no order that people agree on."""
    bound = number_of(condition.value)
    if type(value) not in (int, float) or bound is None:
        return False
    return bool(value >= bound if condition.op == ">=" else value <= bound)


def _tags(value: Any) -> list[str]:
    if type(value) is str:
        return [part.strip() for part in value.split(",")]
    return [each for each in value if type(each) is str] if isinstance(value, list) else []


def is_plain_text(condition: Condition) -> bool:
    """Say whether only a text can equal it, so that its bytes stand wherever the condition is met."""
    text = condition.value
    return condition.op == "=" and number_of(text) is None and text.lower() not in ("true", "false")
