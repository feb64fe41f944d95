"""Events between processes over a real PostgreSQL, which may go away, hang, or be written to by others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

import clew
import clew.events
from clew.errors import BadFilter, ConfigError
from clew.model.event import ToolEnd, ToolStart, ascii_bytes
from clew.sdk.postgres_events import _CONNECTION, PAYLOAD_BYTES, PostgresChannel
from clew.sdk.postgres_listener import PostgresListener

PATIENCE_S = 20.0


def event(name="search", **fields):
    return ToolStart(trace_id="a" * 32, span_id="b" * 16, name=name, ts=1_795_163_400_000_000_000, **fields)


def eventually(holds):
    """Wait until it holds: what it asks about happens on another thread."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.005)


@pytest.fixture
def listen(postgres):
    """Give what makes listeners, closed afterwards."""
    made = []

    def make(**how):
        made.append(PostgresListener(postgres.url, backoff_s=0.01, patience_s=PATIENCE_S, **how))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


@pytest.fixture
def channel(postgres):
    """Give a channel that sends."""
    made = PostgresChannel(postgres.url, backoff_s=0.01)
    made.start()
    yield made
    made.close()


def test_what_one_process_traces_another_hears(postgres, listen):
    """The whole way: two interpreters and a database."""
    listener = listen()
    code = f"""
import clew, clew.events
clew.configure(enabled=True)
with clew.events.publish_postgres({postgres.url!r}):
    with clew.span("book", kind="capability"), clew.span("search", kind="tool", inputs={{"to": "Zürich"}}):
        pass
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={"CLEW_ENDPOINT": "http://127.0.0.1:9"})

    heard = [listener.get(PATIENCE_S) for _ in range(4)]

    assert [each.type for each in heard] == ["capability_start", "tool_start", "tool_end", "capability_end"]
    assert heard[1].args == {"to": "Zürich"}
    assert heard[2].parent_trace_id == heard[0].span_id


def test_project_and_types_choose_what_is_heard(listen, channel):
    """Databases are shared by more than one project."""
    mine, others, everything = listen(project="a", types=["tool_end"]), listen(project="b"), listen(project=None)
    end = ToolEnd(trace_id="a" * 32, span_id="b" * 16, name="x", ts=1, success=False, duration_ms=1.0, error="boom")

    channel.send("a", event())
    channel.send("a", end)
    channel.send("b", event("last"))

    assert mine.get(PATIENCE_S) == end
    assert others.get(PATIENCE_S).name == "last"
    assert [everything.get(PATIENCE_S).name for _ in range(3)] == ["search", "x", "last"]


@pytest.mark.parametrize(
    "args",
    [
        {"text": "x" * 100_000},
        {"text": "ü" * 10_000, "k": 7},
        {f"key {number}": "value" for number in range(5_000)},
        ["\N{CYCLONE}" * 10_000],
        {"\x01" * 5_000: "\x01" * 5_000},
    ],
)
def test_arguments_too_long_for_a_notification_are_cut_and_say_so(listen, channel, args):
    """PostgreSQL takes less than 8000 bytes; the names of few arguments survive."""
    listener = listen()

    channel.send("default", event("\N{CYCLONE}" * 1_000, args=args))
    heard = listener.get(PATIENCE_S)

    assert heard.args_cut
    assert ascii_bytes(heard) < PAYLOAD_BYTES
    if isinstance(args, dict) and len(args) == 2:
        assert heard.args["k"] == 7


def test_a_short_event_goes_through_as_it_is(listen, channel):
    """Also with characters of every length, and a NUL, which PostgreSQL's text cannot hold."""
    sent = event("naïve \N{CYCLONE} \x00", args={"a": [1, None, True, 2.5, "é\x00"]})
    listener = listen()

    channel.send("default", sent)

    assert listener.get(PATIENCE_S) == sent


def test_a_lost_connection_is_made_again_and_what_waited_is_sent(postgres, listen, channel):
    """A restart of the database is not the end of the bus; nothing is told twice."""
    listener = listen()
    channel.send("default", event("before"))
    assert listener.get(PATIENCE_S).name == "before"

    postgres.stop()
    try:
        channel.send("default", event("meanwhile"))
    finally:
        postgres.start()
    eventually(lambda: listener.connections == channel.connections == 2)
    channel.send("default", event("after"))

    names = [listener.get(PATIENCE_S).name]
    if names == ["meanwhile"]:  # It is heard only if the listener was back first.
        names.append(listener.get(PATIENCE_S).name)
    assert names[-1] == "after"
    eventually(lambda: channel.sent == 3)
    assert channel.dropped == 0


def test_sending_never_waits_for_a_database_that_hangs(postgres, channel):
    """A stopped process keeps its connections open: nothing fails, and nothing comes."""
    assert channel.connected.wait(PATIENCE_S)
    with psycopg.connect(postgres.url) as connection:
        name = _CONNECTION["application_name"]
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [name]).fetchall()
    for (backend,) in found:
        os.kill(backend, signal.SIGSTOP)
    try:
        began = time.perf_counter()
        for _ in range(12_000):
            channel.send("default", event())
        lasted_s = time.perf_counter() - began
        assert channel.dropped > 0
        assert channel.stats()["waiting"] <= 10_000
        assert lasted_s < 5
        began = time.perf_counter()
        channel.close(0.1)
        assert time.perf_counter() - began < 2
    finally:
        for (backend,) in found:
            os.kill(backend, signal.SIGCONT)


def test_a_database_that_is_not_there_costs_nothing_but_the_events():
    """The bus is no reason not to start."""
    channel = PostgresChannel("postgresql://clew:secret@127.0.0.1:1/x", limit=5, backoff_s=0.001)
    channel.start()
    for _ in range(9):
        channel.send("default", event())
    assert channel.dropped >= 4
    channel.close()

    assert channel.dropped == 9
    assert not channel._thread.is_alive()


def test_the_password_is_not_logged(caplog):
    """The log is read by more people than may read the database."""
    channel = PostgresChannel("postgresql://clew:secret@127.0.0.1:1/x", backoff_s=0.001)
    logged = threading.Event()
    caplog.handler.addFilter(lambda record: logged.set() or True)
    channel.start()
    assert logged.wait(PATIENCE_S)
    channel.close()

    assert "PostgreSQL" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "payload", ["", "x", "{}", "[]", json.dumps({"sender": "s", "number": 1, "project": "p", "event": {"type": "x"}})]
)
def test_what_others_write_on_the_channel_is_skipped(postgres, listen, channel, payload):
    """Whoever may connect may NOTIFY."""
    listener = listen()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("SELECT pg_notify('clew_events', %s)", [payload])
    channel.send("default", event("good"))

    assert listener.get(PATIENCE_S).name == "good"


def test_a_full_listener_counts_what_it_drops(listen, channel):
    """It holds no more than was said."""
    listener, other = listen(limit=2), listen()
    for number in range(5):
        channel.send("default", event(f"{number}"))
    assert [other.get(PATIENCE_S).name for _ in range(5)][-1] == "4"

    eventually(lambda: listener.dropped == 3)
    assert [listener.get().name, listener.get().name, listener.get(0)] == ["0", "1", None]


def test_closing_ends_the_iteration(listen, channel):
    """What waits is given first."""
    listener = listen()
    channel.send("default", event("a"))
    names = []

    def read():
        for each in listener:
            names.append(each.name)
            listener.close()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(PATIENCE_S)

    assert names == ["a"]
    assert not thread.is_alive()


def test_a_forked_child_has_a_connection_of_its_own(postgres, listen):
    """Workers are forked after the application was loaded; the parent's connection stays its own."""
    listener = listen()
    code = f"""
import os, clew, clew.events
clew.configure(enabled=True)
publishing = clew.events.publish_postgres({postgres.url!r})
child = os.fork()
with clew.span("child" if not child else "parent", kind="tool"):
    pass
publishing.close()
if not child:
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        check=True,
        timeout=60,
        env={"CLEW_ENDPOINT": "http://127.0.0.1:9"},
        capture_output=True,
    )

    heard = [listener.get(PATIENCE_S) for _ in range(4)]

    assert b"Traceback" not in done.stderr
    assert sorted(each.name for each in heard) == ["child", "child", "parent", "parent"]


@pytest.mark.parametrize("url", ["mysql://x", "", "localhost", "postgresql://%zz/"])
def test_a_url_that_is_none_is_refused_without_being_shown(url):
    """It may hold a password."""
    for make in (clew.events.listen_postgres, clew.events.publish_postgres):
        with pytest.raises(ConfigError, match="CLEW_EVENT_BUS") as caught:
            make(url)
        assert not url or url not in str(caught.value)


def test_a_type_that_does_not_exist_is_refused(postgres):
    """Before anything is connected."""
    for make in (clew.events.listen_postgres, clew.events.publish_postgres):
        with pytest.raises(BadFilter):
            make(postgres.url, types=["tool"])


def test_what_comes_together_with_an_answer_is_heard_at_once(postgres):
    """A notification that libpq read while it waited for an answer makes no socket readable again."""
    heard = {0: 0, 1: 0}

    def counting(side):
        def count(project, told):
            heard[side] += 1

        return count

    channels = [PostgresChannel(postgres.url, counting(side), backoff_s=0.01) for side in heard]
    try:
        for each in channels:
            each.start()
        assert all(each.connected.wait(PATIENCE_S) for each in channels)
        for number in range(1, 601):
            for each in channels:
                each.send("default", event())
            eventually(lambda told=number: min(heard.values()) >= told)
    finally:
        for each in channels:
            each.close()
