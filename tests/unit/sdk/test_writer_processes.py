"""Whole processes whose server is away, slow or lying: what they leave behind, and how long they take to go."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from clew.sdk.spool import inspect
from clew.sdk.spool_folder import folder_of

NOBODY = "http://127.0.0.1:1"


def start(code: str, endpoint: str, spool: Path | str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        env={**os.environ, "CLEW_ENDPOINT": endpoint, "CLEW_SPOOL": str(spool), **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(code: str, endpoint: str, spool: Path | str, **environ: str) -> subprocess.CompletedProcess[str]:
    process = start(code, endpoint, spool, **environ)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def kept(spool: Path, endpoint: str = NOBODY) -> int:
    """How many spans wait on disk."""
    found = inspect(folder_of(str(spool), endpoint))
    assert found.damaged == 0
    return found.spans


SPANS = "import clew\nfor n in range(200): clew.span(f'step {n}').end()\n"


def test_leaving_without_a_server_takes_about_a_second_and_loses_nothing(tmp_path):
    began = time.monotonic()
    done = run(SPANS, NOBODY, tmp_path)

    assert done.returncode == 0
    assert "200 spans or scores wait in" in done.stderr
    assert "lost" not in done.stderr
    assert kept(tmp_path) == 200
    assert time.monotonic() - began < 5


def test_the_next_process_sends_what_the_last_one_kept(tmp_path, server):
    """In order, each once, and leaves nothing."""
    assert run(SPANS, NOBODY, tmp_path).returncode == 0
    folder = folder_of(str(tmp_path), server.url)
    folder_of(str(tmp_path), NOBODY).rename(folder)
    done = run("import clew\nclew.span('now').end()", server.url, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert server.names() == ["now", *(f"step {n}" for n in range(200))]
    assert not list(folder.iterdir())


def test_what_was_kept_survives_a_kill(tmp_path):
    """SIGKILL while spans go to disk: all that was on disk is whole, and the next process can send it."""
    process = start(
        """
        import clew, os, pathlib
        from clew.sdk import pipeline
        pipeline.KEEP_SPANS = 100
        n = seen = 0
        while True:
            clew.span(f"step {n}").end()
            n += 1
            if n % 100 == 0 and any(pathlib.Path(os.environ["CLEW_SPOOL"]).rglob("*.spool")):
                seen += 1
                if seen == 50: print("go", flush=True)
        """,
        NOBODY,
        tmp_path,
    )
    assert process.stdout.readline() == "go\n"
    process.kill()
    process.communicate(timeout=30)
    folder = folder_of(str(tmp_path), NOBODY)
    found = inspect(folder)

    assert found.spans > 0
    assert found.damaged <= 1, "the one that was being written"


def test_several_processes_share_a_folder_and_nothing_is_lost_or_sent_twice(tmp_path, server):
    """Each keeps its own, and whoever comes later sends what the others left, at the same time."""
    code = """
        import clew, os
        for n in range(300): clew.span(f"{os.environ['WHO']} {n}").end()
        """
    first = [start(code, NOBODY, tmp_path, WHO=str(who)) for who in range(3)]
    for process in first:
        process.communicate(timeout=60)
    assert kept(tmp_path) == 900
    folder_of(str(tmp_path), NOBODY).rename(folder_of(str(tmp_path), server.url))
    code += """
        import time
        from clew.sdk import setup
        until = time.monotonic() + 30
        while setup._writer.spool is None or setup._writer.spool.waits() and time.monotonic() < until:
            clew.span("tick").end(); clew.flush(5); time.sleep(0.01)
        """
    second = [start(code, server.url, tmp_path, WHO=str(who)) for who in range(3, 6)]
    for process in second:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err

    counts = Counter(name for name in server.names() if name != "tick")
    assert counts == {f"{who} {n}": 1 for who in range(6) for n in range(300)}


def test_a_child_that_is_forked_while_its_parent_keeps_leaves_the_parents_alone(tmp_path):
    done = run(
        """
        import os, clew
        from clew.sdk import pipeline
        pipeline.KEEP_SPANS = 50
        for n in range(20):
            for _ in range(200): clew.span("parent").end()
            pid = os.fork()
            if pid == 0:
                for _ in range(100): clew.span("child").end()
                clew.shutdown(timeout=0.2)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        """,
        NOBODY,
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert kept(tmp_path) == 20 * 300


@pytest.mark.parametrize("wait", ["time.sleep(60)", "threading.Event().wait(60)", "sys.stdin.read()"])
def test_sigterm_delivers_and_then_ends_the_process_as_it_would_have(tmp_path, server, wait):
    process = start(
        f"import clew, sys, threading, time\nclew.span('last').end()\nprint('go', flush=True)\n{wait}",
        server.url,
        tmp_path,
    )
    assert process.stdout.readline() == "go\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)

    assert process.returncode == -signal.SIGTERM
    assert server.names() == ["last"]


def test_sigterm_without_a_server_keeps_on_disk(tmp_path):
    process = start(
        "import clew, time\nclew.span('last').end()\nprint('go', flush=True)\ntime.sleep(60)", NOBODY, tmp_path
    )
    assert process.stdout.readline() == "go\n"
    began = time.monotonic()
    process.terminate()
    process.communicate(timeout=10)

    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 5
    assert kept(tmp_path) == 1


def test_sigterm_does_not_wait_for_what_hangs(tmp_path):
    """The signal came in while the main thread held whatever is wanted for draining."""
    process = start(
        """
        import clew, time
        from clew.sdk import leaving, setup
        leaving.TERM_S = 0.5
        clew.span('last').end()
        with setup.settling:
            print('go', flush=True)
            time.sleep(60)
        """,
        NOBODY,
        tmp_path,
    )
    assert process.stdout.readline() == "go\n"
    began = time.monotonic()
    process.terminate()
    process.communicate(timeout=10)

    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("when", ["before", "after", "chained"])
def test_an_application_that_handles_sigterm_keeps_its_say(tmp_path, server, when):
    """Its own handler is not replaced; one that calls the handler before it has what waits sent, and goes on."""
    process = start(
        """
        import clew, os, signal, sys, time
        def handler(number, frame):
            if callable(before): before(number, frame)
            clew.span("in the handler").end()
            sys.exit(7)
        when = os.environ["WHEN"]
        before = None
        if when == "before": signal.signal(signal.SIGTERM, handler)
        clew.configure()
        if when != "before": found = signal.signal(signal.SIGTERM, handler)
        if when == "chained": before = found
        clew.span("first").end()
        print("go", flush=True)
        time.sleep(60)
        """,
        server.url,
        tmp_path,
        WHEN=when,
    )
    assert process.stdout.readline() == "go\n"
    process.terminate()
    _, err = process.communicate(timeout=10)

    assert process.returncode == 7, err
    assert server.names() == ["first", "in the handler"]


def test_sigterm_is_left_alone_where_the_first_span_is_made_in_a_thread(tmp_path, server):
    """Only the main thread may set a handler."""
    done = run(
        """
        import clew, signal, threading
        thread = threading.Thread(target=lambda: clew.span("step").end())
        thread.start(); thread.join()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        """,
        server.url,
        tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert server.names() == ["step"]


def test_a_disk_that_is_full_costs_what_does_not_fit_and_no_more(tmp_path):
    """The limit on a file's size stands in for it: a write that ends early, then an error."""
    code = """
        import clew, resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        for n in range(300): clew.span("step", text="x" * 100).end()
        """
    done = run(code, NOBODY, tmp_path)

    assert done.returncode == 0
    assert "the spool cannot be used" in done.stderr
    assert "300 spans or scores were lost so far (spool_broken 300)" in done.stderr
    assert kept(tmp_path) == 0


class Peer:
    """A server that does with each connection what it is told to, which is never to answer properly."""

    def __init__(self, act) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._act = act
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self._act(connection)

    def close(self) -> None:
        for each in (self._socket, *self._open):
            each.close()


def hang(connection: socket.socket) -> None:
    """Take everything, say nothing."""
    while connection.recv(1 << 16):
        pass


def drip(connection: socket.socket) -> None:
    """Answer a byte a second."""
    connection.recv(1 << 16)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" * 10:
        connection.send(bytes((byte,)))
        time.sleep(1)


def flood(connection: socket.socket) -> None:
    """Answer 500 and 10 GB."""
    connection.recv(1 << 16)
    connection.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 10000000000\r\n\r\n")
    for _ in range(10_000):
        connection.send(b"x" * 1_000_000)


def vanish(connection: socket.socket) -> None:
    """Hang up in the middle."""
    connection.recv(100)


@pytest.mark.parametrize("act", [hang, drip, flood, vanish])
def test_a_lying_server_costs_nothing_but_the_time_to_leave(tmp_path, act):
    peer = Peer(act)
    try:
        began = time.monotonic()
        done = run(
            """
            import clew, re, time
            from clew.sdk import setup
            setup.EXIT_S = 1.0
            took = []
            for n in range(2_000):
                at = time.perf_counter()
                clew.span("step", text="x" * 100).end()
                took.append(time.perf_counter() - at)
            assert sorted(took)[1_000] < 0.000_5, "a caller that waits for the server takes seconds"
            # Not ru_maxrss, which counts what the process was before it became this one: all of pytest.
            print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
            """,
            peer.url,
            tmp_path,
        )
        took_s = time.monotonic() - began
    finally:
        peer.close()

    assert done.returncode == 0, done.stderr
    assert kept(tmp_path, peer.url) == 2_000
    assert took_s < 6
    assert int(done.stdout) < 200_000, "kilobytes"


def test_a_server_that_answers_after_seconds_costs_nothing(tmp_path):
    """What is not answered by the end is on disk, and the process is gone within five seconds."""

    def slowly(connection: socket.socket) -> None:
        while connection.recv(1 << 20):
            time.sleep(2)

    peer = Peer(slowly)
    try:
        done = run(
            """
            import atexit, clew, time
            for n in range(30_000): clew.span("step").end()
            began = time.monotonic()
            atexit._run_exitfuncs()
            print(time.monotonic() - began)
            """,
            peer.url,
            tmp_path,
        )
    finally:
        peer.close()

    assert done.returncode == 0, done.stderr
    assert kept(tmp_path, peer.url) == 30_000
    assert float(done.stdout) < 5
