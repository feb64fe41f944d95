"""The service that the matrix has real servers run: one request is a span, with a step in a thread."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from matrix_subjects import SUBJECTS

s = SUBJECTS[os.environ["MATRIX_SUBJECT"]](explicit=os.environ["MATRIX_EXPLICIT"] == "1")
with s.span("import"):  # With --preload: in the master, before the fork.
    pass


def step(parent: Any) -> None:
    with s.step("step", parent):
        pass


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200, and be done when everything is written."""
    if scope["type"] != "http":
        return
    with s.span("request"):
        await asyncio.gather(asyncio.to_thread(step, s.handle()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
    await asyncio.to_thread(s.flush)
