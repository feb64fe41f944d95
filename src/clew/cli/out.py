"""Where the commands print: results to stdout, everything about them to stderr."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from clew.cli.text import json_text

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

PIPE_CELLS = 200
"""A pipe has no width, and whoever reads it wants whole lines."""


def out() -> Console:
    """Give a console on stdout, as it is now."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_CELLS
    return Console(highlight=False, width=width)


def errors() -> Console:
    """Give a console on stderr, as it is now."""
    return Console(stderr=True, highlight=False)


def print_json(body: Any) -> None:
    """Print *body* as one JSON document on one line, without anything that steers a terminal."""
    sys.stdout.write(json_text(body) + "\n")
