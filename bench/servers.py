"""Each server under test: how it starts, where it takes spans, how it is asked for a trace."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import peers, process
from bench.bodies import SPANS_PER_TRACE

ADMIN_KEY = "bench-admin-key"


class Client:
    """Asks one server over one kept connection. Not for several threads."""

    def __init__(self, port: int, *, key: str = "", timeout_s: float = 120) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body. A connection that broke is opened anew on the next call."""
        try:
            if self.connection.sock is None:
                self._connect()
            self.connection.request(method, path, body, {**self.headers, "Content-Type": kind})
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def _connect(self) -> None:
        self.connection.connect()
        # Headers and body are two writes; without this the second may wait for the first's receipt.
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str, **query: Any) -> Any:
        """JSON of a GET; RuntimeError for anything but 200."""
        given = urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
        status, body = self.ask("GET", f"{path}?{given}" if given else path)
        if status != 200:
            raise RuntimeError(f"GET {path}?{given} answered {status}: {body[:300]!r}")
        return json.loads(body)

    def post(self, path: str, value: Any) -> Any:
        """JSON of a POST; RuntimeError for anything but 200."""
        status, body = self.ask("POST", path, json.dumps(value).encode())
        if status != 200:
            raise RuntimeError(f"POST {path} answered {status}: {body[:300]!r}")
        return json.loads(body)


class Clew:
    """`clew serve` on the embedded store, as it comes."""

    name = "clew"
    key = ADMIN_KEY
    ready_path = "/readyz"

    @staticmethod
    def command(directory: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """How it is started, and what it finds in the environment."""
        clew = str(Path(sys.executable).parent / "clew")
        store = f"sqlite:///{directory}/clew.db"
        return [clew, "serve", "--store", store, "--port", str(port)], {"CLEW_ADMIN_KEY": ADMIN_KEY}

    @staticmethod
    def has_trace(client: Client, trace_id: str) -> bool:
        """Whether the server's own API gives the trace, whole."""
        status, body = client.ask("GET", f"/api/v1/admin/traces/{trace_id}")
        return status == 200 and len(json.loads(body)["spans"]) == SPANS_PER_TRACE


class ClewWithoutText(Clew):
    """The same without full text search, which is half of what a span costs SQLite."""

    name = "clew without full text"

    @staticmethod
    def command(directory: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """How it is started, and what it finds in the environment."""
        command, env = Clew.command(directory, port)
        return command, {**env, "CLEW_TEXT_SEARCH": "0"}


class Phoenix:
    """Arize Phoenix on its SQLite, with telemetry and downloads off."""

    name = "phoenix"
    key = ""
    ready_path = "/healthz"

    @staticmethod
    def command(directory: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """How it is started, and what it finds in the environment."""
        settings = {
            "PHOENIX_HOST": "127.0.0.1",
            "PHOENIX_PORT": str(port),
            "PHOENIX_GRPC_PORT": str(process.free_port()),
            "PHOENIX_WORKING_DIR": str(directory),
            "PHOENIX_TELEMETRY_ENABLED": "false",
            "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
            "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
        }
        return [str(peers.python("phoenix").parent / "phoenix"), "serve"], settings

    @staticmethod
    def has_trace(client: Client, trace_id: str) -> bool:
        """Whether the server's own API gives the trace, whole."""
        question = "query($id:String!){getTraceByOtelId(traceId:$id){numSpans}}"
        answer = client.post("/graphql", {"query": question, "variables": {"id": trace_id}})
        trace = (answer.get("data") or {}).get("getTraceByOtelId")
        return trace is not None and trace["numSpans"] == SPANS_PER_TRACE


Server = type[Clew] | type[Phoenix]
SERVERS: dict[str, Server] = {each.name: each for each in (Clew, ClewWithoutText, Phoenix)}


class Running:
    """A server that was started by us."""

    def __init__(self, server: Server, directory: Path, port: int | None = None) -> None:
        self.server = server
        self.directory = directory
        self.port = port or process.free_port()
        self.log = directory / "server.log"
        self.process: subprocess.Popen[bytes]
        self.start_s: float = 0

    def start(self) -> None:
        """Start it and wait until it says that it is ready; `start_s` says how long that took."""
        command, env = self.server.command(self.directory, self.port)
        self.process = process.start(command, env=env, log=self.log)
        self.start_s = process.wait_until(self._ready, process=self.process, log=self.log)

    def _ready(self) -> bool:
        return self.client(timeout_s=5).ask("GET", self.server.ready_path)[0] == 200

    def client(self, timeout_s: float = 120) -> Client:
        """A new connection, with the key of the server."""
        return Client(self.port, key=self.server.key, timeout_s=timeout_s)


@contextlib.contextmanager
def running(server: Server, directory: Path) -> Iterator[Running]:
    """Run *server* with its data in *directory* meanwhile."""
    it = Running(server, directory)
    it.start()
    try:
        yield it
    finally:
        process.stop(it.process)
