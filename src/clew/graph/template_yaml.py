"""
The YAML of templates: mappings, lists and text, and nothing else of what YAML can do.

Anchors and aliases are refused, since a few lines of them stand for billions; words stay words, so
that a tool may be called `on`; and a key that stands twice is an error, where YAML would lose one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from clew.errors import BadTemplate

DEEPEST = 20
"""Mappings and lists in each other; a template needs four."""

_NOTHING = frozenset({"", "~", "null", "Null", "NULL"})


def read_yaml(text: str) -> Any:
    """
    Read YAML text into dicts, lists, strings and None.

    Raises:
        BadTemplate: it is not YAML, or more than a template needs, and in which line; or PyYAML is
            not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise BadTemplate("reading YAML takes PyYAML: pip install 'clew[server]', or hand in a mapping") from error
    try:
        # With libyaml twenty times as fast. Only its events are read: nothing is built from tags.
        return _document(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, UnicodeError) as error:
        raise BadTemplate(f"not YAML that can be read: {' '.join(str(error).split())[:300]}") from error


def _document(events: Iterator[Any]) -> Any:
    """What the first document holds; there must not be another."""
    value = None
    documents = 0
    for event in events:
        if type(event).__name__ == "DocumentStartEvent":
            documents += 1
            if documents > 1:
                raise BadTemplate(f"line {_line(event)}: a second document begins; send one template at a time")
            value = _value(next(events), events, 0)
    return value


def _value(event: Any, events: Iterator[Any], depth: int) -> Any:
    what = type(event).__name__
    if what == "AliasEvent" or event.anchor is not None:
        raise BadTemplate(f"line {_line(event)}: anchors (&) and aliases (*) are not for templates; write it out")
    if event.tag is not None:
        raise BadTemplate(f"line {_line(event)}: tags (!) are not for templates; write plain text")
    if depth > DEEPEST:
        raise BadTemplate(f"line {_line(event)}: nested more than {DEEPEST} deep; a template needs four")
    if what == "ScalarEvent":
        return None if not event.style and event.value in _NOTHING else event.value
    if what == "SequenceStartEvent":
        return [_value(each, events, depth + 1) for each in _until(events, "SequenceEndEvent")]
    return _mapping(events, depth + 1)


def _mapping(events: Iterator[Any], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for event in _until(events, "MappingEndEvent"):
        key = _value(event, events, depth)
        if not isinstance(key, str):
            raise BadTemplate(f"line {_line(event)}: a name is text; put it in quotes if it is")
        if key in found:
            raise BadTemplate(f"line {_line(event)}: {key[:60]!r} stands here for the second time")
        found[key] = _value(next(events), events, depth)
    return found


def _until(events: Iterator[Any], end: str) -> Iterator[Any]:
    """The events of what stands directly inside, whose own insides are taken out meanwhile."""
    for event in events:
        if type(event).__name__ == end:
            return
        yield event


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
