"""
The demo, from start to Ctrl-C. The environment says:

    ONCE=1        end after the script; status 0 only if every trace is exactly as it must be
    DEMO_DIR      where traces, vectors and logs are kept (.demo)
    CLEW_PORT     the port of the Clew server (4319, or any that is free)
    DEMO_PORT     the port of the service (8000, or any that is free)
    SCREENSHOT    write a PNG of the first trace's page there

Nothing is downloaded, nothing is asked, and what was started is ended.
"""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from rich.console import Console
from rich.progress import Progress

from examples.hybrid_rag.demo import show, teach
from examples.hybrid_rag.demo.clients import Clew, Service
from examples.hybrid_rag.demo.processes import DemoError, Server, choose_port
from examples.hybrid_rag.demo.script import SCRIPT, Ask
from examples.hybrid_rag.demo.shape import differences, seen_in

WATCH_S = 0.5
ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Running(NamedTuple):
    """The two servers, and the clients that speak to them."""

    clew_server: Server
    rag_server: Server
    clew: Clew
    service: Service


def run(console: Console) -> int:
    """Run the demo: exit status 0 if all went well, 1 if not, 130 if interrupted."""
    # Whatever ends the demo, it must get to end its servers.
    for signum in ENDING_SIGNALS:
        signal.signal(signum, _interrupt)
    try:
        with _servers(console) as running:
            return _play(console, running)
    except (DemoError, httpx.HTTPError) as error:
        show.failure(console, str(error))
        return 1
    except KeyboardInterrupt:
        return 130


def _play(console: Console, running: Running) -> int:
    show.where_to_watch(console, running.clew.login_link())
    results = [_ask(console, running, ask, number) for number, ask in enumerate(SCRIPT, start=1)]
    show.summary(console, results)
    teach.ask(console, running.clew, len(SCRIPT))
    if picture := os.environ.get("SCREENSHOT"):
        _take_screenshot(running, results[0], Path(picture))
    good = not any(result.problems for result in results)
    if os.environ.get("ONCE", "") in ("", "0"):
        show.what_next(
            console,
            login_link=running.clew.login_link(),
            clew_url=running.clew.url,
            key=running.clew.key,
            service_url=running.rag_server.url,
        )
        _watch(running)
    return 0 if good else 1


def _ask(console: Console, running: Running, ask: Ask, number: int) -> show.Outcome:
    """Ask one question, rate the answer if the script says so, and look at the trace."""
    show.question(console, number, len(SCRIPT), ask)
    with show.waiting(console, ask) as on_token:
        answer = running.service.ask(ask, on_token)
    show.answered(console, answer, was_streamed=ask.stream)
    trace_id = answer["trace_id"]
    if ask.rating is not None:
        running.service.rate(ask, trace_id)
    trace = running.clew.trace_when_complete(trace_id, ask)
    result = show.Outcome(ask, trace, _problems(ask, trace), running.clew.link(trace_id))
    show.outcome(console, result)
    return result


def _take_screenshot(running: Running, result: show.Outcome, path: Path) -> None:
    """Show the trace with its model call open: the messages that went in, the answer that came out."""
    from examples.hybrid_rag.demo.screenshot import take

    spans = result.trace["spans"] if result.trace else []
    chat = next((span["span_id"] for span in spans if span["kind"] == "generation"), "")
    take(f"{result.link}?span={chat}&key={running.clew.key}", path)


def _problems(ask: Ask, trace: dict[str, Any] | None) -> list[str]:
    if trace is None:
        return ["- the trace did not come; service.log and clew.log beside the store may say why"]
    flag = trace["trace"]["flag"]
    wrong_flag = [] if flag == ask.flag else [f"- flag {ask.flag}", f"+ flag {flag}: {trace['trace']['flag_reason']}"]
    return differences(ask.expected, seen_in(trace["spans"])) + wrong_flag


@contextmanager
def _servers(console: Console) -> Iterator[Running]:
    """Start both servers, and end them whatever happens."""
    show.title(console)
    home = Path(os.environ.get("DEMO_DIR", ".demo")).resolve()
    home.mkdir(parents=True, exist_ok=True)
    started: list[Server] = []
    # Both are chosen before anything starts: a taken port is said at once.
    clew_port, rag_port = choose_port("CLEW_PORT", 4319), choose_port("DEMO_PORT", 8000)
    try:
        key = secrets.token_urlsafe(12)
        with show.starting(console) as progress:
            clew_server = _start(progress, started, lambda: clew_serve(home, clew_port, key), "Clew server")
            rag_server = _start(progress, started, lambda: rag_service(home, rag_port, clew_server.url), "RAG service")
        yield Running(clew_server, rag_server, Clew(clew_server.url, key), Service(rag_server.url))
    finally:
        # A second Ctrl-C must not leave one of them behind.
        for signum in ENDING_SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        for server in reversed(started):
            server.stop()


def clew_serve(home: Path, port: int, key: str) -> Server:
    """Start a Clew server on the embedded store, with an admin key of this run."""
    return Server(
        "clew serve",
        ["-m", "clew.cli", "serve", "--store", f"sqlite:///{home / 'clew.db'}", "--port", str(port)],
        port=port,
        environment={"CLEW_ADMIN_KEY": key},
        log_path=home / "clew.log",
    )


def rag_service(home: Path, port: int, clew_url: str) -> Server:
    """Start the service as anybody would: uvicorn, and CLEW_ENDPOINT says where its traces go."""
    return Server(
        "the RAG service",
        ["-m", "uvicorn", "examples.hybrid_rag.service:app", "--port", str(port), "--log-level", "warning"],
        port=port,
        environment={
            "CLEW_ENDPOINT": clew_url,
            # Twice a second, so that a trace can be shown as soon as its question is answered.
            "CLEW_FLUSH_INTERVAL_S": "0.5",
            "DEMO_DIR": str(home),
            # Both models' threads wait by spinning, which on a busy machine costs five times the work itself.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),
        },
        log_path=home / "service.log",
    )


def _start(progress: Progress, started: list[Server], start: Callable[[], Server], name: str) -> Server:
    task = progress.add_task(name, total=None)
    with _uninterrupted():
        server = start()
        started.append(server)
    server.wait_until_listening(show.log_line_to(progress, task, name))
    last = server.log_tail(1).partition("  [trace")[0] if name == "RAG service" else ""
    show.finish(progress, task, f"{name}  {server.url}  [bright_black]{last}[/]")
    return server


def _watch(running: Running) -> None:
    """Wait for Ctrl-C; raise DemoError if a server ends by itself before."""
    with suppress(KeyboardInterrupt):
        while True:
            for server in (running.clew_server, running.rag_server):
                if not server.is_alive:
                    raise DemoError(f"{server.name} ended by itself:\n{server.log_tail()}")
            time.sleep(WATCH_S)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold signals back: a server that was started but is not yet known would never be ended."""
    held: list[int] = []
    before = {signum: signal.signal(signum, lambda number, _frame: held.append(number)) for signum in ENDING_SIGNALS}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    if held:
        raise KeyboardInterrupt


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
