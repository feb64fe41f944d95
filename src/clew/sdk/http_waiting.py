"""
A connection that is waited for with an eye on other things.

The writer is one thread. While it waits for a slow server it must go on taking what ends, so every
wait here is cut into short ones, between which somebody is called. No answer may take for ever
either: a server that sends a byte a second is given up like one that sends none.
"""

from __future__ import annotations

import errno
import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Final

LOOK_S: Final = 0.05
"""How long a single wait is."""
ANSWER_S: Final = 30.0
"""For a whole exchange, however lively the other side is."""

_UNDER_WAY: Final = frozenset((errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK))


class Waiting:
    """The waits of one exchange. *timeout_s* is for each sign of life from the other side."""

    def __init__(self, timeout_s: float, meanwhile: Callable[[float], None]) -> None:
        self._timeout_s = timeout_s
        self._meanwhile = meanwhile
        self.begin()

    def begin(self) -> None:
        """A new exchange begins."""
        self._began = self._moved = time.monotonic()

    def moved(self) -> None:
        """The other side gave a sign of life."""
        self._moved = time.monotonic()

    def look_up(self) -> None:
        """
        Nothing happened for a moment.

        Raises:
            TimeoutError: nothing happened for too long.
        """
        now = time.monotonic()
        if now - self._moved >= self._timeout_s or now - self._began >= ANSWER_S:
            raise TimeoutError(f"no answer within {now - self._began:.1f} s")
        self._meanwhile(now - self._began)

    def check(self) -> None:
        """Raise TimeoutError if all of it takes too long."""
        if time.monotonic() - self._began >= ANSWER_S:
            raise TimeoutError(f"no whole answer within {ANSWER_S:g} s")


def dial(host: str, port: int, waiting: Waiting) -> socket.socket:
    """
    Connect to the first of the host's addresses that answers.

    Raises:
        OSError: none does; the last one's error.
    """
    failed: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            _reach(sock, address, waiting)
        except OSError as error:
            sock.close()
            failed = error
        except BaseException:
            sock.close()
            raise
        else:
            # Headers and body are two writes; without this the second waits for the first's receipt.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise failed


def _reach(sock: socket.socket, address: Any, waiting: Waiting) -> None:
    waiting.begin()
    sock.settimeout(LOOK_S)
    code = sock.connect_ex(address)
    while code in _UNDER_WAY:
        waiting.look_up()
        time.sleep(LOOK_S if code == errno.EALREADY else 0)
        code = sock.connect_ex(address)
    if code not in (0, errno.EISCONN):
        raise OSError(code, os.strerror(code))
    waiting.moved()


class Connection(http.client.HTTPConnection):
    """An HTTP/1.1 connection whose waits are `Waiting`."""

    def __init__(self, host: str, port: int, waiting: Waiting, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port)
        self._waiting = waiting
        self._tls = context
        self.default_port = http.client.HTTP_PORT if context is None else http.client.HTTPS_PORT
        self.response_class = self._response  # type: ignore[assignment]

    def connect(self) -> None:
        """Connect, and shake hands if it is TLS."""
        sock = dial(self.host, self.port, self._waiting)
        if self._tls is not None:
            sock.settimeout(self._waiting._timeout_s)
            sock = self._tls.wrap_socket(sock, server_hostname=self.host)
        sock.settimeout(LOOK_S)
        self.sock = sock

    def send(self, data: Any) -> None:
        """Send bytes; http.client's own would wait in one go."""
        if self.sock is None:
            self.connect()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
                self._waiting.moved()
            except TimeoutError:
                self._waiting.look_up()

    def _response(self, sock: socket.socket, *args: Any, **options: Any) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(_Ear(sock, self._waiting), *args, **options)  # type: ignore[arg-type]


class _Ear:
    """What HTTPResponse wants of a socket."""

    def __init__(self, sock: socket.socket, waiting: Waiting) -> None:
        self._sock = sock
        self._waiting = waiting

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._sock, self._waiting))


class _Incoming(io.RawIOBase):
    def __init__(self, sock: socket.socket, waiting: Waiting) -> None:
        self._sock = sock
        self._waiting = waiting
        # http.client closes a connection that the server will not keep before it is read; this holds it.
        self._open = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            self._waiting.check()
            try:
                count = self._sock.recv_into(buffer)
            except TimeoutError:
                self._waiting.look_up()
                continue
            self._waiting.moved()
            return count

    def close(self) -> None:
        self._open.close()
        super().close()
