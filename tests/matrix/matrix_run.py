"""
Run every pattern with one SDK, each in a process of its own, and print the verdicts as JSON.

    python matrix_run.py clew
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from matrix_patterns import PATTERNS, Pattern
from matrix_subjects import FILE, SUBJECTS

PATIENCE_S = 30
WAYS = ("ambient", "explicit")


def main(subject: str) -> None:
    """Print {pattern: {way: verdict}}."""
    # Python 3.12 warns of forks beside threads; here that is what is tried.
    warnings.simplefilter("ignore", DeprecationWarning)
    print(json.dumps({name: {way: verdict(subject, name, way) for way in WAYS} for name in PATTERNS}))


def verdict(subject: str, name: str, way: str) -> str:
    """Give "ok", or what went wrong."""
    pattern = PATTERNS[name]
    if not pattern.needs():
        return "absent"
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FILE] = str(Path(folder, "spans"))
        os.environ.pop("TRACEPARENT", None)
        child = os.fork()
        if child == 0:
            run(subject, pattern, way, Path(folder))
        if not ended(child):
            return "hangs"
        try:
            wanted = json.loads(Path(folder, "wanted").read_text())
        except OSError:
            return "raises: " + Path(folder, "error").read_text().strip().splitlines()[-1]
        lines = Path(folder, "spans").read_text().splitlines() if Path(folder, "spans").exists() else []
        return judged(wanted, [json.loads(line) for line in lines])


def run(subject: str, pattern: Pattern, way: str, folder: Path) -> None:
    """In the child: do the pattern, and never come back."""
    os.setsid()
    status = 1
    try:
        made = SUBJECTS[subject](explicit=way == "explicit")
        done: Any = pattern.run(made)
        if inspect.isawaitable(done):
            done = asyncio.run(done)  # type: ignore[arg-type]
        made.flush()
        Path(folder, "wanted").write_text(json.dumps(done))
        status = 0
    except BaseException:
        Path(folder, "error").write_text(traceback.format_exc())
    finally:
        os._exit(status)


def ended(child: int) -> bool:
    """Wait for the child; after a while end it, and all that it has started."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def judged(wanted: dict[str, str], spans: list[dict[str, Any]]) -> str:
    """Compare {child: parent} with what was written."""
    names = {span["id"]: span["name"] for span in spans}
    if len(names) < len(spans):
        return "the same id twice"
    parents: dict[str, set[str | None]] = {}
    for span in spans:
        parents.setdefault(span["name"], set()).add(names.get(span["parent"]) if span["parent"] else None)
    wrong = []
    for child, parent in wanted.items():
        found = parents.get(child, set())
        wrong += [f"{child}: under {other or 'nothing'}" for other in found - {parent}]
        wrong += [] if found else [f"{child}: lost"]
    return "; ".join(wrong) or "ok"


if __name__ == "__main__":
    main(sys.argv[1])
