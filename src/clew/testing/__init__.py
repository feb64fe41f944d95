"""
For tests: of applications that are traced, and of stores.

    with clew.testing.capture() as spans:
        answer("why?")
    assert spans.tree() == {"answer": {"retrieve": {}, "generate": {}}}

`capture` needs nothing that Clew itself does not; pytest finds the fixture `clew_spans` by itself.
What a store must keep is `clew.testing.store_contract` and its neighbours, classes to inherit, which
need pytest, hypothesis and `clew[server]`, so only those who have them import them.
"""

from __future__ import annotations

from clew.testing.capture import CapturedSpan, CapturedSpans, NoSuchSpan, capture

__all__ = ["CapturedSpan", "CapturedSpans", "NoSuchSpan", "capture"]
