"""
Inputs and outputs as they were when they were set.

The top level of a list or dict is copied, so that what the user appends later rewrites nothing;
deeper levels are not, because a deep copy on the caller's thread has no bound.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

KEPT_ITEMS: Final = 10_000
"""Of longer lists and dicts the first so many are kept."""


class Cut:
    """The first items of something too long to copy on the caller's thread."""

    __slots__ = ("first", "length")

    def __init__(self, first: Any, length: int) -> None:
        self.first = first
        self.length = length

    def told(self, path: str, problems: list[str]) -> Any:
        """What is left of it, with a note in *problems*."""
        problems.append(f"{path} was cut from {self.length} to {len(self.first)} items")
        return self.first


class CutDict(Cut):
    """The same of a dict: pairs, as looking keys up again would run their `__hash__` and `__eq__`."""

    __slots__ = ()

    def told(self, path: str, problems: list[str]) -> Any:
        """What is left of it as a dict again; as pairs where the keys will not have it."""
        pairs = super().told(path, problems)
        try:
            return dict(pairs)
        except Exception:
            return pairs


def is_a(value: Any, kind: Any) -> bool:
    """As `isinstance`, by the type alone: that asks the value for its `__class__`, which may be code, or a lie."""
    return issubclass(type(value), kind)


def kept(value: Any) -> Any:
    """
    Copy *value* if it is a list or dict.

    The copy is the built-in one also for subclasses, so none of the user's code runs here.
    """
    # By the type, as in `is_a`: none of the value's own code runs.
    kind = type(value)
    if issubclass(kind, list):
        if list.__len__(value) <= KEPT_ITEMS:
            return list.copy(value)
        return Cut(list.__getitem__(value, slice(KEPT_ITEMS)), list.__len__(value))
    if issubclass(kind, dict):
        if dict.__len__(value) <= KEPT_ITEMS:
            return dict.copy(value)
        return CutDict(list(islice(dict.items(value), KEPT_ITEMS)), dict.__len__(value))
    return value
