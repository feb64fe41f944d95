"""
What OpenTelemetry's callers give as attributes, links and times, as far as a span can keep it.

Nothing here raises for what it is given; what cannot be kept is complained of once. Scalars stay,
lists and mappings are copied one level deep, and other objects are left to the writer, which
shows them as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from clew.sdk.kept import KEPT_ITEMS
from clew.sdk.outbox import outbox

PLAIN: Final = frozenset({str, bool, int, float, bytes, type(None)})
"""Exactly these types are kept without a second look."""

KEPT_LINKS: Final = 1_000


def add(to: dict[str, Any], attributes: Any) -> None:
    """Put *attributes*, a mapping or None, into *to*."""
    if isinstance(attributes, Mapping):
        for key, value in attributes.items():
            if type(value) in PLAIN and type(key) is str and key:
                to[key] = value
            else:
                add_one(to, key, value)
    elif attributes is not None:
        complain("attributes", f"attributes of type {type(attributes).__name__} were ignored: want a mapping")


def add_one(to: dict[str, Any], key: Any, value: Any) -> None:
    """Put one attribute into *to*, unless its key is none."""
    if isinstance(key, str) and key:
        to[str.__str__(key)] = value if type(value) in PLAIN else _copied(key, value)
    else:
        complain("key", f"an attribute's key of type {type(key).__name__} was ignored: want text, not empty")


def _copied(key: str, value: Any) -> Any:
    # The built-in copies also of subclasses, so none of the user's code runs here.
    if isinstance(value, list):
        return _short(key, list.__getitem__(value, slice(KEPT_ITEMS)), list.__len__(value))
    if isinstance(value, tuple):
        return _short(key, list(tuple.__getitem__(value, slice(KEPT_ITEMS))), tuple.__len__(value))
    if isinstance(value, Mapping):
        return dict.copy(value) if isinstance(value, dict) else dict(value)
    if not isinstance(value, (str, bool, int, float, bytes)):
        kind = type(value).__name__
        complain(f"value:{kind}", f"attribute {key[:100]!r} holds a {kind}, which OpenTelemetry has not; kept as text")
    return value


def _short(key: str, first: list[Any], length: int) -> list[Any]:
    if length > KEPT_ITEMS:
        complain("long", f"attribute {key[:100]!r} was cut from {length} to {KEPT_ITEMS} items")
    return first


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """Give *attributes* as they are sent. The writer's work, for what does not lie in the span itself."""
    if all(type(value) in PLAIN for value in attributes.values()):
        return attributes
    from clew.sdk.plain import NARROW, Plain

    kept: dict[str, Any] = Plain(NARROW)(attributes, "attributes")
    return kept


def link_of(context: Any, attributes: Any) -> tuple[int, int, dict[str, Any]] | None:
    """Give (trace id, span id, attributes) of a link; None for one that points nowhere and says nothing."""
    if context is None or not (context.is_valid or attributes or context.trace_state):
        return None
    kept: dict[str, Any] = {}
    add(kept, attributes)
    return int(context.trace_id), int(context.span_id), kept


def links_of(links: Any) -> list[tuple[int, int, dict[str, Any]]]:
    """Read the links that a span begins with; one that cannot be read costs no other."""
    kept = []
    try:
        for link in _bounded(links):
            read = link_of(link.context, link.attributes)
            if read is not None:
                kept.append(read)
    except Exception as error:
        complain("links", f"a span's links were not kept as a whole: {error!r:.200}")
    return kept


def _bounded(links: Iterable[Any]) -> Iterable[Any]:
    for count, link in enumerate(links):
        if count >= KEPT_LINKS:
            complain("many links", f"only the first {KEPT_LINKS} links of a span were kept")
            return
        if link is not None:
            yield link


def nanoseconds(value: Any, what: str) -> int | None:
    """A time in Unix nanoseconds; None if none was given, or what is none."""
    if value is None or (type(value) is int and value > 0):
        return value
    complain(what, f"{what} of type {type(value).__name__} was ignored: want Unix nanoseconds, above 0")
    return None


def complain(about: str, text: str) -> None:
    """Have *text* logged, once in the life of the process."""
    outbox.complain(f"otel:{about}", f"OpenTelemetry: {text}")


def late(what: str) -> None:
    """Complain of a call on a span that has ended."""
    complain(f"late:{what}", f"{what} on a span that has ended was ignored")


def internal(error: Exception) -> None:
    """Clew failed, or what it was given did; the user's code must not."""
    with suppress(Exception):  # Out of memory, or of stack.
        complain(f"internal:{type(error).__name__}", f"a call was not recorded as a whole: {error!r:.300}")
