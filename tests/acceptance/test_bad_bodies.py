"""Whatever a client sends: a clear error or a visible mending, and the good spans are kept."""

from __future__ import annotations

import gzip
import json
import socket
import time

import httpx
import msgspec
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

JSON = {"content-type": "application/json"}
PROTOBUF = {"content-type": "application/x-protobuf"}


CHUNKED = (
    b"POST /api/v1/spans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def otlp(*spans: dict) -> bytes:
    """Give an OTLP request of spans with these fields."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for fields in spans:
        span = scope.spans.add()
        for name, value in fields.items():
            setattr(span, name, value)
    return request.SerializeToString()


def good_otlp(number: int = 1) -> dict:
    """Give the fields of a span with nothing wrong."""
    now_ns = time.time_ns()
    return {
        "trace_id": bytes.fromhex(f"{number:032x}"),
        "span_id": bytes.fromhex(f"{number:016x}"),
        "name": "good",
        "start_time_unix_nano": now_ns,
        "end_time_unix_nano": now_ns + 1_000_000,
    }


def native(shared, body, project="default", **headers):
    """Post *body* in the native protocol."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return shared.admin.post(f"/api/v1/spans?project={project}", content=content, headers=JSON | headers)


@pytest.mark.parametrize(
    "body",
    [b"\xff" * 50, b"garbage", otlp(good_otlp())[:-5], otlp(good_otlp()) + b"\x0a\xff\xff\xff\xff\x0f"],
    ids=["binary garbage", "text garbage", "truncated", "length past the end"],
)
def test_garbage_protobuf_is_400_with_a_status_that_the_client_reads(shared, body):
    """OTLP clients look for google.rpc.Status."""
    answer = shared.anybody.post("/v1/traces", content=body, headers=PROTOBUF)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert Status.FromString(answer.content).message


@pytest.mark.parametrize("path", ["/v1/traces", "/api/v1/spans"])
@pytest.mark.parametrize(
    "body", [b"no gzip at all", gzip.compress(b"{}" * 1_000)[:-9], gzip.compress(b"{}")[:-4] + b"\0\0\0\0", b""]
)
def test_wrong_gzip_is_400(shared, path, body):
    """Also a stream that is cut, or whose checksum lies."""
    headers = (PROTOBUF if path == "/v1/traces" else JSON) | {"content-encoding": "gzip"}

    assert shared.anybody.post(path, content=body, headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/api/v1/spans", {"content-type": "text/plain"}),
        ("/api/v1/spans", {"content-type": "application/x-protobuf"}),
        ("/api/v1/spans", {}),
        ("/api/v1/spans", JSON | {"content-encoding": "br"}),
        ("/v1/traces", {"content-type": "application/json"}),
        ("/v1/traces", PROTOBUF | {"content-encoding": "snappy"}),
        ("/api/v1/scores", {"content-type": "text/plain"}),
        ("/api/v1/login", {"content-type": "text/plain"}),
    ],
)
def test_an_unknown_content_type_or_encoding_is_415(shared, path, headers):
    """Nothing is guessed."""
    assert shared.anybody.post(path, content=b"{}", headers=headers).status_code == 415


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"spans":5}', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_batch_is_400(shared, body):
    """Also one that nests a hundred thousand deep."""
    answer = native(shared, body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def small(tmp_path_factory, start_server):
    """A server that takes no body over 64 KiB."""
    running = start_server(tmp_path_factory.mktemp("small") / "clew.db", CLEW_MAX_BODY_BYTES="65536")
    yield running
    running.kill()


def test_an_over_long_body_is_413(small):
    """By its announced length, before any of it is read."""
    assert native(small, b" " * 65_537).status_code == 413
    assert small.anybody.post("/v1/traces", content=b" " * 65_537, headers=PROTOBUF).status_code == 413


def test_a_body_of_unannounced_length_is_cut_off_at_the_limit(small):
    """Chunked, it could go on for ever."""
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as client:
        client.sendall(CHUNKED)
        answer = b""
        try:
            for _ in range(1_000):
                client.sendall(b"2000\r\n" + b" " * 8_192 + b"\r\n")
                client.setblocking(False)
                try:
                    answer += client.recv(65_536)
                except BlockingIOError:
                    continue
                finally:
                    client.settimeout(10)
                if answer:
                    break
        except (BrokenPipeError, ConnectionResetError):
            pass

    assert answer.startswith(b"HTTP/1.1 413")


def test_a_bomb_is_413_within_a_second(small):
    """40 KB that inflate to 40 MB."""
    began = time.monotonic()

    answer = native(small, gzip.compress(b" " * (40 << 20)), **{"content-encoding": "gzip"})

    assert answer.status_code == 413
    assert time.monotonic() - began < 1.0


def test_a_client_that_hangs_up_harms_nobody(shared, make):
    """Half a body, then nothing; the next request is served as ever."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as client:
            client.sendall(
                b"POST /api/v1/spans HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b'Content-Length: 1000\r\n\r\n{"spans":['
            )

    assert native(shared, {"spans": [make.span()]}).status_code == 200


@pytest.mark.parametrize(
    "request_line", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n"]
)
def test_what_is_no_http_is_turned_away(shared, request_line):
    """TLS to a plain port, or a port scanner."""
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as client:
        client.sendall(request_line)
        answer = client.recv(1_000)

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert shared.anybody.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"y" * 65_536),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"y" * 65_000 + b"\r\n"),
        (b"GET /", b"y" * 65_536),
        (
            CHUNKED + b"2\r\n{}\r\n0\r\n",
            b"X: " + b"y" * 65_000 + b"\r\n",
        ),
    ],
    ids=["one header", "many headers", "a path", "trailers"],
)
def test_headers_have_an_end(shared, head, more):
    """They are read before anybody is asked for a key; 8 MB of them are no request."""
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as client:
        assert hung_up(client, head, *[more] * 128)

    assert shared.anybody.get("/healthz").status_code == 200


def hung_up(client, *pieces):
    """Send the pieces; whether the server ended the connection by then (a timeout if it did not)."""
    try:
        for piece in pieces:
            client.sendall(piece)
        while client.recv(65_536):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    return True


def test_a_bad_span_costs_itself_and_no_other_in_otlp(shared, project):
    """Zero ids cannot be kept; the client is told in partial_success and does not send again."""
    bad = [
        good_otlp(12) | {"trace_id": bytes(16)},
        good_otlp(13) | {"span_id": bytes(8)},
        good_otlp(14) | {"span_id": b"x"},
    ]

    answer = shared.admin.post(
        f"/v1/traces?project={project}", content=otlp(good_otlp(11), *bad, good_otlp(15)), headers=PROTOBUF
    )

    assert answer.status_code == 200
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_spans == 3
    assert partial.error_message
    listed = shared.admin.get(f"/api/v1/admin/traces/?project={project}").json()["traces"]
    assert {row["trace_id"] for row in listed} == {f"{number:032x}" for number in (11, 15)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"trace_id": "0" * 32},
        {"span_id": "0" * 16},
        {"trace_id": "xyz"},
        {"span_id": 5},
        {"start_ns": "yesterday"},
        {"kind": ["a"]},
        {"attributes": 5},
    ],
)
def test_a_bad_span_costs_itself_and_no_other(shared, project, make, wrong):
    """It is named by its index, with the reason."""
    before, after = make.span(), make.span()

    answer = native(shared, {"spans": [before, make.span(**wrong), after]}, project).json()

    assert answer["accepted"] == 2
    assert [one["index"] for one in answer["rejected"]] == [1]
    assert answer["rejected"][0]["error"]
    listed = shared.admin.get(f"/api/v1/admin/traces/?project={project}").json()["traces"]
    assert {row["trace_id"] for row in listed} >= {before["trace_id"], after["trace_id"]}


def one_span(shared, project, trace_id):
    """Read back the only span of a trace."""
    answer = shared.admin.get(f"/api/v1/admin/traces/{trace_id}?project={project}")
    assert answer.status_code == 200
    return answer.json()["spans"][0]


def test_a_negative_duration_is_mended_visibly(shared, project, make):
    """A clock was set back; the span is not thrown away, and says so."""
    span = make.span(end_ns=make.start_ns - 1)

    native(shared, {"spans": [span]}, project)

    row = one_span(shared, project, span["trace_id"])
    assert row["duration_ms"] == 0
    assert row["problems"]


def test_ten_megabytes_in_an_attribute_are_cut_visibly(shared, project, make):
    """The span is kept, and what is missing is said."""
    span = make.span(attributes={"prompt": "x" * 10_000_000, "model": "m"})

    assert native(shared, {"spans": [span]}, project).json()["accepted"] == 1

    row = one_span(shared, project, span["trace_id"])
    assert 1_000 < len(row["attributes"]["prompt"]) < 2_000_000
    assert row["model"] == "m"
    assert row["problems"]


def test_nan_is_kept_as_something_that_json_can_say(shared, project, make):
    """MessagePack carries it in; no JSON parser would take it out."""
    span = make.span(attributes={"score": float("nan"), "far": float("inf")})

    answer = shared.admin.post(
        f"/api/v1/spans?project={project}",
        content=msgspec.msgpack.encode({"spans": [span]}),
        headers={"content-type": "application/msgpack"},
    )

    assert answer.json()["accepted"] == 1
    text = shared.admin.get(f"/api/v1/admin/traces/{span['trace_id']}?project={project}").text
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert one_span(shared, project, span["trace_id"])["problems"]


def test_hostile_keys_and_values_come_back_as_they_went(shared, project, make):
    """In SQL, JSON and HTML they are data."""
    hostile = {"'; DROP TABLE traces; --": "<script>alert(1)</script>", "__proto__": {"x": 1}, "": "empty key"}
    span = make.span(name="'\"<b>\\", attributes=hostile, user_id="u")

    native(shared, {"spans": [span]}, project)

    row = one_span(shared, project, span["trace_id"])
    assert row["name"] == "'\"<b>\\"
    assert row["attributes"]["'; DROP TABLE traces; --"] == "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("score", "status"),
    [
        ({"value": 9, "best": 5}, 400),
        ({"value": -1}, 400),
        ({"value": 0, "best": 0}, 400),
        ({"value": "good"}, 400),
        ({"name": ""}, 400),
        ({"trace_id": "0" * 32}, 400),
        ({"trace_id": "nope"}, 400),
        ({"span_id": "nope"}, 400),
        ({"source": "aliens"}, 400),
        ({"comment": "x" * 10_001}, 400),
        ({}, 200),
    ],
)
def test_a_score_that_makes_no_sense_is_refused(shared, project, score, status):
    """It would flag a trace for nothing."""
    body = {"trace_id": "a" * 32, "name": "rating", "value": 3} | score

    assert shared.admin.post(f"/api/v1/scores?project={project}", json=body).status_code == status


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-21&to=2026-11-20",
        "min_latency_ms=-1",
        "min_latency_ms=5&max_latency_ms=1",
        "kind=nonsense",
        "quality_flag=BAD",
        "cursor=%00",
        "limit=0",
        "limit=201",
        "frobnicate=1",
        "kind=tool&kind=agent",
        "max_latency_ms=NaN",
        "text=%ff%00",
    ],
)
def test_a_filter_that_makes_no_sense_is_400_with_the_reason(shared, query):
    """An empty page would read as "no such traces"."""
    error = shared.admin.get(f"/api/v1/admin/traces/?{query}")

    assert error.status_code == 400
    assert error.json()["error"]["type"] == "BadFilter"


@pytest.mark.parametrize("trace_id", ["0" * 32, "xyz", "1" * 31, "g" * 32, "1" * 33])
def test_an_id_that_is_none_is_400(shared, trace_id):
    """404 would say that such a trace might exist."""
    assert shared.admin.get(f"/api/v1/admin/traces/{trace_id}").status_code == 400


def test_a_trace_that_has_not_come_is_404(shared):
    """With an error of ours, not a page."""
    answer = shared.admin.get(f"/api/v1/admin/traces/{'d' * 32}")

    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "NotFound"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), path=st.sampled_from(["/v1/traces", "/api/v1/spans", "/api/v1/scores"]))
def test_no_body_breaks_the_server(shared, body, path):
    """Never a 5xx: those are retried, and would come again for ever."""
    content_type = PROTOBUF if path == "/v1/traces" else JSON

    assert shared.anybody.post(path, content=body, headers=content_type).status_code < 500


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.dictionaries(
        st.sampled_from(
            [
                "trace_id",
                "span_id",
                "parent_id",
                "name",
                "kind",
                "start_ns",
                "end_ns",
                "status",
                "attributes",
                "inputs",
                "outputs",
                "events",
                "links",
                "problems",
            ]
        ),
        json_values,
        max_size=5,
    )
)
def test_no_span_breaks_the_server_or_the_span_beside_it(shared, make, fields):
    """Each field in turn, of each wrong type; whatever is kept can be read."""
    good, odd = make.span(), make.span(**fields)

    body = json.dumps({"spans": [good, odd]}).encode("utf-8", "surrogatepass")
    answer = shared.admin.post("/api/v1/spans?project=fuzz", content=body, headers=JSON)

    # NaN is Python's own idea of JSON: the body as a whole is not JSON then.
    assert answer.status_code == 200 or b"NaN" in body or b"Infinity" in body
    if answer.status_code == 200:
        assert answer.json()["accepted"] >= 1
        assert shared.admin.get(f"/api/v1/admin/traces/{good['trace_id']}?project=fuzz").status_code == 200
        assert shared.admin.get("/api/v1/admin/traces/?project=fuzz").status_code == 200


def test_a_connection_is_used_again_after_an_error(shared, make):
    """A 400 must not cost the client its connection, nor the server a leak."""
    with httpx.Client(base_url=shared.url, limits=httpx.Limits(max_connections=1)) as client:
        for _ in range(5):
            assert client.post("/api/v1/spans", content=b"{", headers=JSON).status_code == 400
            assert client.post("/api/v1/spans", json={"spans": [make.span()]}).status_code == 200
