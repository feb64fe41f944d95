"""How much of a span's inputs and outputs is captured: all, so many characters, a hash, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from clew.errors import ConfigError
from clew.model import KINDS


class Capture(NamedTuple):
    """One way to capture."""

    how: str
    chars: int = 0

    def of(self, value: Any, path: str, problems: list[str]) -> Any:
        """Give what is captured of *value*, plain and without secrets; what was cut is said in *problems*."""
        if value is None or self.how == "full":
            return value
        if self.how == "none":
            return None
        return _hashed(value) if self.how == "hash" else _cut(value, self.chars, path, problems)


FULL: Final = Capture("full")
NONE: Final = Capture("none")


def captures_from(capture: Mapping[str, str] | str) -> dict[str, Capture]:
    """
    Read `{"generation": "hash", "": "truncate:2000"}`, or one way for every kind; "" is every kind not named.

    Raises:
        ConfigError: no such way, or no such kind.
    """
    if isinstance(capture, str):
        capture = _by_kind(capture)
    if not isinstance(capture, Mapping):
        raise ConfigError("capture", f"{capture!r:.100} is neither a text nor a mapping from kind to text")
    read = {_kind(kind): _way(how) for kind, how in capture.items()}
    return {kind: way for kind, way in read.items() if way is not FULL or kind}


def _by_kind(text: str) -> dict[str, str]:
    """The form of `CLEW_CAPTURE`, in one text."""
    pairs = [part.strip().rpartition("=") for part in text.split(",") if part.strip()]
    return {kind.strip(): how.strip() for kind, _, how in pairs}


def _kind(kind: Any) -> str:
    name = str(kind).strip().lower()
    if name and name not in KINDS:
        raise ConfigError("capture", f"{kind!r:.100} is no kind of span; known are {', '.join(KINDS)}")
    return name


def _way(how: Any) -> Capture:
    name, _, chars = (how if isinstance(how, str) else repr(type(how))).strip().lower().partition(":")
    if name in ("hash", "none", "full") and not chars:
        return {"full": FULL, "none": NONE}.get(name) or Capture(name)
    if name == "truncate" and chars.isascii() and chars.isdigit() and int(chars) > 0:
        return Capture(name, int(chars))
    raise ConfigError("capture", f"{how!r:.100} is none of full, truncate:2000, hash, none")


def _hashed(value: Any) -> dict[str, Any]:
    """The SHA-256 of the canonical JSON (sorted keys, no blanks), and the JSON's length in bytes."""
    text = msgspec.json.encode(value, order="sorted")
    return {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}


def _cut(value: Any, chars: int, path: str, problems: list[str]) -> Any:
    whole = len(msgspec.json.encode(value))
    if whole <= chars or (isinstance(value, str) and len(value) <= chars):
        return value
    problems.append(f"{path} cut to {chars} characters, as capture says")
    return _Cutter(chars).cut(value)


class _Cutter:
    """Keeps the first so many characters of a value, and its shape as far as they go."""

    def __init__(self, left: int) -> None:
        self.left = left

    def cut(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return self._dict(value)
        if isinstance(value, (list, tuple)):
            return self._list(value)
        self.left -= len(str(value))
        return value

    def _dict(self, value: dict[str, Any]) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, each in value.items():
            if self.left <= 0:
                kept["…"] = f"[cut: {len(value) - len(kept)} entries]"
                break
            self.left -= len(name) + 1
            kept[name] = self.cut(each)
        return kept

    def _list(self, value: Any) -> list[Any]:
        kept: list[Any] = []
        for each in value:
            if self.left <= 0:
                kept.append(f"… [cut: {len(value) - len(kept)} items]")
                break
            kept.append(self.cut(each))
        return kept

    def _text(self, text: str) -> str:
        kept = text[: max(0, self.left)]
        self.left -= len(text) + 1
        return text if len(kept) == len(text) else f"{kept}… [cut: {len(text)} characters]"
