"""
Whether bytes may hold a secret: a look at the speed of memory, before anybody searches.

Nearly no span holds one, and a search of all its text costs twenty times what packing it does. So
the packed span as a whole is looked through for what no rule can do without: an @, a long run of
letters and digits that begins like a key, enough digits in a row, the name of a secret before = or :.

A no is to be relied on, with two exceptions that are the price of this: `Bearer` and `Basic` in
lower case, before less than `LEAST_RUN` letters and digits, stay unseen in running text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from clew.sdk.secrets_known import CARD, JWT, KEYS, LEAST_RUN, Hint

_KEY: Final = re.compile(f"(?:{KEYS}|{JWT.partition(chr(92) + '.')[0]})".encode())
# A string in MessagePack follows its length, whose bytes may look like letters.
_LENGTHS: Final = (0xD9, 0xDA, 0xDB)
_GLUED_KEY: Final = re.compile(rb"(?:(?<=\xd9[\s\S])|(?<=\xda[\s\S]{2})|(?<=\xdb[\s\S]{4}))" + _KEY.pattern)
_SCHEME: Final = re.compile(rb"B(?:earer|asic) [A-Za-z0-9+/._~=-]{12}")
_MAIL: Final = re.compile(rb"@(?<=[\w.%+\x80-\xff-]@)(?:[\w\x80-\xff-]{1,200}\.){1,8}[A-Za-z\x80-\xff]")
_URL: Final = re.compile(rb"://[^\s/@:?#]{0,200}:[^\s/?#]{1,200}@")
_RUN_BYTES: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
_RUNS: Final = bytes(97 if code in _RUN_BYTES else 32 for code in range(256))
_LONG_RUN: Final = b"a" * LEAST_RUN
_DIGITS: Final = bytes(48 if code in b"0123456789 -" else 32 for code in range(256))
_CARD_RUN: Final = b"0" * 14
_CARD: Final = re.compile(CARD.encode())
_HEADER_ENDS: Final = rb"(?<=-key:)|(?<=token:)|(?<=ecret:)|(?<=-key :)|(?<=ation:)|(?<=ation :)|(?<=ookie:)"
_HEADER: Final = re.compile(b":(?i:" + _HEADER_ENDS + b")")
_CUT: Final = "… [".encode()


class Prescan:
    """Looks for what the rules and the names in *names* (plain: `api_key`) need."""

    def __init__(self, names: Iterable[str]) -> None:
        ends = b"|".join(sorted({re.escape(name.encode()[-3:]) for name in names if len(name) >= 3}))
        before = [rb"(?<=(?:%b)%b)" % (ends, sep) for sep in (b"=", b" =", b"  =")]
        self._set = re.compile(b"=(?i:" + b"|".join(before) + b")")
        quoted = [rb"(?<=(?:%b)%b)" % (ends, sep) for sep in (b"[\"']:", rb"\\[\"']:", rb"\\\\\\[\"']:")]
        self._quoted = re.compile(b":(?i:" + b"|".join(quoted) + b")")
        self._told = re.compile(b":(?i:" + b"|".join((*quoted, _HEADER_ENDS)) + b")")

    def __call__(self, raw: bytes) -> bool:
        """Whether *raw*, UTF-8 or a packed span, may hold a secret."""
        return (
            (b":" in raw and self._told.search(raw) is not None)
            or (b"=" in raw and self._set.search(raw) is not None)
            or _has_at(raw)
            or (b"B" in raw and _SCHEME.search(raw) is not None)
            or _has_card(raw)
            or _has_key(raw)
            or (b"\xe2" in raw and _CUT in raw)
        )

    def hints(self, raw: bytes) -> int:
        """Say which rules *raw* is worth trying; 0 if none."""
        colon = b":" in raw
        return (
            Hint.AT * _has_at(raw)
            | Hint.KEY * _has_key(raw)
            | Hint.SCHEME * (_SCHEME.search(raw) is not None)
            | Hint.CARD * _has_card(raw)
            | Hint.HEADER * (colon and _HEADER.search(raw) is not None)
            | Hint.NAMED * (self._set.search(raw) is not None or (colon and self._quoted.search(raw) is not None))
            | Hint.CUT * (_CUT in raw)
        )


def _has_at(raw: bytes) -> bool:
    if b"@" in raw and (_MAIL.search(raw) is not None or _URL.search(raw) is not None):
        return True
    return b"%" in raw and b"%40" in raw


def _has_card(raw: bytes) -> bool:
    runs = raw.translate(_DIGITS)
    at = runs.find(_CARD_RUN)
    while at >= 0:
        end = runs.find(b" ", at)
        end = len(runs) if end < 0 else end
        if _CARD.search(raw, at, end):
            return True
        at = runs.find(_CARD_RUN, end)
    return False


def _has_key(raw: bytes) -> bool:
    runs = raw.translate(_RUNS)
    at = runs.find(_LONG_RUN)
    if at >= 0 and b"PRIVATE KEY" in raw:
        return True
    while at >= 0:
        end = runs.find(b" ", at)
        end = len(runs) if end < 0 else end
        if _KEY.match(raw, at) or _is_preceded(raw, at, end):
            return True
        at = runs.find(_LONG_RUN, end)
    return False


def _is_preceded(raw: bytes, at: int, end: int) -> bool:
    """Whether what stands before the run that begins *at* makes it a secret, or hides where one begins."""
    before = raw[max(0, at - 7) : at]
    if before.endswith(b"SG.") or (before.endswith(b" ") and before.lower().endswith(_SCHEMES)):
        return True
    return any(length in before[-4:] for length in _LENGTHS) and _GLUED_KEY.search(raw, at, end + 40) is not None


_SCHEMES: Final = (b"bearer ", b"basic ")
