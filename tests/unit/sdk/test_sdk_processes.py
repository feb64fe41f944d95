"""How processes begin and end: forks, exits, and stores without a server."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest

from clew.store import open_store
from clew.store.protocol import TraceFilter


def run(code: str, endpoint: str, *, timeout_s: float = 30, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        env={**os.environ, "CLEW_ENDPOINT": endpoint, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


@pytest.mark.parametrize(
    ("way", "status"), [("pass", 0), ("raise ValueError", 1), ("import sys; sys.exit(3)", 3), ("x.end(); del x", 0)]
)
def test_leaving_the_interpreter_delivers_what_waits(server, way, status):
    done = run(f"import clew\nx = clew.span('last')\nx.end()\n{way}", server.url)

    assert done.returncode == status, done.stderr
    assert server.names() == ["last"]


def test_leaving_without_a_server_takes_about_a_second_and_says_what_was_lost():
    began = time.monotonic()
    done = run("import clew\nclew.span('last').end()", "http://127.0.0.1:1")

    assert done.returncode == 0
    assert "1 spans or scores were lost so far (shutdown 1)" in done.stderr
    assert time.monotonic() - began < 5


def test_a_process_that_made_no_span_leaves_at_once():
    done = run("import clew\nclew.configure()", "http://127.0.0.1:1")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_child_sends_its_own_spans_and_only_those(server):
    """Seen elsewhere: children that hang in an inherited lock, send twice, or draw the same ids."""
    done = run(
        """
        import os, clew
        with clew.span("before"):
            pass
        with clew.span("parent") as parent:
            children = []
            for n in range(3):
                pid = os.fork()
                if pid == 0:
                    with clew.span(f"child {n}"):
                        pass
                    os._exit(0 if clew.flush(timeout=10) else 1)
                children.append(pid)
            assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
        assert clew.flush(timeout=10)
        """,
        server.url,
    )

    assert done.returncode == 0, done.stderr
    assert sorted(server.names()) == ["before", "child 0", "child 1", "child 2", "parent"]
    spans = server.spans()
    assert len({span.span_id for span in spans}) == 5
    (parent,) = [span for span in spans if span.name == "parent"]
    assert {span.parent_id for span in spans if span.name.startswith("child")} == {parent.span_id}


def test_a_fork_while_the_writer_is_at_work_does_not_hang(server):
    done = run(
        """
        import os, threading, clew
        going = True
        def busy():
            while going:
                with clew.span("busy"):
                    pass
        threads = [threading.Thread(target=busy) for _ in range(2)]
        for thread in threads: thread.start()
        pids = []
        for _ in range(20):
            pid = os.fork()
            if pid == 0:
                with clew.span("child"):
                    pass
                os._exit(0 if clew.flush(timeout=20) else 1)
            pids.append(pid)
        failed = [pid for pid in pids if os.waitpid(pid, 0)[1] != 0]
        going = False
        for thread in threads: thread.join()
        assert not failed, failed
        clew.shutdown(timeout=20)
        """,
        server.url,
        timeout_s=60,
    )

    assert done.returncode == 0, done.stderr
    assert server.names().count("child") == 20


def test_a_multiprocessing_child_delivers_before_it_leaves(server):
    """It leaves by os._exit, past atexit."""
    done = run(
        """
        import multiprocessing, clew
        def work(n):
            with clew.span(f"work {n}"):
                pass
        clew.span("parent").end()
        context = multiprocessing.get_context("fork")
        processes = [context.Process(target=work, args=(n,)) for n in range(2)]
        for process in processes: process.start()
        for process in processes: process.join()
        """,
        server.url,
    )

    assert done.returncode == 0, done.stderr
    assert sorted(server.names()) == ["parent", "work 0", "work 1"]


def test_a_signal_handler_that_ends_spans_does_not_deadlock(server):
    """It runs between two steps of whatever the main thread does, ending a span perhaps."""
    done = run(
        """
        import signal, time, clew
        def handler(signum, frame):
            with clew.span("in the handler"):
                pass
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        until = time.monotonic() + 1
        while time.monotonic() < until:
            with clew.span("main"):
                pass
        signal.setitimer(signal.ITIMER_REAL, 0)
        clew.shutdown(timeout=10)
        """,
        server.url,
        CLEW_FLUSH_TRACES="10",
        CLEW_QUEUE_SPANS="1000",
    )

    assert done.returncode == 0, done.stderr
    assert "in the handler" in server.names()


def test_spans_go_straight_into_a_store(tmp_path):
    path = tmp_path / "direct.db"
    done = run(
        """
        import clew
        with clew.span("request", kind="root", inputs="why", user_id="u1") as request:
            with clew.span("answer", kind="generation", model="m") as answer:
                answer.outputs = "because"
            clew.score("rating", 1)
        """,
        f"sqlite:///{path}",
    )

    assert (done.returncode, done.stderr) == (0, "")
    store = open_store(f"sqlite:///{path}", read_only=True)
    try:
        [summary] = store.list_traces("default", TraceFilter(), limit=10).traces
        assert (summary.name, summary.span_count, summary.user_id, summary.models) == ("request", 2, "u1", ["m"])
        assert summary.flag.value == "USER_NEGATIVE"
    finally:
        store.close()


def test_a_store_that_cannot_be_opened_does_not_stop_the_program(tmp_path):
    done = run("import clew\nclew.span('x').end()\nprint('done')", f"sqlite:///{tmp_path}/no/such/folder/clew.db")

    assert done.returncode == 0
    assert done.stdout == "done\n"
    assert "lost" in done.stderr
