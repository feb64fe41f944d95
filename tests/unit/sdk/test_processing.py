"""What payloads go through before they leave: capture, the user's processors, redaction; and what fails there."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import Any

import pytest

import clew
from clew.errors import ConfigError
from clew.sdk import events, setup
from clew.sdk.outbox import outbox
from clew.sdk.processing import processing_from

MAIL = "jane@example.com"


@pytest.fixture
def processed(captured):
    """Tracing is on, with the processing that is asked for; gives what the spans become."""

    def begin(*, redact: Any = True, redact_names: Any = (), processors: Any = (), capture: Any = "") -> Any:
        outbox.processing = processing_from(redact, redact_names, processors, capture)
        return captured

    yield begin
    outbox.processing = None


def one(processed: Any, kind: str = "generation", **options: Any) -> Any:
    captured = processed(**options)
    with clew.span("ask", kind=kind, inputs={"question": f"who is {MAIL}?"}, model="m") as span:
        span.outputs = ["a", "b"]
        span.event("retry", reason="busy")
    return captured["ask"]


# Capture.


@pytest.mark.parametrize("capture", ["", "full", {}, {"": "full"}, {"tool": "none"}, "tool=none, root = hash"])
def test_inputs_and_outputs_are_captured_in_full_unless_said_otherwise(processed, capture):
    span = one(processed, capture=capture)

    assert span.inputs == {"question": "who is [redacted: mail address]?"}
    assert span.outputs == ["a", "b"]
    assert span.problems == []


@pytest.mark.parametrize("capture", ["none", {"": "none"}, {"generation": "none"}, "generation=none,tool=full"])
def test_nothing_is_captured_where_capture_says_none(processed, capture):
    span = one(processed, capture=capture)

    assert (span.inputs, span.outputs) == (None, None)
    assert span.attributes == {"model": "m"}
    assert span.problems == []


def test_a_hash_tells_whether_two_are_the_same_and_how_long_they_are(processed):
    """Of the canonical JSON after redaction: a card number could be found by trying all of them."""
    span = one(processed, capture={"generation": "hash"})

    canonical = json.dumps({"question": "who is [redacted: mail address]?"}, separators=(",", ":")).encode()
    assert span.inputs == {"sha256": hashlib.sha256(canonical).hexdigest(), "bytes": len(canonical)}
    assert span.outputs["bytes"] == len('["a","b"]')


def test_the_hash_does_not_depend_on_the_order_of_keys(processed):
    captured = processed(capture="hash")
    with clew.span("one", inputs={"a": 1, "b": 2}):
        pass
    with clew.span("two", inputs={"b": 2, "a": 1}):
        pass

    assert captured["one"].inputs == captured["two"].inputs


def test_truncation_keeps_the_shape_as_far_as_it_goes_and_says_so(processed):
    captured = processed(capture="truncate:20")
    with clew.span("ask", inputs={"q": "x" * 15, "more": ["y" * 50, 1, 2], "rest": 3}) as span:
        span.outputs = "short enough"

    span = captured["ask"]
    assert span.inputs == {"q": "x" * 15, "more": ["… [cut: 3 items]"], "…": "[cut: 1 entries]"}
    assert span.outputs == "short enough"
    assert span.problems == ["inputs cut to 20 characters, as capture says"]


def test_a_secret_that_truncation_cuts_in_two_is_gone_before(processed):
    captured = processed(capture="truncate:12")
    with clew.span("ask", inputs="key sk-proj-Ab12Cd34Ef56Gh78Ij90"):
        pass

    assert captured["ask"].inputs == "key [redacte… [cut: 19 characters]"


def test_kinds_are_captured_each_in_its_way(processed):
    captured = processed(capture={"": "none", "tool": "full", "generation": "hash"})
    for kind in ("tool", "generation", "chain"):
        with clew.span(kind, kind=kind, inputs="x"):
            pass

    assert captured["tool"].inputs == "x"
    assert set(captured["generation"].inputs) == {"sha256", "bytes"}
    assert captured["chain"].inputs is None


# Processors.


def test_a_processor_sees_the_payload_and_gives_what_is_sent(processed):
    seen = []

    def shorten(span: dict[str, Any]) -> dict[str, Any]:
        seen.append(json.loads(json.dumps(span)))
        return {**span, "name": "renamed", "kind": "tool", "attributes": {"a": 1}, "inputs": None, "outputs": [1, 2]}

    captured = processed(processors=[shorten])
    with clew.span("ask", kind="generation", inputs={"q": 1}, model="m") as span:
        span.event("retry", reason="busy")
        span.fail("no")

    found = captured["renamed"]
    assert (found.kind, found.attributes, found.inputs, found.outputs) == ("tool", {"a": 1}, None, [1, 2])
    assert found.status_message == "no"
    assert [event.name for event in found.events] == ["retry"]
    assert seen[0].pop("events")[0]["attributes"] == {"reason": "busy"}
    assert seen == [
        {"name": "ask", "kind": "generation", "attributes": {"model": "m"}, "inputs": {"q": 1}, "outputs": None,
         "status_message": "no"}
    ]  # fmt: skip


def test_processors_run_one_after_the_other_and_what_they_put_in_is_redacted(processed):
    captured = processed(
        processors=[
            lambda span: {**span, "inputs": [span["inputs"]]},
            lambda span: {**span, "inputs": [*span["inputs"], MAIL]},
        ]
    )
    with clew.span("ask", inputs="x"):
        pass

    assert captured["ask"].inputs == ["x", "[redacted: mail address]"]


def test_a_processor_may_change_in_place_and_the_users_own_objects_stay(processed):
    def change(span: dict[str, Any]) -> dict[str, Any]:
        span["inputs"]["deep"]["list"].append("more")
        return span

    captured = processed(processors=[change])
    mine = {"deep": {"list": [1]}}
    with clew.span("ask", inputs=mine):
        pass

    assert captured["ask"].inputs == {"deep": {"list": [1, "more"]}}
    assert mine == {"deep": {"list": [1]}}


def test_none_from_a_processor_sends_none_of_the_payload(processed):
    def forget(span: dict[str, Any]) -> None:
        pass

    span = one(processed, processors=[forget])

    assert (span.attributes, span.inputs, span.outputs, span.events) == ({}, None, None, [])
    assert span.problems == ["the processor forget left the payload out"]
    assert span.name == "ask"


class Nasty(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("not even this")

    __repr__ = __str__


def _raises(error: BaseException) -> Any:
    def failing(span: dict[str, Any]) -> dict[str, Any]:
        span["inputs"] = MAIL
        raise error

    return failing


NONSENSE = {
    "a text": lambda span: "nonsense",
    "a number": lambda span: 5,
    "attributes that are no mapping": lambda span: {**span, "attributes": [1]},
    "events that are none": lambda span: {**span, "events": ["x"]},
    "a name that is a number": lambda span: {**span, "name": 5},
    "what cannot be sent": lambda span: {**span, "inputs": object()},
    "a cycle": lambda span: (span["attributes"].update(me=span["attributes"]), span)[1],
    "an exception": _raises(ValueError(MAIL)),
    "an exit": _raises(SystemExit(3)),
    "a Ctrl-C of its own": _raises(KeyboardInterrupt()),
    "an exception of no type at all": _raises(Nasty()),
    "too deep": lambda span: span if span is None else _raises(RecursionError())(span),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_processor_that_fails_costs_the_payload_and_keeps_the_span(processed, what):
    """It may be there to keep secrets, so nothing raw goes out."""
    span = one(processed, processors=[NONSENSE[what]])

    assert (span.attributes, span.inputs, span.outputs, span.events) == ({}, None, None, [])
    assert span.problems[0].startswith("the processor ")
    assert "failed, so the payload was not sent" in span.problems[0]
    assert MAIL not in repr(span)


def test_what_a_processor_traces_is_not_recorded(processed):
    """Or each span would make another."""

    def tracing(span: dict[str, Any]) -> dict[str, Any]:
        with clew.span("inside a processor"):
            return span

    captured = processed(processors=[tracing])
    with clew.span("ask"):
        pass

    assert [span.name for span in captured.spans] == ["ask"]


# Redaction.


def test_redact_off_leaves_looks_alone_and_names_redacted(processed):
    captured = processed(redact=False, redact_names=["ssn"])
    with clew.span("ask", inputs={"text": MAIL, "password": "x", "ssn": 5}):
        pass

    assert captured["ask"].inputs == {"text": MAIL, "password": "[redacted: password]", "ssn": "[redacted: ssn]"}


def test_a_score_loses_the_secrets_of_its_comment(processed):
    captured = processed()
    with clew.span("ask"):
        clew.score("rating", 1, comment=f"ask {MAIL}", label=MAIL)

    score = captured.scores[0]
    assert (score.comment, score.label) == ("ask [redacted: mail address]", "[redacted: mail address]")


@pytest.mark.parametrize("failed", [False, True])
def test_events_are_told_as_spans_are_sent(processed, failed):
    """They leave the process over PostgreSQL; and what a handler does with them nobody knows."""
    processed(redact_names=["pin"])
    told = []
    with events.subscribe(told.append):
        span = clew.span(f"tool for {MAIL}", kind="tool", inputs={"pin": "1234", "to": [MAIL]})
        span.outputs = {"password": "x"}
        if failed:
            span.fail(f"no such user: {MAIL}")
        span.end()

    assert MAIL not in repr(told)
    assert told[1].args == {"pin": "[redacted: pin]", "to": ["[redacted: mail address]"]}
    assert told[1].result == {"password": "[redacted: password]"}
    assert told[1].error == ("no such user: [redacted: mail address]" if failed else None)
    assert not told[1].args_cut


def test_events_are_captured_as_spans_are_and_a_failing_processor_empties_them(processed):
    told = []
    with events.subscribe(told.append):
        processed(capture="tool=none")
        clew.span("quiet", kind="tool", inputs="x").end()
        processed(processors=[NONSENSE["an exception"]])
        clew.span("broken", kind="tool", inputs="x").end()

    assert [(event.args, event.args_cut) for event in told] == [(None, False)] * 2 + [(None, True)] * 2


def test_a_processor_that_traces_a_tool_does_not_run_for_ever_over_events(processed):
    calls = []

    def tracing(span: dict[str, Any]) -> dict[str, Any]:
        calls.append(threading.current_thread())
        if len(calls) < 50:
            clew.span("tool in a processor", kind="tool").end()
        return span

    processed(processors=[tracing])
    told = []
    with events.subscribe(told.append):
        clew.span("tool", kind="tool").end()

    assert [event.name for event in told] == ["tool", "tool"]


# Settings.


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"capture": "some"}, "none of full, truncate:2000, hash, none"),
        ({"capture": "truncate"}, "none of full"),
        ({"capture": "truncate:0"}, "none of full"),
        ({"capture": "truncate:-5"}, "none of full"),
        ({"capture": "hash:5"}, "none of full"),
        ({"capture": {"llm": "hash"}}, "no kind of span"),
        ({"capture": {"tool": None}}, "none of full"),
        ({"capture": 5}, "neither a text nor a mapping"),
        ({"redact_names": "ssn"}, "one text"),
        ({"redact_names": [5]}, "no name"),
        ({"redact_names": ["--"]}, "no name"),
        ({"redact_names": 5}, "no list"),
        ({"processors": len}, "one function"),
        ({"processors": [5]}, "cannot be called"),
        ({"processors": 5}, "no list"),
        ({"redact": "yes"}, "neither True nor False"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(untouched, options, says):
    with pytest.raises(ConfigError, match=says):
        clew.configure(**options)
    assert setup._writer is None


@pytest.mark.parametrize(
    ("text", "how"),
    [("hash", "hash"), ("generation=hash,tool=truncate:2000", "hash"), ("TRUNCATE:5", "truncate"), (" none ", "none")],
)
def test_the_settings_in_the_environment_are_read(untouched, monkeypatch, text, how):
    monkeypatch.setenv("CLEW_CAPTURE", text)
    monkeypatch.setenv("CLEW_REDACT_NAMES", "ssn, patient_id")
    clew.configure()

    assert outbox.processing.redactor.is_secret("user.patientId")
    assert outbox.processing.capture("generation").how == how
