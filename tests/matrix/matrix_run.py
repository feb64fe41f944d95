"""
Run every pattern with one SDK, each in a process of its own, and print the verdicts as JSON.

    python matrix_run.py clew [group ...]
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import shutil
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
AT_ONCE = 4
"""Trials side by side: most of them wait, for a server or another process to begin."""
PRELOADED = ("anyio._backends._asyncio", "asgiref.sync", "fastapi", "multiprocessing.pool", "starlette.applications")
"""What would cost each trial more than all that it does."""
WAYS = ("ambient", "explicit")


def main(subject: str, *groups: str) -> None:
    """Print {pattern: {way: verdict}}, of some groups of patterns or of all."""
    # Python 3.12 warns of forks beside threads; here that is what is tried.
    warnings.simplefilter("ignore", DeprecationWarning)
    os.environ.pop("TRACEPARENT", None)
    os.environ.update(SUBJECTS[subject].settings)
    for module in (*PRELOADED, *SUBJECTS[subject].modules):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    names = [name for name, pattern in PATTERNS.items() if not groups or pattern.group in groups]
    found: dict[str, dict[str, str]] = {name: dict.fromkeys(WAYS, "absent") for name in names}
    waiting = [(name, way) for name in names if PATTERNS[name].needs() for way in WAYS]
    running: list[Trial] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            running.append(Trial(subject, *waiting.pop()))
        for trial in [trial for trial in running if trial.is_over()]:
            running.remove(trial)
            found[trial.name][trial.way] = trial.verdict()
        time.sleep(0.002)
    print(json.dumps(found))


class Trial:
    """One pattern in one way, in a process of its own."""

    def __init__(self, subject: str, name: str, way: str) -> None:
        self.name = name
        self.way = way
        self.folder = Path(tempfile.mkdtemp())
        self.until = time.monotonic() + PATIENCE_S
        self.hangs = False
        os.environ[FILE] = str(self.folder / "spans")
        self.child = os.fork()
        if self.child == 0:
            run(subject, PATTERNS[name], way, self.folder)

    def is_over(self) -> bool:
        """Whether it has come to its end; after a while it is brought to it, and all that it has started."""
        if os.waitpid(self.child, os.WNOHANG)[0]:
            return True
        if time.monotonic() > self.until:
            self.hangs = True
            os.killpg(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        return self.hangs

    def verdict(self) -> str:
        """Give "ok", or what went wrong."""
        try:
            return "hangs" if self.hangs else self._judged()
        finally:
            shutil.rmtree(self.folder)

    def _judged(self) -> str:
        try:
            wanted = json.loads((self.folder / "wanted").read_text())
        except OSError:
            error = self.folder / "error"
            return "raises: " + error.read_text().strip().splitlines()[-1] if error.exists() else "dies"
        spans = self.folder / "spans"
        lines = spans.read_text().splitlines() if spans.exists() else []
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
    main(*sys.argv[1:])
