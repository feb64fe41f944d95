"""The pytest plugin: one fixture, `clew_spans`. Nothing but `import clew` is done until a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clew.testing.capture import CapturedSpans


@pytest.fixture
def clew_spans() -> Iterator[CapturedSpans]:
    """Give the spans that end during the test, as a tree to assert on: see `clew.testing.capture`."""
    from clew.testing.capture import capture

    with capture() as spans:
        yield spans
