"""
What docs/reference/errors.md says of bad input: nothing is raised, and one line tells of it.

Each line stands in the page to the letter, with FOLDER for a folder and ENDPOINT for an endpoint.
"""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from writer_doubles import Clock, Networked

import clew
from clew.errors import ConfigError
from clew.sdk import packing
from clew.sdk import span as span_module
from clew.sdk.exporter import TryLater
from clew.sdk.outbox import Outbox
from clew.sdk.spool import Spool
from clew.sdk.writer import Writer

PAGE = (Path(__file__).parents[3] / "docs/reference/errors.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## What happens with bad input\n")[2].partition("\n## ")[0]
LINES = [line for line in re.findall(r"`(clew: [^`]+)`", SECTION) if "CLEW_" not in line]
HERE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def logged(caplog, **names):
    """The lines of the log, without what is different each time."""
    told = [record.getMessage() for record in caplog.records if record.name == "clew"]
    for name, value in names.items():
        told = [line.replace(str(value), name.upper()) for line in told]
    return told


def documented(start):
    """The one line of the page that begins so."""
    [line] = [line for line in LINES if line.startswith(start)]
    return line


def unknown_kind():
    clew.span("one", kind="llm").end()
    clew.span("two", kind="llm").end()


def parent_of_the_wrong_type():
    with clew.span("request"):
        clew.span("one", parent=42).end()
        clew.span("two", parent=42).end()


def malformed_traceparent():
    with clew.span("request"):
        clew.span("one", parent="00-nonsense").end()
        clew.span("two", parent="00-nonsense").end()


def ending_twice():
    for name in ("one", "two"):
        span = clew.span(name)
        span.end()
        span.end()


def ending_out_of_order():
    for name in ("one", "two"):
        outer = clew.span(name).__enter__()
        inner = clew.span(f"inside {name}").__enter__()
        outer.__exit__(None, None, None)
        inner.__exit__(None, None, None)


def attribute_after_the_end():
    with clew.span("one") as span:
        pass
    span.set(too="late")
    span.set(later="still")


MISUSE = {
    "clew: span kind": (unknown_kind, {"one": {}, "two": {}}),
    "clew: parent= ignored: want": (parent_of_the_wrong_type, {"request": {"one": {}, "two": {}}}),
    "clew: parent= ignored: traceparent": (malformed_traceparent, {"request": {"one": {}, "two": {}}}),
    "clew: end on": (ending_twice, {"one": {}, "two": {}}),
    "clew: a span was left": (ending_out_of_order, {"one": {"inside one": {}}, "two": {"inside two": {}}}),
    "clew: set on": (attribute_after_the_end, {"one": {}}),
}


@pytest.mark.parametrize("start", MISUSE)
def test_wrong_use_costs_no_span_and_is_said_once(captured, caplog, start):
    """Twice the same mistake, one line, and the tree is what was meant."""
    do, tree = MISUSE[start]
    do()
    assert captured.tree() == tree
    assert logged(caplog) == [documented(start)]
    assert not clew.current_span()


def test_a_malformed_traceparent_in_the_environment_begins_a_trace():
    """It is read when Clew is imported, so in a process of its own."""
    program = "import clew\nclew.configure('http://127.0.0.1:1', spool=False)\nprint(clew.span('one').parent_id)\n"
    environment = {**os.environ, "TRACEPARENT": "00-nonsense", "CLEW_SPOOL": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["None"]
    assert done.stderr.count(documented("clew: TRACEPARENT ignored")) == 1


def test_leaving_in_the_right_order_or_in_another_task_is_no_mistake(captured, caplog):
    """A warning about what is right is worse than none about what is wrong."""
    import asyncio

    async def serve():
        span = clew.span("request")
        with span:
            late = asyncio.create_task(work())
            span.end()  # By hand, before its `with` ends: allowed.
        await late

    async def work():
        with clew.span("late"):
            await asyncio.sleep(0)

    asyncio.run(serve())
    assert captured.tree() == {"request": {"late": {}}}
    assert logged(caplog) == []


def test_configure_twice_takes_what_waits_along_and_says_so(server, untouched, caplog):
    """Not a mistake, but worth a line for whoever wonders where spans went."""
    with caplog.at_level(logging.INFO, logger="clew"):
        clew.configure("http://127.0.0.1:1", spool=False)
        clew.span("before").end()
        clew.configure(server.url, spool=False)
        clew.span("after").end()
        assert clew.flush(5)
    assert server.names() == ["before", "after"]
    assert logged(caplog, endpoint=server.url) == [documented("clew: configured again")]


def test_a_bad_endpoint_is_refused_by_configure_and_what_was_there_stays(captured):
    with pytest.raises(ConfigError) as raised:
        clew.configure("localhost:4319")
    assert f"`{raised.value}`" in SECTION
    clew.span("goes on").end()
    assert captured["goes on"]


def test_a_bad_endpoint_in_the_environment_switches_tracing_off_and_says_so(untouched, monkeypatch, caplog):
    monkeypatch.setenv("CLEW_ENDPOINT", "localhost:4319")
    for _ in range(2):
        with clew.span("step") as span:
            assert not span
    assert logged(caplog) == [documented("clew: tracing is off")]


def test_an_endpoint_where_nobody_listens_is_said_once_a_minute(turns, clock, exporter, caplog):
    turns.spool = None
    go_away(turns, clock, exporter, seconds=50)
    assert logged(caplog) == [documented("clew: spans wait")]
    assert come_back(turns, clock, exporter) == ["first"]


# A spool that is full, read-only, or corrupt. The bytes themselves: `test_spool`, at every one.


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def exporter():
    return Networked()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def turns(monkeypatch, clock, exporter, folder, untouched):
    """A writer with a spool and without a thread: the test takes its turns."""
    outbox = Outbox()
    outbox.recording = outbox.settled = True
    monkeypatch.setattr(span_module, "outbox", outbox)
    monkeypatch.setattr(packing, "outbox", outbox)
    writer = Writer(outbox, exporter, clock=clock, pause=lambda seconds: None)
    writer.spool = Spool(folder, limit_bytes=1 << 20)
    writer.turn()
    return writer


def pass_time(turns, clock, seconds):
    for _ in range(int(seconds * 10)):
        clock.now += 0.1
        turns.turn()


def go_away(turns, clock, exporter, seconds=9):
    """One span ends while the server is away."""
    exporter.away = TryLater("http://127.0.0.1:4319: [Errno 111] Connection refused", unreachable=True)
    clew.span("first").end()
    pass_time(turns, clock, seconds)


def come_back(turns, clock, exporter):
    exporter.away = None
    pass_time(turns, clock, 70)
    return exporter.names()


def without_waiting(lines):
    return [line for line in lines if not line.startswith("clew: spans wait")]


def test_a_full_spool_keeps_what_it_has_and_memory_goes_on(turns, clock, exporter, folder, caplog):
    turns.spool.limit_bytes = 100
    go_away(turns, clock, exporter, seconds=30)
    assert without_waiting(logged(caplog, folder=folder)) == [documented("clew: the spool is full")]
    assert come_back(turns, clock, exporter) == ["first"]
    assert turns.lost() == 0


def read_only(folder, monkeypatch):
    """As the kernel says it; permissions alone do not stop the user that runs most test suites."""
    opened = os.open

    def refuse(path, flags, *rest, **named):
        if flags & os.O_CREAT and str(path).startswith(str(folder)):
            raise OSError(30, os.strerror(30))
        return opened(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)


def out_of_space(folder, monkeypatch):
    def refuse(file):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize(
    ("break_it", "why"), [(read_only, "Read-only file system"), (out_of_space, "No space left on")]
)
def test_a_disk_that_does_not_take_it_is_said_and_memory_goes_on(  # noqa: PLR0917
    turns, clock, exporter, folder, caplog, monkeypatch, break_it, why
):
    with monkeypatch.context() as patched:
        break_it(folder, patched)
        go_away(turns, clock, exporter, seconds=30)
    [line] = without_waiting(logged(caplog, folder=folder))
    assert line.startswith(f"clew: the spool cannot be used: FOLDER: {why}")
    assert line in LINES
    assert come_back(turns, clock, exporter) == ["first"]
    assert turns.lost() == 0


@pytest.mark.parametrize("at", [0, 5, 10, 14, 18, 40, -1])
def test_a_corrupt_record_is_counted_and_the_rest_is_delivered(  # noqa: PLR0917
    turns, clock, exporter, folder, caplog, at
):
    """In the mark, each number, the checksum and the payload."""
    go_away(turns, clock, exporter)
    clew.span("second").end()
    pass_time(turns, clock, 6)
    [segment] = folder.iterdir()
    data = bytearray(segment.read_bytes())
    first = data.find(b"\xc1ew\x01", 4)
    data[at if at >= 0 else first - 1] ^= 0xFF
    segment.write_bytes(data)
    caplog.clear()

    assert come_back(turns, clock, exporter) == ["second"]
    assert turns.drops == {"damaged": 1}
    assert without_waiting(logged(caplog, folder=folder)) == [documented("clew: 1 spans or scores were lost")]


def test_no_line_of_the_page_is_held_by_nothing():
    """Each is asked for above."""
    source = Path(__file__).read_text(encoding="utf-8")
    starts = re.findall(r'"(clew: [^"{]+)["{]', source)
    assert [line for line in LINES if not any(line.startswith(start) for start in starts)] == []
