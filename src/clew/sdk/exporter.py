"""
Where batches go: the promise that an exporter makes. It is called by the writer's thread alone, one
batch at a time.

`clew.sdk.http_exporter` speaks to a server. Writing straight into a store is `clew.ingest.direct`,
which `clew.configure` picks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from clew.errors import ConfigError
from clew.sdk.packing import PackedBody


class TryLater(Exception):
    """The batch was not taken, and may be sent again as it is."""

    def __init__(self, why: str, *, after_s: float | None = None, unreachable: bool = False, told: bool = True) -> None:
        super().__init__(why)
        self.after_s = after_s
        """When the other side wants to see it again; None if it did not say."""
        self.unreachable = unreachable
        """Nobody is there at all."""
        self.is_overload = told
        """The other side says that it is busy or away; otherwise it failed, and may always fail."""


class Refused(Exception):
    """The batch as a whole will never be taken; a part of it may."""


class Denied(Exception):
    """Nothing will be taken, whatever it is: a wrong key, a wrong address."""


class Exporter(Protocol):
    """
    Takes batches. Whatever it raises, the writer survives.

    It MAY have more: `send_packed(payload)` takes a body as `PackedBody.encode` made it; without it such
    a body is read back for `send`. `send_deltas(payload)` takes what was summed up over traffic that is
    not stored; without it that is let go. Both raise as `send` does. `while_waiting` is set to what it is
    to call while it waits, with the seconds since it began, and `more_headers` to what gives it headers.
    """

    def send(self, body: PackedBody) -> Sequence[str] | None:
        """
        Deliver *body*; returning means that it is kept. Gives why single spans were refused, if any.

        Raises:
            TryLater: not now. Also `StoreBusy` and `StoreUnavailable`, for stores.
            Refused: not as it is. Any other exception counts as this.
            Denied: never.
        """

    def close(self) -> None:
        """Let go of connections. May be called again, and send may follow."""

    def after_fork(self) -> None:
        """In a forked child: forget what is shared with the parent, without talking to anybody."""


class LateExporter:
    """
    Opens the real exporter at the first batch, on the writer's thread.

    So neither `clew.configure` nor a span opens a database, and a forked child opens its own.
    """

    def __init__(self, open_exporter: Callable[[], Any]) -> None:
        self._open = open_exporter
        self._opened: Any = None
        self._parents: list[Any] = []

    def send(self, body: PackedBody) -> Sequence[str] | None:
        """Open it if need be, and hand on; see Exporter."""
        rejected: Sequence[str] | None = self._ready().send(body)
        return rejected

    def send_deltas(self, payload: bytes) -> None:
        """The same for sums over unstored traffic, if what was opened takes them."""
        send_deltas = getattr(self._ready(), "send_deltas", None)
        if send_deltas is not None:
            send_deltas(payload)

    def _ready(self) -> Any:
        if self._opened is None:
            try:
                self._opened = self._open()
            except (ConfigError, ImportError) as error:
                raise Denied(str(error)) from None
        return self._opened

    def close(self) -> None:
        """Close what was opened; the next send opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def after_fork(self) -> None:
        """Leave the parent's alone: even to close an inherited database connection can harm it."""
        self._parents.append(self._opened)
        self._opened = None
