"""
An empty span beside the floor, on each Python that is found here.

Each gets an environment of its own with nothing but Clew and what Clew needs. Floor and Clew take
turns within one process, a batch each, while Clew's exporter sends to the sink.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench import peers
from bench.places import ROOT
from bench.report import Figure
from bench.sdk.program import run, sink

VERSIONS = ("3.10", "3.11", "3.12", "3.13")

Turns = dict[str, list[dict[str, float]]]
"""For each Python one result a round: `floor_us`, `clew_us`."""


def environments() -> dict[str, Path]:
    """The interpreter of each Python's environment, made on first use; a Python that is not here is left out."""
    found = {version: _interpreter(version) for version in VERSIONS}
    requirements = ["--editable", str(ROOT)]
    return {
        version: peers.installed(f"clew-{version}", python, requirements) for version, python in found.items() if python
    }


def own() -> Path:
    """The environment of this Python with nothing but Clew in it."""
    version = ".".join(platform.python_version_tuple()[:2])
    return peers.installed(f"clew-{version}", sys.executable, ["--editable", str(ROOT)])


def measure(rounds: int, directory: Path) -> Turns:
    """Take *rounds* turns of each Python."""
    pythons = environments()
    turns: Turns = {version: [] for version in pythons}
    for number in range(rounds):
        print(f"sdk: round {number + 1} of {rounds}, an empty span on each Python", file=sys.stderr, flush=True)
        for version, interpreter in pythons.items():
            with sink(directory) as port:
                url = f"http://127.0.0.1:{port}"
                turns[version].append(json.loads(run(interpreter, "bench.sdk.empty", [url], directory)))
    return turns


def figures(turns: Turns) -> Sequence[Figure]:
    """One for each Python."""
    return [_figure(version, turns[version]) for version in turns]


def _figure(version: str, turns: list[dict[str, float]]) -> Figure:
    ratio = median(turn["clew_us"] / turn["floor_us"] for turn in turns)
    own_us, floor_us = (median(turn[key] for turn in turns) for key in ("clew_us", "floor_us"))
    return Figure(
        f"an empty span on Python {version}, beside the floor",
        f"{own_us:.2f} µs",
        f"{floor_us:.2f} µs",
        f"{ratio:.2f}",
        "at most 2.5",
        ratio <= 2.5,
    )


def _interpreter(version: str) -> str | None:
    """A Python of that version: this one, on the PATH, or pyenv's."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    candidates = [
        shutil.which(f"python{version}"),
        *sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ]
    # A shim of pyenv's is on the PATH for versions that are not switched on, and fails.
    return next((str(each) for each in candidates if each and _reports(str(each)).startswith(f"{version}.")), None)


def _reports(python: str) -> str:
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], check=False, capture_output=True, text=True).stdout
