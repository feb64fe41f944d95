"""Events in over HTTP and from files, and out again as a stream: on a real server."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
import zstandard

T = time.time_ns() - 60_000_000_000
KEY = "sesame-of-the-tests"


class Stream:
    """One client of `GET /api/v1/events`, read on a thread of its own."""

    def __init__(self, client: httpx.Client, query: str = "", **headers: str) -> None:
        self.told: list[tuple[str, str, dict]] = []
        self.changed = threading.Condition()
        self.ended = threading.Event()
        self._stream = client.stream("GET", f"/api/v1/events{query}", headers=headers, timeout=60)
        self.answer = self._stream.__enter__()
        self.lines = self.answer.iter_lines()
        if self.answer.status_code == 200:
            assert next(self.lines) == "retry: 2000"
            assert next(self.lines) == ": listening"
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self.lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    with self.changed:
                        self.told.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
                        self.changed.notify_all()
                    fields = {}
        except (httpx.HTTPError, httpx.StreamError):
            pass
        self.ended.set()

    def wait(self, count: int) -> list[tuple[str, dict]]:
        """Give the first *count* events."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.told) >= count, 20), self.told
            return [(kind, data) for _, kind, data in self.told]

    def close(self) -> None:
        connection = self.answer.extensions["network_stream"].get_extra_info("socket")
        with suppress(OSError):  # It has been hung up already.
            connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._stream.__exit__(None, None, None)


@contextmanager
def streaming(client, query="", **headers):
    stream = Stream(client, query, **headers)
    try:
        yield stream
    finally:
        stream.close()


def call(make, name="search", kind="tool", **fields):
    """A start and an end."""
    ids = {"trace_id": make.trace_id(), "span_id": make.trace_id()[:16], "name": name, "parent_id": None} | fields
    return [
        {"type": f"{kind}_start", "ts": T, "args": {"q": "x"}, **ids},
        {"type": f"{kind}_end", "ts": T + 5_000_000, "success": True, "duration_ms": 5, "result": "r", **ids},
    ]


def stored(shared, project, trace_id):
    return shared.admin.get(f"/api/v1/admin/traces/{trace_id}", params={"project": project}).json()["spans"]


def post(shared, project, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return shared.admin.post("/api/v1/events", params={"project": project}, content=content, headers=headers)


def test_posted_events_become_spans(shared, make, project):
    """What goes in as two events is read as one span."""
    start, end = call(make)
    answer = post(shared, project, [start, end])

    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "rejected": []})
    (span,) = stored(shared, project, start["trace_id"])
    assert (span["kind"], span["inputs"], span["outputs"], span["status"]) == ("tool", {"q": "x"}, "r", "ok")
    assert span["duration_ms"] == 5.0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_halves_in_two_requests_join_in_any_order(shared, make, project, order):
    """Each is acknowledged when it is durable; the store makes one span of them."""
    halves = call(make)
    for at in order:
        assert post(shared, project, [halves[at]]).json() == {"accepted": 1, "rejected": []}

    (span,) = stored(shared, project, halves[0]["trace_id"])
    assert (span["inputs"], span["outputs"], span["duration_ms"]) == ({"q": "x"}, "r", 5.0)


@pytest.mark.parametrize(
    ("headers", "encode"),
    [
        ({}, lambda sent: json.dumps({"events": sent}).encode()),
        ({"content_type": "application/x-ndjson"}, lambda sent: "\n".join(map(json.dumps, sent)).encode()),
        ({"content_encoding": "gzip"}, lambda sent: gzip.compress(json.dumps(sent).encode())),
        ({"content_encoding": "zstd"}, lambda sent: zstandard.compress("\n".join(map(json.dumps, sent)).encode())),
    ],
)
def test_any_form_and_compression_is_taken(shared, make, project, headers, encode):
    """As the other routes do."""
    sent = call(make)
    answer = post(shared, project, encode(sent), **headers)

    assert answer.json() == {"accepted": 2, "rejected": []}
    assert len(stored(shared, project, sent[0]["trace_id"])) == 1


def test_bad_events_cost_themselves_and_are_named(shared, make, project):
    """The good ones beside them are durable."""
    start, end = call(make)
    answer = post(shared, project, [start, 7, {"type": "tool_began", "trace_id": "x"}, end])

    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    assert [each["index"] for each in answer.json()["rejected"]] == [1, 2]
    assert len(stored(shared, project, start["trace_id"])) == 1


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [(b"", "application/json", 400), (b"[{", "application/json", 400), (b"[]", "text/plain", 415)],
)
def test_a_body_that_cannot_be_read_is_refused_whole(shared, project, body, media, status):
    """With a message that says what to send."""
    answer = post(shared, project, body, content_type=media)

    assert answer.status_code == status
    assert answer.json()["error"]["message"]


def test_a_watcher_sees_spans_of_every_protocol_that_are_tools_or_capabilities(shared, make, project):
    """Native spans and events; once, in order."""
    with streaming(shared.admin, f"?project={project}") as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        root = make.span(name="plan", kind="capability")
        tool = make.span(root["trace_id"], name="search", kind="tool", parent_id=root["span_id"], inputs={"q": 1})
        tool |= {"start_ns": root["start_ns"] + 1, "end_ns": root["end_ns"] - 1}
        for _ in range(2):
            body = {"spans": [tool, root, make.span(name="ask")]}
            shared.admin.post(f"/api/v1/spans?project={project}", json=body).raise_for_status()
        post(shared, project, call(make, "book"))
        told = stream.wait(6)

    assert [(kind, data["name"]) for kind, data in told] == [
        ("capability_start", "plan"),
        ("tool_start", "search"),
        ("tool_end", "search"),
        ("capability_end", "plan"),
        ("tool_start", "book"),
        ("tool_end", "book"),
    ]
    assert told[2][1]["parent_trace_id"] == told[2][1]["parent_id"] == root["span_id"]
    assert told[2][1]["args"] == {"q": 1}
    numbers = [int(number) for number, _, _ in stream.told]
    assert numbers == sorted(set(numbers))


def test_types_and_project_choose_what_is_streamed(shared, make, project):
    """And what makes no sense is refused before anything is streamed."""
    with (
        streaming(shared.admin, f"?project={project}&types=tool_end,capability_end") as stream,
        streaming(shared.admin, f"?project={project}-other") as other,
    ):
        post(shared, project, call(make))
        assert [kind for kind, _ in stream.wait(1)] == ["tool_end"]
        assert other.told == []
    assert shared.admin.get("/api/v1/events?types=tool_begin").status_code == 400
    assert shared.admin.get("/api/v1/events?type=tool_end").status_code == 400


def test_a_key_sees_its_own_project_and_no_other(shared, make, clew_command, project):
    """As with every question."""
    made = clew_command("keys", "create", "--scope", "read", "--project", project, "--store", shared.store_url)
    key = {"authorization": f"Bearer {made.stdout.strip()}"}
    with streaming(shared.anybody, **key) as stream:
        post(shared, f"{project}-other", call(make, "foreign"))
        post(shared, project, call(make, "own"))
        assert [data["name"] for _, data in stream.wait(2)] == ["own", "own"]

    assert shared.anybody.get("/api/v1/events", headers=key, params={"project": "default"}).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"}]
)
def test_another_sites_page_gets_no_stream(shared, headers):
    """A stream is read without a preflight."""
    assert shared.admin.get("/api/v1/events", headers=headers).status_code == 403


def test_a_browser_of_our_own_page_gets_one(shared, make, project):
    """EventSource sends the cookie, and where it is from."""
    # Not with the shared client, which would keep the cookie for the tests after this one.
    login = httpx.post(f"{shared.url}/api/v1/login", json={"key": KEY}, headers={"origin": shared.url})
    cookie = login.headers["set-cookie"].partition(";")[0]
    headers = {"cookie": cookie, "sec-fetch-site": "same-origin", "accept": "text/event-stream"}
    with streaming(shared.anybody, f"?project={project}", **headers) as stream:
        post(shared, project, call(make))
        assert len(stream.wait(2)) == 2


def test_head_does_not_stream(shared):
    """Or whoever asks would wait for ever."""
    answer = shared.admin.head("/api/v1/events")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_server_with_open_streams_stops_at_once(serve, make):
    """Streams never end by themselves; what was accepted is stored all the same."""
    running = serve()
    with streaming(running.admin) as stream:
        post(running, "default", call(make))
        stream.wait(2)
        began = time.monotonic()

        status = running.stop()

        assert stream.ended.wait(10)
    assert status == 0
    assert time.monotonic() - began < 8
    assert not any("Traceback" in line for line in running.lines)


def test_watchers_that_leave_make_room(serve):
    """So many may watch at once; more are told to come again."""
    running = serve()
    limits = httpx.Limits(max_connections=None)
    with (
        httpx.Client(base_url=running.url, headers=running.admin.headers, limits=limits) as client,
        ExitStack() as streams,
    ):
        for _ in range(100):
            streams.enter_context(streaming(client))
        refused = running.admin.get("/api/v1/events")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"

    deadline = time.monotonic() + 20
    while True:
        with running.admin.stream("GET", "/api/v1/events") as answer:
            if answer.status_code == 200:
                break
        assert time.monotonic() < deadline


def test_two_servers_hear_each_other_over_postgresql(serve, postgres, make, tmp_path):
    """Each has its own store; the events of one are streamed by both."""
    one = serve(store=tmp_path / "one.db", CLEW_EVENT_BUS=postgres.url)
    other = serve(store=tmp_path / "other.db", CLEW_EVENT_BUS=postgres.url)
    with streaming(other.admin) as stream:
        deadline = time.monotonic() + 20
        while not stream.told:  # The servers connect in the background.
            assert time.monotonic() < deadline
            post(one, "default", call(make, "from the other one"))
        assert stream.wait(1)[0][1]["name"] == "from the other one"
    assert one.stop() == other.stop() == 0


def test_a_bus_that_is_none_is_one_clear_line(clew_command, tmp_path):
    """Before anything is served."""
    store = f"sqlite:///{tmp_path}/clew.db"
    result = clew_command("serve", "--port", "0", "--store", store, CLEW_EVENT_BUS="redis://secret@x")

    assert result.returncode == 2
    assert "CLEW_EVENT_BUS" in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr


LINES = [
    {"trace": "t1", "id": "0", "parent": None, "type": "capability", "name": "trip", "start": 0, "end": 9, "args": []},
    {"trace": "t1", "id": "1", "parent": "0", "type": "tool", "name": "search", "start": 1, "end": 3, "args": ["to"]},
    {"trace": "t1", "id": "2", "parent": "0", "type": "tool", "name": "book", "start": 4, "end": 8, "ok": False},
]


@pytest.fixture(params=["server", "store"])
def import_(request, shared, clew_command, project):
    """Run `clew import …` both ways: they must not differ."""

    def run(*args: str):
        if request.param == "server":
            return clew_command("import", *args, "--project", project, CLEW_URL=shared.url, CLEW_API_KEY=KEY)
        return clew_command("import", *args, "--project", project, "--store", shared.store_url)

    return run


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_import_stores_recorded_calls(shared, import_, project, tmp_path, name):
    """Twice is once: times that are no dates count from a fixed one."""
    path = tmp_path / name
    content = "\n".join(map(json.dumps, LINES)).encode()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)

    first, second = import_(str(path)), import_(str(path))

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "3 events of 1 trace stored" in first.stderr
    (row,) = shared.admin.get("/api/v1/admin/traces/", params={"project": project}).json()["traces"]
    assert (row["name"], row["span_count"], row["started_at"]) == ("trip", 3, "2026-01-01T00:00:00.000000Z")
    spans = stored(shared, project, row["trace_id"])
    assert [(span["name"], span["depth"], span["duration_ms"], span["status"]) for span in spans] == [
        ("trip", 0, 9.0, "ok"),
        ("search", 1, 2.0, "ok"),
        ("book", 1, 4.0, "error"),
    ]
    assert spans[1]["inputs"] == {"to": None}
    assert spans[1]["attributes"]["clew.event.args_are_names"] is True


def test_import_skips_what_it_cannot_read_and_says_where(shared, import_, project, tmp_path):
    """With the number of the line; other formats are called by their names."""
    path = tmp_path / "events.jsonl"
    bad = ['{"trace": 1', '{"resourceSpans": []}', '{"type": "tool"}']
    path.write_text("\n".join([json.dumps(LINES[0]), "", *bad, json.dumps(LINES[1])]))

    result = import_(str(path), "--at", "2026-05-01T00:00:00Z", "--unit-ms", "1000")

    assert result.returncode == 0
    assert "2 events of 1 trace stored" in result.stderr
    assert "3 events skipped" in result.stderr
    for words in ("line 3: it is not JSON", "line 4: it is OTLP JSON", "line 5: it names neither"):
        assert words in result.stderr
    (row,) = shared.admin.get("/api/v1/admin/traces/", params={"project": project}).json()["traces"]
    assert (row["started_at"], row["duration_ms"]) == ("2026-05-01T00:00:00.000000Z", 9_000.0)


@pytest.mark.parametrize(
    ("args", "status", "word"),
    [
        (["/no/such/file"], 1, "No such file"),
        (["{tmp}/otlp.jsonl"], 1, "OTLP JSON"),
        (["{tmp}/cut.gz"], 1, "what came before was imported"),
        (["{tmp}/good.jsonl", "--at", "7"], 2, "--at"),
        (["{tmp}/good.jsonl", "--unit-ms", "0"], 2, "--unit-ms"),
    ],
)
def test_import_says_what_is_wrong(import_, tmp_path, args, status, word):
    """In a line, without a traceback."""
    (tmp_path / "otlp.jsonl").write_text('{"resourceSpans": []}')
    (tmp_path / "good.jsonl").write_text(json.dumps(LINES[0]))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(json.dumps(LINES[0]).encode() * 100)[:-20])

    result = import_(*(arg.format(tmp=tmp_path) for arg in args))

    assert result.returncode == status
    assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_import_reads_standard_input_and_a_list(shared, clew_command, project, tmp_path):
    """What `curl` posted can be imported as it is."""
    path = tmp_path / "events.json"
    path.write_text(json.dumps(LINES))
    with path.open("rb") as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "clew.cli", "import", "-", "--project", project, "--store", shared.store_url],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert "3 events of 1 trace stored" in done.stderr
