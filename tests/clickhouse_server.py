"""
A real ClickHouse for one test run: its own directory and free ports on loopback.

The npm package `@chdb/lib-linux-x64-gnu` holds the whole engine as a library, server included; `npm
pack` fetches it once into the user's cache folder. CLEW_CLICKHOUSE_LIB names a `libchdb.so` that is
there already. It has no port for replicas, so what needs Replicated engines is not run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

START_S = 90.0
FETCH_S = 600.0

VERSION = "26.7.3"
PACKAGE = f"@chdb/lib-linux-x64-gnu@{VERSION}-stable.1"
"""This one and no other: some that are newer refuse to listen."""

NO_LIBRARY = "no ClickHouse: `npm` cannot fetch its library here; name a libchdb.so in CLEW_CLICKHOUSE_LIB"

CLUSTER = "clew_test"

# The library's main listens only when it is asked to, and lives as long as its query.
_MAIN = """
import ctypes, sys
library, arguments = ctypes.CDLL(sys.argv[1]), [each.encode() for each in sys.argv[2:]]
library.query_stable_v2.restype = ctypes.c_void_p
library.query_stable_v2(len(arguments), (ctypes.c_char_p * len(arguments))(*arguments))
"""
_LISTEN = (
    "SYSTEM START LISTEN HTTP; SYSTEM START LISTEN TCP; "
    "SELECT sleepEachRow(1) FROM system.numbers LIMIT 100000000 SETTINGS max_block_size = 1, "
    "function_sleep_max_microseconds_per_block = 0, max_execution_time = 0 FORMAT Null;"
)


def library() -> Path | None:
    """Give libchdb.so, which is fetched if it must be; None where it cannot be had."""
    named = os.environ.get("CLEW_CLICKHOUSE_LIB")
    if named:
        return Path(named) if Path(named).exists() else None
    if sys.platform != "linux" or platform.machine() != "x86_64" or shutil.which("npm") is None:
        return None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clew-tests" / f"clickhouse-{VERSION}"
    found = cache / "package" / "libchdb.so"
    with contextlib.suppress(OSError, subprocess.SubprocessError, tarfile.TarError):
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several runs may begin at once
            if not found.exists():
                _fetch(cache)
    return found if found.exists() else None


def _fetch(cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = ["npm", "pack", PACKAGE, "--silent"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=FETCH_S)
        [archive] = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extract("package/libchdb.so", folder)
        (Path(folder) / "package").rename(cache / "package")


class ClickhouseServer:
    """One server, which can be killed and started again on the same ports with the same data."""

    def __init__(self, lib: Path, *, port: int | None = None, tcp_port: int | None = None, config: str = "") -> None:
        self._lib = lib
        self._home = Path(tempfile.mkdtemp(prefix="clew-clickhouse-"))
        self.port, self.tcp_port = port or free_port(), tcp_port or free_port()
        self._config = self._home / "config.xml"
        self._config.write_text(f"<clickhouse>{config}</clickhouse>", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def url(self) -> str:
        """Where it is, without a database."""
        return f"clickhouse://default@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"--path={self._home / 'data'}", "--listen_host=127.0.0.1"]
        ports = [f"--http_port={self.port}", f"--tcp_port={self.tcp_port}"]
        arguments = ["clickhouse", "--multiquery", *options, *ports, "-C", str(self._config), f"--query={_LISTEN}"]
        with open(self._home / "log", "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(self._lib), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                env={"PATH": os.environ.get("PATH", ""), "TZ": "UTC", "HOME": str(self._home)},
            )
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.ask("SELECT 1")
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(f"ClickHouse does not answer: {(self._home / 'log').read_text(errors='replace')[-2000:]}")

    def ask(self, statement: str) -> str:
        """Run a statement over HTTP; its answer as it comes."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", data=statement.encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from None

    def kill(self) -> None:
        """End it as a power cut would its process."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def remove(self) -> None:
        """End it and delete its data."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)


def start_cluster(lib: Path, shards: int) -> list[ClickhouseServer]:
    """Give servers that are the shards of one cluster, `CLUSTER`."""
    ports = [(free_port(), free_port()) for _ in range(shards)]
    config = _cluster_config([tcp_port for _, tcp_port in ports])
    servers: list[ClickhouseServer] = []
    try:
        for port, tcp_port in ports:
            servers.append(ClickhouseServer(lib, port=port, tcp_port=tcp_port, config=config))
    except BaseException:
        for server in servers:
            server.remove()
        raise
    return servers


def _cluster_config(tcp_ports: Sequence[int]) -> str:
    shards = "".join(
        f"<shard><internal_replication>true</internal_replication>"
        f"<replica><host>127.0.0.1</host><port>{port}</port></replica></shard>"
        for port in tcp_ports
    )
    return f"<remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers>"


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
