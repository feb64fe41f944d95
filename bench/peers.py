"""The peers, each in a virtual environment of its own, made on first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.places import VENVS

REQUIREMENTS = {
    "opentelemetry": ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"],
    "ddtrace": ["ddtrace>=4.16,<5"],
    "langsmith": ["langsmith"],
    "phoenix": ["arize-phoenix"],
    "networkx": ["networkx"],
    "rustworkx": ["rustworkx"],
}

SHOWN = {
    "opentelemetry": "opentelemetry-sdk",
    "ddtrace": "ddtrace",
    "langsmith": "langsmith",
    "phoenix": "arize-phoenix",
    "networkx": "networkx",
    "rustworkx": "rustworkx",
}
"""The distribution whose version names the peer."""


def python(peer: str) -> Path:
    """
    Give the peer's interpreter, of the same Python as Clew's; install it first if need be.

    A stamp says that an installation was completed, so an interrupted one is begun anew.
    """
    return installed(peer, sys.executable, REQUIREMENTS[peer])


def installed(name: str, interpreter: str, requirements: list[str]) -> Path:
    """Give the interpreter of the environment *name*, made from *interpreter* with *requirements* if need be."""
    venv = VENVS / name
    stamp = venv / ".installed"
    if not stamp.exists():
        print(f"Installing {name} into {venv.relative_to(VENVS.parent.parent)}", file=sys.stderr, flush=True)
        subprocess.run([interpreter, "-m", "venv", "--clear", str(venv)], check=True)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
        stamp.touch()
    return venv / "bin" / "python"


def interpreter(subject: str) -> Path:
    """The interpreter in which *subject* runs: a peer's own, or this one."""
    return python(subject) if subject in REQUIREMENTS else Path(sys.executable)


def version(peer: str) -> str:
    """The installed version of the peer."""
    code = f"from importlib.metadata import version; print(version({SHOWN[peer]!r}))"
    done = subprocess.run([str(python(peer)), "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()
