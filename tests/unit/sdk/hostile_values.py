"""Values that no program should pass, and that programs pass all the same: for `test_hostile_arguments`."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

LARGE = 100 << 20


class Hostile:
    """Raises at whatever it is asked, and counts how often that was."""

    asked = 0

    def _refuse(self, *_: object, **__: object) -> Any:
        type(self).asked += 1
        raise RuntimeError("hands off")

    __repr__ = __str__ = __eq__ = __ne__ = __hash__ = __len__ = __iter__ = __bool__ = _refuse  # type: ignore[assignment]
    __lt__ = __contains__ = __getitem__ = __int__ = __float__ = __index__ = __bytes__ = __format__ = _refuse  # type: ignore[assignment]
    __reduce__ = __reduce_ex__ = __copy__ = __deepcopy__ = __call__ = __next__ = __dir__ = _refuse  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        Hostile.asked += 1
        raise RuntimeError("hands off")


class NoAttributes:
    """Raises from `__getattr__` what `hasattr` does not swallow."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attributes")


class FalseClass:
    """Says that it is something else."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no class")


class LyingClass:
    """Says that it is a dict."""

    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return dict


class OddText(str):
    """A str whose methods raise."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("no text")

    __str__ = __repr__ = __len__ = __eq__ = __hash__ = __iter__ = encode = __format__ = _refuse  # type: ignore[assignment]


class OddDict(dict):  # type: ignore[type-arg]
    """A dict whose methods raise."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("no dict")

    items = keys = values = copy = get = __iter__ = __len__ = __getitem__ = _refuse  # type: ignore[assignment]


class OddList(list):  # type: ignore[type-arg]
    """A list whose methods raise."""

    def _refuse(self, *_: object) -> Any:
        raise RuntimeError("no list")

    copy = __iter__ = __len__ = __getitem__ = _refuse  # type: ignore[assignment]


class Lazy:
    """Like an array that is computed when it is looked at: gigabytes, for a trace that nobody reads."""

    ndim = 1
    size = 1 << 40
    computed = 0

    def tolist(self) -> list[float]:
        Lazy.computed += 1
        return [0.0] * 10

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Any:
        Lazy.computed += 1
        while True:
            yield 0.0

    def __repr__(self) -> str:
        return "<lazy>"


def nested(depth: int = 100_000) -> list[Any]:
    """Give a list in a list in a list."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


def nested_dict(depth: int = 100_000) -> dict[str, Any]:
    """Give a dict in a dict in a dict."""
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"d": found}
    return found


def cycle() -> list[Any]:
    """Give a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def cyclic_dict() -> dict[Any, Any]:
    """Give a dict that holds itself."""
    found: dict[Any, Any] = {}
    found["self"] = found
    return found


def a_generator() -> Any:
    """Give a generator that counts what it gave in its attribute-less way: it must not be stepped."""
    yield from range(3)


class _Unclosed(socket.socket):
    """A socket that is closed with the test."""


VALUES: dict[str, Callable[[], Any]] = {
    "hostile": Hostile,
    "no attributes": NoAttributes,
    "no class": FalseClass,
    "a lie about its class": LyingClass,
    "odd text": lambda: OddText("text"),
    "odd dict": lambda: OddDict(a=1),
    "odd list": lambda: OddList([1]),
    "lazy": Lazy,
    "nested list": nested,
    "nested dict": nested_dict,
    "cycle": cycle,
    "cyclic dict": cyclic_dict,
    "lock": threading.Lock,
    "generator": a_generator,
    "module": lambda: sys,
    "class": lambda: Hostile,
    "function": lambda: nested,
    "bytes": lambda: b"\xff" * 100,
    "surrogates": lambda: "\ud800",
    "long text": lambda: "x" * (3 << 20),
    "long dict": lambda: dict.fromkeys(range(200_000)),
    "long list": lambda: [0] * 200_000,
    "huge int": lambda: 1 << 100_000,
    "nan": lambda: float("nan"),
    "nothing": lambda: None,
    "exception": lambda: ValueError(Hostile),
    "hostile within": lambda: {"list": [Hostile()], "dict": {"a": NoAttributes()}},
    "keys of all sorts": lambda: {1: 1, None: 2, (1, 2): 3, b"b": 4, 1.5: 5},
}
