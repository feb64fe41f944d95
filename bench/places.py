"""Where the bench keeps what it makes: all of it ignored by git, none of it in a memory disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).parent
ROOT = BENCH.parent
VENVS = BENCH / ".venvs"
RESULTS = BENCH / "results"


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """
    Give a directory that is removed afterwards.

    Beside the results and not in the system's temporary directory, which may be memory:
    there a commit would be durable in name only.
    """
    RESULTS.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=RESULTS))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
