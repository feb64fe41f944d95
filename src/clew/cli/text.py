"""
What a trace holds, made safe for a terminal.

Names, prompts and errors come from anywhere. An escape sequence among them could recolour,
retitle, overwrite what was printed before, or on some terminals type; so none gets through.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

import msgspec

# C0, DEL and C1, lone surrogates, and the marks that turn the direction of text around.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def safe(text: object) -> str:
    """Give *text* with newlines and tabs, but no other control character; those become "�"."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text).replace("\r\n", "\n"))


def one_line(text: object, limit_chars: int = 120) -> str:
    """Give *text* safe, on one line, and cut visibly."""
    flat = " ".join(safe(str(text)[: limit_chars * 8]).split())
    return flat if len(flat) <= limit_chars else flat[: limit_chars - 1] + "…"


def payload(value: Any, limit_chars: int = 2_000) -> str:
    """Give inputs, outputs or attributes for people: text as it is, anything else as JSON."""
    raw = value if isinstance(value, str) else msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    text = safe(raw)
    if len(text) <= limit_chars:
        return text
    return f"{text[:limit_chars]}… ({len(text) - limit_chars:,} more characters; `clew traces export` has them)"


def json_text(value: Any) -> str:
    """
    Give *value* as JSON that holds no raw control character, so that it is safe on a terminal too.

    JSON escapes C0 by itself; C1 it may leave as they are, and some terminals obey those.
    """
    return msgspec.json.encode(value).decode().translate(_C1_ESCAPES)


_C1_ESCAPES = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}


def duration(duration_ms: float | None) -> str:
    """Give a duration with three figures: 0.12 ms, 38 ms, 1.24 s, 2 min 5 s."""
    if duration_ms is None:
        return "running"
    if duration_ms < 10:
        return f"{duration_ms:.2f} ms"
    if duration_ms < 999.5:
        return f"{duration_ms:.0f} ms"
    if duration_ms < 99_950:
        return f"{duration_ms / 1_000:.3g} s"
    minutes, seconds = divmod(round(duration_ms / 1_000), 60)
    return f"{minutes} min {seconds:02} s"


def when(iso: str) -> str:
    """Give an API time in the reader's own time zone, to the second."""
    try:
        return datetime.fromisoformat(iso.replace("Z", "+00:00")).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError):
        return safe(iso)


def cost(cost_usd: float | None) -> str:
    """Give a cost in dollars: to the cent, or with two figures if it is under ten of them; "" if it is not known."""
    if cost_usd is None:
        return ""
    if cost_usd == 0 or cost_usd >= 0.1:
        return f"${cost_usd:,.2f}"
    # Never as 1e-05, which people read as a fault.
    return f"${cost_usd:.{1 - math.floor(math.log10(cost_usd))}f}" if cost_usd > 1e-9 else "$0.00"


def tokens(row: dict[str, Any]) -> str:
    """Give a row's tokens, "in → out" where something came out; "" if it has none."""
    given, made = row.get("input_tokens"), row.get("output_tokens")
    if made:
        return f"{given or 0:,} → {made:,} tokens"
    return f"{given:,} tokens" if given else ""
