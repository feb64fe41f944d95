"""The patterns as the README shows them: a few rows, each of several patterns that belong together."""

from __future__ import annotations

import re
from typing import Final

from matrix_patterns import PATTERNS

ROWS: Final = (
    ("await, gather, `create_task`, `TaskGroup`, anyio, trio, cancelled and eager tasks", "asyncio", r""),
    ("a task or thread that outlives its parent", "asyncio|threads", r"^(late_|task_chain)"),
    ("`call_soon`, `call_later`, `call_soon_threadsafe`, `add_done_callback`", "asyncio|threads", r"call"),
    ("`to_thread`, `run_in_executor`, thread pools, `Thread`, `Timer`, `copy_context().run`", "threads", r""),
    ("an event loop inside a thread, a coroutine sent to a loop", "asyncio", r"^(loop_in|coroutine_)"),
    ("a queue's consumer that was there before the request", "asyncio|threads", r"^queue_"),
    ("a span in a `@contextmanager`, an `ExitStack`, a class's `__enter__`", "context managers", r""),
    ("generators and async generators, decorated", "generators", r"decorated"),
    ("the same with only a `with span` inside", "generators", r""),
    ("streaming through Starlette and FastAPI, pure and `BaseHTTPMiddleware`", "web", r"stream"),
    ("`BackgroundTasks`, sync endpoints, dependencies with `yield`", "web", r""),
    ("`multiprocessing` and `ProcessPoolExecutor`: fork, spawn, forkserver", "processes", r""),
    ("`os.fork` in mid-span", "processes", r"^forked"),
    ("`subprocess`, by the environment", "processes", r"^by_environment"),
    ("mixed with OpenTelemetry's spans, in both directions", "OpenTelemetry", r""),
    ("mixed with OpenTelemetry's spans, in both directions", "OpenTelemetry", r""),
    ("uvicorn and gunicorn workers, with and without `--preload`", "servers", r""),
)
"""(title, groups, which names): a row without a rule for names takes what is left of its groups."""


def rows() -> dict[str, list[str]]:
    """Give the names of the patterns by row; what no row asks for is under its group's name."""
    found: dict[str, list[str]] = {title: [] for title, _, _ in ROWS}
    for name, pattern in PATTERNS.items():
        found.setdefault(_row_of(name, pattern.group), []).append(name)
    return {title: names for title, names in found.items() if names}


def _row_of(name: str, group: str) -> str:
    mine = [(title, rule) for title, groups, rule in ROWS if group in groups.split("|")]
    named = (title for title, rule in mine if rule and re.search(rule, name))
    rest = (title for title, rule in mine if not rule)
    return next(named, next(rest, group))
