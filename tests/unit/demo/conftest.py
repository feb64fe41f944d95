"""The demo's parts are tested for what they do; what they trace is `tests/acceptance/test_demo.py`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import clew


@pytest.fixture(autouse=True)
def no_tracing() -> Iterator[None]:
    clew.configure(enabled=False)
    yield
    clew.shutdown()
