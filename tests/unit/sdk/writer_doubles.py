"""What tests of the writer share: an exporter that does as it is told, a clock, and spans that end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

import clew
from clew.sdk.packing import PackedBody
from clew.wire.native import NativeBody


class Scripted:
    """An exporter that does, for each batch, what it was told to."""

    def __init__(self) -> None:
        self.script: list[Any] = []
        self.tried: list[PackedBody] = []
        self.taken: list[PackedBody] = []
        self.judge: Callable[[PackedBody], None] = lambda body: None
        self.closed = 0

    def send(self, body: PackedBody) -> list[str] | None:
        self.tried.append(body)
        said = self.script.pop(0) if self.script else None
        if isinstance(said, BaseException):
            raise said
        self.judge(body)
        self.taken.append(body)
        return said

    def close(self) -> None:
        self.closed += 1

    def after_fork(self) -> None:
        pass

    def names(self) -> list[str]:
        return [span.name for body in self.taken for span in body.spans]


class Networked(Scripted):
    """One that also has what only the one over HTTP has; `away` is what it raises, as long as it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.away: BaseException | None = None
        self.deltas: list[bytes] = []
        self.while_waiting: Callable[[float], None] = lambda waited_s: None
        self.more_headers: Callable[[], dict[str, str]] = dict

    def send(self, body: PackedBody) -> list[str] | None:
        if self.away is not None:
            self.tried.append(body)
            raise self.away
        return super().send(body)

    def send_packed(self, payload: bytes) -> list[str] | None:
        body = msgspec.msgpack.decode(payload, type=NativeBody)
        return self.send(PackedBody(spans=body.spans, scores=body.scores, resource=body.resource))

    def send_deltas(self, payload: bytes) -> None:
        if self.away is not None:
            raise self.away
        self.deltas.append(payload)


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def end(name: str = "step", count: int = 1) -> None:
    for _ in range(count):
        with clew.span(name), clew.span(f"{name} child"):
            pass
