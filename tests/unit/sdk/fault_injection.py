"""
Raise at every internal call of Clew, one by one, and see that nothing of it reaches the user's code.

    make faults                            every call, every kind of fault; prints the counts
    make faults ARGS="spans functions"     only these scenarios

An *internal call* is a call that a frame of Clew makes: of another function of Clew, of a function of
the standard library or of msgspec, or of a function in C (the context variable's `get`, a clock, the
queue's `append`, `isinstance`), on every thread, the writer's too. `sys.setprofile` tells of each just
before it is made, and what is raised there comes out as if the call had raised it.

Not internal, because what comes out of these calls is the user's:

- the first frame of a public function, which no code inside of it can guard;
- the user's own functions, generators and apps, and the standard library's functions that the user
  called and Clew hands the call on to (`HANDED_ON`), and the frames of Clew between the two
  (`CONDUITS`): they fail as they would without Clew;
- what the functions call that say by raising what is wrong (`RAISING`);
- the letting go of a lock, which cannot fail;
- the next step of a coroutine or a generator, which calls nothing;
- what modules do while they are loaded, and operators and constructors of types in C: Python tells
  nobody of these.

A call is known by the line it stands in, what it calls, and how often that was called before.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType, SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

from fault_scenarios import SCENARIOS, Needs, needs_of
from fault_scenarios_otel import OTEL_SCENARIOS, installed

import clew
import clew.events
from clew.sdk import delivery, event_stream, events, pipeline, run_streams, run_traceable, setup
from clew.sdk import span as spans
from clew.sdk import writer as writer_module
from clew.sdk.ambient import CURRENT
from clew.sdk.carriers import contexts, executors
from clew.sdk.endpoints import STORE_OPENERS
from clew.sdk.held import HELD
from clew.sdk.http_exporter import HttpExporter
from clew.sdk.outbox import Counter as Counter_
from clew.sdk.outbox import outbox
from clew.sdk.spool import Spool
from clew.sdk.spool import inspect as look_at

CLEW: Final = os.path.dirname(clew.__file__) + os.sep
HERE: Final = os.path.dirname(__file__) + os.sep
USER, WRITER = "user", "writer"
FAST: Final = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where an fsync takes no time."""
PATIENCE_S: Final = 0.25
TRIES: Final = 20
RESUMED: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
STEPS: Final = (GeneratorType, CoroutineType, AsyncGeneratorType)


def _with_lambdas(function: Any) -> Iterator[CodeType]:
    """The code of *function*, and of the lambdas in it, however deep."""
    codes = [inspect.unwrap(function).__code__ if not isinstance(function, CodeType) else function]
    yield from codes
    for code in codes:
        inner = [each for each in code.co_consts if isinstance(each, CodeType)]
        yield from (each for each in inner if each.co_name == "<lambda>")
        codes += inner


LOCKS: Final = (type(threading.Lock()), type(threading.RLock()))

CONDUITS: Final = {
    code
    for function in (
        run_streams.Stream.send,
        run_streams.Stream.throw,
        run_streams.Stream.close,
        run_streams.Stream.source,
        run_streams._raise,
        run_streams.AsyncStream.source,
        run_traceable._made,
        executors.Carried.__call__,
        executors._under,
        executors.with_none_current,
        executors._teach_pool,
        executors._running,
        contexts._teach_loop,
        contexts.with_true_current,
    )
    for code in _with_lambdas(function)
}

RAISING: Final = {
    function.__code__
    for function in (
        clew.configure,
        clew.events.subscribe,
        clew.events.stream,
        events.subscribe,
        events.event_types,
        events.Subscription.__init__,
        event_stream.EventStream.__init__,
        Counter_.__init__,
    )
} | {each for each in events.event_types.__code__.co_consts if isinstance(each, CodeType)}

HANDED_ON: Final = {
    inspect.unwrap(function).__code__
    for function in (
        threading.Thread.start,
        threading.Thread.run,
        ThreadPoolExecutor.submit,
        subprocess.Popen.__init__,
        asyncio.BaseEventLoop.create_task,
        asyncio.BaseEventLoop._asyncgen_firstiter_hook,
        asyncio.BaseEventLoop._asyncgen_finalizer_hook,
        Future.add_done_callback,
        asyncio.futures._chain_future,
    )
}

HANDED_ON_IN_C: Final = {"copy_context", "iter", "next", "aiter", "anext"}


class Injected(Exception):
    """A fault that nobody but this module raises."""


FAULTS: Final[dict[str, type[BaseException]]] = {
    "exception": Injected,
    "memory": MemoryError,
    "recursion": RecursionError,
    "interrupt": KeyboardInterrupt,
}


@dataclass(frozen=True)
class Site:
    """Where one call stands, and what it calls."""

    role: str
    file: str
    line: int
    caller: str
    callee: str

    def __str__(self) -> str:
        return f"{self.role}: {self.file.removeprefix(CLEW)}:{self.line} {self.caller} -> {self.callee}"


Point = tuple[Site, int]


class Injector:
    """Counts internal calls, and raises at the one that is wanted."""

    def __init__(self, at: Point | None = None, fault: BaseException | None = None) -> None:
        self.at = at
        self.fault = fault
        self.fired = False
        self.over = False
        self.points: list[Point] = []
        self._seen: Counter[Site] = Counter()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if self.over or self.fired or event not in ("call", "c_call"):
            return
        site = _site_of_call(frame) if event == "call" else _site_of_c_call(frame, arg)
        if site is None:
            return
        self._seen[site] += 1
        point = (site, self._seen[site])
        if self.at is None:
            self.points.append(point)
        elif point == self.at and self.fault is not None:
            self.fired = True
            raise self.fault

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this thread, and those that begin inside."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            self.over = True  # For the writer's thread too, which goes on.
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]


def _site_of_call(frame: FrameType) -> Site | None:
    caller, code = frame.f_back, frame.f_code
    if caller is None or not _makes_internal_calls(caller.f_code):
        return None
    if code.co_flags & RESUMED or code in CONDUITS or code in HANDED_ON or code.co_filename.startswith(HERE):
        return None
    if caller.f_code in RAISING:
        return None
    if caller.f_code in CONDUITS and not code.co_filename.startswith(CLEW):
        return None
    return _site(caller, code.co_name)


def _site_of_c_call(frame: FrameType, called: Any) -> Site | None:
    if not _makes_internal_calls(frame.f_code) or frame.f_code in RAISING or called.__name__ in HANDED_ON_IN_C:
        return None
    on = getattr(called, "__self__", None)
    if isinstance(on, STEPS) or (isinstance(on, LOCKS) and called.__name__ in ("release", "__exit__")):
        return None
    return _site(frame, called.__name__)


def _makes_internal_calls(code: CodeType) -> bool:
    file = code.co_filename
    return file.startswith(CLEW) and not file.startswith(f"{CLEW}testing") and code.co_name != "<module>"


def _site(caller: FrameType, callee: str) -> Site:
    role = WRITER if threading.current_thread().name == "clew-writer" else USER
    return Site(role, caller.f_code.co_filename, caller.f_lineno, caller.f_code.co_name, callee)


class Delivered:
    """An exporter that counts what comes, after some *troubles*."""

    def __init__(self, troubles: tuple[Exception, ...] = ()) -> None:
        self.names: Counter[str] = Counter()
        self.probe: list[Any] = []
        self.troubles = list(troubles)

    def send(self, body: Any) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
        body.encode()
        self._count(body)

    def _count(self, body: Any) -> None:
        self.names.update(span.name for span in body.spans)
        self.probe += [span for span in body.spans if span.name.startswith("probe")]

    def close(self) -> None:
        pass

    def after_fork(self) -> None:
        pass


class DeliveredOverHttp(HttpExporter):
    """The same, over a connection to a server in this process."""

    def __init__(self) -> None:
        super().__init__(f"http://127.0.0.1:{_server().server_port}")
        self.names: Counter[str] = Counter()
        self.probe: list[Any] = []

    def send(self, body: Any) -> Any:
        rejected = super().send(body)
        Delivered._count(self, body)  # type: ignore[arg-type]
        return rejected


class _Accepts(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "28")
        self.end_headers()
        self.wfile.write(b'{"accepted":1,"rejected":[]}')

    def log_message(self, *args: object) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A connection that a fault broke off is nothing to tell of."""


@functools.cache
def _server() -> ThreadingHTTPServer:
    server = _Quiet(("127.0.0.1", 0), _Accepts)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


Scenario = Callable[[], Any]


@dataclass
class Outcome:
    """What one run of a scenario came to."""

    result: Any = None
    raised: BaseException | None = None
    strays: list[str] = field(default_factory=list)
    """What came out of threads and finalizers, where nobody can catch it."""
    wrong: list[str] = field(default_factory=list)
    """What was wrong with tracing itself, afterwards."""
    ended: int = 0
    counted_lost: int = 0
    kept: int = 0
    """On disk still."""


def run(scenario: Scenario, injector: Injector) -> Outcome:
    """Run *scenario* with tracing on, watched by *injector*, and look at what is left."""
    outcome, needs = Outcome(), needs_of(scenario)
    exporter: Any = DeliveredOverHttp() if needs.over_http else Delivered(needs.troubles)
    with _quiet(outcome), ExitStack() as stack:
        settings = _configured(needs, exporter, stack)
        setup.forget()
        events._subscriptions, spans.listener = (), None  # Making one may fail by raising, and leave it half made.
        first = setup.use(exporter, flush_interval_s=60, **settings)
        outbox.token_spans = needs.token_spans
        try:
            with injector.watching():
                outcome.result = scenario()
        except BaseException as error:
            outcome.raised = error.with_traceback(None)  # Its frames would keep what is to be let go.
        if not needs.over_http:
            exporter.troubles.clear()  # Those that the scenario did not come to.
        if first.stopped or not outbox.recording:  # The scenario ended tracing.
            setup.use(exporter, flush_interval_s=60)
            outcome.counted_lost += first.lost() if first is not setup._writer else 0
        _probe(outcome, exporter)
        setup.forget()
        if needs.has_spool:
            outcome.kept = look_at(settings["spool"].folder).spans
    return outcome


def _configured(needs: Needs, exporter: Any, stack: ExitStack) -> dict[str, Any]:
    """What *needs* are, ready for one run; *stack* undoes it."""
    stack.enter_context(patch.dict(STORE_OPENERS, {"faults": lambda _: exporter}))
    if needs.troubles:  # Nobody waits for a server that is not there.
        stack.enter_context(patch.multiple(delivery, HURRIED_BACKOFF_S=0.001, HURRIED_BACKOFF_MAX_S=0.002))
        stack.enter_context(patch.object(pipeline, "KEEP_AFTER_S", 0.0))
    settings = needs.settings()
    if needs.has_spool:
        folder = Path(tempfile.mkdtemp(prefix="clew-faults-", dir=FAST))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        settings["spool"] = Spool(folder, limit_bytes=1 << 20)
    return settings


def _probe(outcome: Outcome, exporter: Delivered) -> None:
    """The next span works, hangs where it should, and is delivered."""
    if CURRENT.get() is not None:
        outcome.wrong.append(f"{CURRENT.get()!r} is still current")
        CURRENT.set(None)
    if HELD:
        outcome.wrong.append(f"held by generators still: {[each.value for each in HELD.values()]!r}")
        HELD.clear()
    with clew.span("probe", kind="root") as root, clew.span("probe child") as child:
        pass
    if not root or not child or root.parent_id is not None or child.parent_id != root.span_id:
        outcome.wrong.append(f"the next spans are {root!r} and {child!r}")
    for _ in range(TRIES):  # A flush that a fault made deaf takes all its time; the next one does not.
        if clew.flush(PATIENCE_S) and exporter.probe:
            break
    if {span.name for span in exporter.probe} != {"probe", "probe child"}:  # Sent twice is stored once.
        outcome.wrong.append("the next spans were not delivered")
    outcome.ended = sum(exporter.names.values())
    writer = setup._writer
    if writer is None or not writer.is_running:
        outcome.wrong.append("the writer is gone")
    else:
        outcome.counted_lost += writer.lost()


@contextmanager
def _quiet(outcome: Outcome) -> Iterator[None]:
    """Collect what threads and finalizers raise; let nothing wait, log, or be collected at random."""
    before = sys.unraisablehook, threading.excepthook, writer_module.time
    sys.unraisablehook = lambda told: outcome.strays.append(f"finalizer: {told.exc_value!r}")
    threading.excepthook = lambda told: outcome.strays.append(f"{told.thread.name}: {told.exc_value!r}")  # type: ignore[union-attr]
    writer_module.time = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None, time_ns=time.time_ns)  # type: ignore[attr-defined]
    log = logging.getLogger("clew")
    propagated, log.propagate = log.propagate, False
    log.addHandler(handler := logging.NullHandler())
    aside = logging.getLogger("asyncio")
    was_disabled, aside.disabled = aside.disabled, True  # It tells of each interrupt in a task.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        aside.disabled = was_disabled
        log.removeHandler(handler)
        log.propagate = propagated
        sys.unraisablehook, threading.excepthook, writer_module.time = before  # type: ignore[attr-defined]


RECORDED = 3


def points_of(scenario: Scenario) -> tuple[list[Point], Outcome]:
    """Give every internal call of *scenario*, and how it ends when nothing fails."""
    for _ in range(2):  # What is loaded and remembered at the first time is not met again.
        run(scenario, Injector())
    always, found = set[Point](), list[Point]()
    for turn in range(RECORDED):  # Nor is what depends on which thread is quicker.
        injector = Injector()
        outcome = run(scenario, injector)
        if outcome.raised is not None:
            raise outcome.raised
        assert not outcome.wrong, outcome.wrong
        assert not outcome.strays, outcome.strays
        always = always & set(injector.points) if turn else set(injector.points)
        found = injector.points
    return [point for point in found if point in always], outcome


LEAKED, OTHER_OBJECT, LOST, WRONG = "leaked exceptions", "user's exceptions not the same object", "spans lost", "wrong"


def complaints(scenario: Scenario, point: Point, kind: str, expected: Outcome) -> list[str] | None:
    """Raise a fault of *kind* at *point*, and say what that harmed; None if the call was not made this time."""
    tried = _attempt(scenario, point, kind, expected)
    return None if tried is None else [f"{sort}: {text}" if sort != WRONG else text for sort, text in tried.harm]


@dataclass
class Attempt:
    """What one fault came to."""

    harm: list[tuple[str, str]]
    cost: int
    """How many spans fewer came to the other side, or to the disk, for want of the one that failed."""


def _attempt(scenario: Scenario, point: Point, kind: str, expected: Outcome) -> Attempt | None:
    fault = FAULTS[kind]("injected")
    injector = Injector(point, fault)
    found = run(scenario, injector)
    if not injector.fired:
        return None
    harm = [(WRONG, text) for text in found.wrong]
    if kind == "interrupt":
        if point[0].role == USER and found.raised is not fault and not found.strays and found.result is not fault:
            harm.append((WRONG, f"the user's interrupt was swallowed: {found.raised!r}"))
    else:
        harm += [(LEAKED, text) for text in found.strays]
        if found.raised is not None:
            harm.append((LEAKED, f"raised {found.raised!r}"))
        elif found.result != expected.result:
            # A scenario says True where what came out was the very exception that the user's code raised.
            sort = OTHER_OBJECT if _says_otherwise(found.result, expected.result) else WRONG
            harm.append((sort, f"gave {found.result!r} and not {expected.result!r}"))
    there, accounted = found.ended + found.kept, found.ended + found.counted_lost + found.kept
    if point[0].role == WRITER and accounted < expected.ended + expected.kept:
        harm.append((LOST, f"{found.ended} delivered, {found.counted_lost} counted, {found.kept} on disk"))
    return Attempt(harm, max(0, expected.ended + expected.kept - there) if kind != "interrupt" else 0)


def _says_otherwise(found: Any, expected: Any) -> bool:
    """Whether a `same` in it said False."""
    if isinstance(found, (list, tuple)) and isinstance(expected, (list, tuple)) and len(found) == len(expected):
        return any(map(_says_otherwise, found, expected))
    return expected is True and found is False


ATTEMPTS = 4


@dataclass
class Report:
    """How many points were tried, and what went wrong."""

    tried: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    places: set[Site] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    sorts: Counter[str] = field(default_factory=Counter)
    """Faults that harmed, by how."""
    cost: int = 0
    """Spans that did not arrive because of the fault that hit them: nobody could have saved those."""

    def __str__(self) -> str:
        tried, harmful = sum(self.tried.values()), len(self.failures)
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.tried.items())
        return (
            f"{tried} faults ({kinds}) at {len(self.places)} places that call something inside: "
            f"{tried - harmful} harmless, {harmful} not; {self.missed} calls were not met again"
        )

    def table(self) -> str:
        """The counts, a line each."""
        rows = [
            ("places that call something inside", len(self.places)),
            *((f"faults injected: {kind}", count) for kind, count in self.tried.items()),
            ("faults injected, together", sum(self.tried.values())),
            ("calls that were not met again", self.missed),
            (LEAKED, self.sorts[LEAKED]),
            (OTHER_OBJECT, self.sorts[OTHER_OBJECT]),
            ("wrong results, spans left current, writers gone", self.sorts[WRONG]),
            ("spans lost by the writer and not counted", self.sorts[LOST]),
            ("spans that the fault itself cost", self.cost),
        ]
        return "\n".join(f"{name:50} {count:7,}" for name, count in rows)

    def attack(self, name: str, scenario: Scenario, kinds: dict[str, int], *, limit: int = 1 << 30) -> None:
        """Try each *n*th point of *scenario* with each kind of fault; each place at most *limit* times."""
        points, expected = points_of(scenario)
        # What the writer does is the same for all; some show it everything that it can meet.
        is_shown, limit = needs_of(scenario).shows_writer, 1 if needs_of(scenario).is_long else limit
        points = [point for point in points if point[1] <= limit and (point[0].role == USER or is_shown)]
        self.places.update(point[0] for point in points)
        for kind, every in kinds.items():
            for point in points[::every]:
                if kind == "interrupt" and point[0].role == WRITER:
                    continue  # Python hands it to the main thread alone.
                # Which of two threads comes first is not always the same, so a point may be missed once.
                attempts = (_attempt(scenario, point, kind, expected) for _ in range(ATTEMPTS))
                attempt = next((each for each in attempts if each is not None), None)
                if attempt is None:
                    self.missed += 1
                    continue
                self.tried[kind] += 1
                self.cost += attempt.cost
                if attempt.harm:
                    self.sorts.update({sort for sort, _ in attempt.harm})
                    said = "; ".join(f"{sort}: {text}" for sort, text in attempt.harm)
                    self.failures.append(f"{name}, {kind} at {point[0]} #{point[1]}: {said[:300]}")


def main(names: list[str]) -> int:
    """Attack every scenario, and print the counts."""
    os.environ["CLEW_SPOOL"] = "0"  # Scenarios that need one have their own.
    unknown = sorted({*names} - {*SCENARIOS, *OTEL_SCENARIOS})
    if unknown:
        print(f"no such scenario: {', '.join(unknown)}; there are {', '.join([*SCENARIOS, *OTEL_SCENARIOS])}")  # noqa: T201
        return 2
    report = Report()
    for name, scenario in [*SCENARIOS.items(), *OTEL_SCENARIOS.items()]:
        if names and name not in names:
            continue
        with installed() if name in OTEL_SCENARIOS else nullcontext():
            began, before = time.perf_counter(), sum(report.tried.values())
            report.attack(name, scenario, dict.fromkeys(FAULTS, 1))
        count = sum(report.tried.values()) - before
        print(f"{name:30} {count:7,} faults, {time.perf_counter() - began:6.1f} s", flush=True)  # noqa: T201
    for failure in report.failures:
        print(failure)  # noqa: T201
    print(report.table())  # noqa: T201
    return bool(report.failures)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
