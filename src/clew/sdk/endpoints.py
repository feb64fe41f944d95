"""Which endpoints are stores. The SDK knows no store, so `clew` itself says here how to open one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

STORE_OPENERS: Final[dict[str, Callable[[str], Any]]] = {}
"""URL scheme -> what makes its exporter; it raises ConfigError for a URL that cannot be."""
