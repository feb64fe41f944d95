"""
Hands parcels to the exporter one at a time, and decides what becomes of one that is not taken.

Not now: it is tried again, later and later, or when the server asked for it. Refused: it is halved
until what is refused stands alone. Never: it is lost, and counted.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from clew.errors import SchemaTooNew, StoreBusy, StoreUnavailable
from clew.sdk.exporter import Denied, Exporter, Refused, TryLater
from clew.sdk.losses import Losses
from clew.sdk.packing import PackedBody
from clew.sdk.parcels import DELTAS, NOTE, Parcel, unpacked

BACKOFF_S: Final = 0.5
BACKOFF_MAX_S: Final = 30.0
HURRIED_BACKOFF_S: Final = 0.05
HURRIED_BACKOFF_MAX_S: Final = 0.5
DENIED_S: Final = 60.0
"""How long what is on disk waits for another try when the server denied it."""
FAILURES: Final = 6
"""So often a parcel may make the other side fail (500), which is not the same as being busy..."""
FAILING_S: Final = 10.0
"""... and for so long: a flush tries often, and the other side may be about to recover."""


class Delivery:
    """Who is on the other side, and how it went lately. For the writer's thread."""

    def __init__(self, exporter: Exporter, losses: Losses, clock: Callable[[], float]) -> None:
        self.exporter = exporter
        self.losses = losses
        self.clock = clock
        self.unreachable = False
        """Nobody was there when we last tried."""
        self.forget()

    def forget(self) -> None:
        """Begin as if all were well: at first, and in a forked child."""
        self.attempts = 0
        self.retry_at = 0.0
        self.waits_as_told = False
        """Until `retry_at`, because the server asked for it."""
        self.was_denied = False
        """What is on disk was not taken, and will not be soon."""
        self.trouble_since: float | None = None
        """When the first parcel of a row was not taken; None while all is well."""

    def deliver(self, parcels: deque[Parcel], *, hurried: bool = False, is_kept: bool = False) -> bool:
        """
        Send the first of *parcels*, which is taken away, or replaced by its halves, when that is settled.

        False: it has to be sent again, from `retry_at` on. What *is_kept* on disk is not given up when
        the server denies it: another key, or another day, may still deliver it.
        """
        parcel = parcels[0]
        lost = self.losses.total() if parcel.kind != NOTE else 0
        try:
            rejected = self._send(parcel)
        except TryLater as later:
            return self._postpone(parcels, later, hurried)
        except (StoreBusy, StoreUnavailable) as error:
            if not isinstance(error, SchemaTooNew):
                away = isinstance(error, StoreUnavailable)
                return self._postpone(parcels, TryLater(str(error), unreachable=away), hurried)
            return self._deny(parcels, str(error), is_kept)
        except Denied as error:
            return self._deny(parcels, str(error), is_kept)
        except Exception as error:
            self._divide(parcels, str(error) if isinstance(error, Refused) else f"{error!r:.300}")
        else:
            self.losses.known_to_server = max(lost, self.losses.known_to_server)
            if rejected:
                self.losses.add("rejected", len(rejected), rejected[0])
            self._settle(parcels)
        return True

    def _send(self, parcel: Parcel) -> Sequence[str] | None:
        exporter = self.exporter
        if parcel.kind == DELTAS:
            send_deltas = getattr(exporter, "send_deltas", None)
            if send_deltas is not None:
                send_deltas(parcel.data)
            return None
        if parcel.kind == NOTE:
            return self._send_note(parcel)
        if parcel.body is not None:
            return exporter.send(parcel.body) if parcel.count else None
        send_packed = getattr(exporter, "send_packed", None)
        if send_packed is None:
            return exporter.send(unpacked(parcel.data))
        rejected: Sequence[str] | None = send_packed(parcel.data)
        return rejected

    def _send_note(self, parcel: Parcel) -> Sequence[str] | None:
        """Tell the losses of a process that is no more, in its name."""
        exporter: Any = self.exporter
        ours = getattr(exporter, "more_headers", None)
        if ours is None:
            return None
        said = msgspec.msgpack.decode(parcel.data, type=dict[str, str])
        exporter.more_headers = lambda: said
        try:
            rejected: Sequence[str] | None = exporter.send(PackedBody())
        finally:
            exporter.more_headers = ours
        return rejected

    def _settle(self, parcels: deque[Parcel]) -> None:
        parcels.popleft()
        self.forget()
        self.unreachable = False

    def _postpone(self, parcels: deque[Parcel], later: TryLater, hurried: bool) -> bool:
        self.attempts += 1
        self.unreachable = later.unreachable
        self.losses.last_reason = str(later)
        if not later.is_overload and self.attempts >= FAILURES and self._has_failed_for(FAILING_S):
            self._give_up(parcels, "failed", str(later))
            return True
        if later.after_s is None:
            base, most = (HURRIED_BACKOFF_S, HURRIED_BACKOFF_MAX_S) if hurried else (BACKOFF_S, BACKOFF_MAX_S)
            wait_s = min(base * 2 ** min(self.attempts - 1, 10), most) * random.uniform(0.8, 1.2)  # noqa: S311
        else:
            wait_s = later.after_s
        self.waits_as_told = later.after_s is not None
        self._wait(wait_s)
        return False

    def _wait(self, wait_s: float) -> None:
        now = self.clock()
        self.retry_at = now + wait_s
        if self.trouble_since is None:
            self.trouble_since = now

    def _has_failed_for(self, seconds: float) -> bool:
        return self.trouble_since is not None and self.clock() - self.trouble_since >= seconds

    def _deny(self, parcels: deque[Parcel], why: str, is_kept: bool) -> bool:
        if not is_kept:
            self._give_up(parcels, "deltas" if parcels[0].kind == DELTAS else "denied", why)
            return True
        self.losses.last_reason = why
        self.waits_as_told = self.was_denied = True
        self._wait(DENIED_S)
        return False

    def _divide(self, parcels: deque[Parcel], why: str) -> None:
        """Refused: find what it is that is refused, and send the rest."""
        parts = list(parcels[0].split(why))
        if not parts:
            self._give_up(parcels, "deltas" if parcels[0].kind == DELTAS else "rejected", why)
            return
        for part in parts[:0:-1]:
            parcels.insert(1, part)
        parcels[0] = parts[0]  # No call, between the last insert and this, that could fail and lose a half.

    def _give_up(self, parcels: deque[Parcel], cause: str, why: str) -> None:
        if parcels[0].kind != NOTE:
            self.losses.add(cause, max(1, parcels[0].count), why)
        self._settle(parcels)
