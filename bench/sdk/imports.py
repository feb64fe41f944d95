"""
How long an SDK takes to be imported, and how many packages it brings.

The time is the processor's, user and system, so that a busy neighbour does not count.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

from bench import peers
from bench.report import Figure
from bench.sdk import pythons
from bench.sdk.subjects import SUBJECTS

TURNS = 21
IMPORTED = ("clew", "opentelemetry", "ddtrace", "langsmith")

Imports = dict[str, dict[str, float]]
"""For each SDK `ms` and `packages`."""

_COUNT = """
from importlib.metadata import distributions
print(len({each.name.lower() for each in distributions()} - {"pip", "setuptools", "wheel"}))
"""


def measure() -> Imports:
    """In turns: each SDK's import, and the same interpreter without it, whose time is taken off."""
    print(f"sdk: importing {', '.join(IMPORTED)}, {TURNS} times each", file=sys.stderr, flush=True)
    interpreters = {name: pythons.own() if name == "clew" else peers.python(name) for name in IMPORTED}
    added: dict[str, list[float]] = {name: [] for name in IMPORTED}
    for _ in range(TURNS):
        for name, interpreter in interpreters.items():
            bare_ms = _took_ms(interpreter, "pass")
            added[name].append(_took_ms(interpreter, SUBJECTS[name].imports) - bare_ms)
    return {
        name: {"ms": median(added[name]), "packages": _packages(interpreter)}
        for name, interpreter in interpreters.items()
    }


def figures(imports: Imports) -> list[Figure]:
    """Clew's beside the peers'."""
    own, others = imports["clew"], {name: each for name, each in imports.items() if name != "clew"}
    ms = own["ms"]
    told = ", ".join(f"{name} {each['ms']:.0f}" for name, each in others.items())
    brought = ", ".join(f"{name} {each['packages']:.0f}" for name, each in others.items())
    return [
        Figure("import", f"{ms:.0f} ms", f"{told} ms", "", "under 40 ms", ms < 40),
        Figure(
            "packages, the SDK among them", f"{own['packages']:.0f}", brought, "", "at most 2", own["packages"] <= 2
        ),
    ]


def _took_ms(interpreter: Path, statement: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([str(interpreter), "-c", statement], check=True, stdin=subprocess.DEVNULL, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def _packages(interpreter: Path) -> int:
    done = subprocess.run([str(interpreter), "-c", _COUNT], check=True, capture_output=True, text=True)
    return int(done.stdout)
