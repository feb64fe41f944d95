"""
The ways in which a program hands work on, as small functions, in the order of the table.

Each opens a span "request", does its work, and says who is whose parent: {child: parent}. The
spans of a step are opened by `step` (ambient, or under the handle it is given) and nothing else
is done for the parent's sake. A pattern that needs more than this Python has is `needs`-ed.
"""

from __future__ import annotations

import importlib

from matrix_register import PATTERNS, Parents, Pattern, async_leaf, leaf, pattern

__all__ = ["PATTERNS", "Parents", "Pattern", "async_leaf", "leaf", "pattern"]

GROUPS = ("asyncio", "threads", "managers", "generators", "web", "processes", "otel", "servers")
"""One file for each, which registers its patterns as it is imported."""

for group in GROUPS:
    importlib.import_module(f"matrix_{group}")
