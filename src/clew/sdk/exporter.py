"""
Where batches go. An exporter is called by the writer's thread alone, one batch at a time.

`HttpExporter` speaks the native protocol over one kept-alive connection of the standard library's
http.client. Writing straight into a store is `clew.ingest.direct`, which `clew.configure` picks.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from math import isnan
from time import time
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from clew.errors import ConfigError
from clew.sdk.packing import PackedBody

TIMEOUT_S: Final = 10.0
"""For connecting, and for each wait for the other side."""

REPLY_BYTES: Final = 1 << 20
"""More than this of an answer is not read."""


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
    """Takes batches. Whatever it raises, the writer survives."""

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
        if self._opened is None:
            try:
                self._opened = self._open()
            except (ConfigError, ImportError) as error:
                raise Denied(str(error)) from None
        rejected: Sequence[str] | None = self._opened.send(body)
        return rejected

    def close(self) -> None:
        """Close what was opened; the next send opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def after_fork(self) -> None:
        """Leave the parent's alone: even to close an inherited database connection can harm it."""
        self._parents.append(self._opened)
        self._opened = None


class _Reply(msgspec.Struct):
    rejected: list[dict[str, Any]] = []


class HttpExporter:
    """Posts batches to a Clew server."""

    def __init__(self, endpoint: str, *, api_key: str = "", timeout_s: float = TIMEOUT_S) -> None:
        """
        Take the server's address, `http(s)://host:port`, with a path if it lives under one.

        Raises:
            ConfigError: the address or the key cannot be used.
        """
        self._scheme, self._host, self._port, path = _address(endpoint)
        self._path = f"{path}/api/v1/spans"
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._parents: list[http.client.HTTPConnection] = []
        self._headers = {"Content-Type": "application/msgpack", "User-Agent": "clew-python"}
        # Loads the codec that resolving a host name needs; the writer's thread is to load nothing.
        self._host.encode("idna")
        if api_key:
            if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
                raise ConfigError("api_key", "it holds characters that no key has")
            self._headers["Authorization"] = f"Bearer {api_key}"

    def send(self, body: PackedBody) -> Sequence[str] | None:
        """Post one batch; see Exporter."""
        data = body.encode()
        try:
            status, headers, reply = self._exchange(data)
        except OSError as error:
            self.close()
            raise TryLater(f"{self._where()}: {error}", unreachable=_nobody_there(error)) from None
        except Exception as error:
            # http.client's own errors, and whatever a lying server provokes.
            self.close()
            raise TryLater(f"{self._where()}: {error!r:.200}") from None
        return self._judge(status, headers, reply)

    def close(self) -> None:
        """Close the connection; the next send opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def after_fork(self) -> None:
        """Close this process's copy of the socket, which says nothing to the server."""
        connection, self._connection = self._connection, None
        if connection is None or connection.sock is None:
            return
        # Not closed as usual: its buffers may be locked by the parent's thread, for ever in here.
        self._parents.append(connection)
        with suppress(OSError, ValueError):
            os.close(connection.sock.detach())

    def _exchange(self, data: bytes) -> tuple[int, Any, bytes]:
        reused = self._connection is not None
        try:
            return self._post(data)
        except (ConnectionError, EOFError):
            if not reused:
                raise
        # The server closed a connection that had been idle, which is its right. Sending again
        # is safe even if the batch was taken: a span is stored once for its ids.
        self.close()
        return self._post(data)

    def _post(self, data: bytes) -> tuple[int, Any, bytes]:
        connection = self._connection = self._connection or self._connect()
        connection.request("POST", self._path, data, self._headers)
        response = connection.getresponse()
        reply = response.read(REPLY_BYTES)
        if response.will_close or not response.isclosed():
            self.close()  # There is more, which nobody should wait for.
        return response.status, response.headers, reply

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._scheme == "https" else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        connection.connect()
        # Headers and body are two writes; without this the second waits for the first's receipt.
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _judge(self, status: int, headers: Any, reply: bytes) -> Sequence[str] | None:
        if status == 200:
            return _rejections(reply)
        why = f"{self._where()} answered {status} {_excerpt(reply)}"
        if status in (401, 403, 404, 405, 415) or 300 <= status < 400:
            raise Denied(why)
        if status in (408, 425, 429) or status >= 500:
            is_overload = status in (408, 425, 429, 502, 503, 504)
            raise TryLater(why, after_s=_retry_after(headers.get("Retry-After")), told=is_overload)
        if status < 300:
            raise Denied(f"{why}, which a Clew server does not")
        raise Refused(why)

    def _where(self) -> str:
        return f"{self._scheme}://{self._host}:{self._port}{self._path}"


def _address(endpoint: str) -> tuple[str, str, int, str]:
    try:
        parts = urlsplit(endpoint)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ConfigError("endpoint", f"{endpoint!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not host or any(c <= " " for c in endpoint):
        raise ConfigError("endpoint", f"{endpoint!r} is no address; it looks like http://127.0.0.1:4319")
    if parts.username or parts.password:
        raise ConfigError("endpoint", "it holds a user or password; give the key as api_key or CLEW_API_KEY")
    if parts.query or parts.fragment:
        raise ConfigError("endpoint", f"{endpoint!r} has a query or a fragment, which would be lost")
    if port == 0:
        raise ConfigError("endpoint", f"{endpoint!r} has port 0, where nobody listens")
    return parts.scheme, host, port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/")


def _nobody_there(error: OSError) -> bool:
    return isinstance(error, (ConnectionRefusedError, socket.gaierror))


def _retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which may also be a date (RFC 9110, section 10.2.3)."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time()
        except (TypeError, ValueError):
            return None
    return None if isnan(seconds) else min(max(seconds, 0.0), 300.0)


def _rejections(reply: bytes) -> Sequence[str]:
    try:
        found = msgspec.json.decode(reply, type=_Reply).rejected
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()  # 200 is the promise; a reply that cannot be read takes nothing back.
    return [str(item.get("error", ""))[:200] for item in found]


def _excerpt(reply: bytes) -> str:
    return reply[:200].decode("utf-8", "replace").strip()
