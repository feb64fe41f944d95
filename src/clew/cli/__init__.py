"""
The `clew` command.

Needs the extra `clew[server]`: `clew` alone is the SDK, and this module says so instead of
failing on an import.
"""

from __future__ import annotations

import sys

NEEDS_SERVER = "clew: the command line needs more than the SDK. Install it with:  pip install 'clew[server]'"


def main() -> None:
    """Run the command line; the console entry point."""
    try:
        from clew.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "clew":
            raise
        sys.stderr.write(f"{NEEDS_SERVER}\n(missing: {error.name})\n")
        raise SystemExit(1) from None
    app()
