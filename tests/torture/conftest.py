"""What the torture says at its end: how often, how much, and what was lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from torture_rig import Verdict

_LINES: list[str] = []

MOST_MB = 400


@pytest.fixture
def tell() -> Callable[[str], None]:
    """Give what adds a line to those at the end."""
    return _LINES.append


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> Iterator[Callable[[str, Verdict], None]]:
    """Give what accepts a verdict: nothing lost, nothing torn, memory bounded."""

    def accept(what: str, verdict: Verdict) -> None:
        _LINES.append(
            f"{what}: {verdict.spans:,} spans acknowledged, {verdict.missing} missing, {verdict.torn} traces torn, "
            f"{verdict.peak_mb:.0f} MB at most; answers {verdict.answers}"
        )
        assert verdict.spans > 0
        assert verdict.missing == 0
        assert verdict.torn == 0
        assert verdict.peak_mb < MOST_MB

    yield accept
    del request


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts."""
    if _LINES:
        terminalreporter.section("torture")
        for line in _LINES:
            terminalreporter.write_line(line)
