"""A server of the native protocol that answers what a test tells it to."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import msgspec
import pytest

from clew.wire.native import NativeBody, NativeSpan

OK = b'{"accepted":1,"rejected":[]}'


class Server(http.server.ThreadingHTTPServer):
    """Answers with what it was told, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.hang_up = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self) -> list[NativeSpan]:
        bodies = [msgspec.msgpack.decode(body, type=NativeBody) for _, _, body in self.requests]
        return [span for body in bodies for span in body.spans]

    def names(self) -> list[str]:
        return [span.name for span in self.spans()]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        status, headers, reply = self.server.answers.pop(0) if self.server.answers else (200, {}, OK)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(reply)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply)
        if self.server.hang_up:
            self.close_connection = True  # Without saying so in the headers.

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
