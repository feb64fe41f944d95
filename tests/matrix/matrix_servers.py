"""Real servers, with workers of their own: uvicorn and gunicorn, with and without --preload."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import sys
import urllib.request
from importlib.util import find_spec

from matrix_processes import named
from matrix_register import PATTERNS, Parents, Pattern
from matrix_subjects import Subject


def _served(s: Subject, command: list[str]) -> Parents:
    """Eight requests to a real server; each is one tree, and no id is drawn twice."""
    here = os.path.dirname(__file__)
    settings = {"MATRIX_SUBJECT": named(s), "MATRIX_EXPLICIT": str(int(s.explicit)), "PYTHONPATH": here}
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        with subprocess.Popen(
            [sys.executable, "-m", *(part.replace("FD", str(listening.fileno())) for part in command)],
            env={**os.environ, **settings},
            pass_fds=[listening.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            for _ in range(8):
                with urllib.request.urlopen(url, timeout=20) as response:
                    response.read()
            server.terminate()
    return {"step": "request"}


def _register_servers() -> None:
    gunicorn = ["gunicorn", "matrix_app:app", "-b", "fd://FD", "-k", "uvicorn.workers.UvicornWorker", "-w", "2"]
    uvicorn = ["uvicorn", "matrix_app:app", "--fd", "FD"]
    for name, title, command in (
        ("uvicorn", "uvicorn", uvicorn),
        ("uvicorn_workers", "uvicorn, 2 workers", [*uvicorn, "--workers", "2"]),
        ("gunicorn", "gunicorn, 2 workers", gunicorn),
        ("gunicorn_preload", "gunicorn, 2 workers, --preload", [*gunicorn, "--preload"]),
    ):
        PATTERNS[name] = Pattern(
            title, "servers", functools.partial(_served, command=command), functools.partial(find_spec, command[0])
        )


_register_servers()
