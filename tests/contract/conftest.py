"""At the end of a run it says which engine, of which version, kept how much of the contract."""

from __future__ import annotations

import subprocess
from collections import Counter

import apsw
import clickhouse_server
import postgres_server
import pytest

_ENGINES = {
    "Memory": lambda: "memory",
    "Sqlite": lambda: f"SQLite {apsw.sqlite_lib_version()}",
    "Postgres": lambda: f"PostgreSQL {_postgres_version()}",
    "Clickhouse": lambda: f"ClickHouse {clickhouse_server.VERSION}",
    "TwoShards": lambda: f"ClickHouse {clickhouse_server.VERSION}, two shards",
}
"""What the names of the classes that inherit the contract begin with."""

_outcomes: Counter[tuple[str, str]] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the rules that each engine was held to."""
    _, _, rule = report.nodeid.partition("::Test")
    if "/contract/" in report.nodeid and (report.when == "call" or report.outcome != "passed"):
        for engine in _ENGINES:
            _outcomes[engine, report.outcome] += rule.startswith(engine)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each engine."""
    if not any(_outcomes.values()):
        return
    terminalreporter.section("the contract of the stores")
    for engine, said in _ENGINES.items():
        passed, skipped, failed = (_outcomes[engine, outcome] for outcome in ("passed", "skipped", "failed"))
        if passed or skipped or failed:
            terminalreporter.write_line(f"{said()}: {passed} kept, {failed} broken, {skipped} skipped")


def _postgres_version() -> str:
    folder = postgres_server.binaries()
    if folder is None:
        return "(not here)"
    said = subprocess.run([str(folder / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[2]
