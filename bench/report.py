"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import peers
from bench.places import RESULTS


@dataclass
class Figure:
    """One thing measured, beside what it is compared with and what was wanted."""

    what: str
    clew: str
    peer: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None
    """None: nothing was wanted of it."""


@dataclass
class Section:
    """One part of the bench."""

    title: str
    figures: list[Figure]
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    """The details behind the figures."""
    raw: dict[str, Any] = field(default_factory=dict)
    """Goes into the JSON alone."""


def percentile(values: Sequence[float], share: float) -> float:
    """The value at *share* (0 to 1) of the sorted values; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def machine(with_peers: Sequence[str]) -> str:
    """On what, and which versions."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    own = [f"{name} {version(name)}" for name in ("clew", "msgspec", "apsw")]
    others = [f"{peers.SHOWN[peer]} {peers.version(peer)}" for peer in with_peers]
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processors} CPUs ({_processor()}), {platform.system()} {platform.release()}, {python}; " + ", ".join(
        own + others
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def show(section: Section, console: Console) -> None:
    """Print the figures, then the details."""
    table = Table(title=section.title, title_justify="left", title_style="bold")
    for name in ("figure", "Clew", "peer", "ratio", "target", ""):
        table.add_column(name, justify="left" if name in ("figure", "target", "") else "right")
    for figure in section.figures:
        verdict = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[figure.met]
        table.add_row(figure.what, figure.clew, figure.peer, figure.ratio, figure.target, verdict)
    console.print(table)
    if section.rows:
        details = Table(box=None, padding=(0, 2, 0, 0))
        for number, name in enumerate(section.columns):
            details.add_column(name, justify="right" if number else "left")
        for row in section.rows:
            details.add_row(*row)
        console.print(details)
    console.print()


def save(sections: Sequence[Section], on: str) -> Path:
    """Write everything to a file of its own under `bench/results`."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(timezone.utc)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    content = {"at": now.isoformat(), "machine": on, "sections": [asdict(section) for section in sections]}
    path.write_text(json.dumps(content, indent=1))
    return path
