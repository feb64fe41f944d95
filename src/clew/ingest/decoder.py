"""
The process that decodes: `python -m clew.ingest.decoder`, started by `clew.ingest.apart` alone.

It reads bodies from its standard input and writes what a store needs of them to its standard
output, until the input ends: it never outlives its server. It opens no file and no socket.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import IO, Any

from clew.ingest import frames
from clew.ingest.salvage import batch_of
from clew.model import Batch

_logger = logging.getLogger("clew.ingest")


def main() -> None:
    """Serve until the input ends."""
    # The server stops it by ending the input, after the last body; a terminal or a supervisor must not.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    bodies, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever prints must not print into the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        serve(bodies, answers)
    except BrokenPipeError:
        return  # the server is gone


def serve(bodies: IO[bytes], answers: IO[bytes]) -> None:
    """Take how to prepare, say that it is ready, then answer body after body."""
    first = frames.receive(bodies)
    if first is None:
        return
    prepare: Callable[[Batch], Batch] = first[0]()
    frames.send(answers, "ready")
    while (asked := frames.receive(bodies)) is not None:
        frames.send(answers, answer(*asked, prepare))


def answer(said: Any, body: bytes, prepare: Callable[[Batch], Batch]) -> Any:
    """Decode and prepare one body; only its number if that fails: the server meets the same error itself."""
    number, project, read = said
    began = time.perf_counter()
    try:
        decoded = read(body)
        batch = prepare(batch_of(project, decoded)) if decoded.spans or decoded.scores else None
        return frames.told(number, decoded, batch, time.perf_counter() - began)
    except Exception as error:
        _logger.debug("left to the server: %r", error)
        return (number,)


if __name__ == "__main__":
    main()
