"""
Any Python value, made safe to send: only None, bool, int, float, str, list and dict come out.

This is the slow way, for what msgspec cannot take as it is: cycles, huge or broken strings, huge
ints, objects. Nothing that a value does can raise out of here, and everything is bounded; what
was cut or replaced is said in `problems`. Runs on the writer's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final

REPR_CHARS: Final = 1_000
PROBLEMS: Final = 20
_INT_BITS: Final = 63
_MARGIN: Final = 2_000
"""Longer than what a cut could go through the middle of."""


class Limits:
    """How much of a value is kept."""

    __slots__ = ("chars", "depth", "items", "nodes")

    def __init__(self, *, chars: int, items: int, nodes: int, depth: int) -> None:
        self.chars = chars
        self.items = items
        self.nodes = nodes
        self.depth = depth


WIDE: Final = Limits(chars=1 << 20, items=10_000, nodes=50_000, depth=32)
NARROW: Final = Limits(chars=1 << 14, items=200, nodes=2_000, depth=12)
"""For a span that is too large even so."""


class Plain:
    """Makes the values of one span plain, and remembers what it had to change."""

    def __init__(self, limits: Limits = WIDE, *, clean: Callable[[str], str] | None = None) -> None:
        self.limits = limits
        self._clean = clean
        """Takes secrets out of text that is to be cut: of half a secret nobody knows what it is."""
        self.problems: list[str] = []
        self._nodes_left = limits.nodes
        self._open: set[int] = set()
        """The containers that we are inside of, by identity: meeting one again is a cycle."""

    def __call__(self, value: Any, path: str) -> Any:
        """Give *value* in plain types; *path* names it in `problems`."""
        try:
            return self._plain(value, path)
        except RecursionError:
            self.say(f"{path} is nested too deeply and was left out")
        except BaseException as error:
            # Not only Exception: a hostile __repr__ may raise anything, and this thread must live.
            self.say(f"{path} raised {type(error).__name__} when it was read")
        return f"<{_type_name(value)}, unreadable>"

    def say(self, problem: str) -> None:
        """Note what was changed; the first ones are enough."""
        if len(self.problems) < PROBLEMS:
            self.problems.append(problem[:300])

    def text(self, value: str, path: str) -> str:
        """Cut a string visibly, and replace what UTF-8 cannot hold."""
        text = str.__str__(value)
        if len(text) > self.limits.chars:
            self.say(f"{path} was cut from {len(text)} to {self.limits.chars} characters")
            length, text = len(text), text[: self.limits.chars + _MARGIN]
            if self._clean is not None:
                text = self._clean(text)
            text = f"{text[: self.limits.chars]}… [cut: {length} characters]"
        try:
            text.encode()
        except UnicodeEncodeError:
            self.say(f"{path} held lone surrogates, which were replaced")
            text = text.encode("utf-8", "replace").decode()
        return text

    def _plain(self, value: Any, path: str) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return self.text(value, path)
        if isinstance(value, int):
            return self._int(int.__int__(value), path)
        if isinstance(value, float):
            return float.__float__(value)
        self._nodes_left -= 1
        if self._nodes_left < 0:
            return "… [left out: too large]"
        return self._container(value, path) if _is_container(value) else self._object(value, path)

    def _int(self, value: int, path: str) -> int | str:
        bits = value.bit_length()
        if bits <= _INT_BITS:
            return value
        self.say(f"{path} is an int of {bits} bits and is kept as text")
        # str() of a longer one is refused by newer Pythons, and takes quadratic time on others.
        return str(value) if bits <= 1_024 else f"<int of {bits} bits>"

    def _container(self, value: Any, path: str) -> Any:
        if id(value) in self._open:
            self.say(f"{path} contains itself")
            return "<cycle>"
        if len(self._open) >= self.limits.depth:
            self.say(f"{path} is nested deeper than {self.limits.depth} and was left out")
            return f"<{_type_name(value)}, too deep>"
        self._open.add(id(value))
        try:
            if isinstance(value, Mapping):
                return self._dict(value, path)
            return self._list(value, path)
        finally:
            self._open.discard(id(value))

    def _dict(self, value: Mapping[Any, Any], path: str) -> dict[str, Any]:
        # The copy is one step of the interpreter, so that user code cannot change it under us.
        items = list((dict.copy(value) if isinstance(value, dict) else dict(value)).items())
        kept: dict[str, Any] = {}
        for key, item in items[: self.limits.items]:
            name = str(self(key, path))[:1_000]
            kept[name] = self(item, f"{path}.{name[:60]}")
        if len(items) > self.limits.items:
            self.say(f"{path} was cut from {len(items)} to {self.limits.items} entries")
        return kept

    def _list(self, value: Iterable[Any], path: str) -> list[Any]:
        items = list.copy(value) if isinstance(value, list) else list(value)
        kept = [self(item, f"{path}[{index}]") for index, item in enumerate(islice(items, self.limits.items))]
        if len(items) > self.limits.items:
            self.say(f"{path} was cut from {len(items)} to {self.limits.items} items")
        return kept

    def _object(self, value: Any, path: str) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value)} bytes>"
        for known in _KNOWN:
            found = known(value)
            if found is not None:
                return self._plain(found[0], path)
        return self.text(_bounded_repr(value), path)


def _is_container(value: Any) -> bool:
    return isinstance(value, (Mapping, list, tuple, set, frozenset, deque))


# What is known about objects that are not built in. Each gives a 1-tuple, or None for "not mine".


def _as_number_or_vector(value: Any) -> tuple[Any] | None:
    """Numpy's scalars and short arrays, and what is like them (torch)."""
    kind = type(value)
    if not hasattr(kind, "tolist") or not hasattr(kind, "ndim") or value.size > 4_096:
        return None
    return (value.tolist(),)


def _as_enum(value: Any) -> tuple[Any] | None:
    return (value.value,) if hasattr(type(value), "__members__") else None


def _as_model(value: Any) -> tuple[Any] | None:
    """A pydantic model, a dataclass, a Struct: their fields, without running their code."""
    kind = type(value)
    if hasattr(kind, "__pydantic_fields__") or hasattr(kind, "model_fields"):
        return (dict(value.__dict__),)
    fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__struct_fields__", None)
    if fields is None:
        return None
    return ({name: getattr(value, name) for name in fields if hasattr(value, name)},)


def _as_text(value: Any) -> tuple[Any] | None:
    """What reads better as str than as repr."""
    module = type(value).__module__.partition(".")[0]
    return (str(value),) if module in ("datetime", "uuid", "decimal", "fractions", "pathlib") else None


_KNOWN: Final[tuple[Callable[[Any], tuple[Any] | None], ...]] = (_as_number_or_vector, _as_enum, _as_model, _as_text)


def _bounded_repr(value: Any) -> str:
    text = str.__str__(repr(value))
    return text if len(text) <= REPR_CHARS else f"{text[:REPR_CHARS]}… [{len(text)} characters]"


def _type_name(value: Any) -> str:
    return str.__str__(type(value).__qualname__)
