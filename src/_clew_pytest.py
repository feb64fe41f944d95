"""
The pytest plugin: one fixture, `clew_spans`.

It stands beside the package and not in it, because pytest loads it in each run of every environment
that has Clew, and a module of the package would bring `import clew` with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clew.testing import CapturedSpans


@pytest.fixture
def clew_spans() -> Iterator[CapturedSpans]:
    """Give the spans that end during the test, as a tree to assert on: see `clew.testing.capture`."""
    from clew.testing import capture

    with capture() as spans:
        yield spans
