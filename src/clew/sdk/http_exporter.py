"""Batches to a Clew server: the native protocol over one kept-alive connection of the standard library."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import parsedate_to_datetime
from math import isnan
from time import time
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from clew.errors import ConfigError
from clew.sdk.exporter import Denied, Refused, TryLater
from clew.sdk.http_waiting import Connection, Waiting
from clew.sdk.packing import PackedBody

TIMEOUT_S: Final = 10.0
"""For connecting, and for each wait for the other side."""

REPLY_BYTES: Final = 1 << 20
"""More than this of an answer is not read."""

SPANS_PATH: Final = "/api/v1/spans"
DELTAS_PATH: Final = "/api/v1/graph/deltas"


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
        self._root = path
        self.while_waiting: Callable[[float], None] = lambda _: None
        """Called every few hundredths of a second while the other side is waited for."""
        self.more_headers: Callable[[], dict[str, str]] = dict
        self._waiting = Waiting(timeout_s, self._look_up)
        self._tls = _tls() if self._scheme == "https" else None
        self._connection: Connection | None = None
        self._parents: list[Connection] = []
        self._headers = {"Content-Type": "application/msgpack", "User-Agent": "clew-python"}
        # Loads the codec that resolving a host name needs; the writer's thread is to load nothing.
        self._host.encode("idna")
        if api_key:
            if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
                raise ConfigError("api_key", "it holds characters that no key has")
            self._headers["Authorization"] = f"Bearer {api_key}"

    def send(self, body: PackedBody) -> Sequence[str] | None:
        """Post one batch; see Exporter."""
        return _rejections(self._deliver(SPANS_PATH, body.encode()))

    def send_packed(self, payload: bytes) -> Sequence[str] | None:
        """The same for a batch of which only the bytes are at hand."""
        return _rejections(self._deliver(SPANS_PATH, payload))

    def send_deltas(self, payload: bytes) -> None:
        """Post what was summed up over traffic that is not stored."""
        self._deliver(DELTAS_PATH, payload)

    def _deliver(self, path: str, data: bytes) -> bytes:
        try:
            status, headers, reply = self._exchange(self._root + path, data)
        except TryLater:
            self.close()  # What was to come on this connection is not wanted any more.
            raise
        except OSError as error:
            self.close()
            raise TryLater(f"{self._where(path)}: {error}", unreachable=_nobody_there(error)) from None
        except Exception as error:
            # http.client's own errors, and whatever a lying server provokes.
            self.close()
            raise TryLater(f"{self._where(path)}: {error!r:.200}") from None
        except BaseException:
            self.close()
            raise
        self._judge(path, status, headers, reply)
        return reply

    def _look_up(self, waited_s: float) -> None:
        self.while_waiting(waited_s)

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

    def _exchange(self, path: str, data: bytes) -> tuple[int, Any, bytes]:
        reused = self._connection is not None
        try:
            return self._post(path, data)
        except (ConnectionError, EOFError):
            if not reused:
                raise
        # The server closed a connection that had been idle, which is its right. Sending again
        # is safe even if the batch was taken: a span is stored once for its ids.
        self.close()
        return self._post(path, data)

    def _post(self, path: str, data: bytes) -> tuple[int, Any, bytes]:
        if self._connection is None:
            self._connection = Connection(self._host, self._port, self._waiting, self._tls)
        connection = self._connection
        self._waiting.begin()
        connection.request("POST", path, data, {**self._headers, **self.more_headers()})
        response = connection.getresponse()
        reply = response.read(REPLY_BYTES)
        if response.will_close or not response.isclosed():
            self.close()  # There is more, which nobody should wait for.
        return response.status, response.headers, reply

    def _judge(self, path: str, status: int, headers: Any, reply: bytes) -> None:
        if status == 200:
            return
        why = f"{self._where(path)} answered {status} {_excerpt(reply)}"
        if status in (401, 403, 404, 405, 415) or 300 <= status < 400:
            raise Denied(why)
        if status in (408, 425, 429) or status >= 500:
            is_overload = status in (408, 425, 429, 502, 503, 504)
            raise TryLater(why, after_s=_retry_after(headers.get("Retry-After")), told=is_overload)
        if status < 300:
            raise Denied(f"{why}, which a Clew server does not")
        raise Refused(why)

    def _where(self, path: str) -> str:
        return f"{self._scheme}://{self._host}:{self._port}{self._root}{path}"


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


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
