"""The exporter against real servers on this machine: busy, gone, slow, lying."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import msgspec
import pytest

import clew
from clew.errors import ConfigError
from clew.sdk.exporter import Denied, Refused, TryLater
from clew.sdk.http_exporter import HttpExporter
from clew.sdk.packing import PackedBody
from clew.wire.native import NativeBody


@pytest.fixture
def exporter(server) -> Iterator[HttpExporter]:
    exporter = HttpExporter(server.url, api_key="key", timeout_s=2)
    yield exporter
    exporter.close()


def body() -> PackedBody:
    return PackedBody(resource={"service.name": "shop"})


def test_a_batch_is_posted_as_the_native_protocol_says(server, untouched):
    clew.configure(f"{server.url}/prefix/", api_key="secret", service="shop")
    with clew.span("request", user_id="u1") as span:
        clew.score("rating", 2)
    assert clew.flush(timeout=5)

    ((path, headers, data),) = server.requests
    assert path == "/prefix/api/v1/spans"
    assert headers["Content-Type"] == "application/msgpack"
    assert headers["Authorization"] == "Bearer secret"
    sent = msgspec.msgpack.decode(data, type=NativeBody)
    assert sent.resource["service.name"] == "shop"
    assert [each.span_id for each in sent.spans] == [span.span_id]
    assert [score.trace_id for score in sent.scores] == [span.trace_id]


def test_the_connection_is_kept(server, exporter):
    for _ in range(3):
        exporter.send(body())

    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(server, exporter):
    server.hang_up = True
    for _ in range(3):
        exporter.send(body())

    assert len(server.requests) == 3


def test_503_and_then_200_delivers(server, untouched):
    server.answers = [(503, {"Retry-After": "0"}, b"busy"), (500, {}, b"oops")]
    clew.configure(server.url)
    clew.span("step").end()
    assert clew.flush(timeout=5)

    assert server.names() == ["step", "step", "step"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_overload_is_tried_again_when_the_server_says(server, exporter, status):
    server.answers = [(status, {"Retry-After": "7"}, b"")]
    with pytest.raises(TryLater) as caught:
        exporter.send(body())

    assert caught.value.after_s == 7
    assert caught.value.is_overload


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("soon", None), ("-5", 0), ("nan", None), ("1e9", 300), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)],
)
def test_a_strange_retry_after_does_no_harm(server, exporter, value, seconds):
    server.answers = [(503, {"Retry-After": value}, b"")]
    with pytest.raises(TryLater) as caught:
        exporter.send(body())

    assert caught.value.after_s == seconds


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, Refused), (413, Refused), (401, Denied), (403, Denied), (404, Denied), (302, Denied), (204, Denied)],
)
def test_what_is_not_to_be_tried_again_is_told_apart(server, exporter, status, error):
    server.answers = [(status, {}, b"" if status == 204 else b"why")]
    with pytest.raises(error, match=str(status)):
        exporter.send(body())


def test_rejected_spans_are_reported(server, exporter):
    reply = b'{"accepted":1,"rejected":[{"index":0,"error":"bad id"}]}'
    server.answers = [(200, {}, reply), (200, {}, b"not json"), (200, {}, b"\xff")]

    assert exporter.send(body()) == ["bad id"]
    assert not exporter.send(body())
    assert not exporter.send(body())


def test_an_endless_answer_is_not_read(server, exporter):
    server.answers = [(200, {}, b" " * (3 << 20))]
    exporter.send(body())
    exporter.send(body())

    assert server.connections == 2, "the rest was left where it was"


def test_nobody_there_is_told_apart_from_trouble(untouched):
    with pytest.raises(TryLater) as caught:
        HttpExporter("http://127.0.0.1:1").send(body())

    assert caught.value.unreachable


def test_a_server_that_is_away_does_not_block_the_caller(untouched, caplog):
    with caplog.at_level(logging.CRITICAL):
        clew.configure("http://127.0.0.1:1")
        began = time.perf_counter()
        for _ in range(5_000):
            with clew.span("step", text="x" * 1_000):
                pass
        took_s = time.perf_counter() - began
        assert not clew.flush(timeout=0.05)
        clew.shutdown(timeout=0)

    assert took_s < 2.5, "half a millisecond a span would be a hundred times too much"


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:4319",
        "127.0.0.1",
        "http://",
        "http://:80",
        "http://host:port",
        "http://host:99999",
        "http://host:0",
        "http://a b",
        "http://user:password@host",
        "http://host/?q=1",
        "http://host/#f",
        "ftp://host",
        "http://[::1",
        "nonsense",
        "",
        "sqlite://",
        "sqlite:///",
        "postgresql://host:no-port/db",
        "clickhouse://host:no-port/db",
    ],
)
def test_a_wrong_endpoint_is_refused_where_it_is_given(untouched, endpoint):
    with pytest.raises(ConfigError, match="endpoint"):
        clew.configure(endpoint)


@pytest.mark.parametrize("endpoint", ["otlp+http://host:4318"])
def test_what_this_version_cannot_do_is_said(untouched, endpoint):
    with pytest.raises(ConfigError, match="not supported in this version"):
        clew.configure(endpoint)


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": "a\r\nb"},
        {"api_key": "a b"},
        {"api_key": "schlüssel"},
        {"flush_traces": 0},
        {"flush_traces": "many"},
        {"flush_interval_s": 0},
        {"flush_interval_s": float("inf")},
        {"flush_interval_s": "soon"},
    ],
)
def test_a_wrong_setting_is_refused_where_it_is_given(untouched, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        clew.configure("http://127.0.0.1:4319", **wrong)


def test_what_was_configured_before_stays_after_a_wrong_setting(captured):
    with pytest.raises(ConfigError):
        clew.configure("nonsense")
    clew.span("step").end()

    assert captured["step"]


def test_without_configure_the_environment_decides(server, untouched, monkeypatch):
    monkeypatch.setenv("CLEW_ENDPOINT", server.url)
    monkeypatch.setenv("CLEW_SERVICE", "from-env")
    with clew.span("step"):
        pass
    assert clew.flush(timeout=5)

    assert server.names() == ["step"]
    assert b"from-env" in server.requests[0][2]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CLEW_ENDPOINT", "nonsense"), ("CLEW_ENABLED", "maybe"), ("CLEW_FLUSH_TRACES", "-1"), ("CLEW_QUEUE_SPANS", "x")],
)
def test_a_wrong_environment_is_said_once_and_switches_tracing_off(untouched, monkeypatch, caplog, variable, value):
    """Nobody expects a span to raise because of a variable."""
    monkeypatch.setenv(variable, value)
    for _ in range(3):
        with clew.span("step") as span:
            assert not span
        clew.score("rating", 1)

    assert caplog.text.count("tracing is off") == 1


def test_clew_enabled_0_switches_tracing_off(untouched, monkeypatch, caplog):
    monkeypatch.setenv("CLEW_ENABLED", "0")
    with clew.span("step") as span:
        assert not span

    assert caplog.text == ""
